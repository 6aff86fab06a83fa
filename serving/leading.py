"""Work that one process does for everybody: again and again, while it holds the lease."""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from collections.abc import Callable

from recsys.errors import StoreUnavailable
from recsys.leases import Lease

FOLLOWS_PARENT = "RECSYS_FOLLOWS_PARENT"  # set by whoever starts us as a child, to its own process id
_RENEW_SECONDS = 3.0
logger = logging.getLogger(__name__)


def lead(lease: Lease, *, work: Callable[[], bool], poll: float, stop: Callable[[], bool]) -> None:
    """Call `work` while the lease is held, until `stop`, resting `poll` seconds unless it says that more is waiting.

    Resting gathers what trickles in, so that each look at the database finds a good handful. A database
    that is away is waited for.
    """
    renewed = 0.0
    while not stop():
        try:
            if time.monotonic() - renewed > _RENEW_SECONDS:
                if not lease.held():
                    time.sleep(poll)
                    continue
                renewed = time.monotonic()
            if work():
                continue
        except StoreUnavailable as error:
            logger.warning("waiting for the database: %s", error)
        time.sleep(poll)
    lease.release()


def orphaned() -> bool:
    """Whether the process that started us is gone, also where it went before we had begun."""
    parent = os.environ.get(FOLLOWS_PARENT)
    return parent is not None and os.getppid() != int(parent)


class Stop:
    """Becomes true on SIGTERM or SIGINT, or when the process that started us is gone."""

    def __init__(self) -> None:
        self._told = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._told or orphaned()

    def _tell(self, number: int, frame: object) -> None:
        self._told = True


def calm_the_collector() -> None:
    """Leave what was imported out of garbage collections, and collect what is old less often.

    Our processes hold many small values that are no garbage (open decisions, profiles); at the
    interpreter's defaults, walking them again and again takes a tenth of all time. What is young is
    collected a little at a time, as nothing is answered meanwhile: 50,000 at once took 60 to 120 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 100, 200)
