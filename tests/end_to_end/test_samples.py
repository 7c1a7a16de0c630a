"""The API reference's programs, run as they stand there against a real server: only the hosts and the keys are others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask
import httpx
import pytest
from werkzeug.serving import make_server

from tests.end_to_end.support import EMAIL, PASSWORD, Server, environment, free_port, login, until
from tests.samples import SAMPLES, differences, json_sample, sample

SECRET = "a secret of the webhook"
NODE = shutil.which("node") or ""
"""The samples in JavaScript run where there is something to run them; the exchanges they show have tests without it too."""


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"{server.url}/api/v1/", headers={"Authorization": f"Bearer {login(server)}"}, timeout=30
    ) as client:
        yield client


@pytest.fixture
def key(api: httpx.Client) -> str:
    answer = api.post("api-keys", json={"name": "samples", "scopes": ["read", "write"]})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def here(code: str, server: Server, key: str) -> str:
    for host in ("https://your-peekaping-instance.com", "https://peekaping.com", "https://myapp.com"):
        code = code.replace(host, server.url)
    return (
        code.replace("https://example.com", server.url).replace("your-api-key-here", key).replace("your-api-key", key)
    )


def run(command: list[str]) -> str:
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def bash(code: str) -> str:
    return run(["bash", "-eu", "-c", code])


def create(api: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(path, json=body)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def test_a_request_with_an_api_key(server: Server, key: str) -> None:
    answer = json.loads(bash(here(sample("Bearer Token Authentication"), server, key)))
    assert answer["monitors"] == []


def test_logging_in_with_curl(server: Server) -> None:
    command, _, response = sample("Login with Credentials").partition("# Response")
    command = command.replace("your-email@example.com", EMAIL).replace("your-password", PASSWORD)
    answer = json.loads(bash(here(command, server, "")))
    assert differences(json.loads(response.replace("user-123", "user-1")), answer) == []


def test_the_script_that_makes_monitors(server: Server, api: httpx.Client, key: str) -> None:
    channel = {"name": "alerts-channel", "type": "webhook", "config": {"url": server.url}}
    create(api, "notification-channels", channel)
    bash(here(sample("Automated Monitor Management"), server, key))
    monitors = api.get("monitors").json()["monitors"]
    assert [monitor["name"] for monitor in monitors] == [
        f"{name} Service" for name in ("api", "web", "database", "cache")
    ]
    assert {tuple(monitor["notifications"]["channels"]) for monitor in monitors} == {("channel-1",)}
    assert monitors[0]["url"] == f"{server.url}/api/health"


def test_the_python_sdk(server: Server, key: str) -> None:
    code = here(sample("Python SDK"), server, key) + "\nprint(monitors, monitor['name'])\nclient.close()"
    assert run([sys.executable, "-W", "error", "-c", code]) == "[] My Website\n"


if NODE:

    def test_live_events_in_javascript(server: Server, api: httpx.Client) -> None:
        code = sample("Connecting to WebSocket").replace(
            "wss://your-peekaping-instance.com", f"ws://127.0.0.1:{server.port}"
        )
        code = code.replace("your-jwt-token", login(server))
        command = [NODE, "--experimental-websocket", "-e", code]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            try:
                assert process.stdout.readline() == "Received: { type: 'auth_ok' }\n"
                monitor = create(api, "monitors", {"name": "job", "type": "push"})
                api.post(f"push/{monitor['pushId']}").raise_for_status()
                assert process.stdout.readline() + process.stdout.readline() == "Received: {\n  type: 'heartbeat',\n"
            finally:
                process.kill()


@contextmanager
def flask_app(app: flask.Flask) -> Iterator[str]:
    """The app on a port of this host; gives its address."""
    port = free_port()
    server = make_server("127.0.0.1", port, app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_webhook_handler(server: Server, api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    app, received, done = flask.Flask(__name__), [], []

    @app.before_request
    def keep() -> None:
        received.append((flask.request.get_data(), dict(flask.request.headers)))

    monkeypatch.setitem(sys.modules, "slack_sdk", types.ModuleType("slack_sdk"))
    surroundings: dict[str, Any] = {
        "app": app,
        "request": flask.request,
        "create_incident_ticket": lambda title, description: done.append((title, description)),
        "scale_service": lambda name: done.append(("scaled", name)),
        "notify_on_call_engineer": lambda monitor: done.append(("called", monitor["id"])),
    }
    exec(compile(sample("Automated Incident Response"), "reference.md", "exec"), surroundings)
    with flask_app(app) as url:
        config = {"url": f"{url}/webhook", "secret": SECRET, "events": ["monitor.down", "monitor.up"]}
        channel = create(api, "notification-channels", {"name": "handler", "type": "webhook", "config": config})
        monitor = {
            "name": "shop",
            "type": "http",
            "url": f"http://127.0.0.1:{free_port()}/",
            "interval": 1000,
            "notifications": {"channels": [channel["id"]]},
        }
        monitor = create(api, "monitors", monitor)
        until(lambda: len(done) == 2, "the handler to be told")
    assert done == [
        ("shop is down", f"Monitor shop ({monitor['url']}) is not responding"),
        ("called", monitor["id"]),
    ]
    ((body, headers),) = received
    payload, expected = json.loads(body), json_sample("Webhook Payload")
    assert differences(expected, payload) == []
    assert {name: set(part) for name, part in payload["data"].items()} == {
        name: set(part) for name, part in expected["data"].items()
    }
    signature = headers["X-Peekaping-Signature"]
    assert signature == hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    if NODE:
        assert verified_by_node(body, signature) == "true\n"
        assert verified_by_node(body + b" ", signature) == "false\n"


def verified_by_node(body: bytes, signature: str) -> str:
    code = sample("Webhook Security") + "\nconst [, payload, signature, secret] = process.argv;\n"
    code += "console.log(verifyWebhook(Buffer.from(payload, 'base64'), signature, secret));"
    return run([NODE, "-e", code, base64.b64encode(body).decode(), signature, SECRET])


def test_every_sample_is_a_test() -> None:
    tests = [Path(__file__), Path(__file__).parent.parent / "api" / "test_contract.py"]
    code = "".join(path.read_text() for path in tests)
    assert [heading for heading in SAMPLES if f'"{heading}"' not in code] == []
