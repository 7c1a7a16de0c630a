"""One question to this host's nameservers, and what to make of it when they do not answer, or will not.

Nameservers are asked one after the other, each a moment after the one before, twice; all questions stay open until one is
answered, so that a slow answer counts as well as a quick one. What is no answer is looked into before it becomes a verdict: the
nameservers are asked who serves the root, which each of them can tell. When they tell that, the name is at fault (`down`); when
they do not, the fault is this host's resolver's (`unknown`), and it would be every monitor's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import trio
from dns.rdatatype import RdataType

from peekaping.engine.net.failure import Failed
from peekaping.engine.records import Status

HEAD_STARTS_S = (1.0, 2.0)
"""How long a nameserver has for itself before the next is asked, in the first round over all of them and in the second."""
PATIENCE_S = 10.0
"""How long all of them have together; glibc gives each 5 s."""
OF_THE_BUDGET = 0.7
"""What of a caller's time is spent on an answer when that is less; the rest is for the root, and for what comes after."""
ROOT_WITHIN_S = 2.0
DEAD_FOR_S = 30.0
"""A nameserver that did not answer while another did is asked last for this long."""
CLEAR = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN})


class Nameserver(NamedTuple):
    address: str
    port: int = 53


def patience_s() -> float:
    """How long the caller's deadline lets a question stay open."""
    return min(PATIENCE_S, OF_THE_BUDGET * (trio.current_effective_deadline() - trio.current_time()))


def is_all_there_is(patience: float) -> bool:
    """Whether somebody with this much patience waited as long as anybody does."""
    return patience >= PATIENCE_S


class Nameservers:
    """Asks those that `servers` names, and remembers which are dead."""

    def __init__(self, servers: Callable[[], Sequence[Nameserver]]) -> None:
        self._servers = servers
        self._dead_until: dict[Nameserver, float] = {}

    async def ask(self, name: dns.name.Name, kind: RdataType) -> dns.message.Message:
        """The first clear answer: records, none, or that there is no such name.

        Raises:
          Failed: DOWN when they fail, refuse or do not answer this question but do answer others, else UNKNOWN.
        """
        shown = name.to_text(omit_final_dot=True)
        answers, refusals = await self._race(name, kind, patience_s())
        if answers:
            return answers[0]
        is_well = await self._knows_the_root()
        if refusals:
            refusal = dns.rcode.to_text(refusals[0])
            if is_well:
                raise Failed(Status.DOWN, f"name_{refusal.lower()}", f"The nameserver answered {refusal} for {shown}")
            message = f"The nameservers of this host answer {refusal} to everything, so {shown} cannot be found"
            raise Failed(Status.UNKNOWN, "resolver_refuses", message)
        if is_well:
            message = f"No nameserver answers for {shown}, but they do for other names"
            raise Failed(Status.DOWN, "name_silent", message)
        message = f"No nameserver of this host answers, so {shown} cannot be found"
        raise Failed(Status.UNKNOWN, "resolver_silent", message)

    async def _race(
        self, name: dns.name.Name, kind: RdataType, within_s: float
    ) -> tuple[list[dns.message.Message], list[dns.rcode.Rcode]]:
        """The winning answer, if any, and the refusals of those that refused in every round."""
        servers = self._by_health()
        answers: list[dns.message.Message] = []
        refusals: list[dns.rcode.Rcode] = []
        pace = min(1.0, within_s / (len(servers) * sum(HEAD_STARTS_S))) if servers else 1.0

        async def query(server: Nameserver, ended: trio.Event) -> None:
            answer = await _query(name, kind, server)
            if answer is None:
                self._dead_until[server] = trio.current_time() + DEAD_FOR_S
            elif answer.rcode() in CLEAR:
                self._dead_until.pop(server, None)
                answers.append(answer)
                nursery.cancel_scope.cancel()
            else:
                refusals.append(answer.rcode())
            ended.set()

        with trio.move_on_after(within_s):
            async with trio.open_nursery() as nursery:
                for head_start_s in HEAD_STARTS_S:
                    for server in servers:
                        ended = trio.Event()
                        nursery.start_soon(query, server, ended)
                        with trio.move_on_after(head_start_s * pace):
                            await ended.wait()
                        if not ended.is_set():
                            self._dead_until[server] = trio.current_time() + DEAD_FOR_S
                    if len(refusals) >= len(servers):
                        break  # all have said no; to ask again changes nothing
        return answers, refusals

    async def _knows_the_root(self) -> bool:
        left_s = trio.current_effective_deadline() - trio.current_time()
        within_s = min(ROOT_WITHIN_S, left_s / 2)
        answers, _ = await self._race(dns.name.root, RdataType.NS, within_s)
        return any(answer.rcode() == dns.rcode.NOERROR for answer in answers)

    def _by_health(self) -> list[Nameserver]:
        now = trio.current_time()
        return sorted(self._servers(), key=lambda server: self._dead_until.get(server, 0) > now)


async def _query(name: dns.name.Name, kind: RdataType, server: Nameserver) -> dns.message.Message | None:
    """One question, by TCP when the answer does not fit a datagram. None when the nameserver cannot be reached."""
    question = dns.message.make_query(name, kind)
    try:
        answer, _ = await dns.asyncquery.udp_with_fallback(
            question, server.address, port=server.port, ignore_unexpected=True, ignore_errors=True
        )
    except (OSError, EOFError, dns.exception.DNSException):
        return None
    return answer
