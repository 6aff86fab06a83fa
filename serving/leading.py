"""Work that one process does for everybody: again and again, while it holds the lease."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable

from recsys.errors import StoreUnavailable
from recsys.leases import Lease

FOLLOWS_PARENT = "RECSYS_FOLLOWS_PARENT"  # set by whoever starts us as a child
_RENEW_SECONDS = 3.0
logger = logging.getLogger(__name__)


def lead(lease: Lease, *, work: Callable[[], int], poll: float, stop: Callable[[], bool]) -> None:
    """Call `work` while the lease is held, until `stop`, resting `poll` seconds whenever it found nothing to do.

    A database that is away is waited for.
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


class Stop:
    """Becomes true on SIGTERM or SIGINT, or when the process that started us is gone."""

    def __init__(self) -> None:
        self._told = False
        self._parent = os.getppid() if os.environ.get(FOLLOWS_PARENT) else None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._told or (self._parent is not None and os.getppid() != self._parent)

    def _tell(self, number: int, frame: object) -> None:
        self._told = True
