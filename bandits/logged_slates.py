"""Rounds of a log as columns: what stood in each slot, and the chance of it under logger and target.

A slate of fewer slots than the widest is filled up with certainties (reward 0, both chances 1), so that
the weight of a slate that ended early is carried on, as it must be for weights to average 1. The null
choice that ended a slate is one of its slots: not showing is drawn with a probability too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bandits.batches import SlateBatch
from bandits.impersonal import scores_of
from bandits.policy import Policy, checked_pmf
from bandits.unit_sums import keys_of
from recsys.errors import Misuse
from recsys.vocabulary import NOTHING, Bools, Decision, Floats, ProductId, Round


@dataclass(frozen=True, slots=True, eq=False)
class Slates:
    """Some rounds: their columns, and the context of each, (n, F), which a reward model asks for."""

    batch: SlateBatch
    context: Floats


def logged_slates(
    rounds: Iterable[Round], *, target: Policy, products: Sequence[ProductId], places: int, size: int = 2_000
) -> Iterator[Slates]:
    """Batches of at most `size` rounds, each with a slate, judged under `target`.

    `products` names the columns, after which comes one for the null choice; `places` is the widest
    slate. Rounds whose candidates are not among the products, or with more slots than places, raise
    `Misuse`; a target that gives no distribution raises `InvalidPmf`. A round without any candidate
    says nothing of a policy and is left out.
    """
    columns = {product: column for column, product in enumerate((*products, NOTHING))}
    waiting: list[_Row] = []
    for each in rounds:
        if not each.decision.candidates or not each.decision.slots:
            continue
        waiting.append(_row(each, target=target, columns=columns, places=places))
        if len(waiting) == size:
            yield _stacked(waiting)
            waiting = []
    if waiting:
        yield _stacked(waiting)


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    unit: str
    reward: Floats  # (L,)
    propensity: Floats
    target: Floats
    logged_pmf: Floats  # (L, A)
    target_pmf: Floats
    shown: Floats
    context: Floats  # (F,)


def _row(each: Round, *, target: Policy, columns: dict[ProductId, int], places: int) -> _Row:
    decision = each.decision
    if len(decision.slots) > places:
        raise Misuse(f"decision {decision.decision_id} has {len(decision.slots)} slots, more than {places} places")
    where = np.array([columns.get(candidate.product_id, -1) for candidate in decision.candidates])
    if (where < 0).any():
        missing = decision.candidates[int(np.argmin(where))].product_id
        raise Misuse(f"decision {decision.decision_id} had the candidate {missing}, which is no column")
    reward, shown = np.zeros(places), np.full(places, -1.0)
    propensity, chance = np.ones(places), np.ones(places)
    logged, judged = np.zeros((places, len(columns))), np.zeros((places, len(columns)))
    scores = scores_of(target, decision.context, decision.candidates)
    rewards = iter(each.rewards.tolist())
    for place, slot in enumerate(decision.slots):
        open_ = _open(decision, place)
        pmf = checked_pmf(target.pmf(scores, open_=open_), open_=open_, where=target.name)
        row = next(i for i, candidate in enumerate(decision.candidates) if candidate.product_id == slot.product_id)
        logged[place, where], judged[place, where] = decision.pmfs[place], pmf
        propensity[place], chance[place], shown[place] = slot.propensity, pmf[row], where[row]
        reward[place] = 0.0 if slot.product_id == NOTHING else next(rewards)
    unit = decision.unit or str(decision.token)
    return _Row(unit, reward, propensity, chance, logged, judged, shown, np.array(decision.context.values))


def _open(decision: Decision, place: int) -> Bools:
    """(n,) what could have taken a place: at the first everything; below, what was not drawn or closed above.

    A logger that gives every open candidate something shows what was closed; one that draws the same
    again and again does not, and support is then what it is.
    """
    if place == 0:
        return np.ones(len(decision.candidates), dtype=np.bool_)
    closed = (decision.pmfs[place] == 0.0) & (decision.pmfs[0] > 0.0)
    drawn = {slot.product_id for slot in decision.slots[:place]}
    closed |= np.array([candidate.product_id in drawn for candidate in decision.candidates])
    return np.asarray(~closed, dtype=np.bool_)


def _stacked(rows: Sequence[_Row]) -> Slates:
    widest = max(row.context.size for row in rows)
    context = np.zeros((len(rows), widest))
    for i, row in enumerate(rows):
        context[i, : row.context.size] = row.context
    columns = ("reward", "propensity", "target", "logged_pmf", "target_pmf", "shown")
    stacked = {name: np.stack([getattr(row, name) for row in rows]) for name in columns}
    return Slates(SlateBatch(unit=keys_of([row.unit for row in rows]), **stacked), context)
