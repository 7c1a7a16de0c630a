"""Everything that can be set, declared once: the record, the command-line options and the environment variables.

The field `egress_deny` is the option `--egress-deny` and the variable `PEEKAPING_EGRESS_DENY`; click reads all of them
and refuses what is wrong. `docs/operations.md` lists them, and a test keeps it in step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, get_type_hints

import click
import httpx
import msgspec

from peekaping.api.passwords import NewPassword
from peekaping.engine.clock import DAY_MS
from peekaping.engine.net.egress import DEFAULT_DENY
from peekaping.store.vault import SHORTEST_KEY

Command = TypeVar("Command", bound=Callable[..., Any])


class Option(NamedTuple):
    """How a setting appears on the command line."""

    help: str
    type: Any = None
    """click's type; None is text."""
    check: Callable[[str], Any] | None = None
    """Turns the text into the value, or raises a ValueError that says what to give instead."""
    metavar: str | None = None


def email(text: str) -> str:
    """Only what every address has: something before and after an @. Whether mail arrives is not ours to know."""
    name, _, host = text.rpartition("@")
    if not (name and host) or len(text) > 254 or any(character.isspace() for character in text):
        raise ValueError(f"{text!r} is no e-mail address; give one such as me@example.com")
    return text


def password(text: str) -> str:
    try:
        return msgspec.convert(text, NewPassword)
    except msgspec.ValidationError:
        raise ValueError("a password has 8 to 1000 characters; choose another") from None


def networks(text: str) -> tuple[str, ...]:
    if text.strip() == "none":
        return ()
    try:
        return tuple(str(ip_network(part.strip())) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"{error}; give networks such as 10.0.0.0/8,fd00::/8, or none") from error


def origins(text: str) -> tuple[str, ...]:
    return () if text.strip() == "none" else tuple(_origin(part.strip()) for part in text.split(","))


def _origin(text: str) -> str:
    """As browsers write it (RFC 6454): in lower case, without the port that is the scheme's own, and without a path."""
    try:
        url = httpx.URL(text.lower())
    except httpx.InvalidURL:
        url = httpx.URL()
    has_more = url.userinfo or url.raw_path != b"/" or url.fragment
    if url.scheme not in ("http", "https") or not url.host or "*" in url.host or has_more:
        raise ValueError(f"{text!r} is no origin; give origins such as https://dashboard.example.com, or none")
    return f"{url.scheme}://{url.netloc.decode()}"


def secret(text: str) -> str:
    if len(text) < SHORTEST_KEY:
        raise ValueError(f"a key needs {SHORTEST_KEY} characters at least; take what `openssl rand -hex 32` prints")
    return text


@dataclass(frozen=True)
class Settings:
    """How one server runs."""

    host: Annotated[str, Option("Address or name to listen on; 0.0.0.0 or :: is every one.")] = "127.0.0.1"
    port: Annotated[int, Option("Port to listen on; 0 takes a free one.", click.IntRange(0, 65_535))] = 8383
    database: Annotated[
        Path,
        Option("The SQLite file that holds everything.", click.Path(path_type=Path)),
    ] = Path("peekaping.db")
    admin_email: Annotated[
        str | None,
        Option("E-mail of the first user, made when the database has none.", check=email, metavar="EMAIL"),
    ] = None
    admin_password: Annotated[
        str | None,
        Option(
            "Password of the first user, better given by environment; without it one is made up and printed once.",
            check=password,
            metavar="TEXT",
        ),
    ] = None
    secret_key: Annotated[
        str | None,
        Option(
            "What secrets in the database are sealed with, better given by environment; by default a file beside it.",
            check=secret,
            metavar="KEY",
        ),
    ] = None
    min_interval_ms: Annotated[
        int, Option("The shortest interval a monitor may have, in milliseconds.", click.IntRange(100, DAY_MS))
    ] = 30_000
    rate_limit_per_hour: Annotated[
        int, Option("API requests of one user in an hour; 0 is no limit.", click.IntRange(0))
    ] = 1000
    rate_limit_per_minute: Annotated[
        int, Option("API requests of one user in a minute; 0 is no limit.", click.IntRange(0))
    ] = 100
    ws_per_user: Annotated[
        int, Option("WebSocket connections of one user at a time; 0 is no limit.", click.IntRange(0))
    ] = 5
    trusted_proxies: Annotated[
        tuple[str, ...],
        Option(
            "Networks of the reverse proxies whose X-Forwarded-For is believed, or none.",
            check=networks,
            metavar="CIDR,...",
        ),
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        Option(
            "Origins of pages elsewhere that may use the API from a browser, or none.",
            check=origins,
            metavar="ORIGIN,...",
        ),
    ] = ()
    egress_deny: Annotated[
        tuple[str, ...],
        Option(
            "Networks that no monitor may reach, or none; by default link-local and cloud metadata addresses.",
            check=networks,
            metavar="CIDR,...",
        ),
    ] = DEFAULT_DENY


def option(name: str) -> Callable[[Command], Command]:
    """The click option of one setting."""
    field = next(field for field in dataclasses.fields(Settings) if field.name == name)
    option: Option = get_type_hints(Settings, include_extras=True)[name].__metadata__[0]
    return click.option(
        f"--{name.replace('_', '-')}",
        envvar=f"PEEKAPING_{name.upper()}",
        show_envvar=True,
        default=(",".join(field.default) or "none") if isinstance(field.default, tuple) else field.default,
        show_default=field.default is not None,
        type=option.type,
        help=option.help,
        metavar=option.metavar,
        callback=checked(option.check) if option.check else None,
    )


def options(command: Command) -> Command:
    """Give a click command an option for each setting; it is called with their values by field name."""
    for field in reversed(dataclasses.fields(Settings)):
        command = option(field.name)(command)
    return command


def checked(check: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """A check as click wants it: what it says to the user is the option's error."""

    def callback(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else check(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return callback
