"""A new product gets its quota of impressions, no more and no longer than declared, and with true propensities."""

from __future__ import annotations

import numpy as np
import pytest

from bandits.adjusting import Adjusted
from bandits.chain import Chain, null_among
from bandits.drawing import draw_slate, everything_open, slate_propensities
from bandits.exploration import KINDS, Exploration
from bandits.learner import Recipe, from_state, load_policy, make_learner
from bandits.policy import Policy
from recsys import rewards
from recsys.errors import InvalidConfiguration, InvalidPmf
from recsys.vocabulary import NOTHING, Candidate, Context

CANDIDATES = [Candidate(product) for product in ("pot", "loan", "new", "newer", NOTHING)]
EVERYTHING = np.ones(5, dtype=np.bool_)
QUOTA = Exploration("epsilon_greedy", epsilon=0.02, quota=0.1, new_until=50.0)


def _taught(engine: str, *, of_new: int = 3) -> Policy:
    options = {"bits": 12} if engine == "vowpal" else {}
    recipe = Recipe("bandit", learner=engine, options=options, exploration=QUOTA)
    learner = make_learner(recipe, rewards.load())
    for product, times in (("pot", 60), ("loan", 60), ("new", of_new)):
        for number in range(times):
            label = float(product == "pot" and number % 2)
            learner.teach(Context(), Candidate(product), stage="tapped", label=label)
    again = from_state(recipe, learner.state())
    assert again.state() == learner.state()
    return load_policy(recipe, learner.state(), 1)


@pytest.mark.parametrize("engine", ["linear", "vowpal"])
def test_what_is_new_shares_the_declared_quota_evenly(engine: str) -> None:
    policy = _taught(engine)
    pmf = policy.pmf(policy.scores(Context(), CANDIDATES), open_=EVERYTHING)
    assert policy.floor == pytest.approx(0.9 * 0.02)
    assert pmf[2:4] == pytest.approx([0.05] * 2)
    assert pmf[[1, 4]] == pytest.approx([0.9 * 0.02 / 3] * 2)  # the null choice is never new
    one_open = np.array([True, True, True, False, True])
    assert policy.pmf(policy.scores(Context(), CANDIDATES), open_=one_open)[2] == pytest.approx(0.1)


@pytest.mark.parametrize("engine", ["linear", "vowpal"])
def test_what_was_shown_often_enough_has_no_quota_any_more(engine: str) -> None:
    policy = _taught(engine, of_new=50)
    pmf = policy.pmf(policy.scores(Context(), CANDIDATES), open_=EVERYTHING)
    assert pmf[2] == pytest.approx(0.9 * 0.02 / 4)
    nobody_new = np.array([True, True, True, False, True])
    assert policy.pmf(policy.scores(Context(), CANDIDATES), open_=nobody_new).min(where=nobody_new, initial=1.0) == (
        pytest.approx(0.02 / 4)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_prior_thinks_best_takes_no_more_than_its_quota_beside_what_is_known(kind: str) -> None:
    exploration, scores = Exploration(kind, quota=0.1), np.array([1.0, 9.0, 0.0])  # known, new, the null choice
    new, open_ = np.array([[False, True, False], [True, False, False]]), np.array([True, True, True])
    assert exploration.pmf(scores, open_=open_, new=new)[1] == pytest.approx(0.1)
    assert exploration.pmfs(scores, open_=open_[None], new=new)[0, 1] == pytest.approx(0.1)
    alone = exploration.pmf(scores, open_=np.array([False, True, True]), new=new)
    settled = exploration.pmf(scores, open_=np.array([False, True, True]))
    assert alone[1] == pytest.approx(0.9 * settled[1] + 0.1)  # nothing known is open: it is judged as ever


def test_a_slate_is_drawn_with_the_propensities_that_are_logged() -> None:
    policy, mask_of = _taught("linear"), everything_open(5)
    drawn = draw_slate(policy, Context(), CANDIDATES, length=3, decision_id="d-1", mask_of=mask_of)
    again = slate_propensities(policy, Context(), CANDIDATES, rows=drawn.rows, mask_of=mask_of)
    assert again.tolist() == list(drawn.propensities)


def test_pins_and_boosts_keep_the_quota() -> None:
    policy = Adjusted(_taught("linear"), boosts={"loan": 2.0})
    pmf = policy.pmf(policy.scores(Context(), CANDIDATES), open_=EVERYTHING)
    assert pmf[2] == pytest.approx(pmf[3])
    assert pmf[2] > 0.04


def test_scores_without_marks_are_refused() -> None:
    policy = _taught("linear")
    with pytest.raises(InvalidPmf, match="which products are new"):
        policy.pmf(np.zeros(5), open_=EVERYTHING)


@pytest.mark.parametrize("wrong", [{"quota": 1.0}, {"quota": -0.1}, {"new_until": 0.0}, {"new_until": float("inf")}])
def test_a_quota_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidConfiguration, match="quota"):
        Exploration(**wrong)  # type: ignore[arg-type]


def test_older_recipes_keep_their_digest() -> None:
    assert not {"quota", "new_until"} & set(Exploration().plain)


@pytest.mark.parametrize("lift", [0.0, 2.0])
def test_slopes_are_those_of_the_expected_worth(lift: float) -> None:
    chain = Chain(
        ("tapped", "opened", "dismissed", "anyway"), (-1, 0, -1, -1), (0.1, None, -0.5, 0.0), {"pot": 5.0, "loan": 2.0},
        (-1, 3, -1, -1), lift,
    )  # fmt: skip
    products = ["pot", "loan", NOTHING]
    chances = np.random.default_rng(0).uniform(0.05, 0.9, (4, 3))
    slopes = chain.slopes(chances, points=chain.points(products), null=null_among(products))
    for row in range(4):
        more, less = chances.copy(), chances.copy()
        more[row] += 1e-6
        less[row] -= 1e-6
        numeric = (chain.expected(more, products) - chain.expected(less, products)) / 2e-6
        np.testing.assert_allclose(slopes[row], numeric, atol=1e-6)
    assert chain.directions is not None
    assert (slopes * np.array(chain.directions)[:, None] >= 0.0).all()
    assert Chain(("tapped", "left"), (-1, 0), (1.0, -2.0), {}).directions is None
