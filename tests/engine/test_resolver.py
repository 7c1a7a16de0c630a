"""Names to addresses, against real nameservers on loopback that misbehave in exactly one way."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.rcode
import pytest
import trio
from dns.rdatatype import RdataType
from trio.testing import MockClock

from peekaping.engine.net import host_files, nameservers
from peekaping.engine.net import resolver as resolver_module
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.host_files import Configuration, parse_hosts
from peekaping.engine.net.nameservers import Nameserver, Nameservers
from peekaping.engine.net.resolver import Resolver
from peekaping.engine.records import Status

from .nameserver import Zone, nameserver, told, truncating, zone
from .targets import reset_at_once, serving

DOWN, UNKNOWN = Status.DOWN, Status.UNKNOWN
SITE = zone(site=["A 192.0.2.1", "AAAA 2001:db8::1"], other=["A 192.0.2.9"])


def resolver(*nameservers: Nameserver, **options: Any) -> Resolver:
    return Resolver(lambda: Configuration(nameservers, **options))


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real sockets, so real time: as little of it as tells silence from an answer."""
    monkeypatch.setattr(nameservers, "HEAD_STARTS_S", (0.1, 0.1))
    monkeypatch.setattr(nameservers, "PATIENCE_S", 0.4)
    monkeypatch.setattr(nameservers, "CONTROL_WITHIN_S", 0.3)
    monkeypatch.setattr(resolver_module, "SECOND_FAMILY_S", 0.3)  # a busy machine may take longer than 50 ms for both


async def addresses(asking: Resolver, name: str, ip_version: int | None = None) -> tuple[str, ...]:
    return await (await asking.find(name, ip_version)).all()


async def failure(asking: Resolver, name: str) -> tuple[Status, str]:
    with pytest.raises(Failed) as caught:
        await addresses(asking, name)
    assert name.split(".")[0] in caught.value.message
    return caught.value.status, caught.value.reason


async def test_both_families_ipv6_first() -> None:
    async with nameserver(SITE) as (server, asked):
        assert await addresses(resolver(server), "site") == ("2001:db8::1", "192.0.2.1")
        assert sorted(asked) == ["udp site A", "udp site AAAA"]


async def test_the_families_take_turns() -> None:
    many = zone(site=["A 192.0.2.1", "A 192.0.2.2", "A 192.0.2.3", "AAAA 2001:db8::1"])
    async with nameserver(many) as (server, _):
        found = await addresses(resolver(server), "site")
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


async def test_one_broken_nameserver_does_not_speak_for_the_others() -> None:
    async with nameserver(zone(site=dns.rcode.SERVFAIL)) as (broken, _), nameserver(SITE) as (fine, _):
        assert "192.0.2.1" in await addresses(resolver(broken, fine), "site")


async def test_a_truncated_answer_is_asked_for_again_by_tcp() -> None:
    async with nameserver(SITE, truncate_udp=True) as (server, asked):
        assert "192.0.2.1" in await addresses(resolver(server), "site")
        assert "tcp site A" in asked


def virtual(monkeypatch: pytest.MonkeyPatch, answers: dict[RdataType, tuple[float, Zone]], **options: Any) -> Resolver:
    """A resolver in virtual time, whose nameserver takes so many seconds for each type of records."""

    async def query(name: dns.name.Name, kind: RdataType, server: Nameserver) -> dns.message.Message:
        seconds, answer = answers[kind]
        await trio.sleep(seconds)
        return await told(answer, dns.message.make_query(name, kind))

    monkeypatch.undo()
    monkeypatch.setattr(nameservers, "query", query)
    return resolver(Nameserver("192.0.2.53"), **options)


async def test_a_slow_family_does_not_hold_up_the_other_and_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    asking = virtual(monkeypatch, {RdataType.AAAA: (0.06, SITE), RdataType.A: (0.0, SITE)})
    began = trio.current_time()
    for _ in range(2):  # asked, and from what is kept
        found = await asking.find("site")
        assert trio.current_time() < began + 0.06
        assert found.addresses == ("192.0.2.1",)
    assert found.late is not None
    assert await found.late() == ("2001:db8::1",)


