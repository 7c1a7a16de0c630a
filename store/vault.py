"""Secrets at rest: what a stolen copy of the database must not tell, sealed with a key that is kept outside of it.

The SQL functions `seal(text)` and `unseal(text)` are there on every connection of a `Database`; what holds secrets (a monitor's
definition, a channel's configuration, the seeds of one-time passwords, the key that signs tokens) is written through the one and
read through the other. Whole texts are sealed, not single fields: which words of a URL or of a body are secret nobody can tell.

The key is the setting `secret_key`, or the file beside the database whose name ends in `-key`, made when the database is.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlite_utils import Database

from peekaping.store.errors import CannotOpen

SHORTEST_KEY = 32
"""Characters: 128 bits where each is a hexadecimal digit."""
_NONCE = 12
"""Bytes, random: AES-GCM is safe for four billion texts under one key (NIST SP 800-38D, 8.3)."""


class Vault:
    """Seals texts with one key: AES-256-GCM, a random nonce in front, base64 around both."""

    def __init__(self, secret: str) -> None:
        self._cipher = AESGCM(hashlib.sha256(secret.encode()).digest())

    def seal(self, text: str | None) -> str | None:
        """The text in a form that tells its length alone; None stays None."""
        if text is None:
            return None
        nonce = os.urandom(_NONCE)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), None)).decode()

    def unseal(self, sealed: str | None) -> str | None:
        """What was sealed. Raises ValueError where it was sealed with another key, or changed since."""
        if sealed is None:
            return None
        raw = base64.b64decode(sealed)
        try:
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], None).decode()
        except InvalidTag as error:
            raise ValueError("this was sealed with another key, or was damaged") from error

    def serve(self, db: Database) -> None:
        """Let the statements of a connection use it."""
        db.register_function(self.seal)
        db.register_function(self.unseal, deterministic=True)


def key_file(database: Path) -> Path:
    return Path(f"{database}-key")


def open_vault(database: Path, db: Database, secret: str | None) -> Vault:
    """The vault of a database: of the key that is given, else of the file beside it, which is made for a database without one.

    Raises:
      CannotOpen: it is not the key that the database was sealed with. Nothing was changed.
    """
    file = key_file(database)
    probe = _probe(db)
    if secret is None and file.exists():
        secret = _read(file)
    if secret is None and probe is not None:
        problem = f"the key of {database} is missing: {file} is not there"
        raise CannotOpen(f"{problem}; put it back from the backup, or set PEEKAPING_SECRET_KEY to what it was")
    vault = Vault(_make(file) if secret is None else secret)
    try:
        vault.unseal(probe)
    except ValueError as error:
        problem = f"{database} was sealed with another key"
        raise CannotOpen(
            f"{problem}; put the right {file.name} beside it, or set PEEKAPING_SECRET_KEY to it"
        ) from error
    return vault


def _probe(db: Database) -> str | None:
    """A sealed text in the database, by which its key is known; None where nothing is sealed yet."""
    return str(db.execute("SELECT probe FROM vault").fetchone()[0]) if db["vault"].exists() else None


def _read(file: Path) -> str:
    try:
        secret = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotOpen(f"the key {file} cannot be read ({error}); change its permissions, or put it back") from error
    if len(secret) < SHORTEST_KEY:
        raise CannotOpen(f"{file} holds no key; put it back from the backup, or remove it beside a new database")
    return secret


def _make(file: Path) -> str:
    """A new key, on the disk before anything is sealed with it: a power cut must not take it and leave what it sealed."""
    secret = secrets.token_urlsafe(32)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w") as opened:
            opened.write(f"{secret}\n")
            opened.flush()
            os.fsync(descriptor)
        folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise CannotOpen(
            f"the key {file} cannot be written ({error.strerror}); change its folder's permissions"
        ) from error
    return secret
