"""One question to this host's nameservers: whom to believe, and whose fault it is. In virtual time, without sockets."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import dns.message
import dns.name
import dns.rcode
import pytest
import trio
from dns.rdatatype import RdataType
from trio.testing import MockClock

from peekaping.engine.net import nameservers
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.nameservers import Nameserver, Nameservers, patience_s
from peekaping.engine.records import Status

from .nameserver import Zone, told, zone
from .sites import losing, silent, slow

DOWN, UNKNOWN = Status.DOWN, Status.UNKNOWN
SERVFAIL = dns.rcode.SERVFAIL
SITE = zone(site=["A 192.0.2.1"], other=["A 192.0.2.2"], third=["A 192.0.2.3"])
NOTHING = zone()
FIRST, SECOND = Nameserver("192.0.2.53"), Nameserver("192.0.2.54")


class Network:
    """Nameservers that are functions; `asked` has when each was asked for what."""

    def __init__(self, *zones: Zone) -> None:
        self.zones = dict(zip((FIRST, SECOND), zones, strict=False))
        self.asked: list[tuple[Nameserver, str]] = []
        self.nameservers = Nameservers(lambda: tuple(self.zones))

    async def query(self, name: dns.name.Name, kind: RdataType, server: Nameserver) -> dns.message.Message:
        await trio.lowlevel.checkpoint()
        self.asked.append((server, name.to_text(omit_final_dot=True)))
        return await told(self.zones[server], dns.message.make_query(name, kind))

    def controls(self) -> list[str]:
        return [name for _, name in self.asked if name.endswith(".com")]


@pytest.fixture(name="network")
def _network(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Network]:
    def make(*zones: Zone) -> Network:
        network = Network(*zones)
        monkeypatch.setattr(nameservers, "query", network.query)
        return network

    return make


async def ask(network: Network, name: str) -> str:
    """The address of a name."""
    answer = await network.nameservers.ask(dns.name.from_text(name), RdataType.A)
    return answer.answer[0][0].to_text() if answer.answer else dns.rcode.to_text(answer.rcode())


async def verdict(network: Network, name: str = "site") -> tuple[Status, str]:
    with pytest.raises(Failed) as caught:
        await ask(network, name)
    assert name in caught.value.message
    return caught.value.status, caught.value.reason


def unreachable(number: int, tries: int, answer: Zone = NOTHING) -> Zone:
    """A nameserver that this host fails to ask so often."""
    failing = iter(range(tries))

    def say(question: dns.message.Message) -> Any:
        if next(failing, None) is not None:
            raise OSError(number, os.strerror(number))
        return answer(question)

    return say


Make = Callable[..., Network]


# Whom to believe


async def test_a_lost_datagram_does_not_leave_the_last_word_to_a_nameserver_that_does_not_know_the_name(
    network: Make, autojump_clock: MockClock
) -> None:
    internal_then_public = network(losing(1, SITE), NOTHING)
    assert await ask(internal_then_public, "site") == "192.0.2.1"


async def test_that_a_name_does_not_exist_is_believed_when_those_before_are_dead(
    network: Make, autojump_clock: MockClock
) -> None:
    asked = network(silent, NOTHING)
    began = trio.current_time()
    assert await ask(asked, "site") == "NXDOMAIN"
    assert trio.current_time() - began < nameservers.PATIENCE_S
    assert not asked.controls(), "it is an answer"


async def test_the_first_to_say_that_a_name_does_not_exist_is_believed_at_once(
    network: Make, autojump_clock: MockClock
) -> None:
    asked = network(NOTHING, SITE)
    assert await ask(asked, "site") == "NXDOMAIN"
    assert asked.asked == [(FIRST, "site")]


async def test_records_are_believed_whoever_has_them(network: Make, autojump_clock: MockClock) -> None:
    asked = network(silent, SITE)
    began = trio.current_time()
    assert await ask(asked, "site") == "192.0.2.1"
    assert trio.current_time() - began == pytest.approx(nameservers.HEAD_STARTS_S[0])


async def test_a_nameserver_that_missed_two_questions_in_a_row_is_asked_last(
    network: Make, autojump_clock: MockClock
) -> None:
    asked = network(silent, SITE)
    for name in ("site", "other"):
        await ask(asked, name)
    asked.asked.clear()
    began = trio.current_time()
    assert await ask(asked, "third") == "192.0.2.3"
    assert asked.asked == [(SECOND, "third")]
    assert trio.current_time() == began


async def test_a_nameserver_that_is_asked_last_still_has_its_turn_before_a_name_is_said_not_to_exist(
    network: Make, autojump_clock: MockClock
) -> None:
    asked = network(losing(2, zone(intra=["A 192.0.2.9"])), SITE)
    for name in ("site", "other"):
        await ask(asked, name)
    assert await ask(asked, "intra") == "192.0.2.9"
    assert asked.asked[-2:] == [(SECOND, "intra"), (FIRST, "intra")]


async def test_a_nameserver_known_to_be_dead_has_one_try_before_a_name_is_said_not_to_exist(
    network: Make, autojump_clock: MockClock
) -> None:
    asked = network(silent, SITE)
    for name in ("site", "other"):
        await ask(asked, name)
    asked.asked.clear()
    assert await ask(asked, "missing") == "NXDOMAIN"
    assert asked.asked == [(SECOND, "missing"), (FIRST, "missing")]


async def test_one_lost_datagram_makes_no_nameserver_dead(network: Make, autojump_clock: MockClock) -> None:
    asked = network(losing(1, SITE), SITE)
    for name in ("site", "other", "third"):
        await ask(asked, name)
    assert asked.asked == [(FIRST, "site"), (SECOND, "site"), (FIRST, "other"), (FIRST, "third")]


async def test_what_is_lost_at_the_same_time_counts_once(network: Make, autojump_clock: MockClock) -> None:
    asked = network(losing(2, SITE), SITE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, asked, "site")
        nursery.start_soon(ask, asked, "other")
    await ask(asked, "third")
    assert asked.asked[-1] == (FIRST, "third")


# Whose fault it is


async def test_no_cache_can_answer_for_a_dead_uplink(network: Make, autojump_clock: MockClock) -> None:
    remembered: dict[str, Any] = {".": ["NS a.root-servers.net."], "other": ["A 192.0.2.2"]}
    cut_off = network(zone(**remembered, others=SERVFAIL))
    assert await verdict(cut_off) == (UNKNOWN, "resolver_refuses")
    await trio.sleep(60)
    assert await verdict(cut_off) == (UNKNOWN, "resolver_refuses")
    assert len(set(cut_off.controls())) == len(cut_off.controls()) == 2, "never the same name again"


async def test_nameservers_that_serve_their_own_zones_alone_can_have_a_broken_one(
    network: Make, autojump_clock: MockClock
) -> None:
    internal = network(zone(intra=SERVFAIL, others=dns.rcode.REFUSED))
    assert await verdict(internal, "intra") == (DOWN, "name_servfail")
    assert await verdict(internal, "site") == (UNKNOWN, "resolver_refuses")


async def test_a_thousand_names_that_fail_at_once_ask_one_control_question(
    network: Make, autojump_clock: MockClock
) -> None:
    everything = network(zone(others=SERVFAIL))
    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(verdict, everything, f"site{number}")
    assert len(everything.controls()) == 1


async def test_silence_that_is_due_to_the_haste_of_one_is_not_the_verdict_for_others(
    network: Make, autojump_clock: MockClock
) -> None:
    def but_for_the_site(question: dns.message.Message) -> Any:
        return None if question.question[0].name.to_text() == "site." else takes_its_time(question)

    takes_its_time = slow(NOTHING, 0.5)
    asked = network(but_for_the_site)

    async def hasty() -> None:
        await trio.sleep(nameservers.PATIENCE_S - 1)  # asks for the control just before the other does
        with trio.fail_after(1):
            assert await verdict(asked) == (UNKNOWN, "resolver_silent")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hasty)
        assert await verdict(asked) == (DOWN, "name_silent")


async def test_a_control_question_that_could_not_be_asked_speaks_for_nobody_else(
    network: Make, autojump_clock: MockClock
) -> None:
    def broken_sites(question: dns.message.Message) -> Any:
        return (control if question.question[0].name.to_text().endswith(".com.") else zone(others=SERVFAIL))(question)

    control = unreachable(errno.EMFILE, 2)
    asked = network(broken_sites)
    assert await verdict(asked, "site") == (UNKNOWN, "resolver_refuses")
    assert await verdict(asked, "other") == (DOWN, "name_servfail")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM])
async def test_what_this_host_could_not_ask_is_no_silence(
    network: Make, autojump_clock: MockClock, number: int
) -> None:
    everywhere_twice = network(unreachable(number, 2), unreachable(number, 2))
    status, reason = await verdict(everywhere_twice)
    assert (status, reason) != (UNKNOWN, "resolver_silent")
    assert status is UNKNOWN


async def test_a_nameserver_without_a_route_does_not_hide_that_the_other_is_silent(
    network: Make, autojump_clock: MockClock
) -> None:
    def silent_for_the_site(question: dns.message.Message) -> Any:
        return None if question.question[0].name.to_text() == "site." else SITE(question)

    asked = network(unreachable(errno.ENETUNREACH, 99), silent_for_the_site)
    assert await verdict(asked) == (DOWN, "name_silent")


async def test_a_deadline_that_has_just_passed_is_a_cancellation_and_no_fault(
    network: Make, autojump_clock: MockClock
) -> None:
    asked = network(SITE)
    with trio.CancelScope(deadline=trio.current_time() - 1) as scope:
        assert patience_s() == 0
        await ask(asked, "site")
    assert scope.cancelled_caught


# Two nameservers, of which one is dead


def own_zone_alone(question: dns.message.Message) -> dns.message.Message:
    """A nameserver that fails in its own zone, and refuses all others."""
    response = dns.message.make_response(question)
    response.set_rcode(SERVFAIL if question.question[0].name.to_text() == "site." else dns.rcode.REFUSED)
    return response


async def test_a_dead_nameserver_hides_nothing_of_what_the_other_says_of_its_own_zone(
    network: Make, autojump_clock: MockClock
) -> None:
    with trio.fail_after(30):
        assert await verdict(network(own_zone_alone, silent)) == (DOWN, "name_servfail")


async def test_who_has_little_time_hears_the_second_nameserver_too(network: Make, autojump_clock: MockClock) -> None:
    with trio.fail_after(1):
        assert await verdict(network(silent, slow(zone(site=None), 0.06))) == (DOWN, "name_silent")


async def test_who_is_known_to_be_dead_is_not_waited_for(network: Make, autojump_clock: MockClock) -> None:
    asking = network(zone(site=SERVFAIL, other=SERVFAIL), silent)
    for name in ("other", "other"):
        await verdict(asking, name)
    began = trio.current_time()
    with trio.fail_after(30):
        assert await verdict(asking) == (DOWN, "name_servfail")
    assert trio.current_time() - began < 2 * sum(nameservers.HEAD_STARTS_S), (
        "and not the ten seconds that a question may take"
    )
