"""Each kind sends its service exactly what that service takes: played here by a server on loopback."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from peekaping.engine.alerts.channel import NotDelivered
from peekaping.engine.alerts.channels import CHANNELS, parse_channel
from peekaping.engine.alerts.message import grouped
from peekaping.engine.errors import Invalid

from .service import AT, AT_ISO, Answer, down, send, service, up

TITLE, TEXT = "🔴 Website Monitor is down", "Connection timeout\nhttps://example.com"
BOTH = f"{TITLE}\n{TEXT}"
BACK, BACK_TEXT = "✅ Website Monitor is up again", "OK, after 5 min\nhttps://example.com"


async def test_slack() -> None:
    async with service() as slack:
        await send("slack", {"url": f"{slack.url}/services/T0/B0/x", "channel": "#ops", "iconEmoji": ":bell:"})
    assert (slack.request.method, slack.request.target) == ("POST", "/services/T0/B0/x")
    assert slack.request.json == {
        "text": f"*{TITLE}*",
        "attachments": [{"color": "#e01e5a", "text": TEXT, "fallback": TEXT}],
        "icon_emoji": ":bell:",
        "channel": "#ops",
    }


async def test_slack_calls_nobody_for_a_target() -> None:
    async with service() as slack:
        await send("slack", {"url": slack.url}, down(name="<!channel> & co"))
    assert slack.request.json["text"] == "*🔴 &lt;!channel&gt; &amp; co is down*"


async def test_discord() -> None:
    async with service(Answer(200, b"{}")) as discord:
        config = {"url": f"{discord.url}/api/webhooks/1/x", "username": "Peekaping", "threadId": "42"}
        await send("discord", config, up())
    assert discord.request.target == "/api/webhooks/1/x?wait=true&thread_id=42"
    assert discord.request.json == {
        "embeds": [{"title": BACK, "description": BACK_TEXT, "color": 0x2EB67D, "timestamp": AT_ISO}],
        "allowed_mentions": {"parse": []},
        "username": "Peekaping",
    }


async def test_telegram() -> None:
    async with service() as telegram:
        config = {"url": telegram.url, "botToken": "12:ab-c", "chatId": "-100", "messageThreadId": 7, "silent": True}
        await send("telegram", config)
    assert (telegram.request.method, telegram.request.target) == ("POST", "/bot12%3Aab-c/sendMessage")
    assert telegram.request.json == {
        "chat_id": "-100",
        "text": BOTH,
        "disable_notification": True,
        "protect_content": False,
        "message_thread_id": 7,
    }


async def test_telegram_is_told_plainly_what_it_takes_for_broken_markup() -> None:
    broken = b'{"ok":false,"description":"Bad Request: can\'t parse entities: Unsupported start tag"}'
    async with service(Answer(400, broken), Answer(200)) as telegram:
        config = {"url": telegram.url, "botToken": "12:ab-c", "chatId": "1", "parseMode": "HTML"}
        assert await send("telegram", config, down(name="<x>")) == "200 OK: ok"
    first, second = (request.json for request in telegram.requests)
    assert first == {**second, "parse_mode": "HTML"}


async def test_teams() -> None:
    async with service(Answer(202, b"")) as teams:
        assert await send("teams", {"url": f"{teams.url}/workflows/x?sig=y"}) == "202 Accepted"
    (attachment,) = teams.request.json["attachments"]
    assert teams.request.target == "/workflows/x?sig=y"
    assert teams.request.json["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["content"]["type"] == "AdaptiveCard"
    title, text = attachment["content"]["body"]
    assert (title["text"], title["color"]) == (TITLE, "attention")
    assert text["text"] == TEXT.replace("\n", "\n\n")


async def test_mattermost() -> None:
    async with service() as mattermost:
        await send("mattermost", {"url": f"{mattermost.url}/hooks/x", "username": "peek", "channel": "ops"})
    assert mattermost.request.json == {
        "attachments": [{"color": "#e01e5a", "title": TITLE, "text": TEXT, "fallback": TITLE}],
        "username": "peek",
        "channel": "ops",
    }


async def test_matrix_gets_the_key_as_its_transaction() -> None:
    async with service(Answer(200, b"{}")) as matrix:
        await send("matrix", {"url": matrix.url, "roomId": "!room:home", "accessToken": "syt_x"}, down(key="d/9"))
    assert matrix.request.method == "PUT"
    assert matrix.request.target == "/_matrix/client/v3/rooms/%21room%3Ahome/send/m.room.message/d%2F9"
    assert matrix.request.headers["authorization"] == "Bearer syt_x"
    assert matrix.request.json == {"msgtype": "m.text", "body": BOTH}


async def test_ntfy() -> None:
    async with service() as ntfy:
        await send("ntfy", {"url": ntfy.url, "topic": "ops", "token": "tk_x", "tags": ["uptime"]})
    assert ntfy.request.target == "/"
    assert ntfy.request.headers["authorization"] == "Bearer tk_x"
    assert ntfy.request.json == {"topic": "ops", "title": TITLE, "message": TEXT, "priority": 4, "tags": ["uptime"]}


async def test_ntfy_by_password() -> None:
    async with service() as ntfy:
        await send("ntfy", {"url": ntfy.url, "topic": "ops", "username": "me", "password": "pw", "priority": 2})
    assert ntfy.request.headers["authorization"] == f"Basic {base64.b64encode(b'me:pw').decode()}"
    assert ntfy.request.json["priority"] == 2


async def test_gotify() -> None:
    async with service() as gotify:
        await send("gotify", {"url": f"{gotify.url}/gotify/", "token": "A.x"})
    assert gotify.request.target == "/gotify/message"
    assert gotify.request.headers["x-gotify-key"] == "A.x"
    assert gotify.request.json == {"title": TITLE, "message": TEXT, "priority": 8}


async def test_pushover() -> None:
    async with service() as pushover:
        await send("pushover", {"url": pushover.url, "userKey": "u1", "token": "t1", "priority": 2, "sound": "siren"})
    assert pushover.request.target == "/1/messages.json"
    assert pushover.request.form == {
        "token": "t1",
        "user": "u1",
        "title": TITLE,
        "message": TEXT,
        "priority": "2",
        "timestamp": str(AT // 1000),
        "sound": "siren",
        "retry": "30",
        "expire": "3600",
    }


async def test_pagerduty_resolves_what_it_triggered() -> None:
    async with service(Answer(202)) as pagerduty:
        for message in (down(), up()):
            await send("pagerduty", {"url": pagerduty.url, "integrationKey": "R0"}, message)
    first, second = (request.json for request in pagerduty.requests)
    assert pagerduty.requests[0].target == "/v2/enqueue"
    assert first == {
        "routing_key": "R0",
        "event_action": "trigger",
        "dedup_key": "peekaping/monitor-123",
        "payload": {
            "summary": TITLE,
            "source": "Website Monitor",
            "severity": "critical",
            "timestamp": AT_ISO,
            "custom_details": {"text": TEXT},
        },
    }
    assert (second["event_action"], second["dedup_key"]) == ("resolve", "peekaping/monitor-123")


async def test_opsgenie_closes_what_it_opened() -> None:
    async with service(Answer(202)) as opsgenie:
        for message in (down(), up()):
            await send("opsgenie", {"url": opsgenie.url, "apiKey": "k1"}, message)
    opened, closed = opsgenie.requests
    assert opened.headers["authorization"] == closed.headers["authorization"] == "GenieKey k1"
    assert opened.target == "/v2/alerts"
    assert opened.json == {
        "message": TITLE,
        "alias": "peekaping/monitor-123",
        "description": TEXT,
        "priority": "P1",
        "source": "Peekaping",
    }
    assert closed.target == "/v2/alerts/peekaping%2Fmonitor-123/close?identifierType=alias"
    assert closed.json == {"source": "Peekaping", "note": BACK_TEXT}


async def test_twilio() -> None:
    async with service(Answer(201)) as twilio:
        config = {"url": twilio.url, "accountSid": "AC1", "authToken": "s", "from": "+1000", "to": "+2000"}
        await send("twilio", config)
        await send("twilio", {**config, "apiKey": "SK1"})
    for request, user in zip(twilio.requests, ("AC1", "SK1"), strict=True):
        assert request.target == "/2010-04-01/Accounts/AC1/Messages.json"
        assert request.headers["authorization"] == f"Basic {base64.b64encode(f'{user}:s'.encode()).decode()}"
        assert request.form == {"From": "+1000", "To": "+2000", "Body": BOTH}


async def test_google_chat() -> None:
    async with service() as chat:
        await send("google_chat", {"url": f"{chat.url}/v1/spaces/x/messages?key=k&token=t"})
    assert chat.request.target == "/v1/spaces/x/messages?key=k&token=t"
    assert chat.request.json == {"text": BOTH}


async def test_google_chat_calls_nobody_for_a_target() -> None:
    async with service() as chat:
        await send("google_chat", {"url": chat.url}, down(name="<users/all>"))
    assert "<users/" not in chat.request.json["text"]


async def test_grafana_oncall_resolves_what_it_opened() -> None:
    async with service() as oncall:
        for message in (down(), up()):
            await send("grafana_oncall", {"url": oncall.url}, message)
    assert [request.json for request in oncall.requests] == [
        {"alert_uid": "peekaping/monitor-123", "title": TITLE, "message": TEXT, "state": "alerting"},
        {"alert_uid": "peekaping/monitor-123", "title": BACK, "message": BACK_TEXT, "state": "ok"},
    ]


async def test_signal() -> None:
    async with service(Answer(201)) as signal:
        await send("signal", {"url": signal.url, "number": "+1000", "recipients": ["+2000", "group.x"]})
    assert signal.request.target == "/v2/send"
    assert signal.request.json == {"message": BOTH, "number": "+1000", "recipients": ["+2000", "group.x"]}


async def test_pushbullet_gets_the_key_as_its_guid() -> None:
    async with service() as pushbullet:
        await send("pushbullet", {"url": pushbullet.url, "accessToken": "o.x", "device": "d1"}, down(key="d-9"))
    assert pushbullet.request.target == "/v2/pushes"
    assert pushbullet.request.headers["access-token"] == "o.x"
    assert pushbullet.request.json == {"type": "note", "title": TITLE, "body": TEXT, "guid": "d-9", "device_iden": "d1"}


async def test_pagertree_resolves_what_it_opened() -> None:
    async with service() as pagertree:
        for message in (down(), up()):
            await send("pagertree", {"url": pagertree.url, "urgency": "high"}, message)
    assert [(request.json["event_type"], request.json["id"]) for request in pagertree.requests] == [
        ("create", "peekaping/monitor-123"),
        ("resolve", "peekaping/monitor-123"),
    ]
    assert pagertree.requests[0].json["urgency"] == "high"
    assert (pagertree.requests[0].json["title"], pagertree.requests[0].json["description"]) == (TITLE, TEXT)


async def test_wecom() -> None:
    async with service(Answer(200, b'{"errcode":0,"errmsg":"ok"}')) as wecom:
        await send("wecom", {"url": f"{wecom.url}/cgi-bin/webhook/send?key=k"})
    assert wecom.request.json == {"msgtype": "markdown", "markdown": {"content": BOTH}}


@pytest.mark.parametrize(
    ("body", "retry"),
    [(b'{"errcode":93000,"errmsg":"invalid webhook url"}', False), (b'{"errcode":45009}', True), (b"<html>", True)],
)
async def test_wecom_refuses_under_a_200(body: bytes, retry: bool) -> None:
    async with service(Answer(200, body)) as wecom:
        with pytest.raises(NotDelivered) as failure:
            await send("wecom", {"url": wecom.url})
    assert failure.value.retry is retry


async def test_whatsapp() -> None:
    async with service(Answer(201)) as waha:
        await send("whatsapp", {"url": waha.url, "phoneNumber": "+49 (170) 123-45", "apiKey": "k1"})
    assert waha.request.target == "/api/sendText"
    assert waha.request.headers["x-api-key"] == "k1"
    assert waha.request.json == {"session": "default", "chatId": "4917012345@c.us", "text": BOTH}


async def test_sendgrid() -> None:
    async with service(Answer(202, b"")) as sendgrid:
        addresses = {"from": "Peek <a@example.com>", "to": ["b@example.com"], "bcc": ["c@example.com"]}
        await send("sendgrid", {"url": sendgrid.url, "apiKey": "SG.x", **addresses})
    assert sendgrid.request.target == "/v3/mail/send"
    assert sendgrid.request.headers["authorization"] == "Bearer SG.x"
    assert sendgrid.request.json == {
        "personalizations": [{"to": [{"email": "b@example.com"}], "bcc": [{"email": "c@example.com"}]}],
        "from": {"email": "a@example.com", "name": "Peek"},
        "subject": TITLE,
        "content": [{"type": "text/plain", "value": TEXT}],
    }


async def test_line() -> None:
    async with service() as line:
        await send("line", {"url": line.url, "accessToken": "x", "to": "U1"})
    assert line.request.target == "/v2/bot/message/push"
    assert line.request.headers["authorization"] == "Bearer x"
    assert line.request.json == {"to": "U1", "messages": [{"type": "text", "text": BOTH}]}


# What all have in common

CONFIGS: dict[str, dict[str, Any]] = {
    "slack": {"url": "https://s"},
    "discord": {"url": "https://s"},
    "telegram": {"botToken": "1:a", "chatId": "1"},
    "teams": {"url": "https://s"},
    "mattermost": {"url": "https://s"},
    "matrix": {"url": "https://s", "roomId": "!r:h", "accessToken": "t"},
    "ntfy": {"topic": "t"},
    "gotify": {"url": "https://s", "token": "t"},
    "pushover": {"userKey": "u", "token": "t"},
    "pagerduty": {"integrationKey": "k"},
    "opsgenie": {"apiKey": "k"},
    "twilio": {"accountSid": "A", "authToken": "t", "from": "+1", "to": "+2"},
    "google_chat": {"url": "https://s"},
    "grafana_oncall": {"url": "https://s"},
    "signal": {"url": "https://s", "number": "+1", "recipients": ["+2"]},
    "pushbullet": {"accessToken": "t"},
    "pagertree": {"url": "https://s"},
    "wecom": {"url": "https://s"},
    "whatsapp": {"url": "https://s", "phoneNumber": "+491701"},
    "sendgrid": {"apiKey": "k", "from": "a@b", "to": ["c@d"]},
    "line": {"accessToken": "t", "to": "U"},
}
"""The least that each of these needs; `email`, `webhook` and `apprise` have tests of their own."""


def test_every_kind_is_tested() -> None:
    assert set(CONFIGS) | {"email", "webhook", "apprise"} == set(CHANNELS)


@pytest.mark.parametrize("kind", CONFIGS)
async def test_a_service_that_is_overloaded_is_tried_again(kind: str) -> None:
    async with service(Answer(503, b"busy", (("Retry-After", "7"),))) as overloaded:
        with pytest.raises(NotDelivered, match="503") as failure:
            await send(kind, {**CONFIGS[kind], "url": overloaded.url})
    assert failure.value.retry
    assert failure.value.after_s == 7


@pytest.mark.parametrize("kind", CONFIGS)
async def test_a_message_is_told_in_the_users_words(kind: str) -> None:
    async with service(Answer(200, b'{"errcode":0}')) as receiver:
        templates = {"title": "{{ name }}: {{ status }}", "body": "{{ msg }} at {{ time }}"}
        await send(kind, {**CONFIGS[kind], "url": receiver.url, **templates})
    sent = json.dumps(receiver.request.form if b"=" in receiver.request.body[:10] else receiver.request.json)
    assert "Website Monitor: DOWN" in sent
    assert f"Connection timeout at {AT_ISO}" in sent


@pytest.mark.parametrize("kind", CONFIGS)
async def test_many_messages_in_one_stay_within_what_a_service_takes(kind: str) -> None:
    many = grouped([down(number=number, name="x" * 200) for number in range(1, 200)], key="g", at=AT)
    async with service(Answer(200, b'{"errcode":0}')) as receiver:
        await send(kind, {**CONFIGS[kind], "url": receiver.url}, many)
    assert "199 monitors are down" in receiver.request.body.decode().replace("+", " ")
    assert len(receiver.request.body) < 12_000


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_a_kind_needs_is_demanded(kind: str) -> None:
    for name in CONFIGS[kind]:
        with pytest.raises(Invalid, match="is required"):
            parse_channel(kind, {field: value for field, value in CONFIGS[kind].items() if field != name})
