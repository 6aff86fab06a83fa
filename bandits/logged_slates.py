"""Rounds of a log as columns: what stood in each slot, and the chance of it under logger and targets.

A slate of fewer slots than the widest is filled up with certainties (reward 0, both chances 1), so that
the weight of a slate that ended early is carried on, as it must be for weights to average 1. The null
choice that ended a slate is one of its slots: not showing is drawn with a probability too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from bandits.batches import PlacedBatch, SlateBatch
from bandits.impersonal import scores_of
from bandits.marginals import Prefixes
from bandits.policy import Policy
from bandits.targets import Target
from bandits.unit_sums import UnitKeys, keys_of
from recsys.errors import Misuse
from recsys.shelves import ids_of
from recsys.vocabulary import NOTHING, Bools, Decision, Floats, ProductId, Round


@dataclass(frozen=True, slots=True)
class Frame:
    """How rounds become columns: one for each product and one for the null choice, and the widest slate.

    `places` may be fewer than a slate has: then its first slots are judged, by themselves.
    """

    products: tuple[ProductId, ...]
    places: int
    features: tuple[str, ...] = ()
    columns: dict[ProductId, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        columns = {product: column for column, product in enumerate((*self.products, NOTHING))}
        object.__setattr__(self, "columns", columns)

    @property
    def names(self) -> tuple[ProductId, ...]:
        """Of the columns."""
        return tuple(self.columns)


_TINY = 1e-12
Confine = Callable[[Decision], Bools]
"""A decision → (n,) which of its candidates may still be shown: a changed rule pack."""
Enumerate = Callable[[Decision], tuple[Policy, Prefixes] | None]
"""A decision → who drew it and all that may stand above each place; None where that is not known any more."""


@dataclass(frozen=True, slots=True, eq=False)
class Slates:
    """Some rounds as columns, one batch for each target; `context` (n, F) and `at` (n,) serve a reward model."""

    batches: tuple[SlateBatch, ...]
    logged: SlateBatch  # target = logger
    context: Floats
    at: Floats  # seconds since 1970
    rounds: tuple[Round, ...]

    @property
    def seen(self) -> Bools:
        """(n, L) whether each slot was seen; never the null choice."""
        found = np.zeros(self.logged.shown.shape, dtype=np.bool_)
        for row, each in zip(found, self.rounds, strict=True):
            told = each.seen[: row.size]  # the null choice, which has none, comes last
            row[: told.size] = told
        return found

    def modelled(self, q: Expected) -> tuple[SlateBatch, ...]:
        """The batches with what a model expects."""
        return tuple(_modelled(batch, q) for batch in self.batches)


def logged_slates(
    rounds: Iterable[Round],
    *,
    targets: Sequence[Target],
    frame: Frame,
    confine: Confine | None = None,
    enumerate_: Enumerate | None = None,
    size: int = 2_000,
) -> Iterator[Slates]:
    """Batches of at most `size` rounds, each with a slate, judged under every target.

    A product outside the frame raises `Misuse`; a target that gives no distribution `InvalidPmf`.
    Chances at each place are told where `enumerate_` knows them for every round of a batch.
    """
    some = (each for each in rounds if each.decision.candidates and each.decision.slots)
    while batch := list(islice(some, size)):
        yield _stacked(batch, targets=targets, frame=frame, confine=confine, enumerate_=enumerate_)


class _Columns:
    """Arrays that fill up row by row: one set for the logger, or for one target."""

    def __init__(self, n: int, *, frame: Frame) -> None:
        shape, wide = (n, frame.places), (n, frame.places, len(frame.columns))
        self.reward = np.zeros(shape)
        self.propensity, self.target = np.ones(shape), np.ones(shape)
        self.propensity_at, self.target_at = np.ones(shape), np.ones(shape)
        self.target_pmf_at = np.zeros(wide)
        self.logged_pmf, self.target_pmf = np.zeros(wide), np.zeros(wide)
        self.shown = np.full(shape, -1.0)

    def batch(self, unit: UnitKeys, *, placed: bool) -> SlateBatch:
        names = ("reward", "propensity", "target", "logged_pmf", "target_pmf", "shown")
        slates = SlateBatch(unit=unit, **{name: getattr(self, name) for name in names})
        if not placed:
            return slates
        at = {name: getattr(self, name) for name in ("reward", "propensity_at", "target_at", "target_pmf_at")}
        return replace(slates, placed=PlacedBatch(unit=unit, within=slates, **at))


def _stacked(
    rounds: Sequence[Round],
    *,
    targets: Sequence[Target],
    frame: Frame,
    confine: Confine | None,
    enumerate_: Enumerate | None,
) -> Slates:
    n = len(rounds)
    logged, judged = _Columns(n, frame=frame), [_Columns(n, frame=frame) for _ in targets]
    context, placed = np.zeros((n, len(frame.features))), enumerate_ is not None
    features = {name: column for column, name in enumerate(frame.features)}
    for i, each in enumerate(rounds):
        decision = each.decision
        slots = _Slots.of(each, frame=frame)
        for name, value in zip(decision.context.names, decision.context.values, strict=True):
            if name in features:
                context[i, features[name]] = value
        open_ = open_in(decision, places=len(slots.rows))
        if confine is not None:
            open_ &= confine(decision)
        known = enumerate_(decision) if enumerate_ is not None and placed else None
        placed = known is not None
        slots.into(logged, i, pmfs=decision.pmfs[: len(slots.rows)], open_=np.ones_like(open_))
        for columns, target in zip(judged, targets, strict=True):
            slots.into(columns, i, pmfs=target.pmfs(decision, open_=open_), open_=open_)
            if known is not None:
                slots.place(columns, i, target=target, decision=decision, drew=known)
    unit = keys_of([each.decision.unit or str(each.decision.token) for each in rounds])
    at = np.array([each.decision.made_at.timestamp() for each in rounds])
    batches = tuple(columns.batch(unit, placed=placed) for columns in judged)
    return Slates(batches, logged.batch(unit, placed=False), context, at, tuple(rounds))


@dataclass(frozen=True, slots=True, eq=False)
class _Slots:
    """The slots of one round that are judged."""

    where: np.ndarray[tuple[int], np.dtype[np.int64]]  # (candidates,) the column of each
    rows: tuple[int, ...]  # the candidate in each slot
    propensity: tuple[float, ...]
    reward: tuple[float, ...]
    logged: Floats  # (slots, candidates)

    @classmethod
    def of(cls, each: Round, *, frame: Frame) -> _Slots:
        decision = each.decision
        products = ids_of(decision.candidates)
        if missing := [product for product in products if product not in frame.columns]:
            raise Misuse(f"decision {decision.decision_id} had the candidate {missing[0]}, which is no column")
        slots, rewards = decision.slots[: frame.places], iter(each.rewards.tolist())
        return cls(
            np.array([frame.columns[product] for product in products], dtype=np.int64),
            tuple(products.index(slot.product_id) for slot in slots),
            tuple(slot.propensity for slot in slots),
            tuple(0.0 if slot.product_id == NOTHING else next(rewards) for slot in slots),
            decision.pmfs[: len(slots)],
        )

    def into(self, columns: _Columns, i: int, *, pmfs: Floats, open_: Bools) -> None:
        """Fill row i; where nothing is open the target's slate has ended, with certainty."""
        for place, row in enumerate(self.rows):
            if not open_[place].any():
                return
            columns.reward[i, place] = self.reward[place]
            columns.propensity[i, place], columns.target[i, place] = self.propensity[place], pmfs[place, row]
            columns.shown[i, place] = self.where[row]
            columns.logged_pmf[i, place, self.where] = self.logged[place]
            columns.target_pmf[i, place, self.where] = pmfs[place]

    def place(
        self, columns: _Columns, i: int, *, target: Target, decision: Decision, drew: tuple[Policy, Prefixes]
    ) -> None:
        """Fill in the chance of each slot's product at its place, whatever stands above."""
        logger, prefixes = drew
        logged = decision.scores
        if getattr(logger, "marks", False):  # numbers alone do not say which products are new
            logged = scores_of(logger, decision.context, decision.candidates)
        by_logger = prefixes.marginals(logger, logged)
        policy = target.drawing(logger)
        scores = logged if policy is logger else scores_of(policy, decision.context, decision.candidates)
        by_target = prefixes.marginals(policy, scores)
        for place, row in enumerate(self.rows):
            columns.propensity_at[i, place] = by_logger[place, row]
            columns.target_at[i, place] = by_target[place, row]
        places = min(len(by_target), columns.reward.shape[1])
        for place in range(places):  # below the logged end, too
            columns.target_pmf_at[i, place, self.where] = by_target[place]
        for place in range(len(self.rows), places):  # the slate has ended, which has a chance of its own
            columns.propensity_at[i, place] = min(max(1.0 - by_logger[place].sum(), _TINY), 1.0)
            columns.target_at[i, place] = min(max(1.0 - by_target[place].sum(), 0.0), 1.0)