async def test_whoever_wants_all_addresses_waits_for_the_slow_family(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    asking = virtual(monkeypatch, {RdataType.AAAA: (0.0, SITE), RdataType.A: (5.0, SITE)})
    assert await addresses(asking, "site") == ("2001:db8::1", "192.0.2.1")


@pytest.mark.parametrize(("version", "address"), [(4, "192.0.2.1"), (6, "2001:db8::1")])
async def test_one_version_is_waited_for_and_the_other_is_not_even_asked_for(
    version: int, address: str, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    kind = RdataType.A if version == 4 else RdataType.AAAA
    asking = virtual(monkeypatch, {kind: (0.06, SITE)})
    assert await addresses(asking, "site", version) == (address,)
    with pytest.raises(Failed, match=rf"mailonly has no IPv{version} address"):
        await virtual(monkeypatch, {kind: (0.06, zone(mailonly=["MX 10 mail"]))}).find("mailonly", version)


async def test_what_is_wrong_with_one_family_is_no_verdict_while_nobody_can_ask_for_the_other(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    def unable(question: dns.message.Message) -> Any:
        if question.question[0].name.to_text() == "site.":
            raise OSError(errno.EMFILE, "")
        return SITE(question)

    broken = zone(site=dns.rcode.SERVFAIL)
    asking = virtual(monkeypatch, {RdataType.AAAA: (0.0, broken), RdataType.A: (1.0, unable)})
    assert await failure(asking, "site") == (UNKNOWN, "no_descriptors")


async def test_the_address_family_is_late_for_the_domain_where_the_other_was_found(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    records = {"db.inside.example": ["A 192.0.2.5", "AAAA 2001:db8::5"], "db": ["AAAA 2001:db8::bad"]}
    answers = {RdataType.AAAA: (0.06, zone(**records)), RdataType.A: (0.0, zone(**records))}
    asking = virtual(monkeypatch, answers, search=(dns.name.from_text("inside.example"),))
    assert await addresses(asking, "db") == ("192.0.2.5", "2001:db8::5")


async def test_who_has_less_time_than_who_asked_first_gets_a_verdict_in_time(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    silent_for_the_site = (0.0, zone(site=None))
    asking = virtual(monkeypatch, dict.fromkeys((RdataType.AAAA, RdataType.A), silent_for_the_site))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(failure, asking, "site")
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(1):
            assert await failure(asking, "site") == (DOWN, "name_silent")


async def test_a_nameserver_that_resets_when_it_is_asked_by_tcp_does_not_keep_the_next_from_being_asked() -> None:
    async with serving(reset_at_once) as port, truncating(port) as broken, nameserver(SITE) as (fine, _):
        assert "192.0.2.1" in await addresses(resolver(broken, fine), "site")


async def test_many_at_once_ask_once_and_the_answer_is_kept() -> None:
    async with nameserver(SITE) as (server, asked):
        asking = resolver(server)
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(asking.find, "site")
        await addresses(asking, "SITE")
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
        await addresses(asking, "site")
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
                found.append(await addresses(asking, "site"))

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
        assert await addresses(asking, "db") == ("192.0.2.5",)
        assert await addresses(asking, "a.b") == ("192.0.2.6",)
        assert "udp a.b A" in asked
        assert "udp a.b.inside.example A" not in asked


async def test_the_hosts_file_and_localhost_need_no_question() -> None:
    hosts = parse_hosts(["# comment", "192.0.2.7 Intra intra.example # the portal", "::7 intra", "nonsense x", ""])
    asking = resolver(hosts=hosts)
    assert await addresses(asking, "INTRA") == ("192.0.2.7", "::7")
    assert await addresses(asking, "intra.example") == ("192.0.2.7",)
    assert await addresses(asking, "localhost") == ("127.0.0.1", "::1")
    assert await addresses(asking, "api.localhost") == ("127.0.0.1", "::1")


async def test_a_changed_configuration_is_read_again(autojump_clock: MockClock) -> None:
    hosts = {"intra": ("192.0.2.1",)}
    asking = Resolver(lambda: Configuration((), hosts=dict(hosts)), stamp=lambda: hosts["intra"])
    assert await addresses(asking, "intra") == ("192.0.2.1",)
    hosts["intra"] = ("192.0.2.2",)
    await trio.sleep(6)
    assert await addresses(asking, "intra") == ("192.0.2.2",)


def test_this_hosts_files_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text(
        "nameserver 192.0.2.53\nnameserver ::53\nsearch a.example b.example\noptions ndots:3\n"
    )
    (tmp_path / "hosts").write_text("192.0.2.1 intra\n")
    monkeypatch.setattr(host_files, "RESOLV_CONF", str(tmp_path / "resolv.conf"))
    monkeypatch.setattr(host_files, "HOSTS", str(tmp_path / "hosts"))
    found = host_files.read_files()
    assert found.nameservers == (Nameserver("192.0.2.53"), Nameserver("::53"))
    assert [name.to_text() for name in found.search] == ["a.example.", "b.example."]
    assert (found.ndots, found.hosts) == (3, {"intra": ("192.0.2.1",)})
    (tmp_path / "resolv.conf").unlink()
    (tmp_path / "hosts").unlink()
    assert host_files.read_files() == Configuration((Nameserver("127.0.0.1"),), hosts={})


@pytest.mark.parametrize("name", ["a..b", "x" * 64, "." * 3])
async def test_what_is_no_name_does_not_exist(name: str) -> None:
    async with nameserver(SITE) as (server, _):
        with pytest.raises(Failed) as caught:
            await addresses(resolver(server), name)
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
        assert "192.0.2.1" in await addresses(resolver(dead, server), "site")


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
                nursery.start_soon(asking.find, "site")
        assert len(asked) == 2


async def test_a_broken_search_domain_does_not_hide_the_name_itself() -> None:
    records: dict[str, Any] = {"www.good": ["A 192.0.2.6"], "www.good.corp.local": dns.rcode.SERVFAIL}
    search = (dns.name.from_text("corp.local"),)
    async with nameserver(zone(**records)) as (server, asked):
        asking = resolver(server, search=search, ndots=5)
        assert await addresses(asking, "www.good") == ("192.0.2.6",)
        asked.clear()
        assert await addresses(asking, "www.good.") == ("192.0.2.6",)
        assert not any("corp" in question for question in asked), "a final dot says: as it is"


def test_lines_of_resolv_conf_that_cannot_be_understood_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_bytes(b"nameserver not-an-ip\nnameserver\n# caf\xe9\nnameserver 192.0.2.53\n")
    assert host_files.read_resolv_conf(str(file)).nameservers == (Nameserver("192.0.2.53"),)
