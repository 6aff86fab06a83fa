"""A bank lived in process: a first log under uniform choice, and the slates of what learned from it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from recsys.bank.world import Bank
from recsys.catalogue import BANK_CATALOGUE
from recsys.clocks import FixedClock
from recsys.layers import Layers
from recsys.vocabulary import Decision
from serving.bootstrap import Installation, compose, recommender_of
from serving.commands.learn import learner_of
from serving.doors import InProcess
from serving.offer import apply_catalogue
from serving.settings import Settings
from serving.traffic import Traffic
from tests.builders import START

SLOTS = {"home": 3, "savings": 5}
RECIPES = """
[[recipe]]
name = "linear"
learner = "linear"
shares_traffic = true
[recipe.exploration]
epsilon = 0.02
[[recipe]]
name = "bent"
learner = "linear"
shares_traffic = true
[recipe.options]
knots = 5
[recipe.exploration]
epsilon = 0.02
[[recipe]]
name = "vowpal"
learner = "vowpal"
shares_traffic = true
[recipe.exploration]
epsilon = 0.02
[[recipe]]
name = "popularity"
learner = "popularity"
shares_traffic = true
[recipe.exploration]
epsilon = 0.02
[[recipe]]
name = "uniform"
learner = "uniform"
[recipe.exploration]
kind = "uniform"
"""


@dataclass
class World:
    """A home, its bank, and the days lived so far."""

    settings: Settings
    bank: Bank
    clock: FixedClock
    ids: Iterator[int]

    def home(self, champion: str) -> Installation:
        """The installation with another champion; its snapshots taken in."""
        home = compose(self.settings.model_copy(update={"champion": champion}), clock=self.clock, new_token=self.new_id)
        home.live.refresh()
        return home

    def new_id(self) -> str:
        return f"id-{next(self.ids)}"

    def live(self, home: Installation, *, days: int) -> list[Decision]:
        """Live days under a home's champion; every decision made."""
        last = home.log.last_position()
        recommender = recommender_of(home, layers=lambda: Layers(holdout_share=0.0), new_id=self.new_id)
        traffic = Traffic(self.bank, InProcess(home, recommender=recommender, slots=SLOTS), self.clock, SLOTS)

        async def lived() -> None:
            async for _ in traffic.days(days):
                pass

        asyncio.run(lived())
        events = home.log.read(after=last, kinds=("decision",))
        return [event.body for event in events if isinstance(event.body, Decision)]


@contextmanager
def taught(folder: Path, *, customers: int, days: int, seed: int = 3) -> Iterator[World]:
    """A bank whose recipes have learned from `days` of uniform choice."""
    recipes = folder / "recipes.toml"
    recipes.write_text(RECIPES)
    settings = Settings(home=folder, recipes=recipes, holdout_share=0.0, uniform_share=0.0)
    apply_catalogue(settings.artefacts, text=BANK_CATALOGUE.read_text(), where=BANK_CATALOGUE.name)
    clock, ids = FixedClock(START.replace(hour=0)), itertools.count()
    new: Callable[[], str] = lambda: f"id-{next(ids)}"  # noqa: E731
    first = compose(settings.model_copy(update={"champion": "uniform"}), clock=clock, new_token=new)
    products = first.offers.current.catalogue.ids
    world = World(
        settings, Bank.create(customers=customers, seed=seed, start=clock.now(), catalogue=products), clock, ids
    )
    learner_of(first, only="uniform").publish()
    first.live.refresh()
    world.live(first, days=days)
    learner = learner_of(first)
    learner.catch_up()
    learner.publish()
    clock.set(clock.now() + timedelta(seconds=1))
    yield world
    first.database.close()
