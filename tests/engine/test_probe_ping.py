"""Pings: how many packets come back, of what is no reply, and real ICMP on loopback where this user may."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from peekaping.engine.errors import Invalid
from peekaping.engine.net.egress import EgressGuard
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.host_files import Configuration
from peekaping.engine.net.icmp import Echo, Reply, checksum, echo_reply, echo_request
from peekaping.engine.net.network import HostNetwork
from peekaping.engine.net.resolver import Found, Resolver
from peekaping.engine.net.trace import Trace
from peekaping.engine.probes import parse_monitor
from peekaping.engine.probes.ping import PingMonitor, PingProbe, judge
from peekaping.engine.records import Outcome, Status

from .test_network import descriptors

UP, DOWN, UNKNOWN = Status.UP, Status.DOWN, Status.UNKNOWN
DATA = {"type": "ping", "name": "x", "host": "192.0.2.1"}
V4, V6 = socket.AF_INET, socket.AF_INET6
UNREACHABLE = Failed(DOWN, "host_unreachable", "Host unreachable")
NO_ROUTE = Failed(UNKNOWN, "no_route", "no route")


def monitor_of(**fields: Any) -> PingMonitor:
    monitor = parse_monitor({**DATA, **fields}, min_interval_ms=1000)
    assert isinstance(monitor, PingMonitor)
    return monitor


class ScriptedEchoes:
    """Echoes that come back after `delays[n]` seconds, never (None), or that nobody delivers (a failure, at once)."""

    def __init__(self, delays: list[float | Failed | None]) -> None:
        self._delays = delays
        self._coming: list[tuple[float, int, Reply | Failed]] = []
        self.sent: list[float] = []
        self.payloads: list[bytes] = []
        self.is_open = True
        self.garbles: Callable[[bytes], bytes] = lambda payload: payload

    async def send(self, sequence: int, payload: bytes) -> float:
        await trio.lowlevel.checkpoint()
        now = trio.current_time()
        self.sent.append(now)
        self.payloads.append(payload)
        delay = self._delays[sequence]
        if isinstance(delay, Failed):
            self._coming.append((now, sequence, delay))
        elif delay is not None:
            self._coming.append((now + delay, sequence, Reply(7, sequence, self.garbles(payload))))
        return now

    async def receive(self) -> Reply:
        if not self._coming:
            await trio.sleep_forever()
        first = min(self._coming)
        await trio.sleep_until(first[0])
        self._coming.remove(first)
        if isinstance(first[2], Failed):
            raise first[2]
        return first[2]

    def close(self) -> None:
        self.is_open = False


async def probe(echoes: ScriptedEchoes, **fields: Any) -> Outcome:
    try:
        return await PingProbe(monitor_of(**fields), HostNetwork(EgressGuard()), lambda address: echoes)(Trace())
    finally:
        assert not echoes.is_open


async def test_packets_follow_as_the_ones_before_return(autojump_clock: trio.testing.MockClock) -> None:
    echoes = ScriptedEchoes([0.01, 0.02, 0.03])
    began = trio.current_time()
    outcome = await probe(echoes)
    assert [round(at - began, 3) for at in echoes.sent] == [0, 0.01, 0.03]
    assert (outcome.status, outcome.response_ms) == (UP, 20)
    assert outcome.message == (
        "3 of 3 packets came back from 192.0.2.1, 0% lost, round trip min/avg/max 10.00/20.00/30.00 ms"
    )
    assert trio.current_time() - began == pytest.approx(0.06)


async def test_packets_do_not_wait_longer_than_200_ms_for_the_ones_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    echoes = ScriptedEchoes([0.7, 0.7, 0.7])
    began = trio.current_time()
    outcome = await probe(echoes)
    assert [round(at - began, 3) for at in echoes.sent] == [0, 0.2, 0.4]
    assert (outcome.status, outcome.response_ms) == (UP, 700)


async def test_a_lost_packet_costs_a_second_not_the_whole_timeout(autojump_clock: trio.testing.MockClock) -> None:
    echoes = ScriptedEchoes([0.01, None, 0.01])
    with trio.fail_after(30):
        began = trio.current_time()
        outcome = await probe(echoes)
    assert trio.current_time() - began == pytest.approx(1.21)
    assert outcome.status is UP
    assert "2 of 3 packets came back from 192.0.2.1, 33.3% lost" in outcome.message


async def test_far_targets_are_waited_for_longer(autojump_clock: trio.testing.MockClock) -> None:
    echoes = ScriptedEchoes([0.9, 0.9, 1.7])
    assert "3 of 3" in (await probe(echoes)).message


@pytest.mark.parametrize(
    ("max_loss", "status"), [({}, UP), ({"maxLoss": 67}, UP), ({"maxLoss": 66}, DOWN), ({"maxLoss": 0}, DOWN)]
)
async def test_loss_is_down_beyond_what_is_allowed(
    max_loss: dict[str, int], status: Status, autojump_clock: trio.testing.MockClock
) -> None:
    outcome = await probe(ScriptedEchoes([None, 0.01, None]), **max_loss)
    assert outcome.status is status
    assert "1 of 3 packets came back from 192.0.2.1, 66.7% lost" in outcome.message
    if status is DOWN:
        assert outcome.reason == "packet_loss"


@pytest.mark.parametrize(("timeout_s", "waits_s"), [(30, 10), (5, 4.5), (0.5, 0.45)])
async def test_no_reply_is_down_shortly_before_time_is_up(
    timeout_s: float, waits_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    began = trio.current_time()
    with trio.fail_after(timeout_s):
        outcome = await probe(ScriptedEchoes([None] * 20), packetCount=20)
    assert (outcome.status, outcome.reason) == (DOWN, "no_reply")
    assert outcome.message == "No reply from 192.0.2.1 to 20 packets"
    assert trio.current_time() - began == pytest.approx(waits_s)


async def test_what_cannot_be_delivered_is_told_at_once(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    outcome = await probe(ScriptedEchoes([UNREACHABLE] * 3))
    assert (outcome.status, outcome.reason) == (DOWN, "host_unreachable")
    assert trio.current_time() == began


async def test_a_failure_of_some_packets_is_their_loss(autojump_clock: trio.testing.MockClock) -> None:
    outcome = await probe(ScriptedEchoes([NO_ROUTE, 0.01, UNREACHABLE]))
    assert outcome.status is UP
    assert "1 of 3" in outcome.message


async def test_a_busy_event_loop_keeps_no_packet_back(autojump_clock: trio.testing.MockClock) -> None:
    class Busy(ScriptedEchoes):
        async def send(self, sequence: int, payload: bytes) -> float:
            await trio.sleep(1)  # as long as everybody else's turn takes
            return await super().send(sequence, payload)

    outcome = await probe(Busy([0.01] * 3), maxLoss=0)
    assert (outcome.status, outcome.response_ms) == (UP, 10)


async def test_what_this_host_cannot_send_is_not_lost(autojump_clock: trio.testing.MockClock) -> None:
    class Full(ScriptedEchoes):
        async def send(self, sequence: int, payload: bytes) -> float:
            if sequence != 1:
                raise Failed(UNKNOWN, "no_memory", "no buffers")
            return await super().send(sequence, payload)

    outcome = await probe(Full([0.5] * 3), maxLoss=0)
    assert outcome.status is UP
    assert "1 of 1 packets came back" in outcome.message


async def test_nothing_sent_is_unknown(autojump_clock: trio.testing.MockClock) -> None:
    class Full(ScriptedEchoes):
        async def send(self, sequence: int, payload: bytes) -> float:
            raise Failed(UNKNOWN, "no_memory", "no buffers")

    outcome = await probe(Full([]))
    assert (outcome.status, outcome.reason) == (UNKNOWN, "no_memory")


async def test_no_way_out_of_this_host_is_unknown(autojump_clock: trio.testing.MockClock) -> None:
    outcome = await probe(ScriptedEchoes([NO_ROUTE] * 3))
    assert (outcome.status, outcome.reason) == (UNKNOWN, "no_route")


async def test_a_reply_with_other_bytes_is_none(autojump_clock: trio.testing.MockClock) -> None:
    echoes = ScriptedEchoes([0.01] * 3)
    echoes.garbles = lambda payload: payload[:-1] + b"?"
    assert (await probe(echoes)).reason == "no_reply"


@pytest.mark.parametrize("size", [0, 1, 8, 9, 65507])
async def test_packets_have_the_size_asked_for(size: int, autojump_clock: trio.testing.MockClock) -> None:
    echoes = ScriptedEchoes([0.0])
    assert (await probe(echoes, packetCount=1, packetSize=size)).status is UP
    assert [len(payload) for payload in echoes.payloads] == [size]


# Several addresses


class Late(HostNetwork):
    """A network that does not know all addresses at once."""

    def __init__(self, later: tuple[str, ...] | Failed) -> None:
        super().__init__(EgressGuard())
        self.later = later

    async def find(self, host: str, *, ip_version: int | None = None) -> Found:
        async def late() -> tuple[str, ...]:
            await trio.sleep(0.1)
            if isinstance(self.later, Failed):
                raise self.later
            return self.later

        return Found(("2001:db8::1",), late)


@pytest.mark.parametrize(
    ("later", "verdict"),
    [
        (("192.0.2.1",), (UP, None)),
        ((), (DOWN, "no_reply")),
        (Failed(UNKNOWN, "resolver_silent", ""), (UNKNOWN, "resolver_silent")),
    ],
)
async def test_the_address_family_that_was_late_is_tried_before_a_verdict(
    later: Any, verdict: tuple[Status, str | None], autojump_clock: trio.testing.MockClock
) -> None:
    echoes = {"2001:db8::1": ScriptedEchoes([None] * 3), "192.0.2.1": ScriptedEchoes([0.01] * 3)}
    with trio.fail_after(1):
        outcome = await PingProbe(monitor_of(host="site"), Late(later), echoes.__getitem__)(Trace())
    assert (outcome.status, outcome.reason) == verdict


def two_addresses() -> HostNetwork:
    return HostNetwork(EgressGuard(), Resolver(lambda: Configuration((), hosts={"site": ("2001:db8::1", "192.0.2.1")})))


@pytest.mark.parametrize("first", [[None] * 3, [NO_ROUTE] * 3, [UNREACHABLE] * 3])
async def test_a_name_with_one_living_address_is_up(
    first: list[float | Failed | None], autojump_clock: trio.testing.MockClock
) -> None:
    echoes = {"2001:db8::1": ScriptedEchoes(first), "192.0.2.1": ScriptedEchoes([0.01] * 3)}
    with trio.fail_after(2):
        outcome = await PingProbe(monitor_of(host="site"), two_addresses(), echoes.__getitem__)(Trace())
    assert outcome.status is UP
    assert "from 192.0.2.1" in outcome.message


async def test_a_dead_address_leaves_the_next_its_share_of_the_time(autojump_clock: trio.testing.MockClock) -> None:
    echoes = {"2001:db8::1": ScriptedEchoes([None] * 3), "192.0.2.1": ScriptedEchoes([0.5] * 3)}
    with trio.fail_after(2):
        outcome = await PingProbe(monitor_of(host="site"), two_addresses(), echoes.__getitem__)(Trace())
    assert (outcome.status, outcome.response_ms) == (UP, 500)


@pytest.mark.parametrize(("first", "second"), [(NO_ROUTE, UNREACHABLE), (UNREACHABLE, NO_ROUTE)])
async def test_the_targets_fault_says_more_than_ours(
    first: Failed, second: Failed, autojump_clock: trio.testing.MockClock
) -> None:
    echoes = {"2001:db8::1": ScriptedEchoes([first] * 3), "192.0.2.1": ScriptedEchoes([second] * 3)}
    outcome = await PingProbe(monitor_of(host="site"), two_addresses(), echoes.__getitem__)(Trace())
    assert (outcome.status, outcome.reason) == (DOWN, "host_unreachable")


async def test_a_denied_address_is_unknown_and_never_pinged() -> None:
    def never(address: str) -> ScriptedEchoes:
        raise AssertionError(address)

    probe = PingProbe(monitor_of(host="169.254.169.254"), HostNetwork(EgressGuard()), never)
    assert (await probe(Trace())).reason == "egress_denied"


# Packets


@given(st.binary(max_size=200))
def test_a_packet_sums_up_to_zero_with_its_checksum(payload: bytes) -> None:
    packet = echo_request(V4, 0x1234, 5, payload)
    words = struct.unpack(f"!{(len(packet) + 1) // 2}H", packet + b"\0" * (len(packet) % 2))
    total = sum(words)
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF  # RFC 1071, 1


def test_the_checksum_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


HEADER = b"\x45" + b"\0" * 19  # of IPv4, without options
WITH_OPTIONS = b"\x46" + b"\0" * 23


@pytest.mark.parametrize(
    ("family", "packet", "reply"),
    [
        (V4, b"\x00\x00\xab\xcd\x00\x07\x00\x02hello", Reply(7, 2, b"hello")),
        (V4, HEADER + b"\x00\x00\xab\xcd\x00\x07\x00\x02hello", Reply(7, 2, b"hello")),
        (V4, WITH_OPTIONS + b"\x00\x00\xab\xcd\x00\x07\x00\x02", Reply(7, 2, b"")),
        (V6, b"\x81\x00\xab\xcd\x00\x07\x00\x02hello", Reply(7, 2, b"hello")),
        (V4, HEADER + b"\x08\x00\xab\xcd\x00\x07\x00\x02", None),  # our own request, on loopback
        (V4, HEADER + b"\x03\x01\x00\x00\x00\x00\x00\x00", None),  # unreachable
        (V6, b"\x80\x00\xab\xcd\x00\x07\x00\x02", None),
        (V4, b"\x00\x00\xab\xcd\x00\x07\x00", None),
        (V4, HEADER[:10], None),
        (V4, b"", None),
        (V6, b"", None),
    ],
)
def test_what_is_a_reply(family: socket.AddressFamily, packet: bytes, reply: Reply | None) -> None:
    assert echo_reply(family, packet) == reply


@given(st.binary(max_size=80))
def test_no_packet_breaks_the_reader(packet: bytes) -> None:
    for family in (V4, V6):
        echo_reply(family, packet)


# Sockets


def permitted() -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(V4, kind, socket.IPPROTO_ICMP).close()
        except PermissionError:
            continue
        return True
    return False


async def over_loopback(**fields: Any) -> Outcome:
    with trio.fail_after(10):
        return await PingProbe(monitor_of(**fields), HostNetwork(EgressGuard()))(Trace())


@pytest.mark.parametrize("size", [0, 32, 65507])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_this_host_replies_to_itself(host: str, size: int) -> None:
    before = descriptors()
    outcome = await over_loopback(host=host, packetSize=size, packetCount=5, maxLoss=0)
    if permitted():
        assert outcome.status is UP
        assert f"5 of 5 packets came back from {host}, 0% lost" in outcome.message
    else:
        assert (outcome.status, outcome.reason) == (UNKNOWN, "ping_not_permitted")
    assert descriptors() == before


async def test_many_checks_at_once_do_not_take_each_others_replies() -> None:
    outcomes = []

    async def one() -> None:
        outcomes.append(await over_loopback(host="127.0.0.1", packetSize=0, maxLoss=0))

    async with trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(one)
    assert {outcome.status for outcome in outcomes} == {UP if permitted() else UNKNOWN}


class FakeSocket:
    """A socket that does what it is told."""

    def __init__(self, kind: int, failing: OSError | None = None) -> None:
        self.type = kind
        self.failing = failing
        self.is_open = True
        self.reports = 0
        """How many errors lie in its queue."""

    def recvmsg(self, size: int, ancillary: int, flags: int) -> None:
        assert flags == socket.MSG_ERRQUEUE
        if not self.reports:
            raise BlockingIOError
        self.reports -= 1

    def setblocking(self, flag: bool) -> None: ...

    def setsockopt(self, *option: int) -> None: ...

    def getsockname(self) -> tuple[str, int]:
        return "", 7

    def connect(self, address: object) -> None:
        if self.failing is not None:
            raise self.failing

    def close(self) -> None:
        self.is_open = False


def sockets(*, allowed: set[int], failing: OSError | None = None) -> tuple[Any, list[FakeSocket]]:
    made: list[FakeSocket] = []

    def make(family: int, kind: int, protocol: int) -> FakeSocket:
        if kind not in allowed:
            raise PermissionError(errno.EACCES, "")
        made.append(FakeSocket(kind, failing))
        return made[-1]

    return make, made


@pytest.mark.parametrize(
    ("allowed", "kind"),
    [
        ({socket.SOCK_DGRAM, socket.SOCK_RAW}, socket.SOCK_DGRAM),
        ({socket.SOCK_RAW}, socket.SOCK_RAW),
    ],
)
def test_a_raw_socket_only_where_there_is_no_other(allowed: set[int], kind: int) -> None:
    make, made = sockets(allowed=allowed)
    Echo("192.0.2.1", make).close()
    assert [sock.type for sock in made] == [kind]
    assert not made[0].is_open


def test_without_permission_it_is_unknown_and_says_what_to_do() -> None:
    make, _ = sockets(allowed=set())
    with pytest.raises(Failed, match=r"ping_group_range.*CAP_NET_RAW") as caught:
        Echo("192.0.2.1", make)
    assert (caught.value.status, caught.value.reason) == (UNKNOWN, "ping_not_permitted")


@pytest.mark.parametrize(
    ("number", "status", "reason"),
    [
        (errno.EHOSTUNREACH, UNKNOWN, "no_route"),
        (errno.ENETUNREACH, UNKNOWN, "no_route"),
        (errno.EACCES, UNKNOWN, "forbidden_here"),
    ],
)
def test_a_socket_that_cannot_get_there_is_closed(number: int, status: Status, reason: str) -> None:
    make, made = sockets(allowed={socket.SOCK_DGRAM}, failing=OSError(number, ""))
    with pytest.raises(Failed) as caught:
        Echo("192.0.2.1", make)
    assert (caught.value.status, caught.value.reason) == (status, reason)
    assert not made[0].is_open


def test_no_descriptors_left_is_unknown() -> None:
    def none_left(*arguments: int) -> socket.socket:
        raise OSError(errno.EMFILE, "")

    with pytest.raises(Failed) as caught:
        Echo("192.0.2.1", none_left)
    assert (caught.value.status, caught.value.reason) == (UNKNOWN, "no_descriptors")


async def test_an_echo_reads_and_writes_its_socket() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    class Connected:
        """A socket that is connected already, and one that the kernel calls 7."""

        type = socket.SOCK_DGRAM
        setblocking, send, recv, fileno, close = ours.setblocking, ours.send, ours.recv, ours.fileno, ours.close
        setsockopt, getsockname, connect = FakeSocket.setsockopt, FakeSocket.getsockname, FakeSocket.connect
        getsockopt, recvmsg = ours.getsockopt, ours.recvmsg
        failing = None

    echo = Echo("192.0.2.1", lambda *arguments: Connected())  # type: ignore[arg-type]  # enough of a socket
    with theirs:
        try:
            await echo.send(3, b"hello")
            assert theirs.recv(100) == echo_request(V4, 7, 3, b"hello")
            for noise in (b"", b"\x08\x00\x00\x00\x00\x07\x00\x03", b"\x00\x00\x00\x00\x00\x08\x00\x03other"):
                theirs.send(noise)
            theirs.send(b"\x00\x00\x00\x00\x00\x07\x00\x03hello")
            assert await echo.receive() == Reply(7, 3, b"hello")
            with trio.move_on_after(0.02) as waiting:
                await echo.receive()
            assert waiting.cancelled_caught
            with trio.move_on_after(0.05) as stuffed:  # a full buffer is waited for
                for _ in range(10_000):
                    await echo.send(1, b"x" * 1000)
            assert stuffed.cancelled_caught
        finally:
            echo.close()


class Told(FakeSocket):
    """A socket that was told something of an earlier packet."""

    def __init__(self, said: int, failing: int = 0) -> None:
        super().__init__(socket.SOCK_DGRAM)
        self.said, self.failing_to_send = said, failing

    def getsockopt(self, *option: int) -> int:
        said, self.said = self.said, 0
        return said

    def send(self, packet: bytes) -> None:
        if number := self.getsockopt() or self.failing_to_send:
            raise OSError(number, "")

    def recv(self, size: int) -> bytes:
        raise OSError(self.getsockopt() or errno.EHOSTUNREACH, "")


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES])
async def test_what_is_said_of_a_packet_on_the_way_is_the_targets_fault_also_where_the_next_is_sent(
    number: int,
) -> None:
    for said in (number, 0):
        echo = Echo("192.0.2.1", lambda *arguments: Told(said))  # type: ignore[arg-type]  # noqa: B023 (made at once)
        await echo.send(1, b"")
        with pytest.raises(Failed) as caught:
            await echo.receive()
        assert (caught.value.status, caught.value.reason) == (DOWN, "host_unreachable")
        echo.close()


async def test_each_packet_that_was_reported_is_told_of_and_the_socket_is_quiet_then() -> None:
    told = Told(errno.EHOSTUNREACH)
    told.reports = 3
    echo = Echo("192.0.2.1", lambda *arguments: told)  # type: ignore[arg-type]  # enough of a socket
    await echo.send(1, b"")
    told.recv = lambda size: pytest.fail("it waits for a fourth")  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(Failed, match="unreachable"):
            await echo.receive()
    assert told.reports == 0, "or the event loop would be woken for it again and again"
    echo.close()


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM])
async def test_what_this_host_says_of_a_packet_is_its_own(number: int) -> None:
    echo = Echo("192.0.2.1", lambda *arguments: Told(0, failing=number))  # type: ignore[arg-type]  # enough of a socket
    with pytest.raises(Failed) as caught:
        await echo.send(1, b"")
    assert caught.value.status is UNKNOWN
    echo.close()


# Floods


async def turns_of_others(flooded: Callable[[], Awaitable[object]]) -> int:
    """How often another task gets its turn until `flooded` has ended."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await flooded()
        nursery.cancel_scope.cancel()
    return turns


