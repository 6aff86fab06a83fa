"""Flags of a scorecard: what a reader must know before believing it, each in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys.counting import Counts
from recsys.experiments import Experiment
from recsys.judgement import Judgement

if TYPE_CHECKING:
    from recsys.scorecards import MetricCard

LATE_SHARE = 0.01
"""Share of the primary's outcomes that may come after their window was read before it is told."""
UNSTEADY = 0.01


@dataclass(frozen=True, slots=True)
class Flag:
    """One thing to know; `severity` is act (somebody has to do something) or know."""

    kind: str  # broken_split | harm | drift | late_outcomes | waiting | crossed | sharing | unsteady | short
    severity: str  # act | know
    sentence: str


def flags_of(
    experiment: Experiment, *, cards: Sequence[MetricCard], counts: Counts, status: Judgement, drifted: bool
) -> tuple[Flag, ...]:
    """Every flag, those to act on first."""
    found = [] if status.kind != "broken_split" else [Flag("broken_split", "act", status.sentence)]
    found += [
        Flag("harm", "act", c.judgement.sentence)
        for card in cards if card.role != "watched" for c in card.comparisons if c.judgement.kind == "worse"
    ]  # fmt: skip
    primary, n = cards[0], counts.n_crossed
    if n:
        were = "unit was" if n == 1 else "units were"
        found.append(Flag("crossed", "act", f"{n} {were} seen in more than one variant."))
    if drifted:
        found.append(Flag("drift", "act", (
            "The variants' shares changed between days. A plain comparison would mix days of unlike shares, so days "
            "are compared one by one and weighted by their units."
        )))  # fmt: skip
    name = primary.metric.name
    late, read = counts.n_late.get(name, 0), counts.n_attributed + counts.n_organic
    if late > LATE_SHARE * max(1, read):
        found.append(Flag("late_outcomes", "act", (
            f"{late:,} outcomes of {primary.metric.title.lower()} reached us after their window had been read: earlier "
            "readings were too low. Find out why they are late before deciding."
        )))  # fmt: skip
    if waiting := counts.waiting.get(name, 0):
        units = experiment.unit if waiting == 1 else f"{experiment.unit}s"
        found.append(Flag("waiting", "know", (
            f"{waiting:,} {units} {'is' if waiting == 1 else 'are'} not read yet: the window of "
            f"{primary.metric.window.days} days since the first exposure is still open."
        )))  # fmt: skip
    if experiment.sharing == "shared":
        found.append(Flag("sharing", "know", (
            "The variants learn from each other's traffic, as declared: a difference in learning does not show here."
        )))  # fmt: skip
    for c in primary.comparisons:
        if c.reading.week_p_value is not None and c.reading.week_p_value < UNSTEADY:
            found.append(Flag("unsteady", "know", (
                f"The effect of {c.variant} differs between weeks (p {c.reading.week_p_value:.1g}): see it by week "
                "before trusting the average."
            )))  # fmt: skip
    return tuple(found)
