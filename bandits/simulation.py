"""A small shop whose customers are known: for trying explorations and estimators where the truth is at hand.

Customers come with a few features; each product is taken with a chance that is logistic in them. What a
policy is worth, and what the best one is, follow without any noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bandits.batches import Batch
from bandits.chain import one_stage
from bandits.drawing import draw
from bandits.learner import make_learner
from bandits.policy import Policy, checked_pmf
from bandits.recipe import Recipe
from bandits.unit_sums import keys_of
from recsys.errors import Misuse
from recsys.vocabulary import Candidate, Context, Floats

STAGE = "reward"
_CUSTOMERS = 2_000


@dataclass(frozen=True)
class Shop:
    """`taste` (products, 1 + features): what a customer's level and features say of each product."""

    taste: Floats
    seed: int

    @classmethod
    def of(cls, *, seed: int, products: int = 8, features: int = 4, base: float = 0.1) -> Shop:
        """A shop in which an average product is taken with a chance of about `base`."""
        if products < 2 or features < 1 or not 0.0 < base < 1.0:
            raise Misuse("a shop needs two products, one feature, and a base chance between 0 and 1")
        rng = np.random.default_rng(seed)
        level = np.log(base / (1.0 - base)) + 0.4 * rng.normal(size=(products, 1))
        return cls(np.hstack([level, 0.6 * rng.normal(size=(products, features))]), seed)

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """Everything on offer, always."""
        return tuple(Candidate(f"product-{number + 1}") for number in range(len(self.taste)))

    @cached_property
    def customers(self) -> Floats:
        """(customers, features)."""
        rng = np.random.default_rng(self.seed + 1)
        return rng.normal(size=(_CUSTOMERS, self.taste.shape[1] - 1))

    def chances(self, x: Floats) -> Floats:
        """(..., products) chance that each is taken by customers with features (..., F)."""
        return np.asarray(1.0 / (1.0 + np.exp(-(self.taste[:, 0] + x @ self.taste[:, 1:].T))))

    def pmfs(self, policy: Policy, x: Floats) -> Floats:
        """(n, products) what a policy does for each of (n, F) customers."""
        open_ = np.ones(len(self.taste), dtype=np.bool_)
        found = np.empty((len(x), len(self.taste)))
        for row, each in enumerate(x):
            scores = policy.scores(context_of(each), self.candidates)
            found[row] = checked_pmf(policy.pmf(scores, open_=open_), open_=open_, where=policy.name)
        return found

    def value(self, policy: Policy) -> float:
        """What a policy is worth a round, exactly, over the shop's customers."""
        return float((self.pmfs(policy, self.customers) * self.chances(self.customers)).sum(axis=1).mean())

    @property
    def best(self) -> float:
        """What the best policy is worth a round."""
        return float(self.chances(self.customers).max(axis=1).mean())


def context_of(x: Floats) -> Context:
    """A customer's features as a policy sees them."""
    return Context(tuple(f"f{number}" for number in range(len(x))), tuple(x.tolist()))


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """Logged rounds of a shop: who came, what was drawn from which pmf, and whether it was taken."""

    shop: Shop
    customer: np.ndarray[tuple[int], np.dtype[np.int64]]
    shown: np.ndarray[tuple[int], np.dtype[np.int64]]
    logged_pmf: Floats  # (n, products)
    reward: Floats

    def under(self, target: Policy, *, model: Floats | None = None) -> Batch:
        """The rounds as columns, judged under a target; `model` (customers, products) adds a reward model."""
        rows, customers = np.arange(self.shown.size), self.shop.customers
        judged = self.shop.pmfs(target, customers)[self.customer]
        expected = None if model is None else model[self.customer]
        return Batch(
            unit=keys_of([f"customer-{number}" for number in self.customer.tolist()]),
            reward=self.reward,
            propensity=self.logged_pmf[rows, self.shown],
            target=judged[rows, self.shown],
            q_logged=None if expected is None else expected[rows, self.shown],
            q_target=None if expected is None else (judged * expected).sum(axis=1),
            logged_pmf=self.logged_pmf,
            target_pmf=judged,
            shown=self.shown.astype(np.float64),
        )


def logged(shop: Shop, policy: Policy, *, rounds: int, seed: int) -> Visits:
    """Let customers come and a policy draw for them."""
    rng = np.random.default_rng(seed)
    customer = rng.integers(0, len(shop.customers), rounds)
    pmfs = shop.pmfs(policy, shop.customers)[customer]
    shown = (pmfs.cumsum(axis=1) < rng.random((rounds, 1))).sum(axis=1).clip(max=pmfs.shape[1] - 1)
    chance = shop.chances(shop.customers)[customer, shown]
    return Visits(shop, customer, shown, pmfs, (rng.random(rounds) < chance).astype(np.float64))


@dataclass(frozen=True, slots=True)
class Explored:
    """How far a recipe has come while serving the shop by itself."""

    recipe: str
    rounds: int
    earned: float  # a round, so far
    regret: float  # in all: the best policy's expected reward less that of what was drawn
    explored: float  # share of rounds in which another product than the most likely one was drawn


def explore(shop: Shop, recipe: Recipe, *, rounds: int, seed: int, every: int = 500) -> Iterator[Explored]:
    """Let a recipe learn while it serves; yields every `every` rounds and at the end."""
    rng, learner = np.random.default_rng(seed), make_learner(recipe, one_stage(STAGE))
    open_ = np.ones(len(shop.taste), dtype=np.bool_)
    earned = regret = 0.0
    strayed = 0
    for number in range(1, rounds + 1):
        x = shop.customers[int(rng.integers(len(shop.customers)))]
        context, chances = context_of(x), shop.chances(x)
        policy = learner.live()
        pmf = checked_pmf(
            policy.pmf(policy.scores(context, shop.candidates), open_=open_), open_=open_, where=policy.name
        )
        row = draw(pmf, u=float(rng.random()))
        taken = float(rng.random() < chances[row])
        learner.teach(context, shop.candidates[row], stage=STAGE, label=taken)
        earned += taken
        regret += float(chances.max() - chances[row])
        strayed += pmf[row] < pmf.max()
        if number % every == 0 or number == rounds:
            yield Explored(recipe.name, number, earned / number, regret, strayed / number)
