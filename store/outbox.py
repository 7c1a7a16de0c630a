"""The outbox in SQLite: messages to send, stored in the transaction of what they tell, and what came of sending them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlite_utils import Database

from peekaping.engine.alerts.delivery import Delivery, NewDelivery, State, Tried
from peekaping.engine.alerts.message import Event, Message
from peekaping.engine.alerts.ports import DELIVERIES_KEPT_MS, KEPT_OTHERWISE_MS, Due
from peekaping.store import heartbeats

_COLUMNS = "number, channel, monitor, message, created, due, tries, first_tried, bundle, state, finished, answer"
# Due at once, whatever the message's time: the clock may be set back. A batch may be stored again, and a notice
# thought of again after a restart: a channel has each key once.
_ENQUEUE = f"""
    INSERT OR IGNORE INTO delivery (channel, monitor, key, event, message, created, due, state)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, 0, '{State.WAITING}'
    FROM json_each(?)
    WHERE value ->> 0 IN (SELECT number FROM channel WHERE settings ->> 'enabled') AND value ->> 1 IN (SELECT number FROM monitor)
"""
# By its statistics, or without them, SQLite would look at all that a channel was ever sent. This index has the order: what was
# never tried is due since 0, and a look ends with the limit.
_DUE = f"""
    SELECT {_COLUMNS} FROM delivery AS it INDEXED BY waiting_until
    WHERE channel = :channel AND state = '{State.WAITING}' AND (due <= :now OR first_tried > :now) AND NOT EXISTS (
        SELECT 1 FROM delivery AS earlier
        WHERE earlier.channel = it.channel AND earlier.monitor = it.monitor AND earlier.state = '{State.WAITING}'
        AND earlier.number < it.number {{which}}
    )
    ORDER BY {{order}} LIMIT :limit
"""
_DUE_ONE_EACH = _DUE.format(which="", order="due, number")
_DUE_ALL = _DUE.format(
    which="AND (earlier.due, earlier.bundle) IS NOT (it.due, it.bundle)", order="due, ifnull(bundle, number), number"
)
_NEXT = f"SELECT min(due) FROM delivery INDEXED BY waiting_until WHERE channel = ? AND state = '{State.WAITING}' AND due > ?"
_KEPT = " ".join(f"WHEN '{event}' THEN {kept}" for event, kept in KEPT_OTHERWISE_MS.items())
_FINISH = f"finished = :at, forget = :at + CASE event {_KEPT} ELSE {DELIVERIES_KEPT_MS} END"
_SETTLE = """
    UPDATE delivery SET
        tries = tries + 1, first_tried = min(ifnull(first_tried, :at), :at), state = :state, answer = :answer, due = :due,
        {finish}
    WHERE number IN (SELECT value FROM json_each(:numbers)) {only}
"""
# What was given up meanwhile, as its channel was disabled, does not wait again.
_SETTLE_WAITING = _SETTLE.format(finish="finished = NULL, forget = NULL", only=f"AND state = '{State.WAITING}'")
_SETTLE_FINISHED = _SETTLE.format(finish=_FINISH, only="")
_GIVE_UP = f"""
    UPDATE delivery INDEXED BY waiting SET state = '{State.FAILED}', answer = :why, {_FINISH}
    WHERE channel = {{channel}} AND state = '{State.WAITING}' {{which}}
"""
_GIVE_UP_ALL = _GIVE_UP.format(channel=":channel", which="")
_GIVE_UP_UNTRIED = _GIVE_UP.format(
    channel="(SELECT channel FROM delivery WHERE number = :first)",
    which="""AND first_tried IS NULL AND created <= :since
        AND monitor IN (SELECT monitor FROM delivery WHERE number IN (SELECT value FROM json_each(:numbers)))""",
)
# `created` is `made_ms`: its day begins anew. When it happened, which is shown, stays in the message.
_REDELIVER = f"""
    UPDATE delivery SET
        state = '{State.WAITING}', created = :now, due = 0, tries = 0, first_tried = NULL, bundle = NULL,
        finished = NULL, forget = NULL
    WHERE channel = :channel AND number = :number RETURNING {_COLUMNS}
"""
_DOWN_SINCE = f"""
    SELECT value, (
        SELECT max(at) FROM heartbeat WHERE monitor = value AND {heartbeats.IS_TRANSITION}
    ) FROM json_each(?)
