"""What the online learner must do: learn, tell contexts apart, keep out of the request path's way."""

from __future__ import annotations

import numpy as np
import pytest
from vowpal_wabbit_next import Example, SimpleLabel

from bandits import vowpal
from bandits.chain import Chain
from bandits.crossing import Crossing
from bandits.learner import Recipe, load_policy, make_learner
from bandits.regression import Settings
from bandits.selftest import context_matters
from recsys import rewards
from recsys.errors import Corrupt, InvalidConfiguration, Misuse
from recsys.vocabulary import NOTHING, Candidate, Context
from tests.bandit_worlds import REWARDS, lessons, moment, products

SMALL = {"bits": 12}
KINDS = [{"loss": "logistic"}, {"loss": "squared"}, {"loss": "squared", "knots": 5}]


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_context_matters(options: dict[str, float | str]) -> None:
    assert context_matters(Recipe("self-test", options=SMALL | options))


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_numpy_predicts_what_the_engine_predicts(options: dict[str, float | str]) -> None:
    learner = vowpal.new(Recipe("bandit", options=SMALL | options), REWARDS)
    learner.learn(lessons(200))
    candidates = products(null=False)
    probabilities = learner.snapshot(1).probabilities(moment(9), candidates)
    for i, candidate in enumerate(candidates):
        table = learner.crossing.table(moment(9), [candidate])
        example = Example()
        example["f"].push_many_features(table.indices.astype(np.uint64), table.values.astype(np.float32))
        example.set_label(SimpleLabel(0.0, 1.0, learner.settings.start))
        for stage, workspace in enumerate(learner.workspaces):
            said = learner.settings.probability(np.array([workspace.predict_one(example)]))
            inside = 0.01 < probabilities[stage, i] < 0.99  # the engine cuts at the edges, we bend
            assert probabilities[stage, i] == pytest.approx(said[0], abs=1e-6 if inside else 0.01)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_it_learns_the_rates_of_each_context(options: dict[str, float | str]) -> None:
    rng = np.random.default_rng(0)
    learner = make_learner(Recipe("bandit", options=SMALL | options | {"learning_rate": 0.1}), rewards.load())
    truth = {("pot", 1.0): 0.6, ("pot", 0.0): 0.1, ("loan", 1.0): 0.2, ("loan", 0.0): 0.3}
    for _ in range(4000):
        (product, payday), rate = list(truth.items())[int(rng.integers(4))]
        happened = float(rng.random() < rate)
        learner.teach(Context(("payday",), (payday,)), Candidate(product), stage="tapped", label=happened)
    policy = learner.snapshot(1)
    assert isinstance(policy, vowpal.VowpalPolicy)
    for (product, payday), rate in truth.items():
        told = policy.probabilities(Context(("payday",), (payday,)), [Candidate(product)])[0, 0]
        assert told == pytest.approx(rate, abs=0.15)


def told_of_a_rare_draw(regression: str, *, importance: float) -> float:
    """The chance that a learner sees in what never happened in 50 lessons and then did."""
    learner = vowpal.new(Recipe("bandit", options=SMALL | {"loss": "squared", "regression": regression}), REWARDS)
    where, pot = Context(("payday",), (1.0,)), Candidate("pot")
    for _ in range(50):
        learner.teach(where, pot, stage="tapped", label=0.0)
    learner.teach(where, pot, stage="tapped", label=1.0, importance=importance)
    return float(learner.snapshot(1).probabilities(where, [pot])[0, 0])


@pytest.mark.parametrize("regression", ["mtr", "dr"])
def test_what_was_rarely_drawn_counts_for_more_where_the_recipe_says_so(regression: str) -> None:
    evenly = told_of_a_rare_draw("even", importance=4.0)
    assert evenly == told_of_a_rare_draw("even", importance=1.0)
    assert told_of_a_rare_draw(regression, importance=4.0) > 1.1 * evenly
    assert told_of_a_rare_draw(regression, importance=1.0) == pytest.approx(evenly)
    at_most = [told_of_a_rare_draw(regression, importance=many) for many in (10.0, 1e9)]
    assert at_most[0] == at_most[1]


@pytest.mark.parametrize("poison", [0.0, -1.0, np.inf, np.nan])
@pytest.mark.parametrize("kind", ["vowpal", "linear", "popularity", "uniform"])
def test_an_importance_that_is_no_number_teaches_nothing(kind: str, poison: float) -> None:
    learner = make_learner(Recipe("bandit", learner=kind), REWARDS)
    before = learner.state()
    with pytest.raises(Misuse, match="importance"):
        learner.teach(moment(), Candidate("pot"), stage="tapped", label=1.0, importance=poison)
    assert learner.state() == before


