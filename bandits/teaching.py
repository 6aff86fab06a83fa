"""What a learner may be taught: every lesson is checked before the first one teaches.

Engines accept poison: one infinite value spoils every later prediction for ever (architecture.md,
lessons). What fails here raises `Misuse`; putting it in quarantine is the caller's work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import repeat
from operator import ge

import numpy as np

from bandits.chain import Chain
from recsys.delays import MOST
from recsys.errors import InvalidPmf, InvalidPropensity, Misuse
from recsys.features import advice_sensitive, impersonal_candidate, impersonal_context
from recsys.vocabulary import NOTHING, Candidate, Context, Decision, Lesson

BOUND = 100.0
"""No feature may be larger in absolute value: facts come scaled to about [-1, 2]."""
HEAVIEST = 100.0
"""No lesson may count for more than this many: whoever weighs lessons caps far below."""

_WHOLE = 1e-9  # how near to 1 a logged distribution must sum


@dataclass(frozen=True, slots=True)
class Taught:
    """A checked lesson, without its decision."""

    context: Context
    candidate: Candidate
    stage: int  # row in the chain
    label: float  # in [0, MOST]
    weight: float = 1.0  # in [0, HEAVIEST]: how many lessons it counts for
    importance: float = 1.0  # how much rarer than by an even draw it was drawn
    day: int | None = None  # of business time (`date.toordinal`), where it is known


def checked(lesson: Lesson, *, chain: Chain) -> Taught:
    """Return what the lesson teaches, or raise `Misuse` saying why it may not."""
    decision, slot = lesson.decision, lesson.slot
    where = f"decision {decision.decision_id}, " + ("not shown" if slot is None else f"slot {slot.number}")
    if not 0 <= lesson.row < len(decision.candidates):
        raise Misuse(f"{where}: row {lesson.row} of {len(decision.candidates)} candidates")
    candidate = decision.candidates[lesson.row]
    if slot is None:  # of what was not shown: nothing was drawn, so there is no propensity to check
        if any(each.product_id == candidate.product_id for each in decision.slots):
            raise Misuse(f"{where}: {candidate.product_id} was shown, and the lesson is of what was not")
        return _told(lesson, candidate, chain=chain)
    if candidate.product_id != slot.product_id:
        raise Misuse(f"{where}: the row holds {candidate.product_id}, the slot {slot.product_id}")
    if not 0.0 < slot.propensity <= 1.0:
        raise InvalidPropensity(slot.propensity, where=where)
    if not 1 <= slot.number <= len(decision.pmfs):
        raise Misuse(f"{where}: the record holds {len(decision.pmfs)} slots")
    pmf = decision.pmfs[slot.number - 1]
    if pmf[lesson.row] != slot.propensity:
        raise InvalidPropensity(f"{slot.propensity}, which is not the logged pmf's", where=where)
    if not (pmf.min() >= 0.0 and abs(float(pmf.sum()) - 1.0) <= _WHOLE):  # also refuses NaN
        raise InvalidPmf("the logged one is negative, not finite or does not sum to 1", where=where)
    if slot not in decision.slots:
        raise Misuse(f"{where}: the slate holds no such slot")
    importance = importance_of(slot.propensity, n_open=int(np.count_nonzero(pmf)))
    return _told(lesson, candidate, chain=chain, importance=importance)


def importance_of(propensity: float, *, n_open: int) -> float:
    """How much rarer than by an even draw among `n_open` something was drawn that had this probability.

    >>> importance_of(0.05, n_open=4), importance_of(1.0, n_open=1)
    (5.0, 1.0)
    """
    return 1.0 / (propensity * n_open)


def _told(lesson: Lesson, candidate: Candidate, *, chain: Chain, importance: float = 1.0) -> Taught:
    return checked_values(
        lesson.decision.context,
        candidate,
        stage=lesson.stage,
        label=float(lesson.label),
        weight=lesson.weight,
        importance=importance,
        chain=chain,
        day=lesson.ripe_at.toordinal(),
    )


def checked_values(
    context: Context,
    candidate: Candidate,
    *,
    stage: str,
    label: float,
    chain: Chain,
    weight: float = 1.0,
    importance: float = 1.0,
    day: int | None = None,
) -> Taught:
    """The same for a lesson without a decision."""
    where = f"stage {stage}, product {candidate.product_id}"
    if candidate.product_id == NOTHING:
        raise Misuse(f"{where}: the null choice teaches nothing")
    if not 0.0 <= label <= MOST:  # above 1: an outcome that stands for others still to come (recsys/delays.py)
        raise Misuse(f"{where}: expected a label in [0, {MOST:g}], got {label}")
    if not 0.0 <= weight <= HEAVIEST:
        raise Misuse(f"{where}: expected a weight in [0, {HEAVIEST:g}], got {weight}")
    if not 0.0 < importance < math.inf:
        raise Misuse(f"{where}: expected an importance above 0, got {importance}")
    if len(context.names) != len(context.values) or len(candidate.names) != len(candidate.values):
        raise Misuse(f"{where}: feature names and values do not pair")
    if not (_bounded(context.values) and _bounded_candidate(candidate)):
        raise Misuse(f"{where}: a feature is not finite or beyond ±{BOUND:g}")
    if advice_sensitive(candidate):  # what is learned of it is learned of everybody (ADV-2)
        context, candidate = impersonal_context(context), impersonal_candidate(candidate)
    return Taught(context, candidate, chain.row(stage), label, weight, importance, day)


def sound(decision: Decision) -> bool:
    """Whether a record could be put to a policy: features bounded, its first distribution one."""
    if not decision.candidates or not len(decision.pmfs) or not decision.context.names:
        return False
    pmf = decision.pmfs[0]
    whole = bool(pmf.min() >= 0.0) and abs(float(pmf.sum()) - 1.0) <= _WHOLE
    return whole and _bounded(decision.context.values) and all(map(_bounded_candidate, decision.candidates))


def _bounded_candidate(candidate: Candidate) -> bool:
    affinity = 0.0 if candidate.affinity is None else candidate.affinity
    return _bounded((*candidate.values, affinity, candidate.seen_lately))


def _bounded(values: tuple[float, ...]) -> bool:
    return all(map(ge, repeat(BOUND), map(abs, values)))  # also refuses NaN
