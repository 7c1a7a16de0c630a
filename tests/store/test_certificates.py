"""What monitors remember of their targets' certificates, over real TLS: stored when it changes, shown from then on."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from peekaping.engine import certificate as certificate_module
from peekaping.engine.alerts.delivery import NewDelivery
from peekaping.engine.certificate import SeenCertificate
from peekaping.engine.engine import Engine
from peekaping.engine.memory import MemoryStore
from peekaping.engine.ports import Store, StoreFailed
from peekaping.engine.records import Entry, Heartbeat, Status
from peekaping.store.database import Database
from peekaping.store.sqlite import SqliteStore
from tests.engine.scripted import OK, ScriptedNetwork, ScriptedStream, engine_on, http
from tests.engine.targets import issued, saying, server_context, serving
from tests.store.support import opened, statements

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class Site:
    """A TLS server on localhost, whose certificate can be renewed."""

    def __init__(self, answer: bytes) -> None:
        self.authority = trustme.CA()
        self.answer = answer
        self.port = 0
        self.renew()

    def renew(self, days: float = 90) -> None:
        self._context: ssl.SSLContext = server_context(issued(self.authority, days, begins_in_days=min(0, days) - 1))

    async def handle(self, stream: trio.SocketStream) -> None:
        await saying(self.answer, context=self._context)(stream)

    def monitor(self, kind: str = "http", **fields: Any) -> dict[str, Any]:
        own: dict[str, Any] = {
            "http": {"url": f"https://localhost:{self.port}/", "checkCertExpiry": True},
            "tls": {"host": "localhost", "port": self.port},
        }[kind]
        trusted = self.authority.cert_pem.bytes().decode()
        return {"type": kind, "name": "Shop", "interval": 3_600_000, "tlsCa": trusted, **own, **fields}


@asynccontextmanager
async def site_saying(answer: bytes = OK) -> AsyncIterator[Site]:
    site = Site(answer)
    async with serving(site.handle) as site.port:
        yield site


async def added(engine: Engine, fields: dict[str, Any]) -> tuple[str, Heartbeat]:
    """A new monitor's id, and its first check."""
    with engine.subscribe() as live, trio.fail_after(10):
        id = (await engine.add(fields)).entry.id
        return id, await check_in(live)


async def checked(engine: Engine, id: str, **changes: Any) -> Heartbeat:
    """Change a monitor, by default its retries alone, which checks at once; gives that check."""
    retries = engine.get(id).entry.monitor.retries + 1
    with engine.subscribe() as live, trio.fail_after(10):
        await engine.update(id, {"retries": retries, **changes})
        return await check_in(live)


async def check_in(live: Any) -> Heartbeat:
    async for item in live:
        assert isinstance(item, Heartbeat)
        return item
    raise AssertionError("the engine stopped")


def fingerprint(seen: SeenCertificate | None) -> str:
    assert seen is not None
    return seen.certificate.fingerprint


@pytest.mark.parametrize("kind", ["http", "tls"])
async def test_a_certificate_is_shown_after_the_first_check_and_at_once_after_a_restart(
    store: Store, kind: str
) -> None:
    async with site_saying() as site:
        async with Engine.open(store) as engine:
            id, first = await added(engine, site.monitor(kind))
            seen = engine.get(id).certificate
            assert first.status is Status.UP
            assert seen is not None
            assert (seen.since_ms, seen.certificate.names) == (first.at, ("localhost",))
            await checked(engine, id)
            assert engine.get(id).certificate == seen
        async with Engine.open(store) as engine:
            assert engine.get(id).certificate == seen
            await checked(engine, id)
            assert engine.get(id).certificate == seen


async def test_it_is_written_once_and_survives_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    database = Database.open(path)
    async with site_saying() as site:
        with statements(database) as seen:
            async with Engine.open(SqliteStore(database)) as engine:
                id, first = await added(engine, site.monitor())
            for _ in range(2):  # each stop stores what is on its way
                async with Engine.open(SqliteStore(database)) as engine:
                    await checked(engine, id)
        await database.close()
    assert sum(statement == "INSERT OR IGNORE INTO" for statement in seen) >= 3
    assert seen.count("INSERT INTO certificate (monitor,") == 1
    async with opened(path) as store:
        ((_, _, last, certificate, _),) = await store.load()
    assert last is not None
    assert certificate is not None
    assert certificate.since_ms == first.at < last.at


async def test_a_renewed_certificate_takes_the_place_of_the_old_one(store: Store) -> None:
    async with site_saying() as site:
        async with Engine.open(store) as engine:
            id, _ = await added(engine, site.monitor())
            old = engine.get(id).certificate
            site.renew()
            check = await checked(engine, id)
            new = engine.get(id).certificate
        assert new is not None
        assert new.since_ms == check.at
        assert fingerprint(new) != fingerprint(old)
    assert [snapshot.certificate for snapshot in await store.load()] == [new]


async def test_one_of_a_failing_service_is_shown_too(store: Store) -> None:
    async with site_saying(BUSY) as site, Engine.open(store) as engine:
        id, check = await added(engine, site.monitor())
        assert (check.status, check.reason) == (Status.DOWN, "status_code")
        assert fingerprint(engine.get(id).certificate)


