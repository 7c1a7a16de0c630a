"""The target that is probed: `python -m bench.target` prints its port. Answers every request at once, keeps connections open or
closes them as the request asks, and does as little as a server in Python can, so that it is not what is measured.

A single loop over epoll with one small object for each connection, until it is ended.
"""

from __future__ import annotations

import select
import socket

BODY = b"ok\n"
KEEP = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
CLOSE = KEEP.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def serve(listener: socket.socket) -> None:
    """Serve for ever."""
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for number, _ in poll.poll():
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


def listen() -> socket.socket:
    """A listening socket on loopback, on a port that is free."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    return listener


if __name__ == "__main__":
    listening = listen()
    print(listening.getsockname()[1], flush=True)
    serve(listening)
