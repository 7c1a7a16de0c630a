"""A process of its own that sends one message by Apprise: what is asked for comes as JSON on its input, what came of it goes out.

Why a process: Apprise's services connect as they like, so only an audit hook sees all that they do, and in the server's process
such a hook would slow down every probe. A process also can be ended at its deadline, which a thread cannot, and is small again
afterwards.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from peekaping.engine.net.address import is_address
from peekaping.engine.net.egress import EgressGuard
from peekaping.engine.net.failure import Failed
from peekaping.engine.records import Status

_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"})
_LEAVING = ("subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "pty.", "syslog.")
"""What services of this host's own, such as its desktop, would do."""


class Forbidden(OSError):
    """What a service tried is not allowed: services take it for a connection that failed."""


class _LastWords(logging.Handler):
    """Keeps the last thing that Apprise complained of: it tells nobody else why something failed."""

    words = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.words = record.getMessage()


def main() -> None:
    """Read, send, answer."""
    asked = json.load(sys.stdin)
    import apprise  # before the guard, as it looks around on this host while it loads
    from apprise.manager_attachment import AttachmentManager

    # Some services read templates and keys by path, and what they say of them shows what is in them.
    AttachmentManager().remove("file")  # type: ignore[no-untyped-call]
    last = _LastWords(logging.WARNING)
    logging.getLogger("apprise").addHandler(last)
    sender = apprise.Apprise()
    if not sender.add(asked["url"]):
        answer = {"delivered": False, "retry": False, "text": "Apprise does not understand this URL"}
    else:
        refused = _keep_in(EgressGuard(asked["deny"]))
        delivered = sender.notify(asked["body"], title=asked["title"], notify_type=apprise.NotifyType(asked["type"]))
        why = "; ".join(refused) or last.words or "it does not say why"
        text = "Apprise delivered it" if delivered else f"Apprise did not deliver it: {why}"
        answer = {"delivered": bool(delivered), "retry": not refused, "text": text}
    json.dump(answer, sys.stdout)


def _keep_in(guard: EgressGuard) -> list[str]:
    """From now on only allowed addresses can be reached; what was refused is noted in the list."""
    refused: list[str] = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in _CONNECTING:
            address = args[1]
            try:
                if not isinstance(address, tuple) or not is_address(address[0] or "0.0.0.0"):
                    raise Failed(Status.UNKNOWN, "egress_denied", "only connections to addresses are allowed")
                guard.check(address[0])
            except Failed as failure:
                refused.append(failure.message)
                raise Forbidden(failure.message) from failure
        elif event.startswith(_LEAVING):
            refused.append(f"{event} is not allowed")
            raise Forbidden(refused[-1])

    sys.addaudithook(hook)
    return refused


if __name__ == "__main__":
    main()
