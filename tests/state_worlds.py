"""Random banks for random states: what is on offer, how customers are divided, which policies work.

A bank offers some of the synthetic bank's products in any order, some with other dates, classes, words,
surfaces, countries or bounds, such as a catalogue file may state. Its policies are sound, damaged in one of
many ways, or missing, so that every rung of the ladder answers somewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np

from bandits.baselines import UniformPolicy
from bandits.exploration import Exploration
from bandits.learner import make_learner
from bandits.policy import Basis, Policy
from bandits.recipe import Recipe
from embeddings.retrieval import Proposal, Retriever
from recsys import features, rewards, terms
from recsys.catalogue import BANK_CATALOGUE, Catalogue, Surface, load
from recsys.errors import Corrupt
from recsys.experiments import Variant
from recsys.layers import Layers
from recsys.vocabulary import (
    Bools,
    Candidate,
    CommunicationClass,
    Context,
    Creative,
    CustomerId,
    Fact,
    Floats,
    Product,
    ProductId,
    Profile,
    Token,
    Vector,
)
from serving.ladder import Ladder
from serving.live_policy import InForce, LivePolicies
from serving.recommender import Traffic
from serving.retrievers import Retrievers
from tests.builders import experiment
from tests.rules.people import EVERYTHING_ALLOWED

BANK = load(BANK_CATALOGUE)
REWARDS = rewards.load().with_values({product.product_id: product.value for product in BANK.products})
TERMS = terms.load()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_ADULT_CLASSES = ("credit", "isa", "investment", "pension")  # the catalogue's reader refuses these without a min_age
_CLASSES = tuple(CommunicationClass)


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A bank: what it offers, how it divides its customers, and which of its policies work."""

    number: int
    catalogue: Catalogue
    traffic: Traffic
    layers: Layers
    ladder: Ladder
    retriever: Retriever | None
    policies: str  # what is in force, in words


@lru_cache(maxsize=4)
def world_of(number: int) -> World:
    """The world of this number."""
    dice = Random(f"world {number}")
    around = datetime(2025, 9, 1, tzinfo=UTC) + dice.randrange(3 * 365) * DAY
    share = dice.choice((1.0, 1.0, 0.8, 0.5, 0.2))
    products = [product for product in BANK.products if dice.random() < share]
    dice.shuffle(products)
    changed = tuple(_changed(dice, p, products[n + 1 :], around) for n, p in enumerate(products))
    surfaces = BANK.surfaces if dice.random() < 0.7 else {s.name: _other(dice, s) for s in BANK.surfaces.values()}
    if dice.random() < 0.02:
        changed, surfaces = (), {}  # an empty home
    catalogue = Catalogue(changed, "states", f"catalogue-{number}", surfaces)
    approved = tuple(dice.sample(BANK.ids, dice.randint(1, 21))) if dice.random() < 0.3 else ()
    live, words = _published(dice)
    return World(
        number=number,
        catalogue=catalogue,
        traffic=Traffic(
            champion=dice.choice(("bandit", "bandit", "bandit", "popularity", "uniform")),
            uniform_share=dice.choice((0.0, 0.1, 0.1, 0.5)),
            candidates=dice.choice((5, 50)),
            decision_life=DAY,
            privacy_notice="states",
            code="states",
            terms=TERMS,
        ),
        layers=_layers(dice, around),
        ladder=Ladder(live, approved=approved),
        retriever=Somewhere(number) if dice.random() < 0.3 else None,
        policies=words,
    )


def _other(dice: Random, surface: Surface) -> Surface:
    most = dice.randint(1, surface.max_slots + 1)
    return Surface(surface.name, most, null_allowed=dice.random() < 0.5, per_family=dice.randint(1, most))


def _changed(dice: Random, product: Product, others: Sequence[Product], around: datetime) -> Product:
    """The product with other dates, words, places or bounds, such as a catalogue file may state."""
    changes: dict[str, Any] = {}
    if dice.random() < 0.25:
        own = dice.choice(_CLASSES)
        words = [own]
        if own is CommunicationClass.PROMO_PERSONALISED:
            words += dice.sample(_CLASSES, dice.randrange(3))
        changes["communication_class"] = own
        changes["creatives"] = tuple(Creative(f"{product.product_id}-{n}", "Words.", c) for n, c in enumerate(words))
    if dice.random() < 0.25:
        changes["launched_at"] = around + dice.randint(-600, 60) * DAY
    if dice.random() < 0.15:
        changes["retired_at"] = changes.get("launched_at", around) + dice.randint(1, 600) * DAY
    if dice.random() < 0.15:
        changes["surfaces"] = frozenset(each for each in BANK.surfaces if dice.random() < 0.6)
    if dice.random() < 0.06:
        changes["countries"] = dice.choice((("IE",), ("GB", "IE")))
    if dice.random() < 0.1 and product.regulated_class not in _ADULT_CLASSES:
        changes["min_age"] = dice.choice((0, 16, 18, 21))
    if dice.random() < 0.03:
        changes |= {"tags": (*product.tags, "referral_bonus"), "min_age": 18}
    if dice.random() < 0.15 and others:
        changes["dominated_by"] = tuple(p.product_id for p in dice.sample(others, min(2, len(others))))
    return replace(product, **changes) if changes else product


