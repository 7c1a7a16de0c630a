"""Names to addresses, against real nameservers on loopback that misbehave in exactly one way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.rcode
import pytest
import trio
from trio.testing import MockClock

from peekaping.engine.net import nameservers
from peekaping.engine.net import resolver as module
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.nameservers import Nameserver, Nameservers
from peekaping.engine.net.resolver import Configuration, Resolver, parse_hosts
from peekaping.engine.records import Status

from .nameserver import nameserver, zone

DOWN, UNKNOWN = Status.DOWN, Status.UNKNOWN
SITE = zone(site=["A 192.0.2.1", "AAAA 2001:db8::1"], other=["A 192.0.2.9"])


def resolver(*nameservers: Nameserver, **options: Any) -> Resolver:
    return Resolver(lambda: Configuration(nameservers, **options))


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real sockets, so real time: as little of it as tells silence from an answer."""
    monkeypatch.setattr(nameservers, "HEAD_STARTS_S", (0.1, 0.1))
    monkeypatch.setattr(nameservers, "PATIENCE_S", 0.4)
    monkeypatch.setattr(nameservers, "ROOT_WITHIN_S", 0.3)


async def failure(asking: Resolver, name: str) -> tuple[Status, str]:
    with pytest.raises(Failed) as caught:
        await asking.addresses(name)
    assert name.split(".")[0] in caught.value.message
    return caught.value.status, caught.value.reason


async def test_both_families_ipv6_first() -> None:
    async with nameserver(SITE) as (server, asked):
        assert await resolver(server).addresses("site") == ("2001:db8::1", "192.0.2.1")
        assert sorted(asked) == ["udp site A", "udp site AAAA"]


async def test_the_families_take_turns() -> None:
    many = zone(site=["A 192.0.2.1", "A 192.0.2.2", "A 192.0.2.3", "AAAA 2001:db8::1"])
    async with nameserver(many) as (server, _):
        found = await resolver(server).addresses("site")
    assert found[0] == "2001:db8::1"
    assert sorted(found[1:]) == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


@pytest.mark.parametrize(
    ("name", "records", "reason"),
    [
        ("missing", {}, "name_not_found"),
        ("broken", {"broken": dns.rcode.SERVFAIL}, "name_servfail"),
        ("secret", {"secret": dns.rcode.REFUSED}, "name_refused"),
        ("silent", {"silent": None}, "name_silent"),
        ("mailonly", {"mailonly": ["MX 10 mail"]}, "no_address"),
        ("loop", {"loop": ["CNAME pool."], "pool": ["CNAME loop."]}, "name_loop"),
    ],
)
async def test_what_is_the_names_fault_is_down(name: str, records: dict[str, Any], reason: str) -> None:
    async with nameserver(zone(**records)) as (server, _):
        assert await failure(resolver(server), name) == (DOWN, reason)


async def test_when_no_nameserver_answers_anything_it_is_unknown() -> None:
    async with nameserver(lambda question: None) as (server, _):
        assert await failure(resolver(server), "site") == (UNKNOWN, "resolver_silent")
    gone = Nameserver("127.0.0.1", 1)
    assert await failure(resolver(gone), "site") == (UNKNOWN, "resolver_silent")
    assert await failure(resolver(), "site") == (UNKNOWN, "resolver_silent")


async def test_a_dead_first_nameserver_costs_one_try_and_is_asked_last_from_then_on() -> None:
    async with nameserver(lambda question: None) as (dead, asked_dead), nameserver(SITE) as (alive, _):
        asking = resolver(dead, alive)
        assert "192.0.2.1" in await asking.addresses("site")
        before = len(asked_dead)
        assert before > 0
        assert await asking.addresses("other") == ("192.0.2.9",)
        assert len(asked_dead) == before


async def test_one_broken_nameserver_does_not_speak_for_the_others() -> None:
    async with nameserver(zone(site=dns.rcode.SERVFAIL)) as (broken, _), nameserver(SITE) as (fine, _):
        assert "192.0.2.1" in await resolver(broken, fine).addresses("site")


