"""A small synthetic bank lived in a folder of its own: a log to read, whose truth is known.

For notebooks and tests: the same recommender, log and learner as in service, without HTTP.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from recsys.bank.world import Bank
from recsys.catalogue import BANK_CATALOGUE
from recsys.clocks import FixedClock
from recsys.layers import Layers
from serving.bootstrap import Installation, compose, recommender_of
from serving.commands.learn import learner_of
from serving.doors import InProcess
from serving.offer import apply_catalogue
from serving.settings import Settings
from serving.traffic import Lived, Traffic

START = datetime(2026, 3, 2, tzinfo=UTC)
SLOTS = {"home": 3, "savings": 5}


@dataclass(slots=True)
class SmallBank:
    """A bank and the engine that serves it; `live` lets days pass."""

    home: Installation
    bank: Bank
    traffic: Traffic

    @classmethod
    def open(cls, folder: Path, *, customers: int = 300, seed: int = 1, holdout: float = 0.1) -> SmallBank:
        """A new bank in an empty folder, served by a uniform choice within the rules."""
        clock = FixedClock(START)
        settings = Settings(home=folder, champion="uniform", holdout_share=holdout)
        apply_catalogue(settings.artefacts, text=BANK_CATALOGUE.read_text(encoding="utf-8"), where=BANK_CATALOGUE.name)
        home = compose(settings, clock=clock, new_token=_ids("token", seed=seed))
        learner_of(home, only="uniform").publish()
        home.live.refresh()
        bank = Bank.create(customers=customers, seed=seed, start=START, catalogue=home.offers.current.catalogue.ids)
        layers = Layers(holdout_share=holdout)
        recommender = recommender_of(home, layers=lambda: layers, new_id=_ids("decision", seed=seed))
        door = InProcess(home, recommender=recommender, slots=SLOTS)
        return cls(home, bank, Traffic(bank, door, clock, SLOTS))

    def live(self, days: int, *, truth_from: int | None = None) -> Sequence[Lived]:
        """Live some days; their hours, with the true values from day `truth_from` of these on."""

        async def lived() -> list[Lived]:
            return [hour async for _, hours in self.traffic.days(days, truth_from=truth_from) for hour in hours]

        return asyncio.run(lived())

    def learn(self) -> None:
        """Let the learner read to the end of the log, and put its snapshots in force."""
        loop = learner_of(self.home)
        loop.catch_up()
        loop.publish()
        self.home.live.refresh()


def _ids(purpose: str, *, seed: int) -> Callable[[], str]:
    """Ids that repeat with the seed."""
    numbers = itertools.count()
    return lambda: hashlib.sha256(f"{seed}:{purpose}:{next(numbers)}".encode()).hexdigest()[:32]
