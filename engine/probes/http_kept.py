"""The connection that a monitor with `keepAlive` keeps from one check to the next."""

from __future__ import annotations

import trio

from peekaping.engine.net.network import Stream

MOST_IDLE_S = 60.0
"""After this, whoever lies in between (NAT, load balancers) may have forgotten a connection: AWS does after 60 s."""
OLDEST_S = 600.0
"""Then a new connection shows a renewed certificate, and a name that leads elsewhere."""


class KeptConnection:
    """At most one idle connection, and when it was made."""

    __slots__ = ("_idle_since", "_stream", "opened")

    def __init__(self) -> None:
        self._stream: Stream | None = None
        self._idle_since = 0.0
        self.opened = 0.0
        """When the connection was made, whether it lies here or is in use."""

    def put(self, stream: Stream) -> None:
        """Keep a connection."""
        self._stream, self._idle_since = stream, trio.current_time()

    def take(self) -> Stream | None:
        """The kept one, if it is of use still; it is the caller's to close now."""
        stream, self._stream = self._stream, None
        now = trio.current_time()
        if stream is None or (
            now - self._idle_since <= MOST_IDLE_S and now - self.opened <= OLDEST_S and stream.is_quiet()
        ):
            return stream
        stream.close()
        return None

    def close(self) -> None:
        """Close what is kept."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
