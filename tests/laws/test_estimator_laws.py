"""Laws of off-policy estimators (statistics.md 5), put to every one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits import estimators, intervals
from recsys.errors import InvalidTable, Misuse
from recsys.vocabulary import Floats

Log = Mapping[str, Floats]
Estimator = Callable[[Log], Floats]
N, PRODUCTS = 150, 5


def _weighing(log: Log) -> dict[str, Floats]:
    return {name: log[name] for name in ("reward", "propensity", "target")}


def _modelled(log: Log) -> dict[str, Floats]:
    return _weighing(log) | {name: log[name] for name in ("q_logged", "q_target")}


def _mips(log: Log) -> Floats:
    """With every product an embedding of its own, mips is ips."""
    shown = log["shown"].astype(np.int64)
    every = np.ones(log["logged_pmf"].shape, dtype=np.bool_)
    return estimators.mips(
        reward=log["reward"],
        logged=log["logged_pmf"],
        target=log["target_pmf"],
        embedding=np.eye(PRODUCTS),
        shown=shown,
        eligible=every,
    )


ALL: Mapping[str, Estimator] = {
    "ips": lambda log: estimators.ips(**_weighing(log)),
    "clipped_ips": lambda log: estimators.clipped_ips(**_weighing(log), clip=3.0),
    "snips": lambda log: estimators.snips(**_weighing(log)),
    "dm": lambda log: estimators.dm(q_target=log["q_target"]),
    "dr": lambda log: estimators.dr(**_modelled(log)),
    "sndr": lambda log: estimators.sndr(**_modelled(log)),
    "switch_dr": lambda log: estimators.switch_dr(**_modelled(log), threshold=3.0),
    "dros": lambda log: estimators.dros(**_modelled(log), shrinkage=1e12),
    "mips": _mips,
}
EACH = pytest.mark.parametrize("name", list(ALL))
SEEDS = given(seed=st.integers(0, 10_000))
FEW = settings(max_examples=25, deadline=None, derandomize=True)


def log_of(seed: int, *, n: int = N) -> dict[str, Floats]:
    """Rounds drawn from a random logger, with a target and a model, all with full support."""
    rng = np.random.default_rng(seed)
    logged = 0.1 / PRODUCTS + 0.9 * rng.dirichlet(np.ones(PRODUCTS), n)
    target = rng.dirichlet(np.ones(PRODUCTS), n)
    shown = (logged.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=PRODUCTS - 1)
    model, rows = rng.normal(size=(n, PRODUCTS)), np.arange(n)
    return {
        "reward": rng.normal(size=n),
        "shown": shown.astype(np.float64),
        "logged_pmf": logged,
        "target_pmf": target,
        "propensity": logged[rows, shown],
        "target": target[rows, shown],
        "q_logged": model[rows, shown],
        "q_target": (target * model).sum(axis=1),
    }


@EACH
@FEW
@SEEDS
def test_the_policy_that_logged_is_worth_what_it_earned(name: str, seed: int) -> None:
    log = log_of(seed)
    own = log | {"target": log["propensity"], "target_pmf": log["logged_pmf"]}
    own["q_target"] = own["q_logged"] = own["reward"] if name == "dm" else log["q_logged"]
    assert ALL[name](own).mean() == pytest.approx(log["reward"].mean())


@EACH
@FEW
@SEEDS
def test_order_copies_and_scale_change_what_they_should(name: str, seed: int) -> None:
    log, order = log_of(seed), np.random.default_rng(seed).permutation(N)
    plain = ALL[name](log)
    assert plain.shape == (N,)
    permuted = ALL[name]({key: column[order] for key, column in log.items()})
    np.testing.assert_allclose(permuted, plain[order], rtol=1e-9, atol=1e-12)
    doubled = ALL[name]({key: np.concatenate([column, column]) for key, column in log.items()})
    once, twice = intervals.normal(plain), intervals.normal(doubled)
    assert twice.estimate == pytest.approx(once.estimate)
    assert ((twice.high - twice.low) / (once.high - once.low)) ** 2 == pytest.approx(0.5, rel=0.01)
    scaled = ALL[name](log | {key: log[key] * 4 for key in ("reward", "q_logged", "q_target")})
    np.testing.assert_allclose(scaled, plain * 4, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["snips", "sndr"])
@FEW
@SEEDS
def test_adding_to_every_reward_adds_as_much_to_what_is_self_normalised(name: str, seed: int) -> None:
    log = log_of(seed)
    moved = log | {"reward": log["reward"] + 3.0}
    if name == "sndr":
        moved |= {key: log[key] + 3.0 for key in ("q_logged", "q_target")}
    np.testing.assert_allclose(ALL[name](moved), ALL[name](log) + 3.0, rtol=1e-9)


@FEW
@SEEDS
def test_without_a_model_dr_is_ips_and_a_perfect_one_leaves_dm(seed: int) -> None:
    log, nothing = log_of(seed), np.zeros(N)
    bare = log | {"q_logged": nothing, "q_target": nothing}
    for with_model, without in (("dr", "ips"), ("sndr", "snips")):
        np.testing.assert_allclose(ALL[with_model](bare), ALL[without](log), rtol=1e-9, atol=1e-12)
    perfect = log | {"q_logged": log["reward"]}
    for name in ("dr", "sndr", "switch_dr", "dros"):
        np.testing.assert_allclose(ALL[name](perfect), log["q_target"], rtol=1e-9, atol=1e-9)


@FEW
@SEEDS
def test_the_ends_of_every_dial_are_the_estimators_they_lie_between(seed: int) -> None:
    log = log_of(seed)
    modelled, weighing = _modelled(log), _weighing(log)
    dr, dm = estimators.dr(**modelled), estimators.dm(q_target=log["q_target"])
    np.testing.assert_allclose(estimators.switch_dr(**modelled, threshold=np.inf), dr)
    np.testing.assert_allclose(estimators.dros(**modelled, shrinkage=np.inf), dr)
    np.testing.assert_allclose(estimators.switch_dr(**modelled, threshold=0.0), dm)
    np.testing.assert_allclose(estimators.dros(**modelled, shrinkage=0.0), dm)
    np.testing.assert_allclose(estimators.clipped_ips(**weighing, clip=np.inf), estimators.ips(**weighing))
    assert not estimators.clipped_ips(**weighing, clip=0.0).any()


@FEW
@SEEDS
def test_mips_is_ips_with_products_as_embedding_and_the_mean_with_one(seed: int) -> None:
    log = log_of(seed)
    np.testing.assert_allclose(ALL["mips"](log), ALL["ips"](log))
    one = estimators.mips(
        reward=log["reward"],
        logged=log["logged_pmf"],
        target=log["target_pmf"],
        embedding=np.ones((PRODUCTS, 1)),
        shown=np.zeros(N),
        eligible=np.ones((N, PRODUCTS), dtype=np.bool_),
    )
    np.testing.assert_allclose(one, log["reward"])


def test_mips_weighs_only_what_was_eligible() -> None:
    """Two clusters; a product that was not eligible may not lend its cluster any mass."""
    eligible = np.array([[True, True, False]])
    told = estimators.mips(
        reward=[1.0],
        logged=np.array([[0.5, 0.5, 0.0]]),
        target=np.array([[0.1, 0.3, 0.6]]),  # renormalised over the eligible: .25, .75
        embedding=np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
        shown=[0],
        eligible=eligible,
    )
    assert told == pytest.approx([0.25 / 0.5])


def test_a_counted_embedding_is_the_known_one_in_the_long_run() -> None:
    rng = np.random.default_rng(4)
    known = rng.dirichlet(np.ones(3), 4)
    products = rng.integers(0, 4, 40_000)
    columns = (known[products].cumsum(axis=1) < rng.random((40_000, 1))).sum(axis=1)
    counted = estimators.counted_embedding(products=products, columns=columns, shape=(5, 3))
    np.testing.assert_allclose(counted[:4], known, atol=0.02)  # about 4 standard errors of 10,000 draws
    np.testing.assert_allclose(counted[4], 1 / 3)


@pytest.mark.parametrize("name", ["ips", "dr", "mips"])
@FEW
@SEEDS
def test_unbiased_by_enumeration(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logged, target = 0.02 + 0.9 * rng.dirichlet(np.ones(PRODUCTS)), rng.dirichlet(np.ones(PRODUCTS))
    worth, model = rng.normal(size=PRODUCTS), rng.normal(size=PRODUCTS)
    logged /= logged.sum()
    told = ALL[name](
        {
            "reward": worth,
            "shown": np.arange(PRODUCTS, dtype=np.float64),
            "logged_pmf": np.tile(logged, (PRODUCTS, 1)),
            "target_pmf": np.tile(target, (PRODUCTS, 1)),
            "propensity": logged,
            "target": target,
            "q_logged": model,
            "q_target": np.full(PRODUCTS, target @ model),
        }
    )
    assert logged @ told == pytest.approx(target @ worth)


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("dm", "mips")])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"propensity": np.array([0.5, 0.0, 1.7])}, r"propensity must be in \(0, 1\] \(rows 2, 3\)"),
        ({"reward": np.array([0.0, 1.0, np.nan])}, r"reward must be finite \(row 3\)"),
        ({"target": np.array([-0.1, 0.0, 0.0])}, r"target must be in \[0, 1\] \(row 1\)"),
        ({"reward": np.zeros(2)}, "different lengths"),
        ({"reward": np.zeros((3, 1))}, "one-dimensional"),
        ({"reward": ["a", "b", "c"]}, "numbers"),
    ],
)
def test_wrong_columns_are_refused_with_their_rows(name: str, change: dict[str, Floats], why: str) -> None:
    log = {key: np.full(3, 0.5) for key in ("reward", "propensity", "target", "q_logged", "q_target")}
    with pytest.raises(InvalidTable, match=why):
        ALL[name](log | change)


def test_dials_below_0_no_rounds_and_no_weight_are_refused() -> None:
    log = log_of(1)
    with pytest.raises(Misuse, match="clip must be at least 0"):
        estimators.clipped_ips(**_weighing(log), clip=-1.0)
    with pytest.raises(Misuse, match="shrinkage"):
        estimators.dros(**_modelled(log), shrinkage=float("nan"))
    with pytest.raises(InvalidTable, match="at least one"):
        estimators.dm(q_target=[])
    for name in ("snips", "sndr"):
        with pytest.raises(InvalidTable, match="never draws"):
            ALL[name](log | {"target": np.zeros(N)})
