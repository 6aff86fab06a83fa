"""Several policies judged side by side on the same rounds, and each against the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bandits.batches import Batch, Pair, PlacedBatch, SlateBatch
from bandits.evaluation import (
    ESTIMATORS,
    PAIRS,
    PLACED_ESTIMATORS,
    PLACED_PAIRS,
    SLATE_ESTIMATORS,
    Estimator,
    Panel,
    Verdict,
    chosen,
)
from recsys.errors import Misuse

ONE_SLOT = ("dm", "ips", "snips", "dr", "sndr", "logged", "uplift")
WHOLE_SLATES = ("slot_dr", "iips", "cascade_dr", "rips", "sips", "logged", "uplift")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which estimators: of whole slates (or first slots), and of slots weighed each by itself."""

    slates: Mapping[str, Estimator[SlateBatch]]
    placed: Mapping[str, Estimator[PlacedBatch]]

    @classmethod
    def of(cls, names: Sequence[str], *, places: int) -> Asked:
        """Those named, or all that suit `places`. Raises `Misuse` for a name that is none."""
        known = _first_slot() if places == 1 else dict(SLATE_ESTIMATORS)
        placed = {} if places == 1 else PLACED_ESTIMATORS
        wanted = dict.fromkeys((*(names or (ONE_SLOT if places == 1 else WHOLE_SLATES)), "logged", "uplift"))
        whole = [name for name in wanted if name in known and (name != "uplift" or not placed)]
        if unknown := [name for name in wanted if name not in known and name not in placed]:
            raise Misuse(f"there is no estimator {unknown[0]}; there are {', '.join((*placed, *known))}")
        return cls(
            chosen(known, names=whole),
            {name: placed[name] for name in wanted if name in placed},
        )

    def without_places(self) -> Asked:
        """Only those that need no chance at each place."""
        return Asked({**self.slates, "uplift": SLATE_ESTIMATORS["uplift"]}, {})


class Panels:
    """Panels for each of the named policies, and for each that is compared with the first."""

    def __init__(self, names: Sequence[str], *, asked: Asked, level: float, products: Sequence[str]) -> None:
        others = [f"{names[0]} − {other}" for other in names[1:]]
        self.asked = asked
        self._slates = [Panel(name, asked.slates, level=level, products=products) for name in names]
        self._placed = [Panel(name, asked.placed, level=level, products=products) for name in names if asked.placed]
        self._pairs = [Panel(name, PAIRS, level=level, products=products, paired=True) for name in others]
        self._placed_pairs = [
            Panel(name, PLACED_PAIRS, level=level, products=products, paired=True) for name in others if asked.placed
        ]

    def add(self, batches: Sequence[SlateBatch]) -> None:
        """Take in some rounds under every policy. Raises `Misuse` where chances at each place are missing."""
        for panel, batch in zip(self._slates, batches, strict=True):
            panel.add(batch)
        for pair, batch in zip(self._pairs, batches[1:], strict=True):
            pair.add(Pair(batches[0], batch))
        if self._placed:
            placed = [_placed_of(batch) for batch in batches]
            for each, one in zip(self._placed, placed, strict=True):
                each.add(one)
            for both, one in zip(self._placed_pairs, placed[1:], strict=True):
                both.add(Pair(placed[0], one))

    def verdicts(self, *, immature: int) -> tuple[tuple[Verdict, ...], tuple[Verdict, ...]]:
        """(of each policy, of each comparison); those of slots weighed by themselves come first."""
        for panel in self._slates:
            panel.excluded = immature
        for each in self._placed:
            each.excluded = immature
        by_place = [each.verdicts() for each in self._placed] or [()] * len(self._slates)
        whole = [panel.verdicts() for panel in self._slates]
        pairs_by_place = [each.verdicts() for each in self._placed_pairs] or [()] * len(self._pairs)
        pairs = [pair.verdicts() for pair in self._pairs]
        return _woven(by_place, whole), _woven(pairs_by_place, pairs)


def _woven(first: Sequence[Sequence[Verdict]], second: Sequence[Sequence[Verdict]]) -> tuple[Verdict, ...]:
    return tuple(v for one, other in zip(first, second, strict=True) for v in (*one, *other))


def _placed_of(batch: SlateBatch) -> PlacedBatch:
    if batch.placed is None:
        raise Misuse("iips and slot_dr need the chance of each product at its place")
    return batch.placed


def _first_slot() -> dict[str, Estimator[SlateBatch]]:
    return {name: _of_first(each) for name, each in ESTIMATORS.items()}


def _of_first(estimator: Estimator[Batch]) -> Estimator[SlateBatch]:
    return Estimator(estimator.form, lambda slates: estimator.terms(slates.first_slots()))
