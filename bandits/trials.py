"""A recipe's life in a synthetic bank: it decides every visit, learns from what comes of it, is judged by the truth.

    for day in lived(Trial(recipe, rewards, world="types", seed=1, customers=2_000, days=120)):
        ...                                     # Lived: points a visit, of the recipe and of an oracle, so far

Everything is arrays, one call a day, with the scores of the policy that would serve (`pair_scores`) and the
learner's own `teach`. Stages, windows, graces and forms of the reward are those of the reward
configuration; lessons ripen as `recsys.joining` would tell them. The home screen shows three cards of what
each customer could open: no rules, so the loss is the learner's and not compliance's.

What a policy may see is what a bank sees (`recsys.bank.visible`) and the calendar; the views of a product's
own topic stand where an affinity would, unless a `Life` is given another. Of the common "nothing happened"
only a share need be taught, each weighing as many as it stands for (`keep`): a logistic fit loses little by
it (King and Zeng 2001).

Two measures, both without noise of outcomes (`trial_verdicts.judged`): points a visit on the states that the
recipe's own life came to, and (recipe − best fixed list) / (best learnable − best fixed list) there, the
references found in hindsight on other customers. Lives of two recipes meet the same dice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import numpy as np

from bandits.chained import ChainedPolicy
from bandits.exploration import Exploration, beside_new
from bandits.learner import make_learner
from bandits.policy import Policy
from bandits.recipe import Learner, Recipe
from bandits.trial_lessons import Book, Shown
from recsys.bank.app import on_surface
from recsys.bank.dice import Ints, uniforms
from recsys.bank.oracle import best_values, slates_value
from recsys.bank.product import TOPICS
from recsys.bank.slates import PmfRule, drawn, softmax
from recsys.bank.switches import Switches
from recsys.bank.truth import NEWCOMERS, TRUTHS
from recsys.bank.visible import FACTS, Watched
from recsys.bank.world import Bank
from recsys.errors import InvalidConfiguration
from recsys.features import ADVICE_SENSITIVE
from recsys.rewards import Rewards
from recsys.touches import DAILY
from recsys.vocabulary import NOTHING, Bools, Candidate, Floats, ProductId

SURFACE = "home"
MOST_SEEN = 20.0
EVERY = 6  # days between those whose visits are kept to be judged, where nothing else is asked for
_CALENDAR = ("isa_season", "january", "december", "weekend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is tried, where, and for how long; raises `InvalidConfiguration`."""

    recipe: Recipe
    rewards: Rewards
    world: str = "plain"
    seed: int = 1
    customers: int = 2_000
    days: int = 120
    start: datetime = datetime(2026, 1, 5, tzinfo=UTC)
    switches: Switches = field(default_factory=Switches)
    slice_share: float = 0.0  # of visits that get a uniform slate
    first_log: int = 0  # days at the start on which every visit gets one: the log that the recipe starts from
    keep: float = 0.125  # of lessons in which nothing happened
    blind: bool = False  # teach as if every shown slot had been seen
    sights: range | None = None  # days whose visits are kept to be judged; None for every sixth

    def __post_init__(self) -> None:
        if self.days < 2 or self.customers < 10:
            raise InvalidConfiguration("a trial needs 2 days and 10 customers at least")
        if not (0.0 <= self.slice_share <= 1.0 and 0.0 < self.keep <= 1.0):
            raise InvalidConfiguration("slice_share is a share, and keep a share above 0")
        if not 0 <= self.first_log <= self.days // 2:
            raise InvalidConfiguration("first_log is 0 to half of the days: the second half is judged")
        self.rewards.taught(self.recipe.reward)

    @property
    def looked_at(self) -> range:
        """Days whose visits are kept."""
        return range(0, self.days, EVERY) if self.sights is None else self.sights

    @property
    def products(self) -> tuple[ProductId, ...]:
        """On offer, on some day at least."""
        newcomers = [name for name, truth in NEWCOMERS.items() if getattr(self.switches, truth.switch)]
        return (*TRUTHS, *newcomers)