"""
_OLD = "DELETE FROM delivery WHERE number IN (SELECT number FROM delivery WHERE forget < ? LIMIT ?)"
# What a removed monitor was is still told; how it is interests nobody any more.
_OF_REMOVED = f"""
    DELETE FROM delivery WHERE monitor = ? AND state = '{State.WAITING}'
    AND event NOT IN ('{Event.CREATED}', '{Event.UPDATED}', '{Event.DELETED}')
"""
_decode_message = msgspec.json.Decoder(Message).decode


def encode(deliveries: Iterable[NewDelivery]) -> str | None:
    """The deliveries as one JSON text; None when there are none, as with nearly all batches."""
    rows = [
        (
            new.channel,
            new.monitor,
            new.key,
            new.message.event,
            msgspec.json.encode(new.message).decode(),
            new.message.at,
        )
        for new in deliveries
    ]
    return msgspec.json.encode(rows).decode() if rows else None


def enqueue(db: Database, batch: str) -> None:
    """Store what `encode` made."""
    db.execute(_ENQUEUE, (batch,))


def waiting(db: Database) -> list[int]:
    rows = db.execute(f"SELECT DISTINCT channel FROM delivery WHERE state = '{State.WAITING}'")
    return [number for (number,) in rows]


def due(db: Database, channel: int, now_ms: int, one_each: bool, limit: int) -> Due:
    rows = db.execute(
        _DUE_ONE_EACH if one_each else _DUE_ALL, {"channel": channel, "now": now_ms, "limit": limit}
    ).fetchall()
    (next_ms,) = db.execute(_NEXT, (channel, now_ms)).fetchone()
    return Due([_decode(row) for row in rows], next_ms)


def bundle(db: Database, numbers: Sequence[int]) -> None:
    db.execute(
        "UPDATE delivery SET bundle = ? WHERE number IN (SELECT value FROM json_each(?))",
        (numbers[0], msgspec.json.encode(numbers).decode()),
    )


def settle(db: Database, tried: Tried) -> None:
    values = {
        "at": tried.at_ms,
        "state": tried.state,
        "answer": tried.answer,
        "due": tried.due_ms,
        "numbers": msgspec.json.encode(tried.numbers).decode(),
    }
    db.execute(_SETTLE_WAITING if tried.state is State.WAITING else _SETTLE_FINISHED, values)
    if tried.untried_since_ms is not None:
        since = tried.untried_since_ms
        why = {"why": tried.answer, "at": tried.at_ms}
        these = {"first": tried.numbers[0], "numbers": values["numbers"]}
        db.execute(_GIVE_UP_UNTRIED, {**these, "since": since, **why})


def give_up(db: Database, channel: int, why: str, now_ms: int) -> None:
    """Send nothing more of what waits for a channel."""
    db.execute(_GIVE_UP_ALL, {"channel": channel, "why": why, "at": now_ms})


def page(db: Database, channel: int, offset: int, limit: int) -> tuple[int, list[Delivery]]:
    (count,) = db.execute("SELECT count(*) FROM delivery WHERE channel = ?", (channel,)).fetchone()
    statement = f"SELECT {_COLUMNS} FROM delivery WHERE channel = ? ORDER BY number DESC LIMIT ? OFFSET ?"
    return count, [_decode(row) for row in db.execute(statement, (channel, limit, offset))]


def redeliver(db: Database, channel: int, number: int, now_ms: int) -> Delivery | None:
    rows = db.execute(_REDELIVER, {"now": now_ms, "channel": channel, "number": number}).fetchall()
    return _decode(rows[0]) if rows else None


def down_since(db: Database, numbers: Sequence[int]) -> dict[int, int]:
    rows = db.execute(_DOWN_SINCE, (msgspec.json.encode(numbers).decode(),))
    return {number: at for number, at in rows if at is not None}


def remove_old(db: Database, now_ms: int, limit: int) -> int:
    """Delete some that are not kept any longer; gives back how many."""
    return db.execute(_OLD, (now_ms, limit)).rowcount


def remove(db: Database, monitor: int) -> None:
    """Delete what is not worth telling of a monitor that is removed."""
    db.execute(_OF_REMOVED, (monitor,))


def _decode(row: Sequence[Any]) -> Delivery:
    number, channel, monitor, message, made, due_ms, tries, first_tried, in_bundle, state, finished, answer = row
    return Delivery(
        number, channel, monitor, _decode_message(message), made, due_ms, tries, first_tried, in_bundle,
        State(state), finished, answer,
    )  # fmt: skip
