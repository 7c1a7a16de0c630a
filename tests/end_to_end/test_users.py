"""`peekaping user`, beside a server that runs."""

from __future__ import annotations

import subprocess

import pytest

from peekaping import ApiError, PeekapingClient
from tests.end_to_end.support import COMMAND, EMAIL, PASSWORD, Server, environment


def user(server: Server, *arguments: str) -> str:
    command = [COMMAND, "user", *arguments, "--database", str(server.database)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def logs_in(server: Server, email: str, password: str) -> bool:
    with PeekapingClient(server.url, email=email, password=password) as client:
        try:
            client.overview()
        except ApiError as error:
            return error.status != 401
        return True


def test_they_are_listed_with_what_they_may_do(server: Server) -> None:
    user(server, "add", "colleague@example.com", "--role", "viewer")
    assert user(server, "list").splitlines() == [
        f"{EMAIL}  admin, workspace-1, operator",
        "colleague@example.com  viewer, workspace-1",
    ]


def test_a_role_is_obeyed(server: Server) -> None:
    shown = user(server, "add", "colleague@example.com", "--role", "viewer")
    with PeekapingClient(server.url, email="colleague@example.com", password=shown.split()[-1]) as client:
        assert client.monitors.list() == []
        with pytest.raises(ApiError) as refusal:
            client.monitors.create({"type": "push", "name": "job"})
    assert refusal.value.status == 403


def test_whoever_lost_the_password_gets_another(server: Server) -> None:
    shown = user(server, "password", EMAIL)
    assert not logs_in(server, EMAIL, PASSWORD)
    assert logs_in(server, EMAIL, shown.split()[-1])
    assert "the one I want" not in user(server, "password", EMAIL, "--password", "the one I want")
    assert logs_in(server, EMAIL, "the one I want")


def test_a_password_for_nobody_is_refused(server: Server) -> None:
    command = [COMMAND, "user", "password", "nobody@example.com", "--database", str(server.database)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "nobody@example.com" in done.stderr
    assert "peekaping user list" in done.stderr