@dataclass(frozen=True, slots=True, eq=False)
class Lived:
    """One day of a trial."""

    number: int
    visits: int
    earned: float  # expected points a visit
    oracle: float  # of the best slates in the same states
    explored: float  # share of slots that another than the most likely product filled
    lessons: int  # so far
    first: Floats  # (P,) share of visits whose first slot held each product
    first_best: Floats  # (P,) the same of the best slates


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """Visits of one day, kept to be judged by."""

    number: int
    rows: Ints
    values: Floats  # (v, P)
    suited: Bools
    visible: Floats  # (v, F)
    seen: Floats  # (v, P) displays lately
    earned: Floats  # (v,)
    scores: Floats  # (v, P) as the recipe scored
    first: Ints  # (v,) the product in the first slot, -1 for none


class Life:
    """A trial while it is lived; `sights` and `learner` are there to be looked at afterwards."""

    def __init__(self, trial: Trial, *, near: Callable[[Floats], Floats] | None = None) -> None:
        """`near` gives the (v, P) affinities of what is visible (v, F), by default the views of a product's topic."""
        self.trial, self.products = trial, trial.products
        self._near = near
        self.bank = Bank.create(
            customers=trial.customers, seed=trial.seed, start=trial.start, catalogue=self.products, world=trial.world,
            switches=trial.switches, surfaces=(SURFACE,), days=trial.days,
        )  # fmt: skip
        points = dict(zip(self.products, self.bank.truths.points.tolist(), strict=True))
        self.rewards = trial.rewards.with_values(points)
        self.learner: Learner = make_learner(trial.recipe, self.rewards)
        self.candidates = tuple(_candidate(product) for product in self.products)
        self.sights: list[Sight] = []
        self._watched = Watched(self.bank)
        self._seen = np.zeros((len(self.bank), len(self.products)))
        self._book = Book(self.rewards, trial=trial, candidates=self.candidates, people=len(self.bank))
        self._names: tuple[str, ...] = ()

    def days(self) -> Iterator[Lived]:
        """Live it, day by day; teaching is done at night, so a day is served by one snapshot."""
        for _ in range(self.trial.days):
            yield self._day()

    def _day(self) -> Lived:
        bank = self.bank
        day = bank.begin_day()
        self._watched.look()
        here = day.arrivals.on((SURFACE,))
        visible = self._watched.of(here.rows, at=bank.begins_at)
        told = np.hstack([visible[:, 1:], np.tile(_calendar(bank.begins_at.date()), (len(here), 1))])
        self._names = (*(f"seen_{n}" for n in range(visible.shape[1] - 1)), *_CALENDAR)
        affinity = viewed(visible, topics=bank.truths.topics) if self._near is None else self._near(visible)
        suited = bank.suited(here.rows) & on_surface(self.products, surface=SURFACE)
        seen = np.minimum(self._seen[here.rows], MOST_SEEN)
        policy = self.learner.live()
        scores = self._scores(policy, told, affinity, seen)
        examination = bank.examination(SURFACE)
        keys = (here.rows + bank.scope.first)[:, None] * 8 + np.arange(len(examination) + 1)
        luck = uniforms(bank.seed, purpose="trial", day=day.number, keys=keys.astype(np.uint64).ravel())
        luck = luck.reshape(keys.shape)
        share = 1.0 if day.number < self.trial.first_log else self.trial.slice_share
        chosen, likeliest = self._chosen(scores, suited, luck, new=self._new(policy), even_share=share)
        values = bank.values_at(here)
        earned = slates_value(values, chosen, examination=examination)
        if day.number in self.trial.looked_at:
            self.sights.append(
                Sight(day.number, here.rows, values, suited, visible, seen, earned, scores, chosen[:, 0])
            )
        outcomes = bank.respond_at(here, chosen)
        bank.later()
        shown = Shown(day.number, here, chosen, told, affinity, suited, seen)
        displayed = self._book.take(shown, outcomes, organic=bank.organic_at())
        self._seen[:] = (self._seen + displayed) * DAILY
        self._book.teach(self.learner, day.number, names=self._names)
        best = best_values(values, eligible=suited, examination=examination)
        top = np.where((suited & (values > 0)).any(axis=1), np.where(suited, values, -np.inf).argmax(axis=1), -1)
        return Lived(
            day.number, len(here), float(earned.mean()), float(best.mean()), float((chosen != likeliest).mean()),
            self.learner.taught, _shares(chosen[:, 0], len(self.products)), _shares(top, len(self.products)),
        )  # fmt: skip

    def _scores(self, policy: Policy, told: Floats, affinity: Floats, seen: Floats) -> Floats:
        """(v, P) by the code that serves, every visit with every product."""
        visits, products = seen.shape
        if not self.learner.taught or not hasattr(policy, "pair_scores"):
            return np.zeros((visits, products))
        scores = np.empty((visits, products))
        for column, one in enumerate(self.candidates):
            asked = [
                Candidate(one.product_id, "", one.names, one.values, near, often)
                for near, often in zip(affinity[:, column].tolist(), seen[:, column].tolist(), strict=True)
            ]
            scores[:, column] = policy.pair_scores(self._names, told, asked)
        return scores

    def _new(self, policy: Policy) -> Bools | None:
        """(2, P + 1) the products that still have a quota, and those that are known; the null choice is neither."""
        if not isinstance(policy, ChainedPolicy) or not policy.marks:
            return None
        return policy.newness((*self.products, NOTHING))

    def _chosen(
        self, scores: Floats, suited: Bools, luck: Floats, *, new: Bools | None, even_share: float
    ) -> tuple[Ints, Ints]:
        """(v, K) columns drawn, -1 for none, and the likeliest ones."""
        open_ = np.hstack([suited, np.zeros((len(suited), 1), dtype=np.bool_)])
        whole = np.hstack([scores, np.zeros((len(scores), 1))])
        rule = rule_of(self.trial.recipe.exploration, lessons=self.learner.taught, new=new)
        slates = drawn(whole, open_=open_, rule=rule, luck=luck[:, 1:])
        even = drawn(np.zeros(whole.shape), open_=open_, rule=softmax(), luck=luck[:, 1:])
        sliced = luck[:, :1] < even_share
        columns = np.where(sliced, even.columns, slates.columns)
        likeliest = np.where(slates.columns >= 0, slates.pmfs.argmax(axis=2), -1)
        return columns, likeliest


