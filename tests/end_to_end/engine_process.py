"""An engine on a file, in a process to be killed: `python engine_process.py DATABASE TARGET RECEIVER`.

It forks a fresh engine for each line on standard input, since importing takes far longer than an engine lives, and answers with
the pid, then with `ended`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trio

from peekaping.engine.engine import Engine
from peekaping.store.database import Database
from peekaping.store.sqlite import SqliteStore

MONITORS = 4
INTERVAL_MS = 100


async def watch(database: Path, target: str, receiver: str) -> None:
    async with Engine.open(SqliteStore(Database.open(database)), min_interval_ms=INTERVAL_MS) as engine:
        if not engine.channels.all():
            await engine.channels.add({"type": "webhook", "name": "hook", "config": {"url": receiver}})
        channels = {"channels": [channel.id for channel in engine.channels.all()]}
        for number in range(len(engine.monitors()), MONITORS):
            fields = {"type": "http", "name": f"site {number}", "url": f"{target}/{number}", "interval": INTERVAL_MS}
            await engine.add({**fields, "notifications": channels})
        await trio.sleep_forever()


def main(database: str, target: str, receiver: str) -> None:
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            trio.run(watch, Path(database), target, receiver)
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("ended", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
