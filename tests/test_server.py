"""What a server process does when something in it goes wrong. Each test is a process: it is about how a process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

HANGING_API = """
    async def hang(app, sockets, *, stopping, task_status):
        task_status.started()
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()
    server.serve = hang
"""


Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server after some lines of Python that break something in it; gives it back when it serves."""
    processes = []

    def start(faults: str) -> subprocess.Popen[str]:
        prelude = "import sys, trio\nfrom peekaping import cli, server\nsys.argv[0] = 'peekaping'\n"
        process = subprocess.Popen(
            [sys.executable, "-c", f"{prelude}{dedent(faults)}\ncli.main()", "serve", "--port", "0"],
            env={**os.environ, "PEEKAPING_DATABASE": str(tmp_path / "peekaping.db")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        assert any("stop with" in line for line in process.stdout)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_connections_that_do_not_end_are_left_behind(start: Start, tmp_path: Path) -> None:
    process = start(HANGING_API)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert time.monotonic() - began < 3
    assert "a connection does not end" in errors
    assert not (tmp_path / "peekaping.db-wal").exists(), "it ended before the database was closed"


def test_a_second_signal_ends_it_at_once(start: Start) -> None:
    process = start(HANGING_API + "\n    server.STOP_WITHIN_S = 1000\n")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)  # two at once are one to the operating system
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM


def test_an_engine_that_gives_up_ends_the_process_with_one_line(start: Start) -> None:
    faults = """
        import logging, msgspec
        from peekaping.engine import engine, hub
        engine.ESCALATES = msgspec.structs.replace(engine.ESCALATES, most_restarts=0)
        async def crash(self):
            await trio.sleep(0.5)
            raise RuntimeError("the hub is broken")
        hub.Hub.run = crash
        logging.disable()
    """
    process = start(faults)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    (line,) = errors.splitlines()
    assert line.startswith("peekaping: the engine gave up: hub crashed")


def test_an_engine_that_gives_up_is_exit_code_1_even_if_a_connection_does_not_end(start: Start) -> None:
    faults = (
        HANGING_API
        + """
    from peekaping.engine import hub, engine
    import msgspec
    engine.ESCALATES = msgspec.structs.replace(engine.ESCALATES, most_restarts=0)
    async def crash(self):
        await trio.sleep(0.5)
    hub.Hub.run = crash
    """
    )
    process = start(faults)
    process.communicate(timeout=30)
    assert process.returncode == 1


def test_the_collector_runs_by_plan_and_is_given_back() -> None:
    script = """
        import gc, trio
        from peekaping import server

        async def main():
            with collecting:
                await server.collect_garbage()

        async def grow():
            await trio.sleep(0.5)
            seen.append("grown")
            more.extend([] for _ in range(1_000_000))
            with trio.move_on_after(30):
                while (False, 2) not in seen[seen.index("grown"):]:
                    await trio.sleep(0.05)
            collecting.cancel()

        async def both():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(main)
                nursery.start_soon(grow)

        server.YOUNG_EVERY_S, server.LOOK_EVERY = 0.05, 3
        seen, more, collecting = [], [], trio.CancelScope()
        gc.callbacks.append(lambda phase, info: phase == "start" and seen.append((gc.isenabled(), info["generation"])))
        trio.run(both)
        print(gc.isenabled(), gc.get_freeze_count(), seen[:4], (False, 2) in seen[seen.index("grown"):])
    """
    shown = subprocess.run([sys.executable, "-c", dedent(script)], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "True 0 [(True, 2), (False, 0), (False, 0), (False, 0)] True"


def test_an_api_that_crashes_is_served_again_while_the_engine_goes_on(start: Start) -> None:
    faults = """
    serve, ends = server.serve, iter([True])
    async def crash(app, sockets, *, stopping, task_status):
        if next(ends, False):
            task_status.started()
            for sock in sockets:
                print("port", sock.getsockname()[1], file=sys.stderr, flush=True)
                sock.close()
            raise RuntimeError("a bug")
        await serve(app, sockets, stopping=stopping, task_status=task_status)
    server.serve = crash
    """
    process = start(faults)
    assert process.stderr is not None
    said: list[str] = []
    while not said or not said[-1].startswith("port "):
        said.append(process.stderr.readline())
    port = said[-1].split()[1]
    # The socket listens; the answer may take a moment.
    answer = httpx.get(f"http://127.0.0.1:{port}/health", timeout=30)
    assert answer.json()["status"] == "ok"
    process.send_signal(signal.SIGTERM)
    errors = process.stderr.read()
    assert process.wait(30) == 0
    assert "the API crashed and will be served again; checks go on" in errors
