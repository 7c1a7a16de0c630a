"""A start that cannot work ends with exit code 2 and one line that says what and what to do."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.support import COMMAND, EMAIL, Server, environment


def refused(*arguments: str, **settings: str) -> str:
    """Run a command that must be refused; gives back the one line it said."""
    run = subprocess.run([COMMAND, *arguments], env=environment(**settings), capture_output=True, text=True, timeout=30)
    assert run.returncode == 2, run.stderr
    assert run.stdout == ""
    (line,) = run.stderr.splitlines()
    assert line.startswith("peekaping: ")
    assert "; " in line, "it does not say what to do"
    assert "Traceback" not in line
    return line


def serve(database: Path, *arguments: str, **settings: str) -> str:
    return refused("serve", "--port", "0", "--database", str(database), *arguments, **settings)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("These are notes of mine. " * 100)
    assert str(file) in serve(file)
    assert file.read_text().startswith("These are notes"), "it was written to"


def test_a_database_of_a_newer_version(server: Server, tmp_path: Path) -> None:
    server.end(signal.SIGTERM)
    with sqlite3.connect(server.database) as database:
        (name,) = database.execute("SELECT migration_set FROM _sqlite_migrations LIMIT 1").fetchone()
        database.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, 'from_the_future', '2999-01-01')",
            (name,),
        )
    database.close()
    assert "newer" in serve(server.database)


def test_a_password_that_the_api_would_not_take(tmp_path: Path) -> None:
    database = tmp_path / "peekaping.db"
    assert "8 to 1000 characters" in serve(database, "--admin-password", "x")
    assert "8 to 1000 characters" in serve(database, PEEKAPING_ADMIN_PASSWORD="x")
    for command in ("add", "password"):
        assert "8 to 1000 characters" in refused("user", command, EMAIL, "--password", "x", "--database", str(database))
    assert not database.exists()


def test_a_database_in_no_folder(tmp_path: Path) -> None:
    assert "nowhere" in serve(tmp_path / "nowhere" / "peekaping.db")


def test_a_database_that_is_a_folder(tmp_path: Path) -> None:
    assert str(tmp_path) in serve(tmp_path)


def test_a_database_that_is_served_already(server: Server) -> None:
    serve(server.database)
    with server.client() as client:
        assert client.monitors.list() == [], "the first server goes on"


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = occupant.getsockname()[1]
        line = refused("serve", "--port", str(port), "--database", str(tmp_path / "peekaping.db"))
    assert str(port) in line
    assert not (tmp_path / "peekaping.db").exists(), "nothing is made by a start that fails"


def test_a_host_that_is_not_here(tmp_path: Path) -> None:
    assert "192.0.2.1" in refused("serve", "--host", "192.0.2.1", "--database", str(tmp_path / "peekaping.db"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["serve", "--prot", "1"], "--prot"),
        (["serve", "--port", "http"], "--port"),
        (["serve", "--port", "70000"], "--port"),
        (["serve", "--min-interval-ms", "0"], "--min-interval-ms"),
        (["serve", "--egress-deny", "10.0.0.0/33"], "10.0.0.0/33"),
        (["serve", "--admin-email", "me"], "me"),
        (["serve", "--secret-key", "short"], "32 characters"),
        (["sevre"], "sevre"),
        ([], "command"),
        (["user", "add"], "EMAIL"),
        (["user", "add", "nobody"], "nobody"),
    ],
)
def test_an_option_or_command_that_is_wrong(arguments: list[str], named: str) -> None:
    line = refused(*arguments)
    assert named in line
    assert "--help" in line or "give" in line


def test_a_variable_that_is_wrong_is_named() -> None:
    assert "PEEKAPING_PORT" in refused("serve", PEEKAPING_PORT="http")


def test_a_user_who_is_there_already(server: Server) -> None:
    line = refused("user", "add", EMAIL.upper(), "--database", str(server.database))
    assert "already" in line


def test_a_user_for_a_database_that_is_not_there(tmp_path: Path) -> None:
    database = tmp_path / "peekaping.db"
    assert str(database) in refused("user", "add", "me@example.com", "--database", str(database))
    assert not database.exists()
