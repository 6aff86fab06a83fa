"""Judgement: an effect → the sentence a product manager reads aloud.

Four answers, in this order (statistics.md 2): Better, Worse, No harm shown, Not enough data. Before
any of them the split must be as planned. Small numbers are refused, not dressed up: below
`ENOUGH` effective units (n_eff_conv of statistics.md 0) intervals are too narrow to trust.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from recsys.effects import Effect
from recsys.metrics import Metric
from recsys.moments import Moments
from recsys.readings import ENOUGH

SRM_ALARM = 0.001
"""Below this p-value the split is called broken (GrowthBook, Eppo; statistics.md 2)."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict in words; `kind` is for machines and colours."""

    kind: str  # better | worse | no_harm | not_enough_data | broken_split
    word: str
    sentence: str


def broken_split(p_value: float) -> Judgement:
    """The judgement of every metric while the split is not as planned."""
    chance = "less than one in a million" if p_value < 1e-6 else f"about 1 in {round(1 / p_value):,}"
    return Judgement(
        "broken_split",
        "Do not read",
        f"Do not read these numbers: units did not split as planned (by chance, {chance}). Find the lost units first.",
    )


def judged(
    metric: Metric,
    *,
    effect: Effect | None,
    control: Moments,
    variant: Moments,
    name: str,
    against: str,
    unit: str,
    n_days: int,
    waiting: int = 0,
    over: bool = False,
) -> Judgement:
    """What an effect says about variant `name` against the control `against`, `n_days` in, over `unit`s.

    `waiting` units are exposed but not read yet; `over` is when no more will be. The absolute interval decides
    Better and Worse (it is what the p-value tests, and holds at low counts); the relative one is held against
    the margin.
    """
    if min(control.n, variant.n) < 2 and waiting:
        verb = "is" if waiting == 1 else "are"
        many = f"{waiting:,} {unit}{'' if waiting == 1 else 's'}"
        return _unknown(f"{many} {verb} being watched, each is read {_span(metric)} after it was first shown something")
    if min(control.n, variant.n) < 2:
        return _unknown("not enough customers have been exposed yet")
    if effect is None or (control + variant).evidence < ENOUGH:
        return _unknown(f"too few customers with an outcome yet (about {ENOUGH:.0f} are needed)")
    title = metric.title_for(unit)
    title = title[:1].lower() + title[1:]
    higher = effect.low > 0.0
    if higher or effect.high < 0.0:
        kind, word = ("better", "Better") if higher == (metric.better == "higher") else ("worse", "Worse")
        return Judgement(
            kind, word, f"{word}: {_moved(effect, title=title, name=name, against=against, unit=metric.unit)}."
        )
    low, lift, high = _towards_good(metric, effect=effect)
    if low > -metric.margin:
        return Judgement(
            "no_harm",
            "No harm shown",
            f"No harm shown: if {name} is worse than {against} on {title} at all, "
            f"it is by less than {metric.margin:.0%}. A gain is not proven.",
        )
    if over:
        return _unknown("every unit has been read, and nothing is proven. A larger test would be needed")
    return _unknown(_outlook(lift, half=(high - low) / 2.0, margin=metric.margin, n_days=n_days))


def _towards_good(metric: Metric, *, effect: Effect) -> tuple[float, float, float]:
    """(low, lift, high) of the relative lift with up meaning better; unbounded where there is none."""
    lift, low, high = effect.relative, effect.relative_low, effect.relative_high
    if lift is None or low is None or high is None:
        return -math.inf, 0.0, math.inf
    return (low, lift, high) if metric.better == "higher" else (-high, -lift, -low)


def recommended(status: Judgement, *, guards: Sequence[Judgement], ends: str) -> Judgement:
    """What to do next, by one rule that is known beforehand (statistics.md 2, guardrails).

    Ship only where the primary is better, every guardrail shows no harm, and the split was as planned.
    """
    if status.kind == "broken_split":
        return Judgement("mend", "Mend first", "Find out which units were lost, and start anew under another salt.")
    if status.kind == "worse" or any(guard.kind == "worse" for guard in guards):
        return Judgement("stop", "Stop it", "It does harm: stop it, and keep what serves today.")
    open_ = [guard for guard in guards if guard.kind not in ("no_harm", "better")]
    if status.kind == "better" and not open_:
        return Judgement("ship", "Ship it", "It is better, and no guardrail shows harm: decide for it.")
    if status.kind == "better":
        n = "one guardrail is" if len(open_) == 1 else f"{len(open_)} guardrails are"
        return Judgement("wait", "Wait", f"It is better, but {n} not sure yet to be free of harm; go on until {ends}.")
    if status.kind == "no_harm":
        return Judgement("wait", "Wait", f"A gain is not proven. Go on until {ends}, or keep what serves today.")
    return Judgement("wait", "Wait", f"Do not decide yet. The last look is on {ends}.")


def _span(metric: Metric) -> str:
    days = metric.window.days
    return f"{days} day{'' if days == 1 else 's'}" if days else f"{metric.window.seconds // 3600} hours"


def _unknown(why: str) -> Judgement:
    return Judgement("not_enough_data", "Not enough data", f"Not enough data: {why}.")


def _moved(effect: Effect, *, title: str, name: str, against: str, unit: str) -> str:
    """The difference as a person says it: relative where that interval agrees, else in the metric's unit."""
    way = "higher" if effect.absolute > 0.0 else "lower"
    size, bounds = effect.relative, (effect.relative_low, effect.relative_high)
    if size is None or bounds[0] is None or bounds[1] is None or bounds[0] * bounds[1] <= 0.0:
        near, far = sorted((abs(effect.low), abs(effect.high)))
        scale, unit = (100.0, "percentage points") if unit == "share" else (1.0, unit)
        told = [f"{scale * each:#.3g}".rstrip(".") for each in (abs(effect.absolute), near, far)]
        sizes = f"{told[0]} {unit}", f"{told[1]} and {told[2]}"
    else:
        near, far = sorted((abs(bounds[0]), abs(bounds[1])))
        sizes = f"{abs(size):.1%}", f"{near:.1%} and {far:.1%}"
    return f"{name} shows {sizes[0]} {way} {title} than {against} (between {sizes[1]})"


def _outlook(lift: float, *, half: float, margin: float, n_days: int) -> str:
    """When an answer may come: the interval shrinks as 1/√days until it clears 0 or the margin."""
    needed = max(abs(lift), lift + margin)
    if needed <= 0.0 or math.isinf(half):
        return "no answer is in sight at this pace"
    left = math.ceil(n_days * ((half / needed) ** 2 - 1.0))
    if left > 365:
        return "more than a year to go at this pace"
    days = "about 1 day" if left <= 1 else f"about {left} days"
    return f"{days} to go at this pace, if the difference stays as it is"
