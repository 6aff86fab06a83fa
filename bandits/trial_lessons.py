"""What a trial's learner is taught, and when: joining by arrays, as `recsys.joining` does it by events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from bandits.recipe import Learner
from recsys.bank.dice import Ints, uniforms
from recsys.bank.outcomes import KINDS, Outcomes
from recsys.bank.visits import Arrivals
from recsys.delays import Delays
from recsys.joining import family_of
from recsys.rewards import SEEN, UNSHOWN, Rewards, Stage
from recsys.vocabulary import Bools, Candidate, Context, Floats

if TYPE_CHECKING:
    from bandits.trials import Trial

_DAY = 86_400.0
"""Seconds; a day's visits ripen with the day."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One day's decisions."""

    number: int
    arrivals: Arrivals
    columns: Ints  # (v, K), -1 for none
    told: Floats  # (v, F) contexts
    affinity: Floats  # (v, P)
    suited: Bools  # (v, P)
    seen_lately: Floats  # (v, P)

    @property
    def seconds(self) -> Floats:
        """(v,) since the bank's first midnight."""
        return self.number * _DAY + self.arrivals.seconds.astype(np.float64)


@dataclass(slots=True, eq=False)
class _Open:
    """One day and what came of it: when each kind happened to each slot, infinity for never."""

    shown: Shown
    at: dict[str, Floats]  # kind → (v, K)
    known: dict[str, Floats]  # kind → (v, K) when the bank was told


