"""Whose silence "host unreachable" is: the target's, or that of this host's own gateway. Tables as Linux writes them."""

from __future__ import annotations

import errno
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from peekaping.engine.net import failure
from peekaping.engine.net.failure import blame_the_way
from peekaping.engine.net.gateway import dead_gateway
from peekaping.engine.records import Status


def in_hexadecimal(address: str) -> str:
    return f"{int.from_bytes(IPv4Address(address).packed, sys.byteorder):08X}"


def tables(folder: Path, *, gateway_flags: str = "0x0") -> tuple[Path, Path]:
    routes = [  # network, gateway, flags, metric, mask
        ("0.0.0.0", "192.0.2.1", "0003", 0, "0.0.0.0"),
        ("0.0.0.0", "192.0.2.9", "0003", 100, "0.0.0.0"),
        ("192.0.2.0", "0.0.0.0", "0001", 0, "255.255.255.0"),
        ("198.51.100.0", "192.0.2.2", "0003", 0, "255.255.255.0"),
        ("203.0.113.0", "192.0.2.1", "0002", 0, "255.255.255.0"),  # not up
    ]
    lines = [
        f"eth0\t{in_hexadecimal(network)}\t{in_hexadecimal(gateway)}\t{flags}\t0\t0\t{metric}\t{in_hexadecimal(mask)}\t0\t0\t0"
        for network, gateway, flags, metric, mask in routes
    ]
    (folder / "route").write_text("\n".join(["Iface\tDestination\tGateway", *lines, ""]))
    neighbours = [("192.0.2.1", gateway_flags), ("192.0.2.2", "0x2"), ("192.0.2.7", "0x0"), ("192.0.2.9", "0x2")]
    lines = [f"{address:17}0x1         {flags:12}00:00:00:00:00:00     *        eth0" for address, flags in neighbours]
    (folder / "arp").write_text("\n".join(["IP address       HW type     Flags", *lines, ""]))
    return folder / "route", folder / "arp"


@pytest.mark.parametrize(
    ("target", "gateway"),
    [
        ("203.0.113.5", "192.0.2.1"),
        ("198.51.100.5", None),  # another gateway, which answers
        ("192.0.2.7", None),  # a dead host on this host's own network
        ("2001:db8::1", None),
    ],
)
def test_the_gateway_that_leads_to_a_target_and_does_not_answer_is_found(
    target: str, gateway: str | None, tmp_path: Path
) -> None:
    assert dead_gateway(target, *tables(tmp_path)) == gateway


def test_a_gateway_that_answers_is_not_to_blame(tmp_path: Path) -> None:
    assert dead_gateway("203.0.113.5", *tables(tmp_path, gateway_flags="0x2")) is None


def test_tables_that_cannot_be_read_blame_nobody(tmp_path: Path) -> None:
    routes, neighbours = tables(tmp_path)
    assert dead_gateway("203.0.113.5", tmp_path / "none", neighbours) is None
    routes.write_text("Iface\nsomething else\n")
    assert dead_gateway("203.0.113.5", routes, neighbours) is None


def test_what_a_dead_gateway_hides_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable = OSError(errno.EHOSTUNREACH, "")
    monkeypatch.setattr(failure, "dead_gateway", lambda address: "192.0.2.1")
    found = blame_the_way(unreachable, "203.0.113.5")
    assert (found.status, found.reason) == (Status.UNKNOWN, "no_route")
    assert "gateway 192.0.2.1 does not answer" in found.message
    monkeypatch.setattr(failure, "dead_gateway", lambda address: None)
    assert blame_the_way(unreachable, "203.0.113.5").status is Status.DOWN
