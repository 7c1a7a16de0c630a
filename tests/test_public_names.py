"""What `from peekaping import ...` offers. A name that goes or comes is a change for users: it belongs in CHANGELOG.md."""

from __future__ import annotations

import inspect
import subprocess
import sys

import peekaping

NAMES = {
    *("Engine", "EngineStatistics", "Overview", "Report", "Outage", "Bucket", "Subscription", "Lagged"),
    *(
        "Monitor",
        "DnsMonitor",
        "HttpMonitor",
        "PingMonitor",
        "PushMonitor",
        "TcpMonitor",
        "TlsMonitor",
        "WebsocketMonitor",
    ),
    *("Snapshot", "Entry", "State", "Heartbeat", "Phases", "Status"),
    *(
        "EngineError",
        "Invalid",
        "NoSuchMonitor",
        "NoSuchChannel",
        "NameTaken",
        "Overloaded",
        "Stopped",
        "Escalated",
        "StoreFailed",
    ),
    *("PeekapingClient", "AsyncPeekapingClient", "ClientError", "ApiError", "Unreachable"),
    "__version__",
}


def test_exactly_these_names_are_public() -> None:
    assert set(peekaping.__all__) == NAMES
    assert all(hasattr(peekaping, name) for name in NAMES)


def test_every_public_name_has_a_docstring() -> None:
    bare = [name for name in NAMES if name != "__version__" and not inspect.getdoc(getattr(peekaping, name))]
    assert bare == []


def test_importing_the_package_loads_no_web_server() -> None:
    """Programs that embed the engine, or only talk to a server, do not pay for Quart and Hypercorn."""
    script = "import peekaping, sys; print([name for name in ('quart', 'hypercorn') if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
