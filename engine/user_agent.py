"""What we call ourselves where we ask over HTTP."""

from __future__ import annotations

from importlib.metadata import version

USER_AGENT = f"Peekaping/{version('peekaping')}"
