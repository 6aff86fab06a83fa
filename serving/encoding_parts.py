"""Everybody encoded in parts of the sequence of changes, anywhere: a part that is done twice changes nothing.

Every worker opens the installation by its settings, so its home, its database and its artefacts must be within reach.
Whoever changes meanwhile moves up the sequence, where the encoder process finds them.
"""

from __future__ import annotations

from functools import partial

from serving.bootstrap import Installation, compose
from serving.encoder_loop import EncoderLoop
from serving.settings import Settings
from serving.spread import Spread

CHANGES = 20_000  # of a part


def encode_all(home: Installation, *, spread: Spread, changes: int = CHANGES) -> int:
    """Encode every customer with the bundle in force; returns how many."""
    last = home.customers.last_change()
    parts = [(after, min(after + changes, last)) for after in range(0, last, changes)]
    return sum(spread.over(parts, partial(_encoded, home.settings)))


def _encoded(settings: Settings, part: tuple[int, int]) -> int:
    home = compose(settings)
    try:
        loop = EncoderLoop(home.customers, root=settings.artefacts, clock=home.clock, source=home.profiles)
        return loop.part(after=part[0], until=part[1])
    finally:
        home.database.close()
