"""Many subscribers of live events: `python -m bench.subscribers PORT TOKEN COUNT SECONDS` prints `Heard` as JSON.

One loop over plain sockets that counts WebSocket frames (RFC 6455, 5.2) and looks at as little as it can, so that it is not what
is measured. The last subscriber connects and never reads.
"""

from __future__ import annotations

import base64
import os
import select
import socket
import sys
import time

import msgspec

WARM_UP_S = 1.0
PARTS = 5
FIRST_ANSWER_WITHIN_S = 10.0


class Heard(msgspec.Struct):
    """What those who read have received."""

    messages: int
    """Heartbeats, in the measured time."""
    dropped: int
    """What they were told they had missed in that time."""
    per_s: list[float]
    """In each fifth of the time."""
    all_messages: int
    """Since the first connected."""


class Frames:
    """Counts the frames of a server as they arrive, in pieces of any size. None of its messages is 64 kB long."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> tuple[int, int]:
        """How many heartbeats have become whole, and how many others were said to be missing."""
        data = self._rest + data
        at, heartbeats, dropped = 0, 0, 0
        while at + 2 <= len(data):
            length, start = data[at + 1] & 0x7F, at + 2
            if length == 126:
                length, start = int.from_bytes(data[start : start + 2]), start + 2
            if start + length > len(data):
                break
            at = start + length
            if data.startswith(b'{"type":"heartbeat"', start):
                heartbeats += 1
            elif data.startswith(b'{"type":"lagged"', start):
                dropped += int(msgspec.json.decode(data[start:at])["data"]["dropped"])
        self._rest = data[at:]
        return heartbeats, dropped


class Subscriber:
    """One connection."""

    def __init__(self, port: int, token: str) -> None:
        self.socket = socket.socket()
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(FIRST_ANSWER_WITHIN_S)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        head, _, rest = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(f"no WebSocket: {head[:100]!r}")
        self._frames = Frames()
        self._frames.feed(rest)

    def read(self) -> tuple[int, int]:
        """Count what has arrived, see `Frames.feed`."""
        return self._frames.feed(self._receive())

    def _receive(self) -> bytes:
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the server closed a subscriber's connection")
        return data


def main(port: int, token: str, count: int, seconds: float) -> Heard:
    """Connect, listen for so long, and count."""
    poll = select.epoll()
    readers = {}
    for _ in range(count - 1):
        subscriber = Subscriber(port, token)
        readers[subscriber.socket.fileno()] = subscriber
        poll.register(subscriber.socket, select.EPOLLIN)
    stalled = Subscriber(port, token)
    total = 0

    def listen(until: float) -> tuple[int, int]:
        nonlocal total
        heartbeats = dropped = 0
        while time.monotonic() < until:
            for number, _ in poll.poll(0.1):
                more, missing = readers[number].read()
                heartbeats, dropped = heartbeats + more, dropped + missing
        total += heartbeats
        return heartbeats, dropped

    listen(time.monotonic() + WARM_UP_S)
    began = time.monotonic()
    parts = [listen(began + (part + 1) * seconds / PARTS) for part in range(PARTS)]
    stalled.socket.close()  # no sooner
    return Heard(
        messages=sum(messages for messages, _ in parts),
        dropped=sum(dropped for _, dropped in parts),
        per_s=[messages * PARTS / seconds for messages, _ in parts],
        all_messages=total,
    )


if __name__ == "__main__":
    heard = main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    print(msgspec.json.encode(heard).decode())
