"""Several policies judged side by side on the same rounds, and each against the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bandits.batches import Batch, Pair, SlateBatch
from bandits.evaluation import ESTIMATORS, PAIR_ESTIMATORS, SLATE_ESTIMATORS, Estimator, Panel, Verdict, chosen

ONE_SLOT = ("dm", "ips", "snips", "dr", "sndr", "logged", "uplift")
WHOLE_SLATES = ("sips", "iips", "rips", "cascade_dr", "logged", "uplift")


class Panels:
    """A panel for each of the named policies, and one for each that is compared with the first."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        estimators: Mapping[str, Estimator[SlateBatch]],
        level: float,
        products: Sequence[str],
    ) -> None:
        self.placed = "iips" in estimators
        self._own = [Panel(name, estimators, level=level, products=products) for name in names]
        self._pairs = [
            Panel(f"{names[0]} − {other}", PAIR_ESTIMATORS, level=level, products=products) for other in names[1:]
        ]

    def add(self, batches: Sequence[SlateBatch]) -> None:
        """Take in some rounds under every candidate."""
        for panel, batch in zip(self._own, batches, strict=True):
            panel.add(batch)
        for pair, batch in zip(self._pairs, batches[1:], strict=True):
            pair.add(Pair(batches[0], batch))

    def verdicts(self, *, immature: int) -> tuple[tuple[Verdict, ...], tuple[Verdict, ...]]:
        """(of each candidate, of each comparison)."""
        for panel in self._own:
            panel.excluded = immature
        return (
            tuple(verdict for panel in self._own for verdict in panel.verdicts()),
            tuple(verdict for panel in self._pairs for verdict in panel.verdicts()),
        )


def estimators_of(
    asked: Sequence[str], *, places: int, why_not_placed: str
) -> tuple[dict[str, Estimator[SlateBatch]], tuple[str, ...]]:
    """What to estimate, in order, and notes on what is left out. Raises `Misuse` for a name that is none."""
    known = _first_slot() if places == 1 else SLATE_ESTIMATORS
    names = dict.fromkeys((*(asked or (ONE_SLOT if places == 1 else WHOLE_SLATES)), "logged", "uplift"))
    if "iips" not in names or not why_not_placed:
        return chosen(known, names=tuple(names)), ()
    del names["iips"]
    return chosen(known, names=tuple(names)), (f"iips is left out: {why_not_placed}",)


def _first_slot() -> dict[str, Estimator[SlateBatch]]:
    return {name: _of_first(each) for name, each in ESTIMATORS.items()}


def _of_first(estimator: Estimator[Batch]) -> Estimator[SlateBatch]:
    return Estimator(estimator.form, lambda slates: estimator.terms(slates.first_slots()))
