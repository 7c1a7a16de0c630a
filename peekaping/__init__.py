"""An uptime monitor: the engine to embed in a trio program, the SDK to talk to a server, and the server's command line.

Everything public is named here; the modules below are for reading, and their names may change.
"""

from importlib.metadata import version

from peekaping.aio import AsyncPeekapingClient
from peekaping.calls import ApiError, ClientError, Unreachable
from peekaping.client import PeekapingClient
from peekaping.engine.accounting import Bucket
from peekaping.engine.engine import Engine
from peekaping.engine.errors import (
    EngineError,
    Escalated,
    Invalid,
    NameTaken,
    NoSuchChannel,
    NoSuchMonitor,
    Overloaded,
    Stopped,
)
from peekaping.engine.hub import Lagged, Subscription
from peekaping.engine.monitor import Monitor
from peekaping.engine.outages import Outage
from peekaping.engine.ports import StoreFailed
from peekaping.engine.probes.dns import DnsMonitor
from peekaping.engine.probes.http import HttpMonitor
from peekaping.engine.probes.ping import PingMonitor
from peekaping.engine.probes.push import PushMonitor
from peekaping.engine.probes.tcp import TcpMonitor
from peekaping.engine.probes.tls import TlsMonitor
from peekaping.engine.probes.websocket import WebsocketMonitor
from peekaping.engine.reading import EngineStatistics, Overview
from peekaping.engine.records import Entry, Heartbeat, Phases, Snapshot, State, Status
from peekaping.engine.report import Report

__version__ = version("peekaping")

__all__ = [
    "ApiError",
    "AsyncPeekapingClient",
    "Bucket",
    "ClientError",
    "DnsMonitor",
    "Engine",
    "EngineError",
    "EngineStatistics",
    "Entry",
    "Escalated",
    "Heartbeat",
    "HttpMonitor",
    "Invalid",
    "Lagged",
    "Monitor",
    "NameTaken",
    "NoSuchChannel",
    "NoSuchMonitor",
    "Outage",
    "Overloaded",
    "Overview",
    "PeekapingClient",
    "Phases",
    "PingMonitor",
    "PushMonitor",
    "Report",
    "Snapshot",
    "State",
    "Status",
    "Stopped",
    "StoreFailed",
    "Subscription",
    "TcpMonitor",
    "TlsMonitor",
    "Unreachable",
    "WebsocketMonitor",
    "__version__",
]
