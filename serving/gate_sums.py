"""What the gate measures while rounds come by: value, guardrails, and each group's exposure and value.

Candidate and champion are measured on the same rounds, so that what they share cancels. A guardrail is
counted over the slots by the same weights as value, without a model; exposure is what each would have
shown, which needs no outcome at all. Groups come from the facts a decision used: they judge, and never
choose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import numpy as np

from bandits.batches import SlateBatch
from bandits.gate import Measured
from bandits.logged_slates import Slates
from bandits.slate_estimators import cascade_dr, slot_dr
from bandits.unit_sums import UnitKeys, UnitSums
from recsys.rewards import Rewards
from recsys.vocabulary import Bools, Decision, Floats

HARMS: Mapping[str, str] = {"dismissed": "dismissals", "opted_out": "opt-outs", "cancelled_14d": "cancellations"}
_AGES = ((25, "under 25"), (40, "25 to 39"), (65, "40 to 64"), (999, "65 and over"))


class GateSums:
    """Feed it batches as `watch` of `judge`; the first target is the candidate, the second the champion."""

    def __init__(self, rewards: Rewards) -> None:
        self._stages = {stage.kind: stage.name for stage in rewards.stages}
        self._sums: dict[str, UnitSums] = {}

    def watch(self, slates: Slates, batches: Sequence[SlateBatch]) -> None:
        """Take in some rounds."""
        one, other = batches[0], batches[1]
        value = np.stack([_value(one), _value(other)], axis=1)
        shown = np.stack([_shown(one), _shown(other)], axis=1)
        self._add("value", value, unit=one.unit)
        for kind, name in HARMS.items():
            happened = self._happened(slates, kind=kind)
            weighed = np.stack([(_weights(batch) * happened).sum(axis=1) for batch in (one, other)], axis=1)
            self._add(name, weighed, unit=one.unit)
        self._add("cards", shown, unit=one.unit)
        groups = np.array([group_of(each.decision) for each in slates.rounds])
        for group in np.unique(groups).tolist():
            rows: Bools = groups == group
            self._add(f"cards to {group}, of the average", shown[rows], unit=one.unit[rows])
            self._add(f"value to {group}", value[rows], unit=one.unit[rows])

    def value(self) -> Measured:
        """What candidate and champion earn a round."""
        return Measured("value", self._sums["value"])

    def guardrails(self) -> Iterator[Measured]:
        """Harms first, then the groups."""
        for name, sums in sorted(self._sums.items(), key=lambda each: (" to " in each[0], each[0])):
            if name.startswith("cards to "):  # compared with everybody's, so that a calmer policy starves nobody
                sums = UnitSums(sums.keys, sums.counts, sums.sums / self._sums["cards"].means())
            if name not in ("value", "cards"):
                yield Measured(name, sums, "lower" if name in HARMS.values() else "higher")

    def _add(self, name: str, terms: Floats, *, unit: UnitKeys) -> None:
        sums = UnitSums.of(terms, unit=unit)
        self._sums[name] = self._sums[name] + sums if name in self._sums else sums

    def _happened(self, slates: Slates, *, kind: str) -> Floats:
        """(n, L) whether an outcome of a kind came to each slot."""
        found = np.zeros(slates.logged.reward.shape)
        for row, each in zip(found, slates.rounds, strict=True):
            marks = each.stages[self._stages[kind]][: row.size]
            row[: marks.size] = marks
        return found


def group_of(decision: Decision) -> str:
    """The age band of whom a decision was made for."""
    fact = decision.facts.get("date_of_birth")
    if fact is None or not isinstance(fact.value, str):
        return "unknown age"
    born, today = date.fromisoformat(fact.value), decision.made_at.date()
    age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    return next(name for below, name in _AGES if age < below)


def _value(batch: SlateBatch) -> Floats:
    if batch.placed is not None:
        return slot_dr(**batch.placed.modelled)
    return cascade_dr(**batch.modelled)


def _weights(batch: SlateBatch) -> Floats:
    if batch.placed is not None:
        return batch.placed.target_at / batch.placed.propensity_at
    return np.asarray((batch.target / batch.propensity).cumprod(axis=1))


def _shown(batch: SlateBatch) -> Floats:
    """(n,) cards that a target shows on average: over whole slates where that is known, else in the first slot."""
    if batch.placed is not None:
        return np.asarray(batch.placed.target_pmf_at[:, :, :-1].sum(axis=(1, 2)))
    return np.asarray(batch.target_pmf[:, 0, :-1].sum(axis=1))
