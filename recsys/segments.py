"""Segments: does the effect differ between kinds of units? For curiosity, with the error kept (statistics.md 2).

Each kind of segment is one question, whether the effect is the same in all of its segments (Wald, heteroskedastic);
over all questions the share of false findings is kept (Benjamini-Hochberg). A segment alone decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from recsys.counting import BEFORE, SURFACE, Counts
from recsys.differences import interaction
from recsys.effects import Effect, once
from recsys.experiments import Experiment
from recsys.many import benjamini_hochberg
from recsys.metrics import Metric
from recsys.moments import Paired
from recsys.readings import ENOUGH, difference_of
from recsys.tails import chi_square_tail

TITLES = {SURFACE: "Where first seen", BEFORE: "Active in the weeks before"}


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of the units: a treatment against the control; no effect where there is too little."""

    name: str
    n_control: int
    n_variant: int
    effect: Effect | None


@dataclass(frozen=True, slots=True)
class Cut:
    """The units of one treatment and the control, parted by one kind."""

    kind: str
    title: str
    variant: str
    segments: tuple[Segment, ...]
    p_value: float | None  # "the effect is the same in all"
    adjusted_p_value: float | None


def cuts_of(experiment: Experiment, *, metric: Metric, counts: Counts) -> tuple[Cut, ...]:
    """Every kind that has more than one segment, for each treatment."""
    found: list[tuple[str, str, tuple[Segment, ...], float | None]] = []
    for variant in experiment.treatments:
        for kind, parts in counts.segments.items():
            if len(parts) > 1:
                segments, known = [], []
                for name, sides in sorted(parts.items()):
                    c, v = sides.get(experiment.control, Paired()), sides.get(variant.name, Paired())
                    effect = None
                    if _enough(metric, control=c, variant=v):
                        difference = difference_of(metric, control=c, variant=v)
                        if difference.error > 0.0:
                            known.append(difference)
                            effect = once(difference)
                    segments.append(Segment(name, c.n, v.n, effect))
                p_value = None
                if len(known) > 1:
                    distance, df = interaction(known)
                    p_value = chi_square_tail(distance, df=df)
                found.append((kind, variant.name, tuple(segments), p_value))
    asked = [row for row, (*_, p_value) in enumerate(found) if p_value is not None]
    values = dict(zip(asked, benjamini_hochberg([found[row][3] or 0.0 for row in asked]), strict=True))
    return tuple(
        Cut(kind, TITLES[kind], variant, segments, p_value, values.get(row))
        for row, (kind, variant, segments, p_value) in enumerate(found)
    )


def _enough(metric: Metric, *, control: Paired, variant: Paired) -> bool:
    if min(control.n, variant.n) < 2 or (control + variant).alone.evidence < ENOUGH:
        return False
    return metric.form != "ratio" or min(control.x, variant.x) > 0.0
