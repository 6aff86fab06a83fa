"""Chances at each place, against every slate counted one by one; and the estimators that rest on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from bandits import slate_estimators
from bandits.baselines import StaticPolicy, UniformPolicy
from bandits.exploration import Exploration
from bandits.marginals import prefixes_of
from bandits.policy import Policy
from recsys.errors import Misuse
from recsys.vocabulary import NOTHING, Bools, Candidate, Context, Floats

CANDIDATES = tuple(Candidate(name) for name in ("a1", "a2", "b1", "c1", NOTHING))
SCORES = np.array([0.4, 0.3, 0.9, -0.2, 0.0])
LENGTH = 3


class Explorer:
    """A policy of one exploration, with or without the pass over many masks."""

    name, floor = "explorer@1", 0.2

    def __init__(self, exploration: Exploration) -> None:
        self._exploration = exploration

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        return SCORES

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        return self._exploration.pmf(scores, open_=open_)


class Many(Explorer):
    def pmfs(self, scores: Floats, *, open_: Bools) -> Floats:
        return self._exploration.pmfs(scores, open_=open_)


def one_of_a_family(rows: Sequence[int]) -> Bools:
    """At most one of a1 and a2."""
    open_ = np.ones(len(CANDIDATES), dtype=np.bool_)
    if {0, 1} & set(rows):
        open_[[0, 1]] = False
    return open_


def slates(policy: Policy, above: tuple[int, ...] = (), chance: float = 1.0) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every slate with its chance."""
    ended = bool(above) and CANDIDATES[above[-1]].product_id == NOTHING
    open_ = one_of_a_family(above)
    open_[list(above)] = False
    if len(above) == LENGTH or ended or not open_.any():
        yield above, chance
        return
    pmf = policy.pmf(SCORES, open_=open_)
    for row in np.flatnonzero(pmf).tolist():
        yield from slates(policy, (*above, row), chance * float(pmf[row]))


POLICIES = [
    UniformPolicy(),
    StaticPolicy(("b1", "a1", "c1")),
    Explorer(Exploration("softmax", temperature=0.3, epsilon=0.1)),
    Many(Exploration("epsilon_greedy", epsilon=0.3)),
    Many(Exploration("squarecb", gamma=5.0)),
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_chances_are_those_of_every_slate_counted(policy: Policy) -> None:
    expected = np.zeros((LENGTH, len(CANDIDATES)))
    for slate, chance in slates(policy):
        for place, row in enumerate(slate):
            expected[place, row] += chance
    prefixes = prefixes_of(CANDIDATES, mask_of=one_of_a_family, length=LENGTH)
    scores = policy.scores(Context(), CANDIDATES)
    if isinstance(policy, StaticPolicy | UniformPolicy):
        expected = np.zeros_like(expected)
        for slate, chance in slates(_With(policy, scores)):
            for place, row in enumerate(slate):
                expected[place, row] += chance
    assert prefixes.marginals(policy, scores) == pytest.approx(expected, abs=1e-12)


class _With:
    """A policy with scores of its own, for the walk."""

    name, floor = "with@1", 0.0

    def __init__(self, policy: Policy, scores: Floats) -> None:
        self._policy, self._own = policy, scores

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        return self._own

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        return self._policy.pmf(self._own, open_=open_)


def test_more_places_than_can_be_enumerated_are_refused() -> None:
    with pytest.raises(Misuse, match="at most 3 places, not 4"):
        prefixes_of(CANDIDATES, mask_of=one_of_a_family, length=4)


def test_slot_dr_is_unbiased_under_any_model_where_slots_do_not_touch() -> None:
    """Slates that end early included: the model's part stands below their end too."""
    logger, target = POLICIES[2], POLICIES[3]
    prefixes = prefixes_of(CANDIDATES, mask_of=one_of_a_family, length=LENGTH)
    by_logger, by_target = (prefixes.marginals(each, SCORES) for each in (logger, target))
    rng = np.random.default_rng(3)
    worth, model = rng.uniform(size=by_logger.shape), rng.normal(size=by_logger.shape)
    worth[:, -1] = model[:, -1] = 0.0
    value = float((by_target * worth).sum())
    expected = 0.0
    for slate, chance in slates(logger):
        columns = {name: np.zeros((1, LENGTH)) for name in ("reward", "q_logged")}
        at = {name: np.ones((1, LENGTH)) for name in ("propensity_at", "target_at")}
        for place, row in enumerate(slate):
            columns["reward"][0, place], columns["q_logged"][0, place] = worth[place, row], model[place, row]
            at["propensity_at"][0, place], at["target_at"][0, place] = by_logger[place, row], by_target[place, row]
        q_target = (by_target * model).sum(axis=1)[None]
        expected += chance * float(slate_estimators.slot_dr(**columns, **at, q_target=q_target)[0])
    assert expected == pytest.approx(value)
