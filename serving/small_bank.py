"""A small synthetic bank lived in a folder of its own: a log to read, whose truth is known.

For notebooks and tests: the same recommender, log and learner as in service, without HTTP.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bandits.policy import Policy
from recsys.bank.visits import Visit
from recsys.bank.world import Bank
from recsys.catalogue import BANK_CATALOGUE
from recsys.clocks import FixedClock
from recsys.errors import Misuse
from recsys.experiments import Experiment
from recsys.layers import Layers
from recsys.vocabulary import DecisionId, Floats
from serving.bootstrap import Installation, compose, recommender_of
from serving.commands.learn import learner_of
from serving.doors import InProcess
from serving.enumerating import Enumerating
from serving.judged_log import Scope, matured
from serving.offer import apply_catalogue
from serving.recommender import Recommender
from serving.settings import Settings
from serving.traffic import Answer, Lived, Traffic

START = datetime(2026, 3, 2, tzinfo=UTC)
SLOTS = {"home": 3, "savings": 5}


@dataclass(slots=True)
class SmallBank:
    """A bank and the engine that serves it; `live` lets days pass."""

    home: Installation
    bank: Bank
    traffic: Traffic
    taps: Mapping[DecisionId, Floats]  # the true chance of a tap on each product, if seen

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        customers: int = 300,
        seed: int = 1,
        holdout: float = 0.1,
        experiments: Sequence[Experiment] = (),
    ) -> SmallBank:
        """A new bank in an empty folder, served by a uniform choice within the rules, with these experiments."""
        clock = FixedClock(START)
        settings = Settings(home=folder, champion="uniform", holdout_share=holdout)
        apply_catalogue(settings.artefacts, text=BANK_CATALOGUE.read_text(encoding="utf-8"), where=BANK_CATALOGUE.name)
        home = compose(settings, clock=clock, new_token=_ids("token", seed=seed))
        learner_of(home, only="uniform").publish()
        home.live.refresh()
        bank = Bank.create(customers=customers, seed=seed, start=START, catalogue=home.offers.current.catalogue.ids)
        for experiment in experiments:
            home.register.create(experiment, at=clock.now())
        layers = Layers(tuple(experiments), holdout_share=holdout)
        recommender = recommender_of(home, layers=lambda: layers, new_id=_ids("decision", seed=seed))
        door = _Witness(home, recommender=recommender, slots=SLOTS, bank=bank)
        return cls(home, bank, Traffic(bank, door, clock, SLOTS), door.taps)

    def live(self, days: int, *, truth_from: int | None = None) -> Sequence[Lived]:
        """Live some days; their hours, with the true values from day `truth_from` of these on."""

        async def lived() -> list[Lived]:
            return [hour async for _, hours in self.traffic.days(days, truth_from=truth_from) for hour in hours]

        with ThreadPoolExecutor(max_workers=1) as aside:  # a notebook has an event loop of its own
            return aside.submit(asyncio.run, lived()).result()

    def learn(self) -> None:
        """Let the learner read to the end of the log, and put its snapshots in force."""
        loop = learner_of(self.home)
        loop.catch_up()
        loop.publish()
        self.home.live.refresh()

    def true_taps(self, policy: Policy, *, scope: Scope) -> float:
        """What a policy is truly worth, in taps a round, at the very states a judgement of this scope would use."""
        home, enumerating = self.home, Enumerating(self.home, places=None)
        worth = []
        until = home.log.last_position()
        for each in matured(home.log, scope=scope, rewards=home.rewards, until=until, told=lambda _: None):
            decision, known = each.decision, enumerating(each.decision)
            if known is None:
                raise Misuse("the truth is enumerated for slates of at most three slots")
            ids = self.home.offers.current.catalogue.ids
            row = dict(zip(ids, self.taps[decision.decision_id].tolist(), strict=True))
            chances = np.array([row.get(c.product_id, 0.0) for c in decision.candidates])
            at = known[1].marginals(policy, policy.scores(decision.context, decision.candidates))
            worth.append(float(self.bank.examination(decision.surface)[: len(at)] @ (at @ chances)))
        return float(np.mean(worth))


class _Witness(InProcess):
    """The engine, and beside it a note of what was true when each visitor was answered."""

    def __init__(self, home: Installation, *, recommender: Recommender, slots: Mapping[str, int], bank: Bank) -> None:
        super().__init__(home, recommender=recommender, slots=slots)
        self._bank = bank
        self.taps: dict[DecisionId, Floats] = {}

    async def ask(self, visits: Sequence[Visit]) -> list[Answer]:
        """A slate for each visitor."""
        rates = self._bank.tap_rates(visits)
        answers = await super().ask(visits)
        self.taps.update((answer.decision_id, row) for answer, row in zip(answers, rates, strict=True))
        return answers


def _ids(purpose: str, *, seed: int) -> Callable[[], str]:
    """Ids that repeat with the seed."""
    numbers = itertools.count()
    return lambda: hashlib.sha256(f"{seed}:{purpose}:{next(numbers)}".encode()).hexdigest()[:32]