def _layers(dice: Random, around: datetime) -> Layers:
    found = []
    if dice.random() < 0.4:
        one = experiment(starts_at=around - 400 * DAY, ends_at=around + 400 * DAY, surfaces=("home", "push"))
        recipes = dice.sample(("bandit", "popularity", "uniform", "ghost"), 2)
        variants = tuple(
            Variant(each.name, recipe, each.share) for each, recipe in zip(one.variants, recipes, strict=True)
        )
        found.append(replace(one, variants=variants, unit=dice.choice(("customer", "household"))))
    return Layers(tuple(found), holdout_share=dice.choice((0.0, 0.02, 0.1)))


# -- policies, sound and broken ------------------------------------------------------------------

RECIPES = (Recipe("bandit", "linear"), Recipe("popularity", "popularity"), Recipe("uniform", "uniform"))
FAULTS = ("raises", "nan", "one nan", "infinite", "short", "pmf nan", "pmf negative", "pmf heavy", "pmf closed",
          "late", "too many", "weights nan")  # fmt: skip
_EXPLORATIONS = (
    Exploration("epsilon_greedy", epsilon=0.02),
    Exploration("greedy"),
    Exploration("softmax", temperature=0.05, epsilon=0.01),
    Exploration("squarecb", gamma=50.0),
)


class Published(LivePolicies):
    """Policies in force that lie on no disk."""

    def __init__(self, live: Mapping[str, InForce], earlier: Mapping[str, InForce], published: Sequence[str]) -> None:
        super().__init__(Path("nowhere"), recipes=RECIPES, retrievers=Retrievers(Path("nowhere")))
        self._live, self._earlier, self._published = dict(live), dict(earlier), set(published)


def _published(dice: Random) -> tuple[Published, str]:
    """What each recipe has published: nothing, sound policies, or broken ones; and the same in words."""
    live: dict[str, InForce] = {}
    earlier: dict[str, InForce] = {}
    words = []
    for recipe in RECIPES[:2]:
        for place, version in ((live, 7), (earlier, 6)):
            how = dice.choice(("sound", "sound", "sound", "broken", "broken", "none"))
            if how == "none":
                continue
            policy: Policy = dice.choice(_sound(recipe.name, version))
            if how == "broken":
                how = dice.choice(FAULTS)
                policy = _Broken(policy, fault=how)
            place[recipe.name] = InForce(policy, recipe.digest, f"snapshot-{version}")
            words.append(f"{policy.name} {how}")
    live["uniform"] = InForce(UniformPolicy("uniform@1"), RECIPES[2].digest, "snapshot-1")
    known = [recipe.name for recipe in RECIPES if dice.random() < 0.7 or recipe.name in live]
    return Published(live, earlier, known), ", ".join(words)


@lru_cache
def _sound(recipe: str, version: int) -> tuple[Policy, ...]:
    """Snapshots of a learner that was taught a few hundred made-up lessons, under each exploration."""
    learner_kind = next(each.learner for each in RECIPES if each.name == recipe)
    found = []
    for number, exploration in enumerate(_EXPLORATIONS):
        dice = Random(f"{recipe} {version} {number}")
        learner = make_learner(Recipe(recipe, learner_kind, exploration=exploration), REWARDS)
        for _ in range(150 * (number != 3)):
            at = datetime(2026, 1, 1, tzinfo=UTC) + dice.randrange(10_000) * HOUR
            facts = {name: Fact(EVERYTHING_ALLOWED[name], at) for name in dice.sample(sorted(EVERYTHING_ALLOWED), 15)}
            context = features.context_of(Profile(CustomerId("c"), Token("t"), facts), at=at, surface="home", given={})
            candidate = features.candidate_of(dice.choice(BANK.products))
            learner.teach(context, candidate, stage=dice.choice(("tapped", "opened", "dismissed")), label=dice.random())
        found.append(learner.snapshot(version))
    return tuple(found)


class _Broken:
    """A policy with one fault."""

    basis: Basis = "person"
    floor = 0.0

    def __init__(self, policy: Policy, *, fault: str) -> None:
        self._policy, self._fault = policy, fault
        self.name = policy.name

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(n,) or what the fault makes of them."""
        scores = np.array(self._policy.scores(context, candidates), dtype=np.float64)
        match self._fault:
            case "raises":
                raise Corrupt("this policy is broken")
            case "nan" | "weights nan":
                scores[:] = np.nan
            case "one nan":
                scores[-1:] = np.nan
            case "infinite":
                scores[:1] = np.inf
            case "short":
                return scores[1:]
        return scores

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        """(n,) or what the fault makes of it."""
        pmf = np.array(self._policy.pmf(scores, open_=open_))
        match self._fault:
            case "pmf nan":
                pmf[:] = np.nan
            case "pmf negative":
                pmf[0] -= 1.0
            case "pmf heavy":
                pmf *= 1.1
            case "pmf closed":
                pmf = np.ones(pmf.size) / pmf.size
            case "late" if not open_.all():
                raise Corrupt("this policy is broken")
            case "too many":
                return np.append(pmf, 0.0)
        return pmf


class Somewhere(Retriever):
    """Affinities from nowhere, and no more proposals than asked for."""

    def __init__(self, number: int) -> None:
        super().__init__(None)
        self._number = number

    @property
    def digest(self) -> str:
        """A name."""
        return f"somewhere-{self._number}"

    def mode(self, vector: Vector | None, *, n_eligible: int) -> Literal["all", "vector", "static"]:
        """As a decision logs it."""
        return "vector"

    def propose(self, vector: Vector | None, *, eligible: Sequence[ProductId], k: int) -> tuple[Proposal, ...]:
        """The `k` first of an order of its own."""
        near = sorted((hash((self._number, BANK.ids.index(each))) % 800 / 100 - 4, each) for each in eligible)
        return tuple((product, affinity) for affinity, product in near[:k])
