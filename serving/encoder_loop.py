"""The encoder process: follow changes of facts and activity, and keep customers' vectors fresh.

Vectors are stamped with the bundle that made them. When another bundle is published, everybody is
encoded anew; until a customer's turn comes, the old stamp tells the API to use no vector.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from embeddings import bundle as bundles
from embeddings.encoding import CustomerEncoder, encoder_of
from recsys import artefacts, features
from recsys.clocks import Clock
from recsys.customers import Customers
from recsys.errors import RecsysError
from serving.profiles import OwnProfiles, ProfileSource

LEASE = "encoder"
_PAGE = 500
logger = logging.getLogger(__name__)


class EncoderLoop:
    """Encodes whoever changed since the last look, with the bundle in force."""

    def __init__(self, customers: Customers, *, root: Path, clock: Clock, source: ProfileSource | None = None) -> None:
        self._customers = customers
        self._source = source or OwnProfiles(customers)
        self._root = root
        self._clock = clock
        self._encoder: CustomerEncoder | None = None
        self._seen: str | None = None
        self._after = 0
        self.encoded = 0

    def catch_up(self) -> int:
        """Encode everybody who is stale; returns how many."""
        before = self.encoded
        while self.step():
            pass
        return self.encoded - before

    def part(self, *, after: int, until: int) -> int:
        """Encode whoever changed last in (after, until]; returns how many."""
        self._refresh()
        before, self._after = self.encoded, after
        while self.step(until=until):
            pass
        return self.encoded - before

    def step(self, *, until: int | None = None) -> bool:
        """Encode the next page of stale customers, if there is a bundle; returns whether the page was full."""
        self._refresh()
        stale = self._customers.stale(after=self._after, limit=_PAGE) if self._encoder is not None else []
        stale = [each for each in stale if until is None or each.change <= until]
        if self._encoder is None or not stale:
            return False
        at = self._clock.now()
        known = self._source.completed([each.profile for each in stale])
        facts = np.array([features.customer_features(each, at=at) for each in known])
        vectors = self._encoder.encode(facts, [each.subjects for each in stale])
        self._customers.put_vectors(
            [(each.profile.token, each.change, vector) for each, vector in zip(stale, vectors, strict=True)],
            bundle=self._encoder.digest,
        )
        self._after = stale[-1].change
        self.encoded += len(stale)
        return len(stale) == _PAGE

    def _refresh(self) -> None:
        digest = artefacts.pointed(self._root, bundles.NAME)
        if digest is None or digest == self._seen:
            return
        self._seen = digest
        try:
            self._encoder = encoder_of(bundles.load(self._root, features_version=features.VERSION, digest=digest))
            self._after = 0
        except (RecsysError, OSError, KeyError, ValueError) as error:
            logger.error("bundle %s refused: %s", digest, type(error).__name__)
