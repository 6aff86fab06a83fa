"""What reference policies are worth, in closed form, on the visits of one bank.

All of them are judged on the very same visits, so their differences carry no noise of outcomes. Those
that must be fitted are fitted on even customers and judged on odd ones. A policy is a score for each
visit and product: the slate sorts what is eligible by score and leaves out what does not score above 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from recsys.bank.dice import Ints, cells, uniforms
from recsys.bank.occasions import SURFACES
from recsys.bank.oracle import best_fixed, best_values, expected_uniform, fixed_values
from recsys.bank.visible import FACTS, Watched, widened
from recsys.bank.visits import Arrivals
from recsys.bank.world import Bank
from recsys.vocabulary import Bools, Floats

SEGMENT_AGES = (-0.6, 0.25)  # of the age column: 28 and 45 years
FLOOR = 1e-5  # points: what is worth less teaches nothing but that


@dataclass(frozen=True, slots=True, eq=False)
class Sights:
    """Visits of one surface with the truth about each."""

    rows: Ints  # (v,)
    values: Floats  # (v, P) expected points brought about, if seen
    attributed: Floats  # (v, P) expected points credited, if seen
    taps: Floats  # (v, P)
    suited: Bools  # (v, P)
    visible: Floats  # (v, F) what a bank can see

    def half(self, odd: int) -> Sights:
        """The visits of every other customer."""
        kept = self.rows % 2 == odd
        return Sights(*(getattr(self, each.name)[kept] for each in fields(self)))


def sights_of(bank: Bank, arrivals: Arrivals, *, watched: Watched) -> Sights:
    """What these arrivals look like, to the bank and in truth."""
    return Sights(
        arrivals.rows,
        bank.values_at(arrivals),
        bank.attributed_at(arrivals),
        bank.taps_at(arrivals),
        bank.suited(arrivals.rows.tolist()),
        watched.of(arrivals.rows, at=bank.begins_at),
    )


def joined_sights(parts: Sequence[Sights]) -> Sights:
    """Several days as one."""
    return Sights(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Sights)))


def uniform_slates(suited: Bools, *, rows: Ints, slots: int, seed: int, number: int) -> Ints:
    """(v, slots) a uniform order of what is suited, -1 where there is no more; dice by customer and product."""
    keys = cells(rows, columns=suited.shape[1])
    luck = np.where(suited, uniforms(seed, purpose="uniform slates", day=number, keys=keys), 2.0)
    order = np.argsort(luck, axis=1)[:, :slots]
    return np.where(np.take_along_axis(suited, order, axis=1), order, -1)


def worths(fitted: Sights, judged: Sights, *, examination: Floats) -> Mapping[str, Floats]:
    """(judged,) expected points of each visit under each reference policy, by name."""
    suited, values = judged.suited, judged.values

    def listed(order: Sequence[int]) -> Floats:
        return fixed_values(order, values, eligible=suited, examination=examination)

    def sorted_by(score: Floats) -> Floats:
        return best_values(values, score=score, eligible=suited, examination=examination)

    fixed = best_fixed(fitted.values, eligible=fitted.suited, examination=examination)
    popular = best_fixed(fitted.taps, eligible=fitted.suited, examination=examination)
    return {
        "nothing": np.zeros(len(values)),
        "uniform": expected_uniform(values, eligible=suited, examination=examination),
        "popular": listed(popular),
        "best fixed list": listed(fixed),
        "best fixed by segment": sorted_by(segment_scores(fitted, judged, examination=examination)),
        "tap-greedy, learnt": sorted_by(learned(fitted, judged, of=fitted.taps)),
        "propensity, learnt": sorted_by(learned(fitted, judged, of=fitted.attributed)),
        "learnt from facts alone": sorted_by(learned(fitted, judged, of=fitted.values, columns=FACTS)),
        "best learnable": sorted_by(learned(fitted, judged, of=fitted.values)),
        "tap-greedy, knowing all": sorted_by(judged.taps),
        "propensity, knowing all": sorted_by(judged.attributed),
        "oracle": sorted_by(values),
    }


def learned(fitted: Sights, judged: Sights, *, of: Floats, columns: slice | None = None) -> Floats:
    """(judged, P) scores above 0: ridge of the logarithm of `of` (fitted, P) on what can be seen.

    `columns` are those of `visible` to look at; by default all of them, widened by squares and products.
    """
    known, asked = (widened(each.visible) if columns is None else each.visible[:, columns] for each in (fitted, judged))
    scores = np.empty_like(judged.values)
    for column in range(of.shape[1]):
        kept = fitted.suited[:, column]
        logs = np.log(np.maximum(of[kept, column], FLOOR))
        design = known[kept]
        gram = design.T @ design + np.eye(design.shape[1])
        weights = np.linalg.solve(gram, design.T @ logs)
        spread = float(np.var(logs - design @ weights)) if len(logs) else 0.0
        scores[:, column] = np.exp(asked @ weights + spread / 2)
    return scores


def segments_of(visible: Floats) -> Ints:
    """(v,) the segment a marketing department would use: age band x saver x family; blind to persona."""
    age, signals = visible[:, FACTS.stop - 6], visible[:, FACTS.stop - 5 : FACTS.stop]
    family, saver = signals[:, 0].astype(np.int64), signals[:, 3].astype(np.int64)
    return np.digitize(age, SEGMENT_AGES) * 4 + 2 * saver + family


def segment_scores(fitted: Sights, judged: Sights, *, examination: Floats) -> Floats:
    """(judged, P) scores that put each segment's best fixed list, found on `fitted`, in order."""
    groups, asked = segments_of(fitted.visible), segments_of(judged.visible)
    n = judged.values.shape[1]
    scores = np.zeros(judged.values.shape)
    for group in np.unique(asked).tolist():
        own = groups == group
        own = own if own.sum() >= 100 else np.ones_like(own)
        order = best_fixed(fitted.values[own], eligible=fitted.suited[own], examination=examination)
        rank = np.empty(n)
        rank[list(order)] = np.arange(n, 0, -1)
        scores[asked == group] = rank
    return scores


def relative(worth: float, *, fixed: float, learnable: float) -> float:
    """0 for the best fixed list, 1 for the best that can be learnt."""
    return (worth - fixed) / (learnable - fixed)


def home(arrivals: Arrivals) -> Arrivals:
    """The arrivals on the home screen."""
    kept = arrivals.surfaces == SURFACES.index("home")
    return Arrivals(arrivals.rows[kept], arrivals.surfaces[kept], arrivals.seconds[kept])


def live(bank: Bank, *, days: int) -> Sights:
    """Live `days` days under a uniform order of what each customer could open; the home visits with their truth."""
    watched, parts = Watched(bank), list[Sights]()
    for _ in range(days):
        day = bank.begin_day()
        watched.look()
        arrivals = home(day.arrivals)
        sights = sights_of(bank, arrivals, watched=watched)
        parts.append(sights)
        shown = uniform_slates(sights.suited, rows=arrivals.rows, slots=3, seed=bank.seed, number=day.number)
        bank.respond_at(arrivals, shown)
    return joined_sights(parts)
