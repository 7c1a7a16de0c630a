"""Secrets at rest: sealed in the file, and useless without the key."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest
import sqlite_utils
from hypothesis import given
from hypothesis import strategies as st

from peekaping.engine.probes.http import HttpMonitor
from peekaping.store.accounts import Accounts
from peekaping.store.database import Database
from peekaping.store.errors import CannotOpen
from peekaping.store.migrations import migrations
from peekaping.store.sqlite import SqliteStore
from peekaping.store.totp import OneTimePasswords
from peekaping.store.vault import Vault, key_file
from tests.store.support import NOON, monitor

CANARY = "canary-4711"
KEY = "0123456789abcdef0123456789abcdef"


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


@given(st.text())
def test_what_was_sealed_is_unsealed_and_never_looks_the_same(text: str) -> None:
    vault = Vault(KEY)
    one, two = vault.seal(text), vault.seal(text)
    assert one != two
    assert vault.unseal(one) == vault.unseal(two) == text


def test_another_key_or_a_changed_text_is_refused() -> None:
    sealed = Vault(KEY).seal("secret")
    assert sealed is not None
    flipped = ("B" if sealed[20] == "A" else "A").join((sealed[:20], sealed[21:]))
    for vault, text in ((Vault(KEY[::-1]), sealed), (Vault(KEY), flipped)):
        with pytest.raises(ValueError, match="sealed"):
            vault.unseal(text)


async def test_the_file_shows_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    database = Database.open(path)
    accounts, store = Accounts(database), SqliteStore(database)
    url = f"http://user:{CANARY}-url@127.0.0.1/"
    secret = HttpMonitor(name="Shop", url=url, headers={"Authorization": f"{CANARY}-header"}, body=f"{CANARY}-body")
    await store.add(secret, now_ms=NOON, push_id=None)
    user = await accounts.add_user("ada@example.com", "Ada", "hash", NOON)
    await OneTimePasswords(database).prepare(user.id, f"{CANARY}-seed")
    signing = await accounts.secret("access-tokens")
    assert [snapshot.entry.monitor for snapshot in await store.load()] == [secret]
    await database.close()
    stored = everything_in(tmp_path)
    assert CANARY.encode() not in stored
    assert signing not in stored
    assert signing.hex().encode() not in stored


async def test_the_key_is_a_file_of_the_owner_alone_and_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    await Database.open(path).close()
    key = key_file(path).read_text()
    assert stat.S_IMODE(key_file(path).stat().st_mode) == 0o600
    await Database.open(path).close()
    assert key_file(path).read_text() == key


async def test_a_key_that_is_given_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    await Database.open(path, secret_key=KEY).close()
    assert not key_file(path).exists()
    await Database.open(path, secret_key=KEY).close()


async def test_the_key_in_the_file_may_be_given_instead(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    await Database.open(path).close()
    key = key_file(path).read_text().strip()
    key_file(path).unlink()
    await Database.open(path, secret_key=key).close()


async def test_a_missing_or_wrong_key_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    await Database.open(path).close()
    before = path.read_bytes()
    with pytest.raises(CannotOpen, match="sealed with another key; put the right"):
        Database.open(path, secret_key=KEY)
    key_file(path).write_text(f"{KEY}\n")
    with pytest.raises(CannotOpen, match="sealed with another key; put the right"):
        Database.open(path)
    key_file(path).write_text("\n")
    with pytest.raises(CannotOpen, match="holds no key; put it back"):
        Database.open(path)
    key_file(path).unlink()
    with pytest.raises(CannotOpen, match=r"is missing.*; put it back from the backup"):
        Database.open(path)
    assert not key_file(path).exists()
    assert path.read_bytes() == before


async def test_a_file_from_before_is_sealed_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    signing = b"\x01" * 32
    with sqlite_utils.Database(path) as db:
        migrations.apply(db, stop_before="m005_access")
        definition = msgspec.json.encode(monitor()).decode()
        db.execute("INSERT INTO monitor (definition, created, updated) VALUES (?, ?, ?)", (definition, NOON, NOON))
        db.execute("INSERT INTO setting VALUES ('access-tokens', ?)", (signing,))
        db.execute("INSERT INTO user (email, name, password_hash, created) VALUES ('a@b', 'A', 'hash', 0)")
        db.execute("INSERT INTO total VALUES (3600000, 0, 1, 2, 3, 4, 5, 6, 7, 8)")
    database = Database.open(path)
    store, accounts = SqliteStore(database), Accounts(database)
    assert [snapshot.entry.monitor for snapshot in await store.load()] == [monitor()]
    assert await accounts.secret("access-tokens") == signing
    (user,) = await accounts.users()
    assert (user.role, user.operator, user.workspace) == ("admin", True, 1)
    assert (await store.totals(3_600_000, from_ms=0, to_ms=1, workspace=1)).down == 2
    await database.close()