async def test_nobody_is_told_of_a_certificate_that_nobody_asked_for(store: Store) -> None:
    async with site_saying() as site, Engine.open(store) as engine:
        id, check = await added(engine, site.monitor(checkCertExpiry=False))
        assert check.status is Status.UP
        assert engine.get(id).certificate is None


@pytest.mark.parametrize("change", [{"url": "http://127.0.0.1:1/"}, {"checkCertExpiry": False}])
async def test_it_disappears_when_the_target_is_another(store: Store, change: dict[str, Any]) -> None:
    async with site_saying() as site:
        async with Engine.open(store) as engine:
            id, _ = await added(engine, site.monitor())
            shown = await engine.update(id, change)
            assert shown.certificate is None
        assert [snapshot.certificate for snapshot in await store.load()] == [None]
        async with Engine.open(store) as engine:
            check = await checked(engine, id, **site.monitor())
            seen = engine.get(id).certificate
        assert seen is not None
        assert seen.since_ms == check.at, "it was first seen of this target"
        assert [snapshot.certificate for snapshot in await store.load()] == [seen]


async def test_what_does_not_change_the_target_leaves_it(store: Store) -> None:
    async with site_saying() as site, Engine.open(store) as engine:
        id, _ = await added(engine, site.monitor())
        seen = engine.get(id).certificate
        assert seen is not None
        changed = await engine.update(id, {"name": "Mail", "interval": 7_200_000, "timeout": 5000, "retries": 2})
        assert changed.certificate == seen
        assert (await engine.pause(id)).certificate == seen
        assert (await engine.resume(id)).certificate == seen


class _SlowStore(MemoryStore):
    """A store that takes no heartbeat before it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = trio.Event()

    async def append(self, heartbeats: Sequence[Heartbeat], deliveries: Sequence[NewDelivery] = ()) -> None:
        await self.gate.wait()
        await super().append(heartbeats, deliveries)


async def test_one_that_was_still_to_be_stored_does_not_outlive_its_target() -> None:
    store = _SlowStore()
    async with site_saying() as site, Engine.open(store) as engine:
        id, _ = await added(engine, site.monitor())
        await checked(engine, id, url="http://127.0.0.1:1/")
        store.gate.set()
    ((_, _, last, certificate, _),) = await store.load()
    assert last is not None
    assert (last.reason, certificate) == ("connection_refused", None)


class _SlowToChange(MemoryStore):
    """A store that takes two minutes for a change of a monitor."""

    async def replace(self, entry: Entry, deliveries: Sequence[NewDelivery] = ()) -> None:
        await trio.sleep(120)
        await super().replace(entry, deliveries)


async def test_nothing_is_seen_of_the_old_target_while_the_change_is_stored(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Else it would pass for the new one's: a certificate counts from the change on."""
    authority, shown = trustme.CA(), list[bytes]()

    def another(stream: ScriptedStream) -> bytes:
        shown.append(ssl.PEM_cert_to_DER_cert(issued(authority).cert_chain_pems[0].bytes().decode()))
        return shown[-1]

    monkeypatch.setattr(ScriptedStream, "certificate", another)
    store = _SlowToChange()
    async with engine_on(ScriptedNetwork(site=lambda: [OK]), store) as engine:
        id = (await engine.add(http(url="https://site/", checkCertExpiry=True))).entry.id
        await trio.sleep(1)
        assert engine.get(id).certificate is not None
        await engine.update(id, {"checkCertExpiry": False})
        await trio.sleep(1)
    assert [snapshot.certificate for snapshot in await store.load()] == [None]
    assert len(shown) == 1


class _FailingStore(MemoryStore):
    async def replace(self, entry: Entry, deliveries: Sequence[NewDelivery] = ()) -> None:
        raise StoreFailed("disk full")


async def test_a_change_that_cannot_be_stored_changes_nothing_and_the_checks_go_on() -> None:
    async with site_saying() as site, Engine.open(_FailingStore()) as engine:
        id, _ = await added(engine, site.monitor())
        before = engine.get(id)
        with engine.subscribe() as live, trio.fail_after(10):
            with pytest.raises(StoreFailed):
                await engine.update(id, {"url": "http://127.0.0.1:1/"})
            assert (engine.get(id).entry, engine.get(id).certificate) == (before.entry, before.certificate)
            assert (await check_in(live)).status is Status.UP


async def test_it_is_gone_with_its_monitor(store: Store) -> None:
    async with site_saying() as site, Engine.open(store) as engine:
        id, _ = await added(engine, site.monitor())
        await engine.delete(id)
        other, _ = await added(engine, site.monitor(checkCertExpiry=False))
        assert engine.get(other).certificate is None
    assert [snapshot.certificate for snapshot in await store.load()] == [None]


async def test_one_that_cannot_be_read_does_no_harm(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(der: bytes) -> None:
        raise ValueError("odd")

    async with site_saying() as site, Engine.open(store) as engine:
        id, _ = await added(engine, site.monitor())
        seen = engine.get(id).certificate
        monkeypatch.setattr(certificate_module, "read", unreadable)
        site.renew()
        check = await checked(engine, id)
        assert (check.status, check.message) == (Status.UP, "OK; the certificate cannot be read: odd")
        assert engine.get(id).certificate == seen, "the last that could be read"
        fresh, check = await added(engine, site.monitor())
        assert (check.status, engine.get(fresh).certificate) == (Status.UP, None)