def open_in(decision: Decision, *, places: int) -> Bools:
    """(places, n) what could have taken each: at the first everything; below, what was not drawn or closed above.

    A logger that gives every open candidate something shows what was closed; one that draws the same
    again and again does not, and support is then what it is.
    """
    open_ = np.ones((places, len(decision.candidates)), dtype=np.bool_)
    products = ids_of(decision.candidates)
    for place in range(1, places):
        open_[place] = open_[place - 1]
        open_[place, products.index(decision.slots[place - 1].product_id)] = False
    for place in range(1, places):
        open_[place] &= (decision.pmfs[place] > 0.0) | (decision.pmfs[0] == 0.0)
    return open_


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What a reward model expects of every column in every slot, (n, L, columns)."""

    to_come: Floats  # from the slot to the slate's end
    own: Floats  # of the slot itself


def _modelled(batch: SlateBatch, q: Expected) -> SlateBatch:
    slates = replace(batch, q_logged=_of_shown(q.to_come, batch), q_target=(batch.target_pmf * q.to_come).sum(axis=2))
    if batch.placed is None:
        return slates
    own = (batch.placed.target_pmf_at * q.own).sum(axis=2)
    return replace(slates, placed=replace(batch.placed, q_logged=_of_shown(q.own, batch), q_target=own))


def _of_shown(q: Floats, batch: SlateBatch) -> Floats:
    column = np.maximum(batch.shown, 0.0).astype(np.int64)[..., None]
    return np.where(batch.shown >= 0.0, np.take_along_axis(q, column, axis=2)[..., 0], 0.0)