def test_a_score_is_the_chain_of_stages_times_their_worth() -> None:
    learner = vowpal.new(Recipe("bandit", options=SMALL), REWARDS)
    learner.learn(lessons(120))
    policy, candidates = learner.snapshot(1), products()
    tapped, opened, dismissed = policy.probabilities(moment(), candidates)
    worth = np.array([2.0, 5.0, 1.0, 1.0, 0.0])
    expected = 0.1 * tapped + tapped * opened * worth - 0.2 * dismissed
    np.testing.assert_allclose(policy.scores(moment(), candidates)[:-1], expected[:-1], rtol=1e-12)
    assert policy.scores(moment(), candidates)[-1] == 0.0
    assert policy.scores(moment(), [Candidate(NOTHING)]).tolist() == [0.0]
    assert ((tapped[:-1] > 0) & (tapped[:-1] < 1)).all()


def test_knowing_nothing_every_stage_starts_at_the_prior() -> None:
    for loss in ("logistic", "squared"):
        policy = vowpal.new(Recipe("new", options=SMALL | {"loss": loss, "prior": 0.03}), REWARDS).snapshot(0)
        assert policy.probabilities(moment(), products(null=False)) == pytest.approx(np.full((3, 4), 0.03))


def test_affinity_and_shared_features_teach_a_product_never_seen() -> None:
    learner = make_learner(Recipe("bandit", options=SMALL), rewards.load())
    families = ("family:savings", "family:credit")
    for i in range(400):
        savings = i % 2 == 0
        shown = Candidate("pot" if savings else "loan", "", families, (float(savings), float(not savings)), 1.0 - i % 3)
        learner.teach(Context(), shown, stage="tapped", label=float(savings and i % 3 == 0))
    policy = learner.snapshot(1)
    new = [
        Candidate("isa", "", families, (1.0, 0.0), 1.0),
        Candidate("isa", "", families, (1.0, 0.0), -1.0),
        Candidate("card", "", families, (0.0, 1.0), -1.0),
    ]
    tapped = policy.probabilities(Context(), new)[0]
    assert tapped[0] > tapped[1] > tapped[2]


def test_extreme_predictions_never_tie_nor_leave_the_unit_interval() -> None:
    settings = Settings(loss="squared")
    predictions = np.array([-0.2, -0.1, 0.0, 0.01, 0.5, 0.99, 1.0, 1.1])
    told = settings.probability(predictions)
    assert (np.diff(told) > 0).all()
    assert told[0] > 0
    assert told[-1] < 1
    assert told[4] == 0.5


def test_features_are_the_same_in_every_process_and_apart_per_product() -> None:
    crossing = Crossing(bits=20)
    pot, loan = Candidate("pot"), Candidate("loan")
    table = crossing.table(Context(("payday",), (0.5,)), [pot, loan])
    assert table.values.tolist() == [0.5, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0] * 2
    first, second = table.indices[:7], table.indices[7:]
    shared = first == second
    assert shared.tolist() == [False, False, True, False, True, False, True]
    assert first.tolist() == Crossing(bits=20).table(Context(("payday",), (0.5,)), [pot]).indices.tolist()
    assert first.tolist() == [
        822546,
        989061,
        10233,
        196626,
        172280,
        60539,
        65586,
    ]  # for ever: stored weights hang on them
    with pytest.raises(Misuse):
        crossing.table(Context(("payday",), ()), [pot])


def test_many_contexts_do_not_grow_the_cache_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandits.crossing._MOST_KNOWN", 10)
    crossing, fresh = Crossing(bits=20), Crossing(bits=20)
    for i in range(50):
        crossing.table(Context((f"name-{i}",), (1.0,)), [Candidate("pot")])
    assert len(crossing._known) <= 10
    context = Context(("name-3",), (1.0,))
    assert crossing.table(context, [Candidate("pot")]).indices.tolist() == (
        fresh.table(context, [Candidate("pot")]).indices.tolist()
    )


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 1.0},
        {"loss": "hinge"},
        {"learning_rate": 0.0},
        {"prior": 1.0},
        {"knots": 1},
        {"bits": 40},
        {"regression": "ips"},
        {"regression": "dr", "loss": "logistic"},
    ],
    ids=str,
)
def test_contradictory_options_are_refused(options: dict[str, float | str]) -> None:
    with pytest.raises(InvalidConfiguration, match="vowpal"):
        make_learner(Recipe("bandit", options=options), REWARDS)


def test_a_state_belongs_to_its_recipe() -> None:
    state = make_learner(Recipe("bandit", options=SMALL), REWARDS).state()
    with pytest.raises(InvalidConfiguration, match="other options"):
        load_policy(Recipe("bandit", options=SMALL | {"learning_rate": 0.3}), state, 1)
    with pytest.raises(Corrupt, match="vowpal"):
        load_policy(Recipe("bandit", learner="popularity"), state, 1)


def test_a_chain_survives_the_journey() -> None:
    chain = Chain.of(REWARDS)
    assert Chain.from_plain(chain.plain) == chain
    assert chain.parents == (-1, 0, -1)
    with pytest.raises(InvalidConfiguration, match="funded"):
        chain.row("funded")