async def test_a_flood_of_others_packets_holds_nobody_up() -> None:
    packets = [HEADER + b"\x00\x00\xab\xcd\x00\x08\x00\x00"] * 500

    class Flooded(FakeSocket):
        def recv(self, size: int) -> bytes:
            if packets:
                return packets.pop()
            raise OSError(errno.ECONNREFUSED, "")

    echo = Echo("192.0.2.1", lambda *arguments: Flooded(socket.SOCK_DGRAM))  # type: ignore[arg-type]  # enough of a socket

    async def receive() -> None:
        with pytest.raises(Failed):
            await echo.receive()

    assert await turns_of_others(receive) >= 400
    echo.close()


async def test_a_flood_of_wrong_replies_holds_nobody_up() -> None:
    class Flooded(ScriptedEchoes):
        left = 500

        async def receive(self) -> Reply:
            self.left -= 1
            return Reply(7, 0, b"?") if self.left > 0 else Reply(7, 0, self.payloads[0])

    echoes = Flooded([0.0])
    assert await turns_of_others(lambda: probe(echoes, packetCount=1)) >= 400


# Fields and cancellation


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("host", "", "is required"),
        ("packetCount", 0, "between 1 and 20"),
        ("packetCount", 21, "between 1 and 20"),
        ("packetSize", 65508, "between 0 and 65507"),
        ("maxLoss", 100, "between 0 and 99"),
        ("ipVersion", "4", "must be 4 or 6"),
        ("port", 7, "Unknown field"),
    ],
)
def test_a_wrong_field_is_refused(field: str, value: object, part: str) -> None:
    with pytest.raises(Invalid) as caught:
        monitor_of(**{field: value})
    assert part in caught.value.errors[field][0]


def test_the_defaults() -> None:
    monitor = monitor_of()
    assert (monitor.packet_count, monitor.packet_size, monitor.max_loss, monitor.ip_version) == (3, 32, 99, None)


def test_loss_is_judged_exactly() -> None:
    assert judge([0.1] * 19, 20, "a", 5)
    with pytest.raises(Failed):
        judge([0.1] * 19, 20, "a", 4)


@pytest.mark.parametrize("delays", [[None] * 3, [0.01, 0.01, None], [0.3, 0.3, 0.3]])
async def test_cancelled_at_any_wait_the_socket_is_closed(
    delays: list[float | Failed | None], autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(probe, ScriptedEchoes(delays))  # which checks that it is closed
        await trio.sleep(0.25)
        nursery.cancel_scope.cancel()


async def test_a_cancelled_check_leaves_no_socket() -> None:
    before = descriptors()
    with trio.CancelScope() as scope:
        scope.cancel()
        await over_loopback(host="127.0.0.1")
    assert scope.cancelled_caught == permitted()
    assert descriptors() == before
