"""Draw a slate and know its probabilities: both in one place, so that they cannot drift apart.

Scores are computed once; for each slot the mask and the pmf are computed anew from them, which gives
greedy order and exact conditional propensities for one prediction (architecture.md, Slates). Dice
come from the decision id, so every draw can be thrown again from the record (replay tier 1, OPS-5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bandits.impersonal import scores_of
from bandits.policy import Policy, check_finite, checked_pmf
from recsys.errors import InvalidPmf
from recsys.shelves import Candidates
from recsys.vocabulary import NOTHING, Bools, Candidate, Context, Decision, DecisionId, Floats

MaskOf = Callable[[Sequence[int]], Bools]
"""Rows drawn so far → (n,) which candidates may take the next slot."""


def dice(decision_id: DecisionId, *, slot: int, redraws: int = 0) -> float:
    """A number in [0, 1) that anyone can compute again: the top 53 bits of a SHA-256, exact in float64.

    >>> dice("d-1", slot=1) == dice("d-1", slot=1)
    True
    >>> dice("d-1", slot=1) == dice("d-1", slot=1, redraws=1)
    False
    """
    head = hashlib.sha256(f"{decision_id}:{redraws}:{slot}".encode()).digest()[:8]
    return (int.from_bytes(head, "big") >> 11) * 2.0**-53


def draw(pmf: Floats, *, u: float) -> int:
    """The row that `u` in [0, 1) falls on; never one without probability.

    >>> [draw(np.array([0.0, 0.25, 0.0, 0.75]), u=u) for u in (0.0, 0.25, 0.999)]
    [1, 3, 3]
    """
    row = int(np.add.accumulate(pmf).searchsorted(u, side="right"))
    if row < pmf.size:
        return row
    return int(np.flatnonzero(pmf)[-1])  # the sum fell short of 1 by rounding, and u beyond it


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A slate as rows of the candidates, with all that was known when each slot was drawn."""

    scores: Floats  # (n,)
    pmfs: Floats  # (k, n)
    rows: tuple[int, ...]  # (k,)
    propensities: tuple[float, ...]  # (k,) each given the slots above


def everything_open(n: int) -> MaskOf:
    """The mask of a surface without rules of its own: whatever is not drawn yet."""
    return lambda rows: np.ones(n, dtype=np.bool_)


def draw_slate(
    policy: Policy,
    context: Context,
    candidates: Sequence[Candidate],
    *,
    length: int,
    decision_id: DecisionId,
    mask_of: MaskOf,
    redraws: int = 0,
) -> Drawn:
    """Draw up to `length` slots; drawing `NOTHING`, or nothing left open, ends the slate.

    A row is never drawn twice, whatever the mask says. Raises `InvalidPmf` when the policy gives
    scores that are not finite or a pmf that is none.
    """
    candidates = Candidates.of(candidates)
    n = len(candidates)
    scores = _checked_scores(policy, context, candidates)
    pmfs: list[Floats] = []
    rows: list[int] = []
    while len(rows) < min(length, n):
        open_ = _still_open(mask_of, rows, n)
        if not np.count_nonzero(open_):
            break
        pmfs.append(checked_pmf(policy.pmf(scores, open_=open_), open_=open_, where=policy.name))
        rows.append(draw(pmfs[-1], u=dice(decision_id, slot=len(rows) + 1, redraws=redraws)))
        if candidates.ids[rows[-1]] == NOTHING:
            break
    stacked = np.array(pmfs).reshape(len(rows), n)
    return Drawn(
        np.asarray(scores), stacked, tuple(rows), tuple(float(p[row]) for p, row in zip(pmfs, rows, strict=True))
    )


def slate_propensities(
    policy: Policy,
    context: Context,
    candidates: Sequence[Candidate],
    *,
    rows: Sequence[int],
    mask_of: MaskOf,
) -> Floats:
    """(k,) probability of each given row in its slot, given the rows above; 0 where it was closed.

    The scoring side of `draw_slate`: for a slate it drew, the same numbers to the last bit.
    """
    scores = _checked_scores(policy, context, Candidates.of(candidates))
    propensities = np.zeros(len(rows))
    for k, row in enumerate(rows):
        open_ = _still_open(mask_of, rows[:k], len(candidates))
        if open_.any():
            pmf = checked_pmf(policy.pmf(scores, open_=open_), open_=open_, where=policy.name)
            propensities[k] = pmf[row]
    return propensities


def _checked_scores(policy: Policy, context: Context, candidates: Sequence[Candidate]) -> Floats:
    scores = scores_of(policy, context, candidates)
    if scores.shape != (len(candidates),):
        raise InvalidPmf(f"{scores.shape} scores for {len(candidates)} candidates", where=policy.name)
    check_finite(scores, where=policy.name)
    return scores


def _still_open(mask_of: MaskOf, rows: Sequence[int], n: int) -> Bools:
    open_ = np.array(mask_of(tuple(rows)), dtype=np.bool_)  # a copy: the mask stays its owner's
    if open_.shape != (n,):
        raise InvalidPmf(f"a mask of shape {open_.shape} for {n} candidates", where="drawing")
    for row in rows:
        open_[row] = False
    return open_


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing a decision record says that its own pmf and dice do not."""

    slot: int  # 1-based; 0 for the record as a whole
    what: str


@dataclass(frozen=True, slots=True)
class Mismatches:
    """What differs in one decision; empty (and false) when everything adds up."""

    decision_id: DecisionId
    found: tuple[Mismatch, ...]

    def __bool__(self) -> bool:
        return bool(self.found)

    def __len__(self) -> int:
        return len(self.found)


def verify(decision: Decision) -> Mismatches:
    """Throw the dice again over the logged pmfs, and compare draws and propensities bit for bit.

    Tier 1 of replay: needs nothing but the record, and holds after an erasure too.
    """
    n, k = len(decision.candidates), len(decision.slots)
    if decision.pmfs.shape != (k, n):
        what = f"{decision.pmfs.shape} probabilities for {k} slots of {n} candidates"
        return Mismatches(decision.decision_id, (Mismatch(0, what),))
    closed = np.zeros(n, dtype=np.bool_)
    found: list[Mismatch] = []
    for i in range(k):
        found += [Mismatch(i + 1, what) for what in _differences(decision, i, closed)]
    return Mismatches(decision.decision_id, tuple(found))


def _differences(decision: Decision, i: int, closed: Bools) -> list[str]:
    """What is wrong with slot i (0-based); marks the row it drew as closed."""
    pmf, slot = decision.pmfs[i], decision.slots[i]
    try:
        checked_pmf(pmf, open_=~closed, where=decision.policy)
    except InvalidPmf as error:
        return [str(error)]
    row = draw(pmf, u=dice(decision.decision_id, slot=i + 1, redraws=decision.redraws))
    closed[row] = True
    drawn = decision.candidates[row]
    differences = []
    if slot.number != i + 1:
        differences.append(f"slot number {slot.number} stands at {i + 1}")
    if (drawn.product_id, drawn.creative_id) != (slot.product_id, slot.creative_id):
        differences.append(f"the dice draw {drawn.product_id}, the record says {slot.product_id}")
    if float(pmf[row]) != slot.propensity:
        differences.append(f"the propensity is {float(pmf[row])!r}, the record says {slot.propensity!r}")
    if slot.product_id == NOTHING and i + 1 < len(decision.slots):
        differences.append("the slate goes on after the null choice")
    return differences
