"""One question to this host's nameservers, and what to make of it when they do not answer, or will not.

Nameservers are asked one after the other, each a moment after the one before, twice; all questions stay open until one is
answered, so that a slow answer counts as well as a quick one. Records count whoever has them; that there are none, or no such
name, only when those listed before have had their turn: the first may be the one that knows this network's own names.

What is no answer is looked into before it becomes a verdict: the nameservers are asked for a name that nobody has asked for
before, so that no cache can answer in place of an uplink that is dead. When they answer that clearly, the name is at fault
(`down`); when they do not, the fault is this host's resolver's (`unknown`), and it would be every monitor's.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Callable, Sequence
from typing import NamedTuple

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import trio
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from peekaping.engine.net.failure import Failed, blame, blame_the_way
from peekaping.engine.records import Status

HEAD_STARTS_S = (1.0, 2.0)
"""How long a nameserver has for itself before the next is asked, in the first round over all of them and in the second."""
PATIENCE_S = 10.0
"""How long all of them have together; glibc gives each 5 s."""
OF_THE_BUDGET = 0.7
"""What of a caller's time is spent on an answer when that is less; the rest is for the control, and for what comes after."""
CONTROL_WITHIN_S = 2.0
CONTROL_HOLDS_S = 1.0
"""How long the answer to a control question holds: a thousand names that fail at once must not ask a thousand."""
DEAD_FOR_S = 30.0
"""How long a nameserver that missed two questions in a row is asked last."""
CLEAR = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN})

Said = Sequence[dns.message.Message | None]
"""What each nameserver has answered so far, in their order."""


class Nameserver(NamedTuple):
    address: str
    port: int = 53


class Heard(NamedTuple):
    """What came of a question."""

    answer: dns.message.Message | None = None
    """The clear answer to go by."""
    refusals: tuple[Rcode, ...] = ()
    """What was said instead of a clear answer."""
    unable: Failed | None = None
    """Why this host could not ask, when that kept it from asking each of the nameservers as often as it should."""


def patience_s() -> float:
    """How long the caller's deadline lets a question stay open."""
    return max(0.0, min(PATIENCE_S, OF_THE_BUDGET * (trio.current_effective_deadline() - trio.current_time())))


def is_all_there_is(patience: float) -> bool:
    """Whether somebody with this much patience waited as long as anybody does."""
    return patience >= PATIENCE_S


class Nameservers:
    """Asks those that `servers` names, in their order, and remembers which are dead."""

    def __init__(self, servers: Callable[[], Sequence[Nameserver]]) -> None:
        self._servers = servers
        self._missed_at: dict[Nameserver, float] = {}
        self._dead_until: dict[Nameserver, float] = {}
        self._control = Heard()
        self._control_holds_until = float("-inf")
        self._one_control = trio.Lock()

    async def ask(self, name: dns.name.Name, kind: RdataType) -> dns.message.Message:
        """The clear answer to go by: records, none, or that there is no such name.

        Raises:
          Failed: DOWN when they fail, refuse or do not answer this question but do answer others, else UNKNOWN.
        """
        shown = name.to_text(omit_final_dot=True)
        heard = await self._race(name, kind, patience_s())
        if heard.answer is not None:
            return heard.answer
        if heard.unable is not None:  # raised as a new one, or it holds this frame, which holds it
            message = f"{heard.unable.message}, so {shown} cannot be found"
            raise Failed(heard.unable.status, heard.unable.reason, message)
        control = await self._ask_control()
        if heard.refusals:
            refusal = dns.rcode.to_text(heard.refusals[0])
            if control.answer is not None or _refuses_only_others(control, heard):
                raise Failed(Status.DOWN, f"name_{refusal.lower()}", f"The nameserver answered {refusal} for {shown}")
            message = f"The nameservers of this host answer {refusal} to everything, so {shown} cannot be found"
            raise Failed(Status.UNKNOWN, "resolver_refuses", message)
        if control.answer is not None:
            message = f"No nameserver answers for {shown}, but they do for other names"
            raise Failed(Status.DOWN, "name_silent", message)
        message = f"No nameserver of this host answers, so {shown} cannot be found"
        raise Failed(Status.UNKNOWN, "resolver_silent", message)

    async def _race(
        self, name: dns.name.Name, kind: RdataType, within_s: float, is_enough: Callable[[Said], bool] | None = None
    ) -> Heard:
        """Ask all of them, until what they said is enough, or all that live have spoken."""
        is_enough = is_enough or _is_final
        servers = tuple(self._servers())
        heard: dict[Nameserver, dns.message.Message] = {}
        unable: dict[Nameserver, Failed] = {}
        pace = min(1.0, within_s / (len(servers) * sum(HEAD_STARTS_S))) if servers else 1.0

        def said() -> Said:
            return [heard.get(server) for server in servers]

        async def run(server: Nameserver, asked_at: float, ended: trio.Event) -> None:
            try:
                heard[server] = await query(name, kind, server)
            except (OSError, Failed) as error:
                failure = blame(error) if isinstance(error, OSError) else error.with_traceback(None)
                if failure.status is Status.UNKNOWN:
                    unable[server] = failure
                else:
                    self._note_silence(server, asked_at)
            except (EOFError, dns.exception.DNSException):
                self._note_silence(server, asked_at)
            else:
                unable.pop(server, None)
                self._missed_at.pop(server, None)
                self._dead_until.pop(server, None)
                if is_enough(said()):
                    nursery.cancel_scope.cancel()
            ended.set()

        with trio.move_on_after(within_s):
            async with trio.open_nursery() as nursery:
                for head_start_s in HEAD_STARTS_S:
                    for server in self._by_health(servers):
                        asked_at = trio.current_time()
                        ended = trio.Event()
                        nursery.start_soon(run, server, asked_at, ended)
                        with trio.move_on_after(head_start_s * pace):
                            await ended.wait()
                        if not ended.is_set():
                            self._note_silence(server, asked_at)
                    if heard and all(server in heard or self._is_dead(server) for server in servers):
                        nursery.cancel_scope.cancel()  # all that live have spoken; to ask again changes nothing
                        break
                if _best(said()) is not None:
                    nursery.cancel_scope.cancel()
        return Heard(
            answer=_best(said()),
            refusals=tuple(answer.rcode() for answer in said() if answer is not None and answer.rcode() not in CLEAR),
            unable=unable[servers[0]] if servers and all(server in unable for server in servers) else None,
        )

    async def _ask_control(self) -> Heard:
        """What they say to a name that is in no cache. One question at a time, for everybody who wonders.

        The name is under .com because its absence there cannot be inferred from what was learnt of others (RFC 8198): that
        zone is signed with NSEC3 and opt-out.
        """
        left_s = trio.current_effective_deadline() - trio.current_time()
        with trio.move_on_after(max(0.0, min(CONTROL_WITHIN_S, left_s / 2))):
            async with self._one_control:
                if trio.current_time() >= self._control_holds_until:
                    name = dns.name.from_text(f"{secrets.token_hex(8)}.com.")
                    # Somewhat less than is left, for what was heard until then is lost when the time is up.
                    within_s = max(0.0, 0.9 * (trio.current_effective_deadline() - trio.current_time()))
                    self._control = await self._race(name, RdataType.A, within_s, lambda said: _best(said) is not None)
                    if self._control.answer is not None or self._control.refusals:  # else it may be the caller's haste
                        self._control_holds_until = trio.current_time() + CONTROL_HOLDS_S
                return self._control
        return Heard()

    def _note_silence(self, server: Nameserver, asked_at: float) -> None:
        """One question may be lost on its way: dead is who misses another that was asked after that."""
        now = trio.current_time()
        if asked_at >= self._missed_at.get(server, float("inf")):
            self._dead_until[server] = now + DEAD_FOR_S
        else:
            self._missed_at.setdefault(server, now)

    def _is_dead(self, server: Nameserver) -> bool:
        return self._dead_until.get(server, 0) > trio.current_time()

    def _by_health(self, servers: Sequence[Nameserver]) -> list[Nameserver]:
        return sorted(servers, key=self._is_dead)


