"""Real processes for the end-to-end tests: a Peekaping server, targets to watch, and clients that behave badly."""

from __future__ import annotations

import base64
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx

from peekaping import AsyncPeekapingClient, PeekapingClient

EMAIL, PASSWORD = "me@example.com", "correct horse battery"
COMMAND = str(Path(sys.executable).with_name("peekaping"))
PATIENCE_S = 30.0
"""For whatever a process does in a moment; only a broken one takes that long."""
T = TypeVar("T")


def environment(**settings: str) -> dict[str, str]:
    """This process' environment with nothing of Peekaping's but what is given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PEEKAPING_")}
    return {**clean, **settings}


def until(look: Callable[[], T | None], what: str) -> T:
    """Look again and again until there is something to see."""
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE_S:g} s in vain: {what}")


class Server:
    """One `peekaping serve` with a database of its own, which can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "peekaping.db"
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self.announced = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, first_user: bool = True, **settings: str) -> None:
        """Start and wait until it says that it serves; the second time on the same port. `first_user`: give it one."""
        user = {"PEEKAPING_ADMIN_EMAIL": EMAIL, "PEEKAPING_ADMIN_PASSWORD": PASSWORD} if first_user else {}
        self.process = subprocess.Popen(
            [COMMAND, "serve", "--port", str(self.port), "--database", str(self.database)],
            env=environment(
                **user,
                PEEKAPING_MIN_INTERVAL_MS="100",
                PEEKAPING_RATE_LIMIT_PER_HOUR="0",
                PEEKAPING_RATE_LIMIT_PER_MINUTE="0",
                **settings,
            ),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if "stop with" in line:
                break
        self.announced = "".join(lines)
        serving = re.search(r"serving on http://127\.0\.0\.1:(\d+)", self.announced)
        assert serving, f"the server did not start: {self.announced!r}"
        self.port = int(serving[1])

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the process; gives back its exit code."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        self.process = None
        return code

    def client(self) -> PeekapingClient:
        return PeekapingClient(self.url, email=EMAIL, password=PASSWORD)

    def async_client(self) -> AsyncPeekapingClient:
        return AsyncPeekapingClient(self.url, email=EMAIL, password=PASSWORD)


class Target(Protocol):
    """A web server to watch."""

    url: str

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Process:
    """A web server as a child process that listens on `port`."""

    def __init__(self, port: int, command: Sequence[str], folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self._port = port
        self._command = command
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "target.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=self._folder, stdout=log, stderr=log)
        until(self._answers, f"{self._command[0]} on port {self._port}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


NGINX_CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    log_format seen "$msec $uri";
    access_log {folder}/access.log seen;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello\\n"; }} }}
}}
"""


class Nginx(Process):
    def __init__(self, folder: Path) -> None:
        port = free_port()
        config, errors = folder / "nginx.conf", folder / "error.log"
        config.write_text(NGINX_CONFIG.format(folder=folder, port=port))
        super().__init__(port, ["/usr/sbin/nginx", "-p", str(folder), "-e", str(errors), "-c", str(config)], folder)

    def answers(self, before: float = math.inf) -> Counter[str]:
        """How many answers each path has got, by the target's own log; optionally those before a time."""
        lines = [line.split() for line in (self._folder / "access.log").read_text().splitlines()]
        return Counter(path for at, path in lines if float(at) < before)


def python_http_server(folder: Path) -> Process:
    port = free_port()
    return Process(port, [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def websocket_that_never_reads(server: Server, token: str) -> Iterator[socket.socket]:
    """A client that connects, authenticates, and is never heard of again: it neither reads nor answers a close."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(os.urandom(16)) + b"\r\n"
            b"Authorization: Bearer " + token.encode() + b"\r\n\r\n"
        )
        assert b"101" in sock.recv(12)
        yield sock


def unsent_bytes(server: Server, client: socket.socket) -> int:
    """How much the server's kernel holds that this client does not take."""
    local, remote = (f"0100007F:{port:04X}" for port in (server.port, client.getsockname()[1]))
    for line in Path("/proc/net/tcp").read_text().splitlines():
        fields = line.split()
        if fields[1:3] == [local, remote]:
            return int(fields[4].partition(":")[0], 16)
    return 0


def login(server: Server) -> str:
    """An access token, for clients that are not the SDK."""
    answer = httpx.post(f"{server.url}/api/v1/auth/login", json={"email": EMAIL, "password": PASSWORD})
    token: str = answer.raise_for_status().json()["accessToken"]
    return token


def end_all_sessions(server: Server) -> None:
    """Log the user out everywhere, as from another device."""
    headers = {"Authorization": f"Bearer {login(server)}"}
    httpx.post(f"{server.url}/api/v1/auth/logout", json={"all": True}, headers=headers).raise_for_status()


def create_many(client: PeekapingClient, target: Target, count: int) -> list[str]:
    """Monitors of the shortest interval, the n-th of them on the path /n; gives back their ids."""
    return [
        client.monitors.create({"type": "http", "name": f"web {n}", "url": f"{target.url}{n}", "interval": 100})["id"]
        for n in range(count)
    ]


def all_heartbeats(client: PeekapingClient, monitor: str, before: float | None = None) -> list[dict[str, Any]]:
    """A monitor's whole history, oldest first, page by page; optionally up to a time."""
    to: datetime | str | None = None if before is None else datetime.fromtimestamp(before, UTC)
    found: list[dict[str, Any]] = []
    while page := client.monitors.heartbeats(monitor, to=to, limit=1000):
        found += page
        to = page[-1]["timestamp"]
    return found[::-1]
