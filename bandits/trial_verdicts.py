"""What a trial came to: its recipe beside the best fixed list and the best that can be learnt, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandits.trials import SURFACE, Life
from recsys.bank.oracle import best_fixed, best_values, fixed_values
from recsys.bank.policies import FLOOR, relative
from recsys.bank.visible import widened
from recsys.vocabulary import Bools, Floats


@dataclass(frozen=True, slots=True)
class Judged:
    """Expected points a visit on the states that a life came to, from some day on."""

    earned: float
    fixed: float
    learnable: float
    oracle: float

    @property
    def relative(self) -> float:
        """0 for the best fixed list, 1 for the best that can be learnt from what a bank sees."""
        return relative(self.earned, fixed=self.fixed, learnable=self.learnable)


def judged(life: Life, *, since: int, until: int | None = None) -> Judged:
    """Judge the visits kept from day `since` on and before `until`; references are found on other customers."""
    sights = [each for each in life.sights if since <= each.number and (until is None or each.number < until)]
    rows, values, suited, seen, earned = (
        np.concatenate([getattr(each, name) for each in sights])
        for name in ("rows", "values", "suited", "seen", "earned")
    )
    examination = life.bank.examination(SURFACE)
    wide = widened(np.concatenate([each.visible for each in sights]))
    fixed, learnable = np.zeros(len(rows)), np.zeros(len(rows))
    for half in (0, 1):
        fit, ask = rows % 2 != half, rows % 2 == half
        order = best_fixed(values[fit], eligible=suited[fit], examination=examination)
        fixed[ask] = fixed_values(order, values[ask], eligible=suited[ask], examination=examination)
        scores = _learnt(wide, seen, values=values, suited=suited, fit=fit)[ask]
        learnable[ask] = best_values(values[ask], score=scores, eligible=suited[ask], examination=examination)
    best = best_values(values, eligible=suited, examination=examination)
    return Judged(float(earned.mean()), float(fixed.mean()), float(learnable.mean()), float(best.mean()))


def _learnt(wide: Floats, seen: Floats, *, values: Floats, suited: Bools, fit: Bools) -> Floats:
    """(v, P) scores of a ridge on the logarithm of the true values: what can be seen, and displays lately."""
    scores = np.zeros(values.shape)
    for column in range(values.shape[1]):
        design = np.hstack([wide, seen[:, [column]], np.log1p(seen[:, [column]])])
        kept = fit & suited[:, column]
        if not kept.any():
            continue
        logs = np.log(np.maximum(values[kept, column], FLOOR))
        gram = design[kept].T @ design[kept] + np.eye(design.shape[1])
        weights = np.linalg.solve(gram, design[kept].T @ logs)
        spread = float(np.var(logs - design[kept] @ weights))
        scores[:, column] = np.exp(design @ weights + spread / 2.0)
    return scores
