"""Who asks, looked up in a request's time: at once, or in a thread for as long as the caller's deadline leaves.

Several requests may wait for a slow source together, but not one after another for nothing (serving/patience.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

from recsys.errors import StoreUnavailable
from recsys.vocabulary import CustomerId, Profile
from serving.patience import Patience
from serving.profiles import ProfileSource

_THREADS = 4  # that introduce unknown customers, and as many that ask a feature store
_LOOK_SECONDS = 1.0  # between two looks at whether a feature store answers


class LookUp:
    """One process's way to profiles. `trouble` is what the last look found, "" where all is well."""

    def __init__(self, source: ProfileSource) -> None:
        self.source = source
        self.trouble = ""
        self._introducing = ThreadPoolExecutor(_THREADS, thread_name_prefix="introducing")
        self._asking = ThreadPoolExecutor(_THREADS, thread_name_prefix="asking")
        self._answered = 0
        self._patience = Patience(lambda: self._answered)
        self._look_again_at = 0.0

    async def profile(self, customer_id: CustomerId, *, patience: float) -> Profile | None:
        """What is known of the customer now; somebody unknown is introduced. None while nobody can say who asks.

        `patience` is the request's, in seconds.
        """
        try:
            profile = await self._known(customer_id, patience=patience)
            if profile is None:  # in threads of their own: one may be left behind when the deadline passes
                loop = asyncio.get_running_loop()
                profile = await loop.run_in_executor(self._introducing, self.source.introduce, customer_id)
        except (StoreUnavailable, TimeoutError):
            return None
        return profile

    async def _known(self, customer_id: CustomerId, *, patience: float) -> Profile | None:
        if self.source.at_once:
            with contextlib.suppress(
                StoreUnavailable
            ):  # it was not waited for; a thread asks again, while time is left
                return self.source.profile(customer_id)
            async with asyncio.timeout(patience / 2):
                return (await asyncio.to_thread(self.source.profiles, [customer_id])).get(customer_id)
        if self._patience.spent():
            raise StoreUnavailable("the feature store does not answer in time")
        try:
            async with asyncio.timeout(patience / 2):
                profile = await asyncio.get_running_loop().run_in_executor(
                    self._asking, self.source.profile, customer_id
                )
        except (StoreUnavailable, TimeoutError):
            self._patience.give_up()
            raise
        self._answered += 1
        return profile

    def look(self) -> None:
        """See whether the source answers, at most once a second; waits."""
        if time.monotonic() >= self._look_again_at:
            self.trouble = self.source.trouble()
            self._look_again_at = time.monotonic() + _LOOK_SECONDS

    def close(self) -> None:
        """Wait for nobody any more."""
        for pool in (self._introducing, self._asking):
            pool.shutdown(wait=False, cancel_futures=True)
