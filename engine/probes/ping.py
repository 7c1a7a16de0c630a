"""Monitors that ping: ICMP echo requests, and how many of them come back.

A packet follows as soon as the one before came back, or 200 ms later. A lost packet is waited for no longer than a late one would
need, so that a check with a loss takes a second, not its whole timeout.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Protocol

import trio
from msgspec import Meta, structs

from peekaping.engine.fields import Rule, between
from peekaping.engine.monitor import Monitor
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.icmp import LARGEST_PAYLOAD, Echo, Reply
from peekaping.engine.net.network import Network
from peekaping.engine.net.resolver import Found
from peekaping.engine.net.trace import WAIT, Trace
from peekaping.engine.probes.probe import Probe
from peekaping.engine.probes.shared import Host, IpVersion, WholeNumber, ascii_host, failed, host_rule, up
from peekaping.engine.records import Outcome, Status

SPACING_S = 0.2
"""Between two packets when replies are late: the least that ping(8) lets everybody use."""
PATIENCE_S = 10.0
"""How long to wait for a first reply, timeout permitting: what ping(8) waits (its -W)."""
LINGER_S = 1.0
"""How long to wait for the rest once replies have come; longer where these took more than half of it, as in ping(8)."""
TOKEN = 8
"""How many random bytes tell our packets from those of others with the same identifier."""


class PingMonitor(Monitor, frozen=True, kw_only=True, gc=False, rename="camel", tag="ping"):
    """Up while no more than `max_loss` percent of a check's packets are lost: by default, while any comes back."""

    host: Host
    packet_count: WholeNumber = 3
    packet_size: Annotated[int, Meta(description="a whole number of bytes")] = 32
    max_loss: Annotated[int, Meta(description="a whole number of percent")] = 99
    ip_version: IpVersion = None

    rules: ClassVar[dict[str, Rule]] = {
        **Monitor.rules,
        "host": host_rule,
        "packet_count": between(1, 20),
        "packet_size": between(0, LARGEST_PAYLOAD, " bytes"),
        "max_loss": between(0, 99, " percent"),  # with 100 it could never be down
    }


def judge(round_trips_s: Sequence[float], sent: int, address: str, max_loss: int) -> str:
    """What to say of the packets that came back, at least one; raises Failed when too many did not."""
    lost = 100 * (sent - len(round_trips_s)) / sent
    times = (min(round_trips_s), average(round_trips_s), max(round_trips_s))
    message = (
        f"{len(round_trips_s)} of {sent} packets came back from {address}, {lost:.3g}% lost, "
        f"round trip min/avg/max {'/'.join(f'{1000 * seconds:.2f}' for seconds in times)} ms"
    )
    if lost > max_loss:
        raise Failed(Status.DOWN, "packet_loss", message)
    return message


def average(round_trips_s: Sequence[float]) -> float:
    return sum(round_trips_s) / len(round_trips_s)


class Echoes(Protocol):
    """See `icmp.Echo`."""

    async def send(self, sequence: int, payload: bytes) -> float:
        """Send one request; when that was, on trio's clock."""

    async def receive(self) -> Reply:
        """The next reply."""

    def close(self) -> None:
        """Let go of it; never blocks."""


class PingProbe(Probe):
    """A prepared check of one monitor."""

    __slots__ = ("_host", "_monitor", "_network", "_open")

    def __init__(self, monitor: PingMonitor, network: Network, open: Callable[[str], Echoes] = Echo) -> None:
        self._host = ascii_host(monitor.host)
        self._monitor = monitor
        self._network = network
        self._open = open

    async def __call__(self, trace: Trace) -> Outcome:
        """Check once; the response time is the average round trip. Cancelled or not, no socket is left behind."""
        monitor = self._monitor
        try:
            found = await self._network.find(self._host, ip_version=monitor.ip_version)
            trace.enter(WAIT)
            address, round_trips_s, sent = await self._first_that_replies(found)
            outcome = up(judge(round_trips_s, sent, address, monitor.max_loss), trace)
        except Failed as failure:
            return failed(failure, trace)
        return structs.replace(outcome, response_ms=round(1000 * average(round_trips_s)))

    async def _first_that_replies(self, found: Found) -> tuple[str, list[float], int]:
        """Try one address after the other: a name with a dead IPv6 address and a living IPv4 one is not down.

        Raises:
          Failed: when none replied; what is the target's fault says more than what is ours.
        """
        failures: list[Failed] = []
        untried, late = list(found.addresses), found.late
        while untried:
            address = untried.pop(0)
            left_s = max(0.0, trio.current_effective_deadline() - trio.current_time())
            patience_s = min(PATIENCE_S, 0.9 * left_s / (1 + len(untried) + (late is not None)))
            try:
                self._network.check_egress(address)
                return address, *await self._round_trips(address, patience_s)
            except Failed as failure:
                failures.append(failure)
            if not untried and late is not None:
                untried, late = list(await late()), None
        raise next((failure for failure in failures if failure.status is Status.DOWN), failures[0])

    async def _round_trips(self, address: str, patience_s: float) -> tuple[list[float], int]:
        """The times of the packets that came back, in seconds, and how many packets were sent.

        Raises:
          Failed: when none came back within `patience_s`.
        """
        count, size = self._monitor.packet_count, self._monitor.packet_size
        payload = (os.urandom(TOKEN) * (size // TOKEN + 1))[:size]
        spacing_s = min(SPACING_S, patience_s / (2 * count))
        round_trips_s: list[float] = []
        sent, sent_at = 0, dict[int, float]()
        failure: Failed | None = None
        echo = self._open(address)
        try:
            for sequence in range(count):
                is_last = sequence == count - 1
                try:  # before the waiting begins, or a busy event loop would use up the time and send nothing
                    sent_at[sequence] = await echo.send(sequence, payload)
                    sent += 1
                except Failed as error:
                    failure = error
                began = trio.current_time()
                with trio.move_on_after(patience_s - (count - 1) * spacing_s if is_last else spacing_s) as wait:
                    while sent_at:
                        if is_last and round_trips_s:
                            wait.deadline = min(wait.deadline, began + max(LINGER_S, 2 * max(round_trips_s)))
                        try:
                            reply = await echo.receive()
                        except Failed as error:  # of one packet, nobody says which
                            failure = error
                            del sent_at[min(sent_at)]
                            continue
                        at = sent_at.pop(reply.sequence, None) if reply.payload == payload else None
                        if at is None:
                            await trio.lowlevel.checkpoint()  # what answers without end must not hold everybody up
                        else:
                            round_trips_s.append(trio.current_time() - at)
        finally:
            echo.close()
        if not round_trips_s:
            raise failure or Failed(Status.DOWN, "no_reply", f"No reply from {address} to {sent} packets")
        return round_trips_s, sent
