"""The exact linear learner: Bayesian logistic regression with shared and per-product parts.

The logit of a stage, for product p in context x, is the sum of four independent Gaussian beliefs:

    what is true of every product · [1, affinity, seen, x]  +  of what p is like (family, class, tags)
    +  what is true of p's family · [1, affinity, seen, x]  +  what is p's own · [1, affinity, seen, x]

with full covariances, updated by one Laplace step for each lesson (`beliefs`). Priors do the pooling:
a rate is free to lie where the log puts it (`level`), while context moves a product away from its rate
only as far as the log insists (`context`, `shared`). So a stage with a few hundred lessons stays close
to its products' rates and one with a hundred thousand bends, without a learning rate to tune. Deviations are about
those that products differ by (`level`, `later_level`): with twice as wide ones an unlucky fortnight ends a
product. A new product starts from what all share, what is like it, and for whom its family is: taught every tap of
300 days (4,000 customers of the plain bank, seed 21) but those of a cash ISA, its order of customers correlates with
that of its true worth by .55, and by -.09 without families (a one-year fix: .77 and .31; round-ups: -.20 and -.28).
Taught all, its greedy slates are worth 1.01 times as much (seeds 21 and 22); in the held-back worlds see
`make bench ARGS=simulate`.

Prices, offers and seasons move how well a product does much faster than they move who it is for. So from day to
day a product's own level is believed a little less surely (`drift`, a random walk: West and Harrison 1997), while
what context does to it is remembered for good. On the plain bank (4,000 customers, 240 days, seeds 21 to 24) lives
with a drift of 0, .07, .1 and .15 earn 3.64, 3.69, 3.70 and 3.69 points in 1,000 visits of their second half, and .33,
.45, .44 and .40 of the way from the best fixed list to the best that can be learnt; keeping .995, .99 or .98 of
everything a day earns 3.66, 3.60 and 3.60.

With `waves` the context also enters as random Fourier features (bandits/waves.py; Rahimi and Recht 2007), by
which a product's part bends like a Gaussian-process classifier: in a throw-away sketch (own parts only, six
labelled tables, one seed, at most 8,000 rows each) 128 waves lifted the mean progressive reward by 0.03 and
0.04 under two explorations (by 0.05 and 0.07 with squared loss). `spreads` are exact standard deviations of the
posterior as kept.

Measured on the synthetic bank by a throw-away harness around `Bank`, the rules, the features and `teach`
(5,000 customers, 60 days of uniform choice: about 1,130 taps and 207 openings in 225,000 lessons; greedy
slates in closed form on the next 7 days, points per 1,000 visits; priors chosen on seeds 11 to 13, means
of seeds 1 to 5): this learner 10.71, vowpal 9.39, the list by value 6.93, the oracle 17.22. A fit to all
lessons at once is 1 % better; pooling the later stage gained 3 %. The affinity of a bundle trained on the
same log gained 4 to 7 %, so its weight starts at 0.5: lessons from before the first bundle say nothing of it.
What this does not cure: in the last week of 28 days of serving (seeds 1 to 3, without affinity, each on
the states it met itself) the two learners draw level, 6.06 to 6.14 points, .44 of the oracle both: customers
are then tired of what they were shown. `seen_lately` tells the learner how often that was. In 20 days of serving
after 20 of uniform choice (1,500 customers, both under the contact policy, seeds 1 to 3) it brought 8.43 points
against 8.09 without it, 4 % more (6, 4 and 2 %); in the last ten days .53 of the oracle against .51. Its logarithm
does no better (8.53 against 8.59 on seeds 1 and 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandits.beliefs import Belief, learn
from bandits.chain import Chain
from bandits.columns import Columns
from bandits.designs import Design
from bandits.earned import Earned
from bandits.forgetting import Calendar
from bandits.linear_policy import LinearPolicy
from bandits.newcomers import Newcomers
from bandits.priors import HEAD, Deviations, Settings, family_of
from bandits.pupil import Pupil
from bandits.recipe import Recipe
from bandits.stacked import Stacked
from bandits.state import pack, unpack
from bandits.teaching import Taught
from recsys.errors import Corrupt, InvalidConfiguration
from recsys.rewards import Rewards
from recsys.vocabulary import Floats, ProductId

KIND = "linear"
_Told: TypeAlias = tuple[Belief, Belief, Mapping[ProductId, Belief], Mapping[str, Belief]]  # shared, alike, own, kin


class _Stage:
    """What is believed of one stage, whatever the product."""

    __slots__ = ("alike", "families", "prior", "shared", "taught")

    def __init__(self, shared: Belief, *, alike: Belief, prior: Deviations) -> None:
        self.shared = shared  # over the columns of contexts
        self.alike = alike  # over the columns of products' features
        self.prior = prior
        self.taught: set[ProductId] = set()  # products with a lesson of this stage
        self.families: set[str] = set()  # theirs


class LinearLearner(Pupil):
    """Beliefs about every stage of the reward, updated lesson by lesson."""

    kind = KIND

    def __init__(self, recipe: Recipe, *, chain: Chain) -> None:
        super().__init__(recipe, chain=chain)
        self.settings = Settings.of(recipe.options)
        self._contexts = Design(self.settings)
        self._features = Columns([], knots=0)
        self._stages = [self._stage(row) for row in range(len(chain.stages))]
        self._own = Stacked(self._deviations())
        self._kin = Stacked(self._deviations())  # by family
        self._calendar = Calendar(self.settings.forgetting, drifts=self.settings.drift > 0.0)
        self._earned = Earned(len(chain.stages), prior=self.settings.prior)
        self._newcomers = Newcomers()

    def _learn(self, one: Taught) -> None:
        self._take_in(one.context.names, one.candidate.names)
        if passed := self._calendar.passed(one):
            self._pass(passed)
        stage, product = self._stages[one.stage], one.candidate.product_id
        own, family = self._own.belief(one.stage, product), family_of(one.candidate)
        if self.settings.forgetting.by_lesson:
            self._age(one.stage, self.settings.keep)
            self._own.forget_one(self.settings.keep, stage=one.stage, name=product)
            if family:
                self._kin.forget_one(self.settings.keep, stage=one.stage, name=family)
        x = self._contexts.rows(one.context.names, np.array([one.context.values]), [one.candidate])[0]
        parts = [(stage.shared, x), (own, x)]
        if one.candidate.names:
            parts.insert(1, (stage.alike, self._features.vector(one.candidate.names, one.candidate.values)))
        if family:
            parts.append((self._kin.belief(one.stage, family), x))
            stage.families.add(family)
        learn(parts, start=self.settings.start, label=one.label, weight=one.weight)
        stage.taught.add(product)
        self._earned.learn(one)
        self._newcomers.learn(one)
        self._taught += 1

    def _pass(self, days: int) -> None:
        if self.settings.forgetting.by_day:
            self._forget(self.settings.forgetting.share(days))
        if self.settings.drift:
            seen = [parent < 0 and row not in self.chain.less for row, parent in enumerate(self.chain.parents)]
            self._own.drift(np.array(seen) * (days * self.settings.drift**2))

    def _forget(self, kept: float) -> None:
        for row in range(len(self._stages)):
            self._age(row, kept)
        self._own.forget(kept, taught=[stage.taught for stage in self._stages])
        self._kin.forget(kept, taught=[stage.families for stage in self._stages])

    def _age(self, row: int, kept: float) -> None:
        """Age what is believed of a stage whatever the product."""
        stage = self._stages[row]
        stage.shared.forget(kept, deviations=stage.prior.of_all(len(self._contexts.columns)))
        stage.alike.forget(kept, deviations=np.full(len(self._features), stage.prior.shared))

    def _take_in(self, context: tuple[str, ...], features: tuple[str, ...]) -> None:
        """Make room for names not met before, in every belief."""
        if more := self._contexts.columns.take_in(context):
            for stage in self._stages:
                stage.shared.grow(np.full(more, stage.prior.shared))
            for stacked in (self._own, self._kin):
                stacked.make_room(more, deviations=np.array([stage.prior.own for stage in self._stages]))
        if more := self._features.take_in(features):
            for stage in self._stages:
                stage.alike.grow(np.full(more, stage.prior.shared))

    def _stage(self, row: int) -> _Stage:
        """What is believed of the stage in `row` before anything is learned.

        Affinity was trained on taps and openings, so it speaks for stages that follow "seen" and cost nothing.
        """
        parent, worth = self.chain.parents[row], self.chain.worths[row]
        prior = self.settings.of_stage(follows=parent >= 0, anyway=row in self.chain.less)
        shared = Belief(prior.of_all(len(self._contexts.columns)))
        if parent < 0 and (worth is None or worth >= 0.0):
            shared.mean[1] = self.settings.affinity
        return _Stage(shared, alike=Belief(np.empty(0)), prior=prior)

    def _deviations(self) -> Floats:
        """(stages, columns) of the prior of what is one product's own."""
        return np.array([stage.prior.of_one(len(self._contexts.columns)) for stage in self._stages])

    def snapshot(self, version: int) -> LinearPolicy:
        """An immutable policy cut from the beliefs as they are."""
        return self._cut(f"{self.recipe.name}@{version}", frozen=True)

    def live(self) -> LinearPolicy:
        """A policy over the very beliefs, without a copy."""
        return self._cut(f"{self.recipe.name}@live", frozen=False)

    def _cut(self, name: str, *, frozen: bool) -> LinearPolicy:
        contexts, features, stages = self._contexts, self._features, self._stages
        shared, alike = [stage.shared for stage in stages], [stage.alike for stage in stages]
        own, kin = self._own, self._kin
        if frozen:
            contexts, features, own, kin = contexts.copy(), features.copy(), own.copy(), kin.copy()
            shared, alike = [_copied(belief) for belief in shared], [_copied(belief) for belief in alike]
        return LinearPolicy(
            name,
            start=self.settings.start,
            contexts=contexts,
            features=features,
            shared=shared,
            alike=alike,
            own=own,
            kin=kin,
            chain=self.chain,
            exploration=self.recipe.exploration,
            lessons=self._taught,
            rates=self._earned.rates,
            met=self._newcomers.plain,
            frozen=frozen,
        )

    def state(self) -> bytes:
        """Options, chain, names and every belief."""
        header = {
            "kind": KIND,
            "settings": asdict(self.settings),
            "chain": self.chain.plain,
            "taught": self._taught,
            "contexts": self._contexts.columns.names,
            "features": self._features.names,
            "products": [sorted(stage.taught) for stage in self._stages],
            "families": [sorted(stage.families) for stage in self._stages],
            "earned": self._earned.plain,
            "met": self._newcomers.plain,
            **self._calendar.plain,
        }
        arrays: list[NDArray[Any]] = []
        for row, stage in enumerate(self._stages):
            own = [self._own.belief(row, product) for product in sorted(stage.taught)]
            kin = [self._kin.belief(row, family) for family in sorted(stage.families)]
            for belief in (stage.shared, stage.alike, *own, *kin):
                arrays += [belief.mean.astype("<f8"), belief.covariance.astype("<f8")]
        return pack(header, arrays)

    @classmethod
    def from_state(cls, recipe: Recipe, state: bytes) -> LinearLearner:
        """The learner that `state` was taken from; learning goes on exactly there."""
        header, arrays = _opened(recipe, state)
        learner = cls(recipe, chain=Chain.from_plain(header["chain"]))
        learner._taught = header["taught"]
        learner._calendar.day = header.get("day")
        learner._earned = Earned.of(header, prior=learner.settings.prior)
        learner._newcomers = Newcomers(header.get("met"))
        beliefs = (Belief.of(mean, covariance) for mean, covariance in zip(arrays[::2], arrays[1::2], strict=True))
        told: list[_Told] = [
            (
                next(beliefs),
                next(beliefs),
                {name: next(beliefs) for name in products},
                {name: next(beliefs) for name in families},
            )
            for products, families in zip(header["products"], _families(header), strict=True)
        ]
        names = _with_room(header["contexts"], told, stages=learner._stages)
        learner._contexts = Design(learner.settings, names=names)
        learner._features = Columns(header["features"], knots=0)
        learner._own, learner._kin = Stacked(learner._deviations()), Stacked(learner._deviations())
        for row, (stage, (shared, alike, own, kin)) in enumerate(zip(learner._stages, told, strict=True)):
            stage.shared, stage.alike, stage.taught, stage.families = shared, alike, set(own), set(kin)
            for stacked, each in ((learner._own, own), (learner._kin, kin)):
                for name, belief in each.items():
                    mine = stacked.belief(row, name)
                    mine.mean[...], mine.covariance[...] = belief.mean, belief.covariance
        return learner


