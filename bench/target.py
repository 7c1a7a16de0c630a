"""The target that is probed: `python -m bench.target PORT`. Answers every request at once, keeps connections open or closes
them as the request asks, and does as little as a server in Python can, so that it is not what is measured.

A single loop over epoll with one small object for each connection; it stops by itself after `SECONDS` or when its parent ends.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time

SECONDS = 900
BODY = b"ok\n"
KEEP = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
CLOSE = KEEP.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def serve(listener: socket.socket, seconds: float = SECONDS) -> None:
    """Serve until the time is up or the parent process is gone."""
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    ends, parent = time.monotonic() + seconds, os.getppid()
    while time.monotonic() < ends and os.getppid() == parent:
        for number, _ in poll.poll(1):
            if number == listener.fileno():
                _accept(listener, poll, connections)
            else:
                _answer(connections[number], poll, connections)


def _accept(listener: socket.socket, poll: select.epoll, connections: dict[int, socket.socket]) -> None:
    for _ in range(100):
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        connection.setblocking(False)
        connections[connection.fileno()] = connection
        poll.register(connection, select.EPOLLIN)


def _answer(connection: socket.socket, poll: select.epoll, connections: dict[int, socket.socket]) -> None:
    try:
        request = connection.recv(65536)
        if request:
            closing = b"\r\nConnection: close" in request
            connection.send(CLOSE if closing else KEEP)
            if not closing:
                return
    except OSError:
        pass  # the client is gone
    poll.unregister(connection)
    del connections[connection.fileno()]
    connection.close()


def listen(port: int = 0) -> socket.socket:
    """A listening socket on loopback."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(4096)
    return listener


if __name__ == "__main__":
    listening = listen(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(listening.getsockname()[1], flush=True)
    serve(listening)
