"""How long a store is waited for: each request until its deadline, and not one after another for nothing.

A request that gives up waiting to be logged proves little: a disk may stumble. But where a quarter of
a second passes after it without any commit, the log is taken for stalled: until a commit succeeds,
requests with a deadline are answered at once by the rung that needs no log, but for one every quarter
of a second, which tries. A feature store is waited for in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_TRIAL_SECONDS = 0.25


class Patience:
    """Whether waiting for a store makes sense now. `done` counts what it has done for us. For one loop."""

    def __init__(self, done: Callable[[], int]) -> None:
        self._done = done
        self._given_up_at: int | None = None
        self._next_trial = 0.0
        self._stalled = False

    def give_up(self) -> None:
        """A request waited in vain."""
        if self._given_up_at != self._done():  # the first since it last did anything
            self._given_up_at = self._done()
            self._next_trial = time.monotonic() + _TRIAL_SECONDS
            self._stalled = False

    def spent(self) -> bool:
        """Whether to answer without it, now."""
        if self._given_up_at is None:
            return False
        if self._done() != self._given_up_at:
            self._given_up_at = None
            return False
        now = time.monotonic()
        if now < self._next_trial:
            return self._stalled
        self._stalled, self._next_trial = True, now + _TRIAL_SECONDS
        return False
