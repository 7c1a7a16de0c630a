"""The user behind the present request."""

from __future__ import annotations

from peekaping.api import gate
from peekaping.api.errors import Unauthorized
from peekaping.store.accounts import Accounts, User


async def myself(accounts: Accounts) -> User:
    """As the database has it now; raises Unauthorized where the user was deleted this moment."""
    user = await accounts.user(gate.identity().user)
    if user is None:
        raise Unauthorized("This user is no more")
    return user