def _has_records(answer: dns.message.Message) -> bool:
    return answer.rcode() == dns.rcode.NOERROR and bool(answer.answer)


def _best(said: Said) -> dns.message.Message | None:
    """Of what the nameservers said, in their order, the answer to go by: records, else the first clear one."""
    clear = [answer for answer in said if answer is not None and answer.rcode() in CLEAR]
    return next((answer for answer in clear if _has_records(answer)), clear[0] if clear else None)


def _is_final(said: Said) -> bool:
    """Whether no nameserver that is still silent could say anything better."""
    best = _best(said)
    return best is not None and (_has_records(best) or None not in said[: said.index(best)])


def _refuses_only_others(control: Heard, heard: Heard) -> bool:
    """Whether a nameserver that serves its own zones alone, and refuses all others, fails in this one: it is one of its own."""
    return set(control.refusals) == {dns.rcode.REFUSED} and dns.rcode.REFUSED not in heard.refusals


async def query(name: dns.name.Name, kind: RdataType, server: Nameserver) -> dns.message.Message:
    """One question, by TCP when the answer does not fit a datagram; datagrams that are no answer to it are passed over.

    Raises:
      OSError: the nameserver cannot be reached.
      Failed, EOFError, dns.exception.DNSException: its answer is cut short, and it gives none by TCP, or none that is valid.
    """
    question, (address, port) = dns.message.make_query(name, kind), server
    try:
        return await dns.asyncquery.udp(
            question, address, port=port, ignore_unexpected=True, ignore_errors=True, raise_on_truncation=True
        )
    except dns.message.Truncated:
        pass
    try:
        return await dns.asyncquery.tcp(question, address, port=port)
    except trio.BrokenResourceError as error:  # what trio's streams call a reset
        raise blame_the_way(OSError(errno.ECONNRESET, "")) from error
    except OSError as error:  # there is a way to who has just answered
        raise blame_the_way(error) from error


def end_of_aliases(answer: dns.message.Message, name: dns.name.Name) -> dns.message.ChainingResult:
    """What a clear answer says of the name in the end; raises Failed when its aliases are a loop, or endless."""
    assert isinstance(answer, dns.message.QueryMessage), "the answer to a query"
    try:
        return answer.resolve_chaining()
    except dns.exception.DNSException as error:
        shown = name.to_text(omit_final_dot=True)
        raise Failed(Status.DOWN, "name_loop", f"The aliases of {shown} lead nowhere: {error}") from error
