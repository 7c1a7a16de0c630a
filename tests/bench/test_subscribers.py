"""Counting WebSocket frames: what the figures of live events stand on."""

from __future__ import annotations

import pytest

from bench.subscribers import Frames

HEARTBEAT = b'{"type":"heartbeat","data":{"monitorId":"monitor-1","status":"up"}}'
LONG = HEARTBEAT + b" " * 200
LAGGED = b'{"type":"lagged","data":{"dropped":7}}'
OTHER = b'{"type":"monitor_status","data":{}}'


def frame(payload: bytes) -> bytes:
    length = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2)
    return b"\x81" + length + payload


@pytest.mark.parametrize("size", [1, 2, 3, 50, 10_000])
def test_frames_are_counted_however_they_are_cut(size: int) -> None:
    data = b"".join(map(frame, [OTHER, HEARTBEAT, LONG, LAGGED, HEARTBEAT, LAGGED, OTHER]))
    frames = Frames()
    counts = [frames.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert tuple(map(sum, zip(*counts, strict=True))) == (3, 14)


def test_a_frame_counts_when_it_is_whole() -> None:
    frames = Frames()
    assert frames.feed(frame(HEARTBEAT)[:-1]) == (0, 0)
    assert frames.feed(frame(HEARTBEAT)[-1:]) == (1, 0)
