"""What a start says and makes, and the commands beside it."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from peekaping import ApiError, PeekapingClient
from tests.end_to_end.support import COMMAND, Server, environment


def run(*arguments: str, database: Path) -> str:
    done = subprocess.run(
        [COMMAND, *arguments],
        env=environment(PEEKAPING_DATABASE=str(database)),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_says_where_it_serves_and_where_the_data_is(server: Server) -> None:
    assert server.url in server.announced
    assert str(server.database) in server.announced
    assert "password" not in server.announced, "the operator has chosen it"


def test_the_first_start_makes_a_user_who_can_log_in(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start(first_user=False)
    shown = re.search(r"log in as (\S+) with password (\S+)", server.announced)
    assert shown
    with PeekapingClient(server.url, email=shown[1], password=shown[2]) as client:
        assert client.monitors.list() == []
    server.end(signal.SIGTERM)
    server.start(first_user=False)
    assert "password" not in server.announced, "it is shown once"
    server.end(signal.SIGTERM)


def test_nobody_else_on_the_host_can_read_the_data(server: Server) -> None:
    files = list(server.database.parent.glob(f"{server.database.name}*"))
    assert files
    assert {file.stat().st_mode & 0o077 for file in files} == {0}


def test_a_user_is_added_while_the_server_runs(server: Server) -> None:
    shown = run("user", "add", "colleague@example.com", database=server.database)
    password = shown.split()[-1]
    with PeekapingClient(server.url, email="colleague@example.com", password=password) as client:
        assert client.monitors.list() == []


def test_a_user_gets_the_password_asked_for(server: Server) -> None:
    shown = run("user", "add", "colleague@example.com", "--password", "the one I want", database=server.database)
    assert "the one I want" not in shown
    with PeekapingClient(server.url, email="colleague@example.com", password="the one I want") as client:
        client.overview()
    with (
        PeekapingClient(server.url, email="colleague@example.com", password="another") as client,
        pytest.raises(ApiError),
    ):
        client.overview()


def test_the_version_is_shown() -> None:
    assert re.fullmatch(r"peekaping \d+\.\d+\.\d+\n", run("--version", database=Path("unused.db")))
