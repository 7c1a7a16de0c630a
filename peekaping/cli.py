"""The command line. Every refusal is one line on stderr, `peekaping: what; what to do`, and exit code 2."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import click
import trio

from peekaping import server
from peekaping.api.auth import DEFAULT_EMAIL
from peekaping.api.passwords import hash_password, make_password
from peekaping.api.server import CannotListen, listen
from peekaping.engine.clock import utc_ms
from peekaping.engine.errors import Escalated
from peekaping.engine.ports import StoreFailed
from peekaping.settings import Settings, checked, email, option, options, password
from peekaping.store.accounts import Accounts, Role
from peekaping.store.database import Database
from peekaping.store.errors import CannotOpen, EmailTaken

T = TypeVar("T")

REFUSED, FAILED = 2, 1
"""Exit codes: something that the user can put right, and a server that gave up."""


def main() -> None:
    """The `peekaping` command."""
    try:
        command(standalone_mode=False)
    except Exception as error:
        refusal = _refusal(error)
        if refusal is None:  # a mistake of ours: the traceback is what helps
            raise
        text, code = refusal
        sys.stdout.flush()
        print("peekaping: " + text.replace("\n", " ").rstrip("."), file=sys.stderr)
        sys.exit(code)


def _refusal(error: BaseException) -> tuple[str, int] | None:
    """What to say about an error and the exit code; None for one that is not meant for users."""
    match error:
        case BaseExceptionGroup():
            return next(filter(None, map(_refusal, error.exceptions)), None)
        case click.UsageError():
            command_path = error.ctx.command_path if error.ctx is not None else "peekaping"
            return f"{error.format_message().rstrip('.')}; see {command_path} --help", REFUSED
        case click.ClickException():
            return error.format_message(), REFUSED
        case click.Abort():
            return "interrupted; nothing was served", REFUSED
        case CannotListen() | CannotOpen():
            return str(error), REFUSED
        case StoreFailed():
            return f"the database cannot be used: {error}", REFUSED
        case Escalated():
            return f"the engine gave up: {error}; the log above says why", FAILED
    return None


@click.group(no_args_is_help=False)
@click.version_option(version("peekaping"), message="peekaping %(version)s")
def command() -> None:
    """An uptime monitor: it checks your services, keeps their history, and tells it over REST and WebSocket."""


@command.command()
@options
def serve(**values: Any) -> None:
    """Check the monitors and serve the API, until SIGTERM or Ctrl-C."""
    settings = Settings(**values)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    server.raise_descriptor_limit()
    server.share_the_interpreter()
    sockets = listen(settings.host, settings.port)
    addresses = [_address(*sock.getsockname()[:2]) for sock in sockets]

    def announce(made_password: str | None) -> None:
        click.echo(f"peekaping {version('peekaping')} is serving on {' and '.join(addresses)}")
        click.echo(f"  data is in {settings.database.absolute()}")
        if made_password is not None:
            click.echo(f"  log in as {settings.admin_email or DEFAULT_EMAIL} with password {made_password}")
            click.echo("  (made up for this first start, and shown only now)")
        click.echo(f"  what it can do is shown at {addresses[0]}/docs")
        click.echo("  stop with Ctrl-C or SIGTERM")

    trio.run(server.run, settings, sockets, announce)


@command.group(no_args_is_help=False)
def user() -> None:
    """The people who may log in."""


@user.command("list")
@option("database")
@option("secret_key")
def list_users(database: Path, secret_key: str | None) -> None:
    """List the users, with their roles and workspaces."""
    for user in _with_accounts(database, secret_key, lambda accounts: accounts.users()):
        marks = [user.role, f"workspace-{user.workspace}"]
        marks += ["operator"] * user.operator + ["one-time passwords"] * user.has_totp
        click.echo(f"{user.email}  {', '.join(marks)}")


@user.command("add")
@click.argument("address", metavar="EMAIL", callback=checked(email))
@click.option("--name", help="The user's name; by default what stands before the @.")
@click.option("--role", type=click.Choice(list(map(str, Role))), default=str(Role.ADMIN), show_default=True)
@click.option("--password", callback=checked(password), help="By default one is made up and printed once.")
@option("database")
@option("secret_key")
def add_user(
    address: str, name: str | None, role: str, password: str | None, database: Path, secret_key: str | None
) -> None:
    """Add a user who may log in; also while the server runs."""
    made = password or make_password()

    async def add(accounts: Accounts) -> None:
        try:
            shown = name or address.partition("@")[0]
            await accounts.add_user(address, shown, await hash_password(made), utc_ms(), role=Role(role))
        except EmailTaken as error:
            raise click.ClickException(f"there is a user {address} already; choose another address") from error

    _with_accounts(database, secret_key, add)
    click.echo(f"{address} may log in" + ("" if password else f" with password {made}"))


@user.command("password")
@click.argument("address", metavar="EMAIL")
@click.option("--password", callback=checked(password), help="By default one is made up and printed once.")
@option("database")
@option("secret_key")
def set_password(address: str, password: str | None, database: Path, secret_key: str | None) -> None:
    """Give a user another password and end the user's logins; also while the server runs."""
    made = password or make_password()

    async def change(accounts: Accounts) -> None:
        user = await accounts.user_by_email(address)
        if user is None:
            raise click.ClickException(f"there is no user {address}; see peekaping user list")
        await accounts.change_user(user.id, utc_ms(), password_hash=await hash_password(made))

    _with_accounts(database, secret_key, change)
    click.echo(f"{address} may log in" + (" with the new password" if password else f" with password {made}"))


def _with_accounts(path: Path, secret_key: str | None, use: Callable[[Accounts], Awaitable[T]]) -> T:
    """What `use` makes of the accounts in a database that is there already."""
    if not path.exists():
        raise click.ClickException(f"there is no database {path.absolute()}; start `peekaping serve`, or name its file")

    async def run() -> T:
        database = Database.open(path, secret_key=secret_key, alone=False)
        try:
            return await use(Accounts(database))
        finally:
            with trio.move_on_after(server.CLOSE_WITHIN_S, shield=True):
                await database.close()

    return trio.run(run)


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
