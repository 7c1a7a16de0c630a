"""How often somebody may ask: rules over values, the time comes in as an argument.

Windows are fixed: the first request of a key opens one, it ends a window later, and then the count starts anew. Sliding
windows and token buckets are fairer at the edges, but the reference's headers (so many left, until then) describe a fixed
window exactly and the others only roughly.

Every table is bounded. When it is full the oldest window is forgotten, which errs in favour of the one it belonged to.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from peekaping.engine.clock import HOUR_MS, MINUTE_MS

KEYS = 10_000
"""Keys in one table: about 2 MB."""
PUSHES_PER_MINUTE = 1200
"""Of one monitor: twenty a second, for a job that pushes at every step."""
FAILURES_PER_ACCOUNT = 20
"""Wrong passwords an hour for one account, from all the addresses that never logged in to it."""
FAILURES_PER_ADDRESS = 10
"""Wrong passwords in a quarter of an hour from one address, over all accounts it never logged in to."""
FAILURES_WHERE_KNOWN = 10
"""Wrong passwords in five minutes for one account from an address that logged in to it before."""


class Standing(NamedTuple):
    """Where a key stands in its present window."""

    allowed: bool
    limit: int
    remaining: int
    reset_ms: int
    """When the window ends, UTC."""


class Counter:
    """How often each key was counted within its present window."""

    def __init__(self, limit: int, window_ms: int, *, keys: int = KEYS) -> None:
        self._limit = limit
        self._window_ms = window_ms
        self._keys = keys
        self._windows: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """Key to start and count, oldest start first."""

    def look(self, key: str, now_ms: int) -> Standing:
        """Where the key stands; counts nothing."""
        start, count = self._window(key, now_ms)
        return Standing(count < self._limit, self._limit, max(0, self._limit - count), start + self._window_ms)

    def take(self, key: str, now_ms: int) -> Standing:
        """Count one, unless none is left; `allowed` says which."""
        start, count = self._window(key, now_ms)
        if count >= self._limit:
            return Standing(False, self._limit, 0, start + self._window_ms)
        if key in self._windows and self._windows[key][0] != start:
            del self._windows[key]  # the new window goes to the end
        elif key not in self._windows and len(self._windows) >= self._keys:
            self._windows.popitem(last=False)
        self._windows[key] = (start, count + 1)
        return Standing(True, self._limit, self._limit - count - 1, start + self._window_ms)

    def give_back(self, key: str) -> None:
        """Take back one count of the present window, if it is still there."""
        if key in self._windows:
            start, count = self._windows[key]
            self._windows[key] = (start, max(0, count - 1))

    def __len__(self) -> int:
        return len(self._windows)

    def _window(self, key: str, now_ms: int) -> tuple[int, int]:
        start, count = self._windows.get(key, (now_ms, 0))
        # A start in the future: the wall clock was set back. Waiting for it to come round again would punish for hours.
        return (start, count) if start <= now_ms < start + self._window_ms else (now_ms, 0)


class Ruling(NamedTuple):
    """What the rate limits say about one request."""

    shown: Standing
    """For the headers: the hour's, as long as the hour is limited."""
    refused_until_ms: int | None
    """None: it is allowed."""


class RateLimits:
    """So many requests an hour, and so many a minute; 0 is no limit. A refused request counts nowhere."""

    def __init__(self, per_hour: int, per_minute: int) -> None:
        windows = ((per_hour, HOUR_MS), (per_minute, MINUTE_MS))
        self._counters = [Counter(limit, window_ms) for limit, window_ms in windows if limit > 0]

    def take(self, key: str, now_ms: int) -> Ruling | None:
        """Count one request of `key`; None where nothing is limited."""
        if not self._counters:
            return None
        standings = [counter.look(key, now_ms) for counter in self._counters]
        refused = [standing.reset_ms for standing in standings if not standing.allowed]
        if refused:
            return Ruling(standings[0], max(refused))
        taken = [counter.take(key, now_ms) for counter in self._counters]
        return Ruling(taken[0], None)


class Attempt(NamedTuple):
    """One try to log in, counted as a failure until it is known to be none."""

    account: str
    address: str
    known: bool
    """The address logged in to this account before."""
    refused_until_ms: int | None


class LoginLimits:
    """Slows down guessing without locking out the owner.

    An address that has logged in to an account has a count of its own there, which nobody at another address can use up.
    All others share the account's count, and each has one for itself. An attempt is counted before the password is looked at,
    so that a thousand at once are no way around.
    """

    def __init__(self, known: Iterable[tuple[str, str]]) -> None:
        """`known` are pairs of an account and an address that logged in to it."""
        self._account = Counter(FAILURES_PER_ACCOUNT, HOUR_MS)
        self._address = Counter(FAILURES_PER_ADDRESS, 15 * MINUTE_MS)
        self._known = Counter(FAILURES_WHERE_KNOWN, 5 * MINUTE_MS)
        self._logged_in: OrderedDict[str, None] = OrderedDict()
        """Pairs of account and address, the latest last."""
        for account, address in known:
            self._remember(_pair(account, address))

    def attempt(self, account: str, address: str, now_ms: int) -> Attempt:
        known = _pair(account, address) in self._logged_in
        counters = self._counters(account, address, known)
        refused = [at.reset_ms for at in (counter.look(key, now_ms) for counter, key in counters) if not at.allowed]
        if refused:
            return Attempt(account, address, known, max(refused))
        for counter, key in counters:
            counter.take(key, now_ms)
        return Attempt(account, address, known, None)

    def give_back(self, attempt: Attempt) -> None:
        """It was no failure after all."""
        for counter, key in self._counters(attempt.account, attempt.address, attempt.known):
            counter.give_back(key)

    def succeeded(self, attempt: Attempt) -> None:
        self.give_back(attempt)
        self._remember(_pair(attempt.account, attempt.address))

    def _remember(self, pair: str) -> None:
        self._logged_in[pair] = None
        self._logged_in.move_to_end(pair)
        if len(self._logged_in) > KEYS:
            self._logged_in.popitem(last=False)

    def _counters(self, account: str, address: str, known: bool) -> list[tuple[Counter, str]]:
        if known:
            return [(self._known, _pair(account, address))]
        return [(self._account, account), (self._address, address)]


def _pair(account: str, address: str) -> str:
    return f"{address} {account}"