class Book:
    """Keeps what is still open and teaches each stage once, on the day it is known."""

    def __init__(self, rewards: Rewards, *, trial: Trial, candidates: tuple[Candidate, ...], people: int) -> None:
        self._stages = rewards.taught(trial.recipe.reward)
        self._candidates, self._trial, self._people = candidates, trial, people
        self._open: dict[int, _Open] = {}
        self._last = max(stage.taught_after for stage in self._stages) // timedelta(days=1) + 2
        self._today = 0  # as an ordinal
        self._organic: list[tuple[Ints, Ints, Floats]] = []
        self._carded: list[tuple[Ints, Ints, Floats]] = []
        self._delays = {stage.name: Delays(stage.horizon) for stage in self._stages if stage.horizon is not None}
        self._coming: dict[str, list[tuple[float, float, int]]] = {name: [] for name in self._delays}

    def take(self, shown: Shown, outcomes: Outcomes, *, organic: Outcomes) -> Floats:
        """Keep a day; (n, P) displays of it are told back."""
        blank = np.full(shown.columns.shape, np.inf)
        at, known = {name: blank.copy() for name in KINDS}, {name: blank.copy() for name in KINDS}
        ours = outcomes.arrivals >= 0
        for kind, name in enumerate(KINDS):
            mine = ours & (outcomes.kinds == kind)
            place = outcomes.arrivals[mine], outcomes.places[mine]
            np.minimum.at(at[name], place, outcomes.seconds[mine])
            np.minimum.at(known[name], place, outcomes.reported[mine])
        self._open[shown.number] = _Open(shown, at, known)
        self._open.pop(shown.number - self._last - 1, None)
        opened, free = outcomes.kinds == KINDS.index("opened"), organic.kinds == KINDS.index("opened")
        self._carded.append((outcomes.rows[opened], outcomes.columns[opened], outcomes.seconds[opened]))
        self._organic.append((organic.rows[free], organic.columns[free], organic.seconds[free]))
        displays = np.zeros((self._people, len(self._candidates)))
        slots = np.isfinite(at[SEEN]) & (shown.columns >= 0)
        visit, place_ = np.nonzero(slots)
        np.add.at(displays, (shown.arrivals.rows[visit], shown.columns[visit, place_]), 1.0)
        return displays

    def teach(self, learner: Learner, today: int, *, names: tuple[str, ...]) -> None:
        """Every lesson that is known by the end of day `today`."""
        now = (today + 1) * _DAY
        self._today = self._trial.start.toordinal() + today
        for stage in self._stages:
            ripe = today - int(np.ceil(stage.taught_after / timedelta(days=1)))
            if (day := self._open.get(ripe)) is not None:
                if stage.given == UNSHOWN:
                    self._unshown(learner, stage, day, names=names)
                else:
                    self._shown(learner, stage, day, now=now, names=names)

    def _shown(self, learner: Learner, stage: Stage, day: _Open, *, now: float, names: tuple[str, ...]) -> None:
        reached = day.shown.columns >= 0
        if stage.given != SEEN or not self._trial.blind:
            given = next((each.kind for each in self._stages if each.name == stage.given), stage.given)
            reached &= np.isfinite(day.at[given])
        reached &= np.isfinite(day.at[SEEN]) | self._trial.blind
        visits, places = np.nonzero(reached)
        window = min(stage.window, stage.taught_after).total_seconds()
        when = day.at[stage.kind][visits, places]
        until = day.shown.seconds[visits] + window
        happened = (when <= until) & (day.known[stage.kind][visits, places] <= now)
        columns = day.shown.columns[visits, places]
        labels = happened.astype(np.float64)
        if stage.name in self._delays:
            labels *= self._corrections(stage, columns, when, day=day, visits=visits, now=now)
        self._lessons(learner, stage, day, visits=visits, columns=columns, labels=labels, names=names)

    def _corrections(
        self, stage: Stage, columns: Ints, when: Floats, *, day: _Open, visits: Ints, now: float
    ) -> Floats:
        """What an outcome of each slot stands for; then note what came, and follow the rest."""
        delays, coming = self._delays[stage.name], self._coming[stage.name]
        start = self._trial.start
        names = [(str(each.product_id), family_of(each)) for each in self._candidates]
        for came, decided, column in [each for each in coming if each[0] <= now]:
            product, family = names[column]
            made_at, delay = start + timedelta(seconds=decided), timedelta(seconds=came - decided)
            delays.note(product, made_at, family=family, delay=delay)
        coming[:] = [each for each in coming if each[0] > now]
        age, at = min(stage.window, stage.taught_after), start + timedelta(seconds=now)
        stands = np.array([1.0 / delays.share(product, age, family=family, now=at) for product, family in names])
        for visit, column, second in zip(visits.tolist(), columns.tolist(), when.tolist(), strict=True):
            if np.isfinite(second):
                coming.append((second, float(day.shown.seconds[visit]), column))
        return np.asarray(stands[columns])

    def _unshown(self, learner: Learner, stage: Stage, day: _Open, *, names: tuple[str, ...]) -> None:
        """One candidate of each decision that was not shown; none where a card brought it meanwhile."""
        shown, window = day.shown, stage.window.total_seconds()
        left = shown.suited.copy()
        for columns in shown.columns.T:
            some = np.flatnonzero(columns >= 0)
            left[some, columns[some]] = False
        keys = (shown.arrivals.rows[:, None] * left.shape[1] + np.arange(left.shape[1])).astype(np.uint64)
        dice = uniforms(self._trial.seed, purpose="unshown", day=shown.number, keys=keys.ravel()).reshape(keys.shape)
        picks = np.where(left, dice, -1.0).argmax(axis=1)
        rows, since = shown.arrivals.rows, shown.seconds
        alone, carded = (
            self._earliest(part, shown.number, rows, picks, since) for part in (self._organic, self._carded)
        )
        asked = np.flatnonzero(left.any(axis=1) & (carded > since + window))
        labels = (alone <= since + window).astype(np.float64)[asked]
        self._lessons(learner, stage, day, visits=asked, columns=picks[asked], labels=labels, names=names)

    def _earliest(
        self, told: list[tuple[Ints, Ints, Floats]], number: int, rows: Ints, columns: Ints, since: Floats
    ) -> Floats:
        """(v,) when each customer first came to the product after `since`, infinity for never."""
        products = len(self._candidates)
        who, what, when = (np.concatenate([part[place] for part in told[number:]]) for place in range(3))
        keys, asked = who * products + what, rows * products + columns
        order = np.lexsort((when, keys))
        keys, when = keys[order], when[order]
        at = np.searchsorted(keys, asked)
        found = np.full(len(rows), np.inf)
        for step in range(3):  # a product may be opened again: look a little further
            place = np.minimum(at + step, len(keys) - 1) if len(keys) else at
            if not len(keys):
                break
            fits = (keys[place] == asked) & (when[place] > since) & np.isinf(found)
            found[fits] = when[place][fits]
        return found

    def _lessons(
        self,
        learner: Learner,
        stage: Stage,
        day: _Open,
        *,
        visits: Ints,
        columns: Ints,
        labels: Floats,
        names: tuple[str, ...],
    ) -> None:
        keep = self._trial.keep if stage.given in (SEEN, UNSHOWN) else 1.0
        keys = (day.shown.arrivals.rows[visits] * len(self._candidates) + columns).astype(np.uint64)
        luck = uniforms(self._trial.seed, purpose=f"kept/{stage.name}", day=day.shown.number, keys=keys)
        kept = np.flatnonzero((labels > 0.0) | (luck < keep))
        shown = day.shown
        for visit, column, label in zip(
            visits[kept].tolist(), columns[kept].tolist(), labels[kept].tolist(), strict=True
        ):
            one = self._candidates[column]
            near, often = float(shown.affinity[visit, column]), float(shown.seen_lately[visit, column])
            learner.teach(
                Context(names, tuple(shown.told[visit].tolist())),
                Candidate(one.product_id, "", one.names, one.values, near, often),
                stage=stage.name,
                label=label,
                weight=1.0 if label > 0.0 else 1.0 / keep,
                day=self._today,
            )
