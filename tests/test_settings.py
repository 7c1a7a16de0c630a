"""Settings are declared once; what is written about them elsewhere says the same."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from peekaping.cli import command, serve
from peekaping.settings import Settings, options

DOCUMENTED = re.findall(
    r"^\| `(--[a-z-]+)` \| `(PEEKAPING_[A-Z_]+)` \| (.+?) \|",
    (Path(__file__).parent.parent / "docs" / "operations.md").read_text(),
    re.MULTILINE,
)
ELSEWHERE = {
    "--admin-email": "`admin@localhost`",
    "--admin-password": "made up, printed once",
    "--secret-key": "a file",
}
"""Defaults that are chosen when they are needed."""


def given(*arguments: str, **variables: str) -> Settings:
    """The settings of a command line and an environment."""
    taken: list[Settings] = []

    @click.command()
    @options
    def take(**values: object) -> None:
        taken.append(Settings(**values))  # type: ignore[arg-type]

    result = CliRunner().invoke(take, arguments, env=variables, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return taken[0]


def test_nothing_given_is_the_defaults() -> None:
    assert given() == Settings()


def test_the_documentation_lists_every_setting_with_its_default() -> None:
    expected = [
        (option.opts[0], option.envvar, ELSEWHERE.get(option.opts[0], f"`{option.default}`"))
        for option in serve.params
        if isinstance(option, click.Option)
    ]
    assert expected == DOCUMENTED


def test_the_help_lists_every_setting_with_its_variable() -> None:
    shown = CliRunner().invoke(command, ["serve", "--help"]).output
    for field in dataclasses.fields(Settings):
        assert f"--{field.name.replace('_', '-')} " in shown
        assert f"PEEKAPING_{field.name.upper()}" in shown


def test_an_option_wins_over_its_variable() -> None:
    assert given("--port", "1", PEEKAPING_PORT="2").port == 1
    assert given(PEEKAPING_PORT="2").port == 2


def test_an_empty_variable_counts_as_not_set() -> None:
    assert given(PEEKAPING_PORT="", PEEKAPING_EGRESS_DENY="") == Settings()


@pytest.mark.parametrize(
    ("text", "networks"),
    [("none", ()), ("10.0.0.0/8", ("10.0.0.0/8",)), ("10.0.0.1, fd00::/8", ("10.0.0.1/32", "fd00::/8"))],
)
def test_networks_are_a_list_or_none(text: str, networks: tuple[str, ...]) -> None:
    assert given("--egress-deny", text).egress_deny == networks
    assert given("--trusted-proxies", text).trusted_proxies == networks


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("none", ()),
        ("https://dash.example.com", ("https://dash.example.com",)),
        ("HTTPS://Dash.example.com:443/, http://[::1]:3000", ("https://dash.example.com", "http://[::1]:3000")),
        ("https://bücher.example:8443", ("https://xn--bcher-kva.example:8443",)),
    ],
)
def test_origins_are_kept_as_browsers_write_them(text: str, origins: tuple[str, ...]) -> None:
    assert given("--allowed-origins", text).allowed_origins == origins


@pytest.mark.parametrize(
    "text", ["*", "null", "dash.example.com", "https://a/b", "https://u@a", "ws://a", "https://*.a", "https://a,"]
)
def test_what_is_no_origin_is_refused_with_what_to_give(text: str) -> None:
    shown = CliRunner().invoke(serve, ["--allowed-origins", text])
    assert shown.exit_code == 2
    assert "is no origin; give origins such as" in shown.output
