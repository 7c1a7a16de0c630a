"""One SQLite file: who may open it, its connections, and transactions on worker threads.

One connection writes, in one transaction at a time; a few others read, each from a snapshot. A thread call is not abandoned
when its task is cancelled: a transaction is made whole or not at all. Errors of SQLite become `StoreFailed` here and only here.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import sqlite_utils
import trio

from peekaping.engine.ports import StoreFailed
from peekaping.store import vault
from peekaping.store.errors import CannotOpen, advice
from peekaping.store.migrations import migrations

T = TypeVar("T")

READERS = 3
BUSY_TIMEOUT_S = 5.0
"""For another program that writes for a moment, such as `sqlite3` in an operator's hands."""

_PRAGMAS = (
    "journal_mode = WAL",  # readers and the writer do not wait for each other
    # No fsync for each commit: what is committed survives the end of the process however it comes. A power cut may take
    # the last commits, never the consistency of the file.
    "synchronous = NORMAL",
    "cache_size = -65536",  # 64 MB at most: the page that each of 10,000 monitors writes to next is 40 MB
    "wal_autocheckpoint = 8000",  # 32 MB: a page written often is copied to the file seldom, and one copying takes 60 ms
    "temp_store = MEMORY",  # a batch of minutes for as long as it is added up; no file elsewhere, which may be full
    "journal_size_limit = 67108864",  # a log that a long reader made grow shrinks again
)

NICE = 10
"""Of threads that give way: a ninth of what an event loop on the same core gets. To move heartbeats, to copy pages to the
file and to end a minute of 10,000 monitors takes 30 to 60 ms each, in which checks would have half of the core only: at 5,000
a second the latest of 90 s began 33 ms late, and 19 or 20 ms late so."""


