"""`kill -9` at any instant: no transition is left without its alert, and no alert tells of none."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from pathlib import Path

import msgspec
import trio

from peekaping.engine.records import Heartbeat, Status
from peekaping.store.database import Database
from peekaping.store.sqlite import SqliteStore
from tests.end_to_end.engine_process import MONITORS
from tests.end_to_end.support import environment, until

KILLS = 100
LONGEST_LIFE_S = 0.3
"""From the fork on, so that some are killed while they start."""


@contextmanager
def answering(answer: Callable[[str, dict[str, str], bytes], int]) -> Iterator[str]:
    """An HTTP server in threads, whose status codes are those that `answer(path, headers, body)` gives."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            if len(body) < length:
                return  # it was killed while it sent
            code = answer(self.path, dict(self.headers), body)
            try:
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:
                pass  # it was killed while it waited

        do_POST = do_GET  # noqa: N815 (the base class' way)

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, *arguments: object) -> None:
            pass  # connections of who was killed

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Flapping:
    """Each path answers well and badly by turns of its own length; all well once `calm`."""

    def __init__(self) -> None:
        self.calm = False

    def __call__(self, path: str, headers: dict[str, str], body: bytes) -> int:
        turn_s = 0.13 + 0.05 * int(path[1:])
        return 503 if not self.calm and int(time.time() / turn_s) % 2 else 200


class Receiver:
    """Takes webhooks, most at once, some after a while, some not at the first try."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.received: list[tuple[str, bytes]] = []
        """Key and body, in the order of arrival."""
        self.taken: set[str] = set()

    def __call__(self, path: str, headers: dict[str, str], body: bytes) -> int:
        key = headers["Idempotency-Key"]
        self.received.append((key, body))
        mood = self._rng.random()
        if mood < 0.05:
            return 500
        if mood < 0.3:
            time.sleep(0.05)
        self.taken.add(key)
        return 200


class EngineProcess:
    def __init__(self, database: Path, target: str, receiver: str) -> None:
        script = Path(__file__).with_name("engine_process.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(database), target, receiver],
            env=environment(PYTHONPATH=str(script.parent.parent.parent)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    @contextmanager
    def living(self) -> Iterator[None]:
        """An engine that lives for the length of the block and is then killed."""
        print(file=self._stdin, flush=True)
        pid = int(self._stdout.readline())
        yield
        os.kill(pid, signal.SIGKILL)
        assert self._stdout.readline() == "ended\n"

    def close(self) -> None:
        self._stdin.close()
        self._process.wait(10)
        self._stdout.close()


def waiting(database: Path) -> int:
    with sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True) as connection:
        count: int = connection.execute("SELECT count(*) FROM delivery WHERE state = 'waiting'").fetchone()[0]
    connection.close()
    return count


def all_up(database: Path) -> bool:
    """Whether the newest transition of every monitor is to up: a target that is calm brings no other."""
    marks = " UNION ".join(
        f"SELECT monitor, at, status FROM {kept} WHERE status >= 16" for kept in ("heartbeat", "recent")
    )
    with sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True) as connection:
        newest = connection.execute(f"SELECT status, max(at) FROM ({marks}) GROUP BY monitor").fetchall()
    connection.close()
    return [status for status, _ in newest] == [17] * MONITORS  # a transition (16) to up (1)


async def transitions(path: Path) -> dict[int, list[Heartbeat]]:
    """What is stored of each monitor, oldest first, without the first time that it was up."""
    database = Database.open(path)
    found = {}
    for number in range(1, MONITORS + 1):
        beats = await SqliteStore(database).heartbeats(number, limit=100_000)
        certain = [beat for beat in reversed(beats) if beat.transition]
        found[number] = certain[1:] if certain[0].status is Status.UP else certain
    await database.close()
    return found


def alert(beat: Heartbeat) -> str:
    return f"{beat.monitor_id}:monitor.{beat.status}:{beat.at}:channel-1"


def test_a_kill_at_any_instant_loses_no_alert_and_makes_none_up(tmp_path: Path) -> None:
    rng = random.Random(1)
    path = tmp_path / "peekaping.db"
    target, receiver = Flapping(), Receiver(rng)
    with answering(target) as target_url, answering(receiver) as receiver_url:
        engine = EngineProcess(path, target_url, receiver_url)
        with engine.living():
            until(lambda: receiver.taken, "the first alert")
        for _ in range(KILLS):
            with engine.living():
                time.sleep(rng.uniform(0, LONGEST_LIFE_S))
        target.calm = True
        with engine.living():
            until(lambda: all_up(path), "the recovery of every monitor")
            until(lambda: not waiting(path), "an empty outbox")
        engine.close()

    stored = trio.run(transitions, path)
    expected = {alert(beat) for beats in stored.values() for beat in beats}
    assert len(expected) > KILLS / 2, "the target did flap"
    assert receiver.taken == expected

    bodies = defaultdict(set)
    for key, body in receiver.received:
        bodies[key].add(body)
    assert not {key: said for key, said in bodies.items() if len(said) > 1}, "the same key, the same message"

    for number, beats in stored.items():
        assert [status for status, _ in groupby(beat.status for beat in beats)] == [beat.status for beat in beats]
        mine = [key for key, _ in receiver.received if key.startswith(f"monitor-{number}:")]
        assert list(dict.fromkeys(mine)) == [alert(beat) for beat in beats], "in their order"
    down = next(body for key, body in receiver.received if ":monitor.down:" in key)
    assert msgspec.json.decode(down)["data"]["heartbeat"]["status"] == "down"
