"""Users, sessions and secrets."""

from __future__ import annotations

import pytest

from peekaping.store.accounts import Accounts, Rotation
from peekaping.store.database import Database
from peekaping.store.errors import EmailTaken

HOUR = 3_600_000


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database)


async def test_a_user_is_found_by_id_and_by_email(accounts: Accounts) -> None:
    assert not await accounts.has_users()
    ada = await accounts.add_user("ada@example.com", "Ada", "hash", 5)
    assert (ada.email, ada.name, ada.password_hash, ada.created_ms) == ("ada@example.com", "Ada", "hash", 5)
    assert await accounts.has_users()
    assert await accounts.user(ada.id) == ada
    assert await accounts.user_by_email("ADA@example.com") == ada


async def test_nobody_is_found_where_nobody_is(accounts: Accounts) -> None:
    assert await accounts.user(1) is None
    assert await accounts.user_by_email("ada@example.com") is None


async def test_an_email_belongs_to_one_user(accounts: Accounts) -> None:
    ada = await accounts.add_user("ada@example.com", "Ada", "hash", 5)
    with pytest.raises(EmailTaken, match=r"Ada@Example\.com"):
        await accounts.add_user("Ada@Example.com", "Eve", "other", 6)
    assert await accounts.user_by_email("ada@example.com") == ada


async def test_a_secret_stays_the_same(accounts: Accounts, database: Database) -> None:
    one, two = await accounts.secret("one"), await accounts.secret("two")
    assert len(one) == len(two) == 32
    assert one != two
    assert await Accounts(database).secret("one") == one


async def test_a_refresh_token_is_exchanged_for_a_new_one(accounts: Accounts) -> None:
    session = await accounts.open_session(7, "192.0.2.1", b"first", 0, HOUR)
    assert await accounts.rotate_session(session, b"first", b"second", 1, 2 * HOUR) == (Rotation.ROTATED, 7)
    assert await accounts.rotate_session(session, b"second", b"third", HOUR + 1, 3 * HOUR) == (Rotation.ROTATED, 7)


async def test_using_an_old_refresh_token_ends_the_session(accounts: Accounts) -> None:
    session = await accounts.open_session(7, "192.0.2.1", b"first", 0, HOUR)
    await accounts.rotate_session(session, b"first", b"second", 1, HOUR)
    assert await accounts.rotate_session(session, b"first", b"stolen", 2, HOUR) == (Rotation.REUSED, 7)
    assert await accounts.rotate_session(session, b"second", b"third", 3, HOUR) == (Rotation.GONE, None)
    assert await accounts.ended_sessions(0) == [session]


async def test_an_expired_session_is_gone(accounts: Accounts) -> None:
    session = await accounts.open_session(7, "192.0.2.1", b"first", 0, HOUR)
    assert await accounts.rotate_session(session, b"first", b"second", HOUR, 2 * HOUR) == (Rotation.GONE, None)
    assert await accounts.rotate_session("no such", b"first", b"second", 0, HOUR) == (Rotation.GONE, None)


async def test_an_ended_session_is_gone(accounts: Accounts) -> None:
    session = await accounts.open_session(7, "192.0.2.1", b"first", 0, HOUR)
    await accounts.end_session(session, 5)
    await accounts.end_session(session, 6)
    await accounts.end_session("no such", 6)
    assert await accounts.rotate_session(session, b"first", b"second", 7, HOUR) == (Rotation.GONE, None)
    assert await accounts.ended_sessions(5) == [session]
    assert await accounts.ended_sessions(6) == []


async def test_all_of_a_users_sessions_end_together(accounts: Accounts) -> None:
    mine = {await accounts.open_session(7, "192.0.2.1", b"a", 0, HOUR) for _ in range(3)}
    others = await accounts.open_session(8, "192.0.2.1", b"b", 0, HOUR)
    assert set(await accounts.end_sessions(7, 5)) == mine
    assert await accounts.end_sessions(7, 6) == []
    assert await accounts.rotate_session(others, b"b", b"c", 7, HOUR) == (Rotation.ROTATED, 8)


async def test_expired_sessions_are_forgotten(accounts: Accounts, database: Database) -> None:
    for n in range(3):
        await accounts.open_session(7, "192.0.2.1", b"a", n * HOUR, (n + 1) * HOUR)
    rows = await database.read(lambda db: db.execute("SELECT count(*) FROM session").fetchone())
    assert rows == (1,)
