"""Judge a policy from a log: rounds in batches of any size → estimates, intervals, diagnostics, a sentence.

    panel = Panel("bandit@12", chosen(ESTIMATORS, names=("dm", "ips", "snips", "dr", "sndr")))
    for batch in batches:
        panel.add(batch)
    for verdict in panel.verdicts():
        print(verdict)

Every number is a function of sums over rounds or units, so a log that is read in a thousand batches, or
by several processes whose panels are added, gives what one batch gives. Memory is one row a unit.
The sample is the unit that was assigned (customer or household), never the round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

import numpy as np

from bandits import diagnostics, estimators, slate_estimators
from bandits.batches import Batch, Pair, PlacedBatch, SlateBatch
from bandits.diagnostics import Diagnostics
from bandits.forms import MEAN, PLUS_RATIO, RATIO, Form
from bandits.intervals import Interval, on_log_odds
from bandits.tally import Tally
from bandits.unit_sums import UnitSums
from recsys.errors import Misuse
from recsys.vocabulary import Floats

Rows = TypeVar("Rows", Batch, SlateBatch, PlacedBatch, Pair[Batch], Pair[SlateBatch], Pair[PlacedBatch])


@dataclass(frozen=True, slots=True)
class Estimator(Generic[Rows]):
    """A form, and the (n, k) terms it takes from a batch."""

    form: Form
    terms: Callable[[Rows], Floats]


def _one(contributions: Callable[[Rows], Floats]) -> Estimator[Rows]:
    return Estimator(MEAN, lambda batch: contributions(batch)[:, None])


CLIP, THRESHOLD, SHRINKAGE = 50.0, 50.0, 1_000.0
"""Dials of the estimators that have one; off by default, and never tuned on the log they judge."""

ESTIMATORS: Mapping[str, Estimator[Batch]] = MappingProxyType(
    {
        "dm": _one(lambda b: estimators.dm(q_target=b.modelled["q_target"])),
        "ips": _one(lambda b: estimators.ips(**b.weighing)),
        "clipped_ips": _one(lambda b: estimators.clipped_ips(**b.weighing, clip=CLIP)),
        "snips": Estimator(RATIO, lambda b: estimators.snips_terms(**b.weighing).terms),
        "dr": _one(lambda b: estimators.dr(**b.modelled)),
        "sndr": Estimator(PLUS_RATIO, lambda b: estimators.sndr_terms(**b.modelled).terms),
        "switch_dr": _one(lambda b: estimators.switch_dr(**b.modelled, threshold=THRESHOLD)),
        "dros": _one(lambda b: estimators.dros(**b.modelled, shrinkage=SHRINKAGE)),
        "logged": _one(lambda b: b.reward),
        "uplift": _one(
            lambda b: (estimators.ips(**b.weighing) if b.q_logged is None else estimators.dr(**b.modelled)) - b.reward
        ),
    }
)
"""By name. "logged" is what the logging policy earned; "uplift" the target less that, on the same rows."""

SLATE_ESTIMATORS: Mapping[str, Estimator[SlateBatch]] = MappingProxyType(
    {
        "sips": _one(lambda b: slate_estimators.sips(**b.weighing)),
        "rips": _one(lambda b: slate_estimators.rips(**b.weighing)),
        "cascade_dr": _one(lambda b: slate_estimators.cascade_dr(**b.modelled)),
        "logged": _one(lambda b: b.reward.sum(axis=1)),
        "uplift": _one(lambda b: _best(b) - b.reward.sum(axis=1)),
    }
)
"""The same for whole slates: a round's reward is the sum of its slots'."""

PLACED_ESTIMATORS: Mapping[str, Estimator[PlacedBatch]] = MappingProxyType(
    {
        "iips": _one(lambda b: slate_estimators.iips(**b.weighing)),
        "slot_dr": _one(lambda b: slate_estimators.slot_dr(**b.modelled)),
        "uplift": _one(lambda b: slate_estimators.slot_dr(**b.modelled) - b.reward.sum(axis=1)),
    }
)
"""The same where each slot is weighed by itself."""

ROUND_PAIRS: Mapping[str, Estimator[Pair[Batch]]] = MappingProxyType(
    {
        "ips": _one(lambda b: estimators.ips(**b.one.weighing) - estimators.ips(**b.other.weighing)),
        "dr": _one(lambda b: estimators.dr(**b.one.modelled) - estimators.dr(**b.other.modelled)),
    }
)
"""One target less another on the same rows, one slot each."""

PAIRS: Mapping[str, Estimator[Pair[SlateBatch]]] = MappingProxyType(
    {
        "rips": _one(lambda b: slate_estimators.rips(**b.one.weighing) - slate_estimators.rips(**b.other.weighing)),
        "cascade_dr": _one(lambda b: _best(b.one) - _best(b.other)),
    }
)
"""The same of whole slates: what they share cancels, so the interval is far narrower."""

PLACED_PAIRS: Mapping[str, Estimator[Pair[PlacedBatch]]] = MappingProxyType(
    {
        "iips": _one(lambda b: slate_estimators.iips(**b.one.weighing) - slate_estimators.iips(**b.other.weighing)),
        "slot_dr": _one(
            lambda b: slate_estimators.slot_dr(**b.one.modelled) - slate_estimators.slot_dr(**b.other.modelled)
        ),
    }
)
"""The same where each slot is weighed by itself."""


def _best(batch: SlateBatch) -> Floats:
    """(n,) with the reward model where there is one; of one slot it is dr, without a model ips."""
    if batch.q_logged is None:
        return slate_estimators.rips(**batch.weighing)
    return slate_estimators.cascade_dr(**batch.modelled)


HEADLINE = ("sndr", "snips", "dr", "ips", "dm", "slot_dr", "cascade_dr", "iips", "rips", "sips")
"""Which estimate speaks for a policy: the first of these that was asked for (statistics.md 0)."""

_LEVELS = frozenset({*HEADLINE, "clipped_ips", "switch_dr", "dros", "mips"}) - {"dm"}
"""Estimates of what a round earns, from rounds that were weighed: each must be something a round could earn."""


def chosen(known: Mapping[str, Estimator[Rows]], *, names: Sequence[str]) -> dict[str, Estimator[Rows]]:
    """Those of the `known` estimators that are named, in that order; raises `Misuse` for an unknown name."""
    if unknown := [name for name in names if name not in known]:
        raise Misuse(f"there is no estimator {unknown[0]}; there are {', '.join(known)}")
    return {name: known[name] for name in names}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Policy × estimator × estimate, with the diagnostics that say how far to believe it."""

    policy: str
    estimator: str
    interval: Interval
    diagnostics: Diagnostics

    @property
    def refused(self) -> bool:
        """Whether the data cannot say: there is an estimate, and no interval that may be shown."""
        weighs = self.estimator not in ("dm", "logged")
        return weighs and not self.diagnostics.interval_allowed

    def __str__(self) -> str:
        known = "undefined" if np.isnan(self.interval.estimate) else f"{self.interval.estimate:.5f}"
        told = f"{known} [not enough evidence]" if self.refused else str(self.interval)
        return f"{self.policy} {self.estimator} {told}"


