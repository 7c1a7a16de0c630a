"""A web server whose every path changes its mind now and then, by a plan that is known beforehand. Run as its own process."""

from __future__ import annotations

import random
import sys
import time

import trio

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nall good"
ANSWERS = {
    "good": GOOD,
    "error": b"HTTP/1.1 500 Oh\r\nContent-Length: 8\r\nConnection: close\r\n\r\nall good",
    "cut off": GOOD[:-3],
    "wrong words": GOOD.replace(b"good", b"fine"),
    "hangs up": b"",
}
HANGS = "hangs"


def mood(path: str, since: float, now: float) -> str:
    """How the server that started at `since` answers that path at `now`."""
    rng = random.Random(path)
    ends = since - rng.uniform(0, 3)
    while True:
        found = rng.choice([*ANSWERS, HANGS, "good", "good", "good"])
        ends += rng.uniform(1.5, 5)
        if now < ends:
            return found


async def serve(stream: trio.SocketStream, since: float) -> None:
    head = b""
    try:
        async with stream:
            while b"\r\n\r\n" not in head:
                received = await stream.receive_some()
                if not received:
                    return
                head += received
            how = mood(head.split()[1].decode(), since, time.time())
            if how == HANGS:
                await trio.sleep(5)
            else:
                await stream.send_all(ANSWERS[how])
    except trio.BrokenResourceError:
        pass  # whoever asked did not wait


if __name__ == "__main__":
    port, since = int(sys.argv[1]), float(sys.argv[2])
    trio.run(trio.serve_tcp, lambda stream: serve(stream, since), port)
