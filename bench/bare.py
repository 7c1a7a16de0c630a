"""The floor: what the kernel asks for a GET with a new connection, `python -m bench.bare URL COUNT`.

No event loop, no parser, no schedule, nothing kept: a socket is made, connected, written to, waited for, read from and closed,
50 at a time. No check can cost less on this machine; what it costs more is ours. Prints what `worker.py` prints.
"""

from __future__ import annotations

import errno
import json
import select
import socket
import sys
import time
from urllib.parse import urlsplit

AT_ONCE = 50
WARM_UP = 100


def get(address: tuple[str, int], request: bytes, count: int) -> int:
    """Make so many requests; gives back how many were answered with 200."""
    epoll = select.epoll()
    waiting: dict[int, socket.SocketType] = {}
    good, begun = 0, 0
    while begun < count or waiting:
        while begun < count and len(waiting) < AT_ONCE:
            begun += 1
            sock = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            if sock.connect_ex(address) == errno.EINPROGRESS:
                sock.connect_ex(address)
            sock.send(request)
            epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLET)
            waiting[sock.fileno()] = sock
        for number, _ in epoll.poll():
            sock = waiting.pop(number)
            good += sock.recv(65536).startswith(b"HTTP/1.1 200 ")
            sock.close()
    return good


def main(url: str, count: int) -> None:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()
    address = (parts.hostname, parts.port)
    get(address, request, WARM_UP)
    began = time.process_time()
    good = get(address, request, count)
    print(json.dumps({"good": good, "cpuUs": (time.process_time() - began) / count * 1e6}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
