"""Nameservers on loopback that answer as a test says."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import trio

from peekaping.engine.net.nameservers import Nameserver

Zone = Callable[[dns.message.Message], dns.message.Message | float | None]
"""From a question to an answer, to None (silence), or to seconds to wait before the zone is asked again."""


Said = list[str] | dns.rcode.Rcode | None
"""Records such as `A 192.0.2.1`, a response code, or None for silence."""


def zone(*, others: Said = dns.rcode.NXDOMAIN, **records: Said) -> Zone:
    """What is said of some names, and of all others."""

    def answer(question: dns.message.Message) -> dns.message.Message | None:
        asked = question.question[0]
        response = dns.message.make_response(question)
        response.flags |= dns.flags.RA
        name = asked.name
        for _ in range(20):  # follow aliases as a recursive nameserver does
            found = records.get(name.to_text(omit_final_dot=True), others)
            if found is None:
                return None
            if isinstance(found, dns.rcode.Rcode):
                response.set_rcode(found)
                return response
            alias = None
            for record in found:
                kind, _, value = record.partition(" ")
                if kind in ("CNAME", dns.rdatatype.to_text(asked.rdtype)):
                    response.answer.append(dns.rrset.from_text(name, 300, "IN", kind, value))
                if kind == "CNAME":
                    alias = dns.name.from_text(value)
            if alias is None:
                return response
            name = alias
        return response

    return answer


async def told(answer: Zone, question: dns.message.Message) -> dns.message.Message:
    """What a zone says, without a socket: for virtual time."""
    response = answer(question)
    while not isinstance(response, dns.message.Message):
        await trio.sleep(float("inf") if response is None else response)
        response = answer(question)
    return dns.message.from_wire(response.to_wire())


@asynccontextmanager
async def nameserver(answer: Zone, *, truncate_udp: bool = False) -> AsyncGenerator[tuple[Nameserver, list[str]], None]:
    """Serve a zone by UDP and TCP; gives the address and the list of questions asked, such as `udp site A`."""
    asked: list[str] = []

    async def respond(wire: bytes, transport: str) -> dns.message.Message | None:
        question = dns.message.from_wire(wire)
        kind = dns.rdatatype.to_text(question.question[0].rdtype)
        asked.append(f"{transport} {question.question[0].name.to_text(omit_final_dot=True)} {kind}")
        response = answer(question)
        while isinstance(response, float):
            await trio.sleep(response)
            response = answer(question)
        return response

    async def by_udp(sock: trio.socket.SocketType) -> None:
        async def one(wire: bytes, peer: tuple[object, ...]) -> None:
            response = await respond(wire, "udp")
            if response is None:
                return
            if truncate_udp:
                response.answer.clear()
                response.flags |= dns.flags.TC
            await sock.sendto(response.to_wire(), peer)

        async with trio.open_nursery() as nursery:
            while True:
                wire, peer = await sock.recvfrom(4096)
                nursery.start_soon(one, wire, peer)

    async def by_tcp(stream: trio.SocketStream) -> None:
        async with stream:
            wire = await stream.receive_some(4096)
            while wire and len(wire) < 2 + int.from_bytes(wire[:2], "big"):
                wire += await stream.receive_some(4096)
            response = await respond(wire[2:], "tcp") if wire else None
            if response is not None:
                await stream.send_all(response.to_wire(prepend_length=True))

    udp, listeners = await _one_port_for_both()
    with udp:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, by_tcp, listeners)
            nursery.start_soon(by_udp, udp)
            yield Nameserver("127.0.0.1", udp.getsockname()[1]), asked
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def truncating(port: int) -> AsyncGenerator[Nameserver, None]:
    """Says by UDP that the answer does not fit."""
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
        await sock.bind(("127.0.0.1", port))

        async def truncate() -> None:
            while True:
                wire, peer = await sock.recvfrom(512)
                response = dns.message.make_response(dns.message.from_wire(wire))
                response.flags |= dns.flags.TC
                await sock.sendto(response.to_wire(), peer)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(truncate)
            yield Nameserver("127.0.0.1", port)
            nursery.cancel_scope.cancel()


async def _one_port_for_both() -> tuple[trio.socket.SocketType, list[trio.SocketListener]]:
    while True:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        udp = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
        try:
            await udp.bind(listeners[0].socket.getsockname())
            return udp, listeners
        except OSError:  # somebody has that number for UDP
            udp.close()
            await listeners[0].aclose()
