"""Waiting for sockets: what happened is never missed, whoever waited or did not when it happened."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from peekaping.engine.net.connection import Connection
from peekaping.engine.net.readiness import READ, WRITE, readiness


@contextmanager
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection, and the target's end of it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ours = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM)
        ours.connect(listener.getsockname())
        ours.setblocking(False)
        theirs, _ = listener.accept()
    connection = Connection(ours, readiness())
    with theirs:
        yield connection, theirs
        connection.close()


async def looked() -> None:
    """By now all that has happened has been seen by the task that looks."""
    await trio.sleep(0.01)
    await wait_all_tasks_blocked()


async def test_what_came_before_anybody_waited_is_received() -> None:
    with pair() as (connection, theirs), trio.fail_after(5):
        theirs.send(b"early")
        await looked()
        assert await connection.receive() == b"early"


async def test_what_comes_while_waiting_wakes() -> None:
    with pair() as (connection, theirs), trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def send() -> None:
                await looked()
                theirs.send(b"late")

            assert await connection.receive() == b"late"


async def test_an_end_that_came_with_the_data_is_noticed_after_it() -> None:
    """One piece of news for both: who has read the data must not wait for more of it."""
    with pair() as (connection, theirs), trio.fail_after(5):
        theirs.send(b"all")
        theirs.shutdown(socket.SHUT_WR)
        await looked()
        assert await connection.receive() == b"all"
        assert await connection.receive() == b""


async def test_news_that_a_cancelled_wait_missed_is_not_lost() -> None:
    with pair() as (connection, theirs):
        with trio.move_on_after(0.01) as scope:
            await connection.receive()
        assert scope.cancelled_caught
        theirs.send(b"x")
        theirs.shutdown(socket.SHUT_WR)
        await looked()
        with trio.move_on_after(0), pytest.raises(trio.Cancelled):
            await connection.receive()
        with trio.fail_after(5):
            assert [await connection.receive(), await connection.receive()] == [b"x", b""]


async def test_an_answer_that_came_while_sending_was_waited_for_is_received() -> None:
    with pair() as (connection, theirs), trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def answer_and_then_read() -> None:
                await looked()  # the request fills the buffers, so that its sender waits
                theirs.send(b"answer")
                theirs.setblocking(False)
                rest = 20_000_000
                while rest:
                    await trio.lowlevel.wait_readable(theirs)
                    rest -= len(theirs.recv(1 << 20))

            await connection.send(b"r" * 20_000_000)
            assert await connection.receive() == b"answer"


async def test_a_number_that_is_used_again_knows_nothing_of_the_socket_before() -> None:
    with pair() as (old, theirs), socket.socket() as listener:
        theirs.send(b"old")
        assert await old.receive() == b"old"
        theirs.send(b"older")
        await looked()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        number = old._number
        with socket.socket() as dialling:
            dialling.connect(listener.getsockname())
            old.close()
            os.dup2(dialling.fileno(), number)
        answering, _ = listener.accept()
        new = Connection(socket.SocketType(fileno=number), readiness())
        new._socket.setblocking(False)
        with answering:
            with trio.move_on_after(0.05) as scope:
                await new.receive()
            assert scope.cancelled_caught, "nothing has come"
            answering.send(b"new")
            with trio.fail_after(5):
                assert await new.receive() == b"new"
        new.close()


async def test_many_wait_at_once() -> None:
    ends = [socket.socketpair() for _ in range(300)]
    woken = []

    async def wait(number: int, sock: socket.socket) -> None:
        await readiness().wait(sock.fileno(), READ)
        woken.append(number)

    async with trio.open_nursery() as nursery:
        for number, (ours, _) in enumerate(ends):
            nursery.start_soon(wait, number, ours)
        await looked()
        assert not woken
        for _, theirs in ends:
            theirs.send(b"!")
    assert sorted(woken) == list(range(300))
    for ours, theirs in ends:
        readiness().forget(ours.fileno())
        ours.close()
        theirs.close()


async def test_what_came_before_time_was_up_is_received_after_a_standstill() -> None:
    """Trio looks at deadlines before anybody has looked at the sockets."""
    with pair() as (connection, theirs), trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:

                @nursery.start_soon
                async def stand_still() -> None:
                    theirs.send(b"in time")
                    scope.deadline = trio.current_time() - 1

                received = await connection.receive()
                await trio.lowlevel.checkpoint()
        assert received == b"in time"
        assert scope.cancelled_caught, "at the next wait"


async def test_so_it_is_however_much_came_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class TellsOfOne:
        """As epoll tells of a thousand where it is not asked for more."""

        def __getattr__(self, name: str) -> Any:
            return getattr(epoll, name)

        def poll(self, timeout: float, most: int = -1) -> list[tuple[int, int]]:
            return epoll.poll(timeout, 1 if most < 0 else most)

    epoll = readiness()._epoll
    monkeypatch.setattr(readiness(), "_epoll", TellsOfOne())
    with pair() as (other, to_other), pair() as (connection, theirs), trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.receive)
            with trio.CancelScope() as scope:

                @nursery.start_soon
                async def stand_still() -> None:
                    await wait_all_tasks_blocked()
                    to_other.send(b"first")
                    theirs.send(b"in time")
                    scope.deadline = trio.current_time() - 1

                received = await connection.receive()
        assert received == b"in time"


async def test_waiting_to_write_is_over_when_there_is_room() -> None:
    with pair() as (connection, _), trio.fail_after(5):
        await readiness().wait(connection._number, WRITE)
