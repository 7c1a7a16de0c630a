"""One-time passwords of users (RFC 6238): the seed, sealed; the step of the last code taken; the recovery codes, hashed."""

from __future__ import annotations

from collections.abc import Iterable

from sqlite_utils import Database as Connection

from peekaping.store.database import Database


class OneTimePasswords:
    """What is kept for users' one-time passwords. Methods raise `StoreFailed` when the database cannot do its part."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self, user: int, seed: str) -> None:
        """Keep a seed that is not in force yet, in the place of another that never was."""
        statement = "UPDATE user SET totp = seal(?) WHERE id = ? AND totp_step IS NULL"
        await self._database.write(lambda db: db.execute(statement, (seed, user)))

    async def seed(self, user: int) -> str | None:
        """The seed, in force or not."""
        statement = "SELECT unseal(totp) FROM user WHERE id = ?"
        row = await self._database.read(lambda db: db.execute(statement, (user,)).fetchone())
        return None if row is None else row[0]

    async def switch_on(self, user: int, step: int, recovery_hashes: Iterable[bytes]) -> None:
        """From now on a login needs a code; the one of this step has been used."""

        def switch_on(db: Connection) -> None:
            db.execute("UPDATE user SET totp_step = ? WHERE id = ?", (step, user))
            db.execute("DELETE FROM recovery_code WHERE user = ?", (user,))
            for hash in recovery_hashes:
                db.execute("INSERT INTO recovery_code VALUES (?, ?)", (user, hash))

        await self._database.write(switch_on)

    async def switch_off(self, user: int) -> None:
        def switch_off(db: Connection) -> None:
            db.execute("UPDATE user SET totp = NULL, totp_step = NULL WHERE id = ?", (user,))
            db.execute("DELETE FROM recovery_code WHERE user = ?", (user,))

        await self._database.write(switch_off)

    async def take_step(self, user: int, step: int) -> bool:
        """Use up the code of a step; False when it, or a later one, was used before."""
        statement = "UPDATE user SET totp_step = ? WHERE id = ? AND totp_step < ?"
        return await self._database.write(lambda db: db.execute(statement, (step, user, step)).rowcount == 1)

    async def take_recovery_code(self, user: int, hash: bytes) -> bool:
        """Use up a recovery code; False when it is none, or was used before."""
        statement = "DELETE FROM recovery_code WHERE user = ? AND hash = ?"
        return await self._database.write(lambda db: db.execute(statement, (user, hash)).rowcount == 1)
