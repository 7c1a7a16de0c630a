"""A monitor's heartbeats as CSV and as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
import pytest
import trio

from peekaping.api import export
from peekaping.engine.ports import StoreFailed
from peekaping.engine.records import Heartbeat, Status
from peekaping.store.sqlite import SqliteStore
from tests.api.support import Api, assert_refused, serving

START = 1_700_000_000_000


async def with_history(api: Api, count: int, **fields: Any) -> str:
    """A monitor with so many heartbeats, a second apart; gives the path of its heartbeats."""
    monitor = await api.push_monitor()
    number = int(monitor["id"].removeprefix("monitor-"))
    heartbeats = [
        Heartbeat(number, START + n * 1000, Status.UP, **{"message": f"push {n}", "response_ms": n, **fields})
        for n in range(count)
    ]
    await SqliteStore(api.database).append(heartbeats)
    return f"/monitors/{monitor['id']}/heartbeats"


async def downloaded(api: Api, path: str) -> tuple[bytes, httpx.Headers]:
    async with serving(api) as port, httpx.AsyncClient() as client:
        headers = {"Authorization": f"Bearer {api.token}"}
        answer = await client.get(f"http://127.0.0.1:{port}/api/v1{path}", headers=headers)
        assert answer.status_code == 200
        return answer.content, answer.headers


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
async def test_json_is_the_list_however_long(api: Api, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS", 3)
    path = await with_history(api, count)
    content, headers = await downloaded(api, f"{path}.json")
    assert headers["Content-Type"] == "application/json"
    assert msgspec.json.decode(content) == (await api.call("GET", path)).json
    assert len(msgspec.json.decode(content)["heartbeats"]) == count


@pytest.mark.parametrize("count", [0, 1, 3, 7])
async def test_csv_has_a_line_for_each(api: Api, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS", 3)
    path = await with_history(api, count)
    content, headers = await downloaded(api, f"{path}.csv")
    assert headers["Content-Type"] == "text/csv; charset=utf-8"
    assert headers["Content-Disposition"] == f'attachment; filename="{path.split("/")[2]}.csv"'
    names, *rows = csv.reader(io.StringIO(content.decode()))
    assert names == ["timestamp", "status", "responseTime", "statusCode", "reason", "message"]
    assert [row[5] for row in rows] == [f"push {n}" for n in reversed(range(count))]
    assert [row[:4] for row in rows[-1:]] == [["2023-11-14T22:13:20.000Z", "up", "0", ""]][:count]


@pytest.mark.parametrize(
    "message", ['=HYPERLINK("http://evil")', "+1", "-1", "@x", "\tx", "\rx", "\n=1+1", "＝1+1", "＋1", "－1", "＠x"]
)
async def test_csv_holds_no_formula_of_the_targets(api: Api, message: str) -> None:
    path = await with_history(api, 1, message=message)
    content, _ = await downloaded(api, f"{path}.csv")
    *_, row = csv.reader(io.StringIO(content.decode(), newline=""))
    assert row[5] == f"'{message}"


async def test_csv_keeps_commas_quotes_and_lines(api: Api) -> None:
    message = 'a, "b"\r\nü'
    content, _ = await downloaded(api, f"{await with_history(api, 1, message=message)}.csv")
    *_, row = csv.reader(io.StringIO(content.decode(), newline=""))
    assert row[5] == message


async def test_a_part_can_be_asked_for(api: Api) -> None:
    path = await with_history(api, 5)
    for ending in ("json", "csv"):
        content, _ = await downloaded(api, f"{path}.{ending}?from=2023-11-14T22:13:21Z&to=2023-11-14T22:13:23Z")
        assert [f"push {n}".encode() in content for n in range(5)] == [False, True, True, False, False]
        api.stopping = trio.Event()
        answer = await api.call("GET", f"{path}.{ending}?from=2024-01-02&to=2024-01-01&x=1")
        assert_refused(answer, 422, "VALIDATION_ERROR", {"x"})
        answer = await api.call("GET", f"{path}.{ending}?from=2024-01-02&to=2024-01-01")
        assert_refused(answer, 422, "VALIDATION_ERROR", {"to"})


async def test_a_monitor_that_is_not_there_is_not_found(api: Api) -> None:
    for ending in ("json", "csv"):
        assert_refused(await api.call("GET", f"/monitors/monitor-77/heartbeats.{ending}"), 404, "NOT_FOUND")


def reading(api: Api, monkeypatch: pytest.MonkeyPatch, *, fails_at: int | None = None) -> list[int]:
    """Counts how often heartbeats are read from now on, and how many; fails when told."""
    seen: list[int] = []
    read = api.engine.heartbeats

    async def counted(id: str, **fields: Any) -> Sequence[Heartbeat]:
        if len(seen) == fails_at:
            raise StoreFailed("disk full")
        found = await read(id, **fields)
        seen.append(len(found))
        return found

    monkeypatch.setattr(api.engine, "heartbeats", counted)
    return seen


async def test_a_database_that_fails_cuts_the_file_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS", 3)
    path = await with_history(api, 7)
    reading(api, monkeypatch, fails_at=1)
    with pytest.RaisesGroup(httpx.RemoteProtocolError):
        await downloaded(api, f"{path}.csv")


@pytest.mark.parametrize("ending", ["csv", "json"])
async def test_a_monitor_that_is_deleted_meanwhile_cuts_the_file_off(
    api: Api, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(export, "ROWS", 3)
    path = await with_history(api, 7)
    number, read = int(path.split("/")[2].removeprefix("monitor-")), api.engine.heartbeats

    async def deleted_after_the_first(id: str, **fields: Any) -> Sequence[Heartbeat]:
        found = await read(id, **fields)
        await api.engine.store.remove(number)  # as the engine does first, before it forgets the monitor
        return found

    monkeypatch.setattr(api.engine, "heartbeats", deleted_after_the_first)
    with pytest.RaisesGroup(httpx.RemoteProtocolError):
        await downloaded(api, f"{path}.{ending}")


async def test_a_database_that_fails_at_once_is_an_answer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await with_history(api, 1)
    reading(api, monkeypatch, fails_at=0)
    assert_refused(await api.call("GET", f"{path}.json"), 503, "SERVICE_UNAVAILABLE")


async def test_a_client_that_goes_or_does_not_read_ends_the_reading(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await with_history(api, 30_000, message="x" * 1000)
    seen = reading(api, monkeypatch)
    async with serving(api) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        request = f"GET /api/v1{path}.csv HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n\r\n"
        await stream.send_all(request.encode())
        await stream.receive_some(1000)
        before = -1
        while len(seen) > before:  # until the buffers between are full
            before = len(seen)
            await trio.sleep(0.3)
        assert 0 < len(seen) < 30, "no more is read than the client takes"
        await stream.aclose()
        await trio.sleep(0.3)
        assert len(seen) <= before + 1
