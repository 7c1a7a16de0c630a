"""The long tail: Apprise in a process of its own, which the egress guard follows there."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from peekaping.engine.alerts.channel import NotDelivered, deliver
from peekaping.engine.alerts.channels import parse_channel
from peekaping.engine.alerts.web import Web
from peekaping.engine.errors import Invalid

from ..targets import free_port, serving
from .service import Answer, down, send, service


async def test_a_message_is_delivered() -> None:
    async with service() as receiver:
        said = await send("apprise", {"url": receiver.url.replace("http://", "json://") + "/hook"})
    assert said == "Apprise delivered it"
    assert receiver.request.target == "/hook"
    assert receiver.request.json["title"] == "🔴 Website Monitor is down"
    assert receiver.request.json["message"] == "Connection timeout\nhttps://example.com"
    assert receiver.request.json["type"] == "failure"


async def test_a_refusal_says_what_apprise_says() -> None:
    async with service(Answer(500)) as receiver:
        with pytest.raises(NotDelivered, match=r"Apprise did not deliver it: .*500") as failure:
            await send("apprise", {"url": receiver.url.replace("http://", "json://")})
    assert failure.value.retry


async def test_a_denied_address_is_not_reached() -> None:
    reached: list[str] = []

    async def note(stream: trio.SocketStream) -> None:
        reached.append("connection")

    async with serving(note) as port, Web(["127.0.0.0/8"]) as web:
        # By name: what counts is the address that is connected to.
        channel = parse_channel("apprise", {"url": f"json://localhost:{port}"})
        with pytest.raises(NotDelivered, match=r"may not connect to 127\.0\.0\.1") as failure:
            await deliver(channel, down(), web)
    assert not failure.value.retry
    assert reached == []


async def test_the_process_gets_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with service() as proxy, service() as receiver:
        monkeypatch.setenv("http_proxy", proxy.url)
        await send("apprise", {"url": receiver.url.replace("http://", "json://")})
    assert proxy.requests == []
    assert len(receiver.requests) == 1


async def test_a_url_that_apprise_does_not_know_is_final() -> None:
    with pytest.raises(NotDelivered, match="does not understand this URL") as failure:
        await send("apprise", {"url": "nonsense://host"})
    assert not failure.value.retry


async def test_files_of_this_host_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"type": "top secret"}')
    with pytest.raises(NotDelivered) as failure:
        await send("apprise", {"url": f"workflow://127.0.0.1:{free_port()}/a/b?template={secret}"})
    assert "top secret" not in failure.value.text


async def test_nobody_there_is_tried_again() -> None:
    with pytest.raises(NotDelivered) as failure:
        await send("apprise", {"url": f"json://s3cretuser:s3cretpass@127.0.0.1:{free_port()}"})
    assert failure.value.retry
    assert "s3cretpass" not in failure.value.text


async def test_a_silent_service_is_given_up_by_the_process_too() -> None:
    reached, left = trio.Event(), trio.Event()

    async def wait_for_the_end(stream: trio.SocketStream) -> None:
        reached.set()
        while await stream.receive_some(65536):
            pass
        left.set()

    async with serving(wait_for_the_end) as port, trio.open_nursery() as nursery:
        nursery.start_soon(send, "apprise", {"url": f"json://127.0.0.1:{port}?rto=60"})
        await reached.wait()
        nursery.cancel_scope.cancel()
        with trio.fail_after(5, shield=True):
            await left.wait()
    assert left.is_set()


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(Invalid, match="must be a URL as Apprise has them"):
        parse_channel("apprise", {"url": "just words"})
