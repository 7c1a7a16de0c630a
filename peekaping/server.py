"""One server: signals, store, engine and API, nested so that each can stop in its turn; and this process' own policies.

On a signal the API is told, and at the same time the engine stops its checks and writes what it has, and the store is
closed. None of that waits for a client: whatever becomes of the connections, the data is safe. Then the API has what is
left of `STOP_WITHIN_S`, and a process that is still held by a client is ended hard.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import trio
from quart_trio import QuartTrio

from peekaping.api.app import create_app
from peekaping.api.auth import ensure_first_user
from peekaping.api.server import serve
from peekaping.api.settings import ApiSettings
from peekaping.engine.engine import Engine
from peekaping.settings import Settings
from peekaping.store.accounts import Accounts
from peekaping.store.database import Database
from peekaping.store.sqlite import SqliteStore

STOP_WITHIN_S = 1.7
"""From the signal to the end; the rest of the promised 2 s is for the interpreter."""
CLOSE_WITHIN_S = 5.0
"""For the running transaction and the file; only a disk that hangs takes longer, and the journal survives that."""
YOUNG_EVERY_S = 0.25
LOOK_EVERY = 240
"""In young collections: once a minute it is seen whether there is more in memory than there was..."""
GROWN = 1.5
"""... by this factor, and then everything is collected. What the first checks make is a fifth of what start-up made."""

log = logging.getLogger(__name__)


async def run(settings: Settings, sockets: list[socket.socket], announce: Callable[[str | None], None]) -> None:
    """Serve on `sockets`, which listen already, until SIGTERM or SIGINT; a second signal ends the process at once.

    `announce` is called when requests are answered, with the first user's password if one was made up.

    Raises (in a group):
      CannotOpen, StoreFailed: the database cannot be used; nothing was served.
      Escalated: the engine gave up.
    """
    stopping, stored, failed = trio.Event(), trio.Event(), trio.Event()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as process:
            process.start_soon(_heed, signals, stopping)
            process.start_soon(_end_hard, stopping, stored, failed)
            async with trio.open_nursery() as clients:
                try:
                    await _run_engine(settings, sockets, announce, stopping, clients)
                except BaseException:
                    failed.set()
                    raise
                finally:
                    stopping.set()
                    stored.set()
            process.cancel_scope.cancel()


async def _run_engine(
    settings: Settings,
    sockets: list[socket.socket],
    announce: Callable[[str | None], None],
    stopping: trio.Event,
    clients: trio.Nursery,
) -> None:
    """The store and the engine, from opening to closed; the API is started in `clients` and may outlive them."""
    api_settings = ApiSettings(
        admin_email=settings.admin_email,
        admin_password=settings.admin_password,
        rate_limit_per_hour=settings.rate_limit_per_hour,
        rate_limit_per_minute=settings.rate_limit_per_minute,
        ws_per_user=settings.ws_per_user,
        trusted_proxies=tuple(map(ip_network, settings.trusted_proxies)),
        allowed_origins=settings.allowed_origins,
    )
    database = Database.open(settings.database, secret_key=settings.secret_key, gives_way=True)
    try:
        async with Engine.open(
            SqliteStore(database), min_interval_ms=settings.min_interval_ms, egress_deny=settings.egress_deny
        ) as engine:
            password = await ensure_first_user(Accounts(database), api_settings)
            app = await create_app(engine, database, api_settings, stopping=stopping)
            async with trio.open_nursery() as upkeep:
                upkeep.start_soon(collect_garbage)
                await clients.start(partial(_serve, app, sockets, stopping=stopping))
                with suppress(OSError):  # nobody reads standard output any more
                    announce(password)
                await stopping.wait()
                upkeep.cancel_scope.cancel()
    finally:
        with trio.move_on_after(CLOSE_WITHIN_S, shield=True):
            await database.close()


async def _serve(
    app: QuartTrio, sockets: list[socket.socket], *, stopping: trio.Event, task_status: trio.TaskStatus[None]
) -> None:
    """Serve the API until the stop, again whenever it crashes: the engine beside it goes on."""
    wait_s = 0.1
    while not stopping.is_set():
        try:
            await serve(app, [sock.dup() for sock in sockets], stopping=stopping, task_status=task_status)
        except Exception:
            log.exception("the API crashed and will be served again; checks go on")
            with trio.move_on_after(wait_s):
                await stopping.wait()
            wait_s = min(2 * wait_s, 30)
        task_status = trio.TASK_STATUS_IGNORED  # it is told once
    for sock in sockets:
        sock.close()


async def _heed(signals: AsyncIterator[int], stopping: trio.Event) -> None:
    async for number in signals:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()


async def _end_hard(stopping: trio.Event, stored: trio.Event, failed: trio.Event) -> None:
    await stopping.wait()
    await trio.sleep(STOP_WITHIN_S)
    await stored.wait()
    log.error("a connection does not end; ending without it, all data is stored")
    os._exit(1 if failed.is_set() else 0)


async def collect_garbage() -> None:
    """Collect by plan instead of by Python's own rule, which looks at everything whenever enough is new.

    With thousands of monitors a full collection stops the loop for a tenth of a second and more, whenever it likes:
    measured at 5,000 checks a second, the 99th percentile of how late checks begin is 37 to 243 ms with the automatic
    collector and 2 to 4 ms without. What start-up made lives as long as the process, so no later collection looks at it.
    What requests and failing checks leave is young when it is found, in passes of a few milliseconds. A healthy check leaves
    nothing, and what escapes those passes is little, so that everything is looked through only when memory has grown by
    half: with 100,000 monitors that is a pause of 4 s. (An older generation in
    between, every 5 s, was tried: it found nothing, and looked through what 10,000 sleepers hold for 35 ms.)

    This is a decision about a process, so it is the server's and not the library's.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        turn, before = 0, _memory()
        while True:
            await trio.sleep(YOUNG_EVERY_S)
            turn += 1
            if turn % LOOK_EVERY == 0 and any(now > GROWN * then for now, then in zip(_memory(), before, strict=True)):
                gc.collect()
                before = _memory()
            else:
                gc.collect(0)
    finally:
        gc.enable()
        gc.unfreeze()


def _memory() -> tuple[int, int]:
    """Blocks of Python's allocator, and resident pages: few objects may hold much, and much of that is no object."""
    return sys.getallocatedblocks(), int(Path("/proc/self/statm").read_text().split()[1])


def share_the_interpreter() -> None:
    """Let the thread that writes have the interpreter when it asks for it.

    By Python's rule a busy loop keeps it for 5 ms at each asking, and a transaction asks many times: measured beside a loop
    that was always busy, one batch of heartbeats took up to 24 s, with 0.2 ms at most 110 ms.
    """
    sys.setswitchinterval(0.0002)


def raise_descriptor_limit() -> None:
    """A check needs a descriptor, and the usual soft limit of 1024 is for programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
