"""Sites to look at, each wrong in one way: a target of `targets.py`, and the network through which it is seen."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any, NamedTuple

import dns.message
import trio
import trustme
from dns.rdatatype import RdataType

from peekaping.engine.alerts.delivery import NewDelivery
from peekaping.engine.memory import MemoryStore
from peekaping.engine.net.egress import EgressGuard
from peekaping.engine.net.host_files import Configuration
from peekaping.engine.net.nameservers import Nameserver
from peekaping.engine.net.network import HostNetwork, Network
from peekaping.engine.net.resolver import Resolver
from peekaping.engine.ports import Store
from peekaping.engine.records import Heartbeat

from .nameserver import Zone, nameserver, zone
from .scripted import ScriptedNetwork
from .targets import Handler, Step, free_port, full, issued, saying, server_context, serving

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Site(NamedTuple):
    """Where a monitor looks, and the network through which it does."""

    url: str
    network: Network
    store: Store | None = None


Target = Callable[[], AbstractAsyncContextManager[Site]]


def this_host(*nameservers: Nameserver, **hosts: tuple[str, ...]) -> HostNetwork:
    return HostNetwork(EgressGuard(), Resolver(lambda: Configuration(nameservers, hosts=hosts)))


def at(handler: Handler, *, scheme: str = "http", host: str = "127.0.0.1") -> Target:
    """A server with this handler."""

    @asynccontextmanager
    async def target() -> AsyncGenerator[Site, None]:
        async with serving(handler) as port:
            yield Site(f"{scheme}://{host}:{port}/", this_host(site=("127.0.0.2", "127.0.0.1")))

    return target


def http(*steps: Step, for_ever: tuple[Step, ...] = ()) -> Target:
    """An HTTP server that follows the steps."""
    return at(saying(*steps, for_ever=for_ever))


def named(*answers: Zone) -> Target:
    """A site that is asked for by name, from nameservers with these answers."""

    @asynccontextmanager
    async def target() -> AsyncGenerator[Site, None]:
        async with serving(saying(OK)) as port, AsyncExitStack() as stack:
            servers = [(await stack.enter_async_context(nameserver(answer)))[0] for answer in answers]
            yield Site(f"http://site:{port}/", this_host(*servers))

    return target


@cache
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.RSA)


def https(
    certificate: Callable[[], trustme.LeafCert],
    *steps: Step,
    whole_chain: bool = True,
    ciphers: str | None = None,
    **limits: Any,
) -> Target:
    """An HTTPS server with this certificate; a client that trusts `authority` is content with a good one."""

    @asynccontextmanager
    async def target() -> AsyncGenerator[Site, None]:
        context = server_context(certificate(), whole_chain=whole_chain)
        for name, value in limits.items():
            setattr(context, name, value)
        if ciphers is not None:
            context.set_ciphers(ciphers)
        async with at(saying(*(steps or (OK,)), context=context), scheme="https", host="localhost")() as site:
            yield site

    return target


def good(days: float = 100, **options: Any) -> Callable[[], trustme.LeafCert]:
    return lambda: issued(authority(), days, **options)


def by_intermediate() -> trustme.LeafCert:
    return issued(authority().create_child_ca())


def amid(fault: Callable[[], AbstractContextManager[object]], target: Target) -> Target:
    """The target while this host has a fault."""

    @asynccontextmanager
    async def faulty() -> AsyncGenerator[Site, None]:
        async with target() as site:
            with fault():
                yield site

    return faulty


def starving(target: Target) -> Target:
    """The target while the event loop stands still for a second."""

    async def block() -> None:
        await trio.sleep(0.3)
        time.sleep(1)  # noqa: ASYNC251 (it is the fault)

    @asynccontextmanager
    async def starved() -> AsyncGenerator[Site, None]:
        async with target() as site, trio.open_nursery() as nursery:
            nursery.start_soon(block)
            yield site

    return starved


@asynccontextmanager
async def nobody() -> AsyncGenerator[Site, None]:
    yield Site(f"http://127.0.0.1:{free_port()}/", this_host())


def by_name(target: Target) -> Target:
    """The same, through a name with two addresses: on the first nobody listens."""

    @asynccontextmanager
    async def site() -> AsyncGenerator[Site, None]:
        async with target() as (url, network, _):
            yield Site(url.replace("127.0.0.1", "site"), network)

    return site


@asynccontextmanager
async def unanswered() -> AsyncGenerator[Site, None]:
    with full() as port:
        yield Site(f"http://127.0.0.1:{port}/", this_host())


def broken(error: Exception) -> Target:
    """A network with a bug."""

    @asynccontextmanager
    async def target() -> AsyncGenerator[Site, None]:
        yield Site("http://site/", ScriptedNetwork(site=lambda: [error]))

    return target


def moved(to: str, *, length: int = 0) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: {length}\r\n\r\n".encode()


def body(content: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


def paths(answer: Callable[[str], bytes]) -> Target:
    """An HTTP server that answers by the path."""

    async def handle(stream: trio.SocketStream) -> None:
        request = await stream.receive_some(65536)
        await stream.send_all(answer(request.split()[1].decode()))

    return at(handle)


def slow(answer: Zone, seconds: float, kind: RdataType | None = None) -> Zone:
    """A zone that takes its time, for all or for one type of records."""
    asked: set[int] = set()

    def later(question: dns.message.Message) -> dns.message.Message | float | None:
        if question.id in asked or kind not in (None, question.question[0].rdtype):
            return answer(question)
        asked.add(question.id)
        return seconds

    return later


class _StallingStore(MemoryStore):
    """A database that takes ten seconds for its first write."""

    stalls = 1

    async def append(self, heartbeats: Sequence[Heartbeat], deliveries: Sequence[NewDelivery] = ()) -> None:
        if self.stalls:
            self.stalls -= 1
            await trio.sleep(10)
        await super().append(heartbeats, deliveries)


@asynccontextmanager
async def stalled_database() -> AsyncGenerator[Site, None]:
    yield Site("http://site/", ScriptedNetwork(site=lambda: [OK]), _StallingStore())


ADDRESS = zone(site=["A 127.0.0.1"])
BOTH_FAMILIES = zone(site=["A 127.0.0.1", "AAAA ::1"])
"""Nobody listens on the second."""


def losing(datagrams: int, answer: Zone) -> Zone:
    """A nameserver whose first questions get lost."""
    lost = iter(range(datagrams))

    def say(question: dns.message.Message) -> dns.message.Message | float | None:
        return None if next(lost, None) is not None else answer(question)

    return say


def silent(question: dns.message.Message) -> None:
    """A nameserver that is gone."""
