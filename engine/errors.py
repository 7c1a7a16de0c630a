"""What the engine refuses, named for the situation. A failing target is never an exception: probes return outcomes."""

from __future__ import annotations


class EngineError(Exception):
    """Base of everything the engine raises on purpose."""


class Invalid(EngineError):
    """The caller's input breaks a rule; nothing was changed. `errors` maps each wrong field to its messages."""

    def __init__(self, message: str, errors: dict[str, list[str]]) -> None:
        super().__init__(message)
        self.message = message
        self.errors = errors

    def __str__(self) -> str:
        details = "; ".join(text for texts in self.errors.values() for text in texts)
        return f"{self.message}: {details}"


class NoSuchMonitor(EngineError):
    """No monitor has that id, or it was deleted meanwhile."""


class NoSuchChannel(EngineError):
    """No notification channel has that id, or no delivery of it, or it was deleted meanwhile."""


class NameTaken(EngineError):
    """Another channel of the workspace has this name, and monitors name channels by it."""


class Overloaded(EngineError):
    """More pushes wait for one monitor than it may queue; the caller should try again later."""


class Stopped(EngineError):
    """The engine is not running, or stopped before it could answer; whether the change was made is unknown."""


class Escalated(EngineError):
    """A core actor failed too often in too short a time; the cause is `__cause__`. The engine stops."""