class Database:
    """An open database file. Make one with `Database.open`; `close` it in the end."""

    def __init__(
        self, lock: int | None, writer: sqlite_utils.Database, readers: list[sqlite_utils.Database], gives_way: bool
    ) -> None:
        self._lock = lock
        self._gives_way = gives_way
        self._writer = writer
        self._readers = readers
        self._idle = list(readers)
        self._writing = trio.CapacityLimiter(1)
        self._reading = trio.CapacityLimiter(len(readers))
        self._closed = False
        self.revision = 0
        """Goes up with every `write_shown`."""

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        secret_key: str | None = None,
        alone: bool = True,
        gives_way: bool = False,
    ) -> Database:
        """Open a database file, made if it is not there, and bring its schema up to date. It blocks: open before serving.

        Args:
          secret_key: what secrets are sealed with; by default what the file beside it holds, see `vault.py`.
          alone: whether to refuse a file that another peekaping serves from. A command that adds a user need not; it must
            not run an engine on that file.
          gives_way: whether threads that write let others go first where they want the same core (on Linux). They stay so, and
            trio uses them again for whatever else the program has for threads.

        Raises:
          CannotOpen: it is no file of ours, or cannot be written to, or another server has it, or its key is another. It was
            not changed.
        """
        if sqlite3.sqlite_version_info < (3, 38):  # JSON's -> and ->>
            found = f"this Python has SQLite {sqlite3.sqlite_version}"
            raise CannotOpen(f"{found}, which is too old; use a Python that is built with 3.38 or newer")
        path = Path(path).absolute()
        if path.is_dir():
            raise CannotOpen(f"{path} is a folder; name a file in it, such as {path / 'peekaping.db'}")
        if not path.parent.is_dir():
            raise CannotOpen(f"the folder {path.parent} does not exist; make it, or name another file")
        with ExitStack() as undo:
            lock = _lock(path)
            if lock is not None:
                undo.callback(os.close, lock)
            elif alone:
                raise CannotOpen(f"{path} is in use by another peekaping; end that one, or name another file")
            for file in (path, vault.key_file(path)):
                if not file.exists():
                    undo.callback(file.unlink, missing_ok=True)
            if not path.exists():  # it holds password hashes; SQLite gives the files beside it the same permissions
                try:
                    path.touch(mode=0o600)
                except OSError as error:
                    raise CannotOpen(f"{path} cannot be made: {error.strerror}") from error
            try:
                writer = undo.enter_context(_connect(path, "rw"))
                _check_ours(path, writer)
                key = vault.open_vault(path, writer, secret_key)
                key.serve(writer)
                for pragma in _PRAGMAS:
                    writer.conn.execute(f"PRAGMA {pragma}")
                with _transaction(writer):
                    if lock is not None:  # else its holder has done this
                        migrations.apply(writer)
                    writer.execute("DELETE FROM setting WHERE false")  # BEGIN alone accepts a file that is read-only
                readers = [undo.enter_context(_connect(path, "ro")) for _ in range(READERS)]
                for reader in readers:
                    key.serve(reader)
            except sqlite3.DatabaseError as error:
                raise CannotOpen(f"{path} cannot be used: {advice(error)}") from error
            undo.pop_all()
        return cls(lock, writer, readers, gives_way)

    async def write(self, function: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `function` on a worker thread in one transaction, after those that came before; gives back what it does.

        If it raises, nothing was written. Once it runs it is carried to its end, also when the caller is cancelled.

        Raises:
          StoreFailed: the database could not do it.
          trio.ClosedResourceError: it was closed.
        """

        def run() -> T:
            self._check_open()
            if self._gives_way:
                _give_way()
            with _translated(), _transaction(self._writer):
                return function(self._writer)

        self._check_open()
        return await trio.to_thread.run_sync(run, limiter=self._writing)

    async def write_shown(self, function: Callable[[sqlite_utils.Database], T]) -> T:
        """`write` for what public pages show: what is cached of them until now is out of date."""
        try:
            return await self.write(function)
        finally:
            self.revision += 1

    async def read(self, function: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `function` on a worker thread, on a connection that cannot write and sees one state of the database.

        Raises: as `write`. A statement that runs when the database is closed fails.
        """

        def run() -> T:
            self._check_open()
            reader = self._idle.pop()  # there is one: the limiter lets in as many as there are
            try:
                with _translated(), reader.atomic():
                    return function(reader)
            finally:
                self._idle.append(reader)

        self._check_open()
        return await trio.to_thread.run_sync(run, limiter=self._reading)

    async def close(self) -> None:
        """Wait for what is being written, fold the log into the file, and let it go. Closing again is fine.

        Reads are interrupted. A caller that may be cancelled should shield it, with a deadline.
        """
        self._closed = True
        while self._reading.borrowed_tokens:
            for reader in self._readers:
                reader.conn.interrupt()
            await trio.sleep(0.005)  # a function of several statements may be between two of them
        await trio.to_thread.run_sync(self._release, limiter=self._writing)

    def _release(self) -> None:
        for reader in self._readers:
            reader.close()
        self._writer.close()  # the last connection: SQLite now copies the log into the file and deletes it
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("the database is closed")


def _lock(path: Path) -> int | None:
    """Claim the file for this process; None when another has it. Two servers would each judge the same monitors.

    The lock is on a file of its own: on some systems one on the database could not be told from SQLite's own. That file
    stays when the process ends; the lock does not, however the end comes.
    """
    try:
        lock = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        problem = f"{path}-lock cannot be written ({error.strerror})"
        raise CannotOpen(f"{problem}; change the permissions of its folder, or name another file") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _connect(path: Path, mode: str) -> sqlite_utils.Database:
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,  # no transaction but those that are written here
        check_same_thread=False,  # each is used by one thread at a time, not always the same
    )
    return sqlite_utils.Database(connection, execute_plugins=False)


def _check_ours(path: Path, db: sqlite_utils.Database) -> None:
    """Refuse another program's file, and one of a version to come, before anything in it is changed."""
    applied = {migration.name for migration in migrations.applied(db)}
    if not applied and db.table_names():
        raise CannotOpen(f"{path} is another program's database; name another file")
    with sqlite_utils.Database(memory=True) as empty:
        known = {migration.name for migration in migrations.pending(empty)}
    if newer := sorted(applied - known):
        problem = f"{path} was written by a newer peekaping (it has {', '.join(newer)})"
        raise CannotOpen(f"{problem}; install that version, or name another file")


@contextmanager
def _transaction(db: sqlite_utils.Database) -> Iterator[None]:
    """`BEGIN IMMEDIATE`, unlike `atomic()`: waiting for another program's lock is possible only before the first read."""
    db.conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.conn.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
        raise  # mistakes of ours, not the medium's
    except sqlite3.DatabaseError as error:
        raise StoreFailed(advice(error)) from error


def _give_way() -> None:
    if sys.platform != "linux":  # elsewhere what has a priority is the process
        return
    thread = threading.get_native_id()
    with suppress(OSError):  # a sandbox may forbid it: writing matters more
        if os.getpriority(os.PRIO_PROCESS, thread) < NICE:
            os.setpriority(os.PRIO_PROCESS, thread, NICE)