@dataclass(slots=True, eq=False)
class Panel(Generic[Rows]):
    """One policy's estimates while rounds come in; panels over parts of a log add.

    `estimators` are some of `ESTIMATORS` for `Batch`es, of `SLATE_ESTIMATORS` for `SlateBatch`es,
    and so on.
    """

    policy: str
    estimators: Mapping[str, Estimator[Rows]]
    level: float = 0.95
    products: Sequence[str] = ()
    excluded: int = 0
    paired: bool = False  # a difference of two policies, which may lie outside what a round can earn
    _sums: UnitSums | None = None  # the terms of all estimators, side by side
    _tally: Tally | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.level < 1.0:
            raise Misuse(f"a level lies in (0, 1), got {self.level}")

    def add(self, batch: Rows) -> None:
        """Take in some rounds. Raises `InvalidTable` with their rows, or `Misuse`."""
        tally = batch.tally()
        terms = [each.terms(batch) for each in self.estimators.values()]
        self.take((UnitSums.of(np.hstack(terms), unit=batch.unit), tally))

    @property
    def counted(self) -> tuple[UnitSums, Tally] | None:
        """All that it holds, None before the first round: what travels between processes."""
        return None if self._sums is None or self._tally is None else (self._sums, self._tally)

    def take(self, counted: tuple[UnitSums, Tally] | None) -> None:
        """Take in what a panel of the same policy and estimators has counted elsewhere."""
        if counted is not None:
            sums, tally = counted
            self._sums = sums if self._sums is None else self._sums + sums
            self._tally = tally if self._tally is None else self._tally + tally

    def merge(self, other: Panel[Rows]) -> None:
        """Take in what another panel of the same policy and estimators has counted."""
        if (other.policy, list(other.estimators)) != (self.policy, list(self.estimators)):
            raise Misuse("panels of different policies or estimators do not add")
        self.take(other.counted)
        self.excluded += other.excluded

    def verdicts(self) -> tuple[Verdict, ...]:
        """One for each estimator, in the order asked for; none before the first round."""
        if self._tally is None or self._sums is None:
            return ()
        told = diagnostics.told(self._tally, products=self.products, excluded=self.excluded)
        found, start = dict[str, Interval](), 0
        for name, each in self.estimators.items():
            end = start + len(each.form.terms)
            interval = self._sums.columns(start, end).interval(each.form, level=self.level)
            bent = each.form is RATIO and told.binary and 0.0 < interval.estimate < 1.0
            found[name] = on_log_odds(interval) if bent else interval
            start = end
        levels = {name: each.estimate for name, each in found.items() if name in _LEVELS and not self.paired}
        told = diagnostics.beyond(told, estimates=levels)
        return tuple(Verdict(self.policy, name, interval, told) for name, interval in found.items())


def headline(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict that speaks for a policy: the first of `HEADLINE`; raises `Misuse` when there is none."""
    known = {verdict.estimator: verdict for verdict in verdicts}
    for name in HEADLINE:
        if name in known:
            return known[name]
    raise Misuse(f"none of {', '.join(HEADLINE)} was asked for")


def conclusion(verdicts: Sequence[Verdict], *, logged: float) -> str:
    """One sentence in plain words: what the policy would have earned against what was earned."""
    best = headline(verdicts)
    found, told = best.interval, best.diagnostics
    if best.refused:
        reason = next((f.sentence for f in told.findings if f.colour == "red"), "too little evidence")
        return f"The log cannot say what {best.policy} would have earned: {reason}."
    between = f"between {found.low:.4g} and {found.high:.4g} ({found.level:.0%} sure)"
    against = f"the policy that ran earned {logged:.4g}"
    if found.low > logged:
        said = f"{best.policy} would have earned more: {found.estimate:.4g}, {between}; {against}"
    elif found.high < logged:
        said = f"{best.policy} would have earned less: {found.estimate:.4g}, {between}; {against}"
    else:
        said = f"No difference is shown: {best.policy} would have earned {found.estimate:.4g}, {between}; {against}"
    warnings = [f.sentence for f in told.findings]
    return said + (f". But {'; '.join(warnings)}." if warnings else ".")