def lived(trial: Trial) -> Iterator[Lived]:
    """Live a trial and yield its days."""
    return Life(trial).days()


def rule_of(exploration: Exploration, *, lessons: int, new: Bools | None = None) -> PmfRule:
    """An exploration as a rule over many visits at once; equal to `Exploration.pmf` of each, to rounding."""

    def rule(scores: Floats, open_: Bools) -> Floats:
        some = open_.any(axis=1)
        pmf = np.zeros(scores.shape)
        if exploration.kind in ("greedy", "epsilon_greedy", "uniform"):
            settled = open_ if new is None else beside_new(open_, new)
            inside = np.where(settled, scores, -np.inf)
            best = settled & (inside == inside.max(axis=1, keepdims=True))
            even = {"greedy": 0.0, "uniform": 1.0}.get(exploration.kind, exploration.epsilon)
            shares = (1.0 - even) * best / np.maximum(best.sum(axis=1, keepdims=True), 1)
            pmf = shares + even * settled / np.maximum(settled.sum(axis=1, keepdims=True), 1)
            return pmf if new is None else exploration.shared_out(pmf, open_ & new[0])
        for row in np.flatnonzero(some).tolist():
            pmf[row] = exploration.pmf(scores[row], open_=open_[row], lessons=lessons, new=new)
        return pmf

    return rule


def viewed(visible: Floats, *, topics: Ints) -> Floats:
    """(v, P) how much each customer looked at the topic of each product lately, about within −1 and 3."""
    views: Floats = visible[:, FACTS.stop : FACTS.stop + len(TOPICS)][:, topics] - 0.5
    return views


def _candidate(product: ProductId) -> Candidate:
    """A product by name and family alone; the rule about advice is compliance's (ADV-2) and left out here."""
    truth = TRUTHS.get(product) or NEWCOMERS[product]
    names = (f"family_{truth.family}", f"topic_{truth.topic}")
    assert ADVICE_SENSITIVE not in names
    return Candidate(product, "", names, (1.0,) * len(names))


def _calendar(day: date) -> Floats:
    end = min(abs((date(year, 4, 5) - day).days) for year in (day.year, day.year + 1))
    marks = (day.month == 1, day.month == 12, day.weekday() >= 5)
    return np.array([np.exp(-((end / 14) ** 2)), *map(float, marks)])


def _shares(columns: Ints, products: int) -> Floats:
    shares: Floats = np.bincount(columns[columns >= 0], minlength=products) / max(len(columns), 1)
    return shares