async def test_a_truncated_answer_is_asked_for_again_by_tcp() -> None:
    async with nameserver(SITE, truncate_udp=True) as (server, asked):
        assert "192.0.2.1" in await resolver(server).addresses("site")
        assert "tcp site A" in asked


async def test_a_slow_family_does_not_hold_up_the_other() -> None:
    waits = {dns.rdatatype.AAAA: [30.0]}

    def answer(question: dns.message.Message) -> Any:
        waiting = waits.get(question.question[0].rdtype, [])
        return waiting[0] if waiting else SITE(question)

    async with nameserver(answer) as (server, _):
        with trio.fail_after(5):
            assert await resolver(server).addresses("site") == ("192.0.2.1",)


async def test_many_at_once_ask_once_and_the_answer_is_kept() -> None:
    async with nameserver(SITE) as (server, asked):
        asking = resolver(server)
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(asking.addresses, "site")
        await asking.addresses("SITE")
        assert sorted(asked) == ["udp site A", "udp site AAAA"]


async def test_an_answer_is_kept_for_a_minute_and_a_failure_for_a_second(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = []

    async def ask(self: Nameservers, name: dns.name.Name, kind: Any) -> dns.message.Message:
        await trio.lowlevel.checkpoint()
        answers.append(name)
        question = dns.message.make_query(name, kind)
        found = zone(site=["A 192.0.2.1"])(question)
        assert isinstance(found, dns.message.Message)
        return dns.message.from_wire(found.to_wire())

    monkeypatch.setattr(Nameservers, "ask", ask)
    asking = resolver(Nameserver("127.0.0.1"))
    for wait, questions in ((0.0, 2), (59.0, 2), (2.0, 4)):
        await trio.sleep(wait)
        await asking.addresses("site")
        assert len(answers) == questions, "a TTL of 300 s counts as a minute"
    for wait, questions in ((0.0, 6), (0.5, 6), (0.6, 8)):
        await trio.sleep(wait)
        assert await failure(asking, "gone") == (DOWN, "name_not_found")
        assert len(answers) == questions


async def test_a_cancelled_question_is_asked_again_by_who_waits_for_it() -> None:
    answering = trio.Event()
    async with nameserver(lambda question: SITE(question) if answering.is_set() else 0.02) as (server, _):
        asking = resolver(server)
        first, found = trio.CancelScope(), list[tuple[str, ...]]()

        async def ask(scope: trio.CancelScope) -> None:
            with scope:
                found.append(await asking.addresses("site"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, first)
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.start_soon(ask, trio.CancelScope())
            await trio.testing.wait_all_tasks_blocked(0.01)
            first.cancel()
            answering.set()
        assert len(found) == 1


async def test_the_search_list_is_tried_as_ndots_says() -> None:
    records = {"db.inside.example": ["A 192.0.2.5"], "a.b": ["A 192.0.2.6"]}
    search = (dns.name.from_text("inside.example"),)
    async with nameserver(zone(**records)) as (server, asked):
        asking = resolver(server, search=search, ndots=1)
        assert await asking.addresses("db") == ("192.0.2.5",)
        assert await asking.addresses("a.b") == ("192.0.2.6",)
        assert "udp a.b A" in asked
        assert "udp a.b.inside.example A" not in asked


async def test_the_hosts_file_and_localhost_need_no_question() -> None:
    hosts = parse_hosts(["# comment", "192.0.2.7 Intra intra.example # the portal", "::7 intra", "nonsense x", ""])
    asking = resolver(hosts=hosts)
    assert await asking.addresses("INTRA") == ("192.0.2.7", "::7")
    assert await asking.addresses("intra.example") == ("192.0.2.7",)
    assert await asking.addresses("localhost") == ("127.0.0.1", "::1")
    assert await asking.addresses("api.localhost") == ("127.0.0.1", "::1")


async def test_a_changed_configuration_is_read_again(autojump_clock: MockClock) -> None:
    hosts = {"intra": ("192.0.2.1",)}
    asking = Resolver(lambda: Configuration((), hosts=dict(hosts)), stamp=lambda: hosts["intra"])
    assert await asking.addresses("intra") == ("192.0.2.1",)
    hosts["intra"] = ("192.0.2.2",)
    await trio.sleep(6)
    assert await asking.addresses("intra") == ("192.0.2.2",)


def test_this_hosts_files_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text(
        "nameserver 192.0.2.53\nnameserver ::53\nsearch a.example b.example\noptions ndots:3\n"
    )
    (tmp_path / "hosts").write_text("192.0.2.1 intra\n")
    monkeypatch.setattr(module, "_RESOLV_CONF", str(tmp_path / "resolv.conf"))
    monkeypatch.setattr(module, "_HOSTS", str(tmp_path / "hosts"))
    found = module._read_files()
    assert found.nameservers == (Nameserver("192.0.2.53"), Nameserver("::53"))
    assert [name.to_text() for name in found.search] == ["a.example.", "b.example."]
    assert (found.ndots, found.hosts) == (3, {"intra": ("192.0.2.1",)})
    (tmp_path / "resolv.conf").unlink()
    (tmp_path / "hosts").unlink()
    assert module._read_files() == Configuration((Nameserver("127.0.0.1"),), hosts={})


@pytest.mark.parametrize("name", ["a..b", "x" * 64, "." * 3])
async def test_what_is_no_name_does_not_exist(name: str) -> None:
    async with nameserver(SITE) as (server, _):
        with pytest.raises(Failed) as caught:
            await resolver(server).addresses(name)
    assert caught.value.status is DOWN


async def test_silence_is_told_apart_within_the_callers_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the usual waits: seven seconds for one nameserver
    async with nameserver(zone(quiet=None)) as (server, _):
        with trio.fail_after(0.5):
            assert await failure(resolver(server), "quiet") == (DOWN, "name_silent")


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
async def test_nameservers_that_fail_everything_are_this_hosts_fault(code: dns.rcode.Rcode) -> None:
    def answer(question: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(question)
        response.set_rcode(code)
        return response

    async with nameserver(answer) as (server, _):
        assert await failure(resolver(server), "site") == (UNKNOWN, "resolver_refuses")


async def test_a_slow_answer_counts_when_the_next_nameserver_was_asked_already() -> None:
    seen: set[int] = set()

    def slow(question: dns.message.Message) -> Any:
        if question.id in seen:
            return SITE(question)
        seen.add(question.id)
        return 0.15  # longer than a head start

    async with nameserver(lambda question: None) as (dead, _), nameserver(slow) as (server, _):
        assert "192.0.2.1" in await resolver(dead, server).addresses("site")


async def test_everybody_who_waits_gets_the_answer_also_one_that_is_not_kept() -> None:
    def answer(question: dns.message.Message) -> dns.message.Message:
        response = SITE(question)
        assert isinstance(response, dns.message.Message)
        for rrset in response.answer:
            rrset.ttl = 0
        return response

    async with nameserver(answer) as (server, asked):
        asking = resolver(server)
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(asking.addresses, "site")
        assert len(asked) == 2


async def test_a_broken_search_domain_does_not_hide_the_name_itself() -> None:
    records: dict[str, Any] = {"www.good": ["A 192.0.2.6"], "www.good.corp.local": dns.rcode.SERVFAIL}
    search = (dns.name.from_text("corp.local"),)
    async with nameserver(zone(**records)) as (server, asked):
        asking = resolver(server, search=search, ndots=5)
        assert await asking.addresses("www.good") == ("192.0.2.6",)
        asked.clear()
        assert await asking.addresses("www.good.") == ("192.0.2.6",)
        assert not any("corp" in question for question in asked), "a final dot says: as it is"


def test_lines_of_resolv_conf_that_cannot_be_understood_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_bytes(b"nameserver not-an-ip\nnameserver\n# caf\xe9\nnameserver 192.0.2.53\n")
    assert module.read_resolv_conf(str(file)).nameservers == (Nameserver("192.0.2.53"),)
