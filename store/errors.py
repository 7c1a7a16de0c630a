"""What storage refuses. A database that fails at work raises the engine's `StoreFailed` (`engine/ports.py`)."""

from __future__ import annotations

import sqlite3


class StorageError(Exception):
    """Base of what this package raises on purpose, `StoreFailed` aside."""


class CannotOpen(StorageError):
    """The database file cannot be served from. The message is one line: what is wrong, and what to do about it."""


class EmailTaken(StorageError):
    """Another user has this e-mail address; letters count as equal in upper and lower case."""


class NameTaken(StorageError):
    """Another workspace has this name; letters count as equal in upper and lower case."""


class SlugTaken(StorageError):
    """Another status page has this slug."""


class NoSuchWorkspace(StorageError):
    """No workspace has that id."""


_ADVICE = {
    "SQLITE_BUSY": "another program holds the database for too long; end that program",
    "SQLITE_CANTOPEN": "it cannot be opened; look at its permissions, its folder's, and the limit on open files",
    "SQLITE_CORRUPT": "it is damaged; restore it from a backup, or rescue what is left with `sqlite3 FILE .recover`",
    "SQLITE_FULL": "the disk is full; free some space",
    "SQLITE_INTERRUPT": "the database was closed meanwhile",
    "SQLITE_IOERR": "the disk failed to read or write; look into the system's log",
    "SQLITE_NOTADB": "it is not an SQLite database; name another file",
    "SQLITE_READONLY": "it cannot be written to; change its permissions and its folder's, or name another file",
}


def advice(error: sqlite3.Error) -> str:
    """What an error of SQLite means for whoever runs the server: one line, without a full stop."""
    name = getattr(error, "sqlite_errorname", "")
    for family, text in _ADVICE.items():
        if name.startswith(family):  # SQLITE_IOERR_FSYNC is one of SQLITE_IOERR
            return text
    return str(error)