def new(recipe: Recipe, rewards: Rewards) -> LinearLearner:
    """A learner that knows nothing yet."""
    return LinearLearner(recipe, chain=Chain.of(rewards, recipe.reward))


def _with_room(names: list[str], told: Sequence[_Told], *, stages: Sequence[_Stage]) -> list[str]:
    """Give a state from before the last column of `HEAD` what a new learner would believe of it."""
    place = len(HEAD) - 1
    if names[place : place + 1] == [HEAD[place]]:
        return names
    for stage, (shared, _, own, _) in zip(stages, told, strict=True):  # nor had it families then
        shared.make_room(place, deviation=stage.prior.near)
        for belief in own.values():
            belief.make_room(place, deviation=stage.prior.own)
    return [*HEAD, *names[place:]]


def _families(header: Mapping[str, Any]) -> list[list[str]]:
    """Families taught, by stage; none in states from before there were any."""
    found: list[list[str]] = header.get("families", [[] for _ in header["products"]])
    return found


def _copied(belief: Belief) -> Belief:
    return Belief.of(belief.mean, belief.covariance)


def _opened(recipe: Recipe, state: bytes) -> tuple[Mapping[str, Any], list[NDArray[Any]]]:
    header, arrays = unpack(state)
    if header.get("kind") != KIND:
        raise Corrupt(f"the state holds a {header.get('kind')} learner, not {KIND}")
    if len(arrays) != 2 * sum(2 + len(some) for some in header["products"]) + 2 * sum(map(len, _families(header))):
        raise Corrupt(f"a {KIND} learner's state does not hold what it names")
    if asdict(Settings()) | header["settings"] != asdict(Settings.of(recipe.options)):  # older states name fewer
        raise InvalidConfiguration(f"recipe {recipe.name}: the state was learned with other options")
    return header, arrays
