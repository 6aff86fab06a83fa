"""Laws of off-policy estimators of whole slates (statistics.md 5), put to every one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits import estimators, intervals
from bandits import slate_estimators as slates
from recsys.errors import InvalidTable
from recsys.vocabulary import Floats

Log = Mapping[str, Floats]
N, SLOTS = 120, 3


def _columns(*names: str) -> Callable[[Log], dict[str, Floats]]:
    return lambda log: {name: log[name] for name in names}


_weighing = _columns("reward", "propensity", "target")
_placed = _columns("reward", "propensity_at", "target_at")
_model = _columns("q_logged", "q_target")

ALL: Mapping[str, Callable[[Log], Floats]] = {
    "sips": lambda log: slates.sips(**_weighing(log)),
    "iips": lambda log: slates.iips(**_placed(log)),
    "slot_dr": lambda log: slates.slot_dr(**_placed(log), **_model(log)),
    "rips": lambda log: slates.rips(**_weighing(log)),
    "cascade_dr": lambda log: slates.cascade_dr(**_weighing(log), **_model(log)),
}
MODELLED = {"slot_dr": "iips", "cascade_dr": "rips"}
EACH = pytest.mark.parametrize("name", list(ALL))
SEEDS = given(seed=st.integers(0, 10_000))
FEW = settings(max_examples=25, deadline=None, derandomize=True)


def log_of(seed: int, *, slots: int = SLOTS) -> dict[str, Floats]:
    rng = np.random.default_rng(seed)
    log = {name: rng.uniform(0.1, 1.0, (N, slots)) for name in ("propensity", "target")}
    log |= {f"{name}_at": log[name] if slots == 1 else rng.uniform(0.1, 1.0, (N, slots)) for name in tuple(log)}
    return log | {name: rng.normal(size=(N, slots)) for name in ("reward", "q_logged", "q_target")}


@EACH
@FEW
@SEEDS
def test_the_policy_that_logged_is_worth_what_it_earned(name: str, seed: int) -> None:
    log = log_of(seed)
    own = log | {"target": log["propensity"], "target_at": log["propensity_at"], "q_target": log["q_logged"]}
    np.testing.assert_allclose(ALL[name](own), log["reward"].sum(axis=1), rtol=1e-9, atol=1e-9)


@EACH
@FEW
@SEEDS
def test_order_copies_and_scale_change_what_they_should(name: str, seed: int) -> None:
    log, order = log_of(seed), np.random.default_rng(seed).permutation(N)
    plain = ALL[name](log)
    assert plain.shape == (N,)
    np.testing.assert_allclose(ALL[name]({key: column[order] for key, column in log.items()}), plain[order])
    once = intervals.normal(plain)
    twice = intervals.normal(ALL[name]({key: np.concatenate([column, column]) for key, column in log.items()}))
    assert twice.estimate == pytest.approx(once.estimate)
    assert ((twice.high - twice.low) / (once.high - once.low)) ** 2 == pytest.approx(0.5, rel=0.01)
    scaled = ALL[name](log | {key: log[key] * 4.0 for key in ("reward", "q_logged", "q_target")})
    np.testing.assert_allclose(scaled, plain * 4.0, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("with_model", "without"), MODELLED.items())
@FEW
@SEEDS
def test_without_a_model_it_is_the_weighing_and_a_perfect_one_leaves_the_model(
    with_model: str, without: str, seed: int
) -> None:
    log, nothing = log_of(seed), np.zeros((N, SLOTS))
    bare = log | {"q_logged": nothing, "q_target": nothing}
    np.testing.assert_array_equal(ALL[with_model](bare), ALL[without](log))
    perfect = ALL["slot_dr"](log | {"q_logged": log["reward"]})
    np.testing.assert_allclose(perfect, log["q_target"].sum(axis=1), rtol=1e-9, atol=1e-9)


@EACH
@FEW
@SEEDS
def test_with_one_slot_it_is_the_estimator_of_one_slot(name: str, seed: int) -> None:
    log = log_of(seed, slots=1)
    flat = {key: column[:, 0] for key, column in log.items()}
    columns = _weighing(flat) | (_model(flat) if name in MODELLED else {})
    alone = (estimators.dr if name in MODELLED else estimators.ips)(**columns)
    np.testing.assert_allclose(ALL[name](log), alone, rtol=1e-12)


@EACH
@FEW
@SEEDS
def test_slots_beyond_the_end_of_a_slate_change_nothing(name: str, seed: int) -> None:
    """Filled up with certainties: reward and model 0, both chances 1."""
    log = log_of(seed)
    filler = {key: np.ones((N, 2)) if "reward" not in key and "q_" not in key else np.zeros((N, 2)) for key in log}
    longer = {key: np.hstack([column, filler[key]]) for key, column in log.items()}
    np.testing.assert_allclose(ALL[name](longer), ALL[name](log), rtol=1e-9, atol=1e-12)


@EACH
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("propensity", (1, 0), 0.0), r"propensity\w* must be in \(0, 1\] \(row 2\)"),
        (("propensity", (2, 1), 1.7), r"propensity\w* must be in \(0, 1\] \(row 3\)"),
        (("target", (0, 1), -0.1), r"target\w* must be in \[0, 1\] \(row 1\)"),
        (("reward", (2, 0), np.nan), r"reward must be finite \(row 3\)"),
    ],
)
def test_wrong_slates_are_refused_with_their_rows(
    name: str, change: tuple[str, tuple[int, int], float], why: str
) -> None:
    column, at, value = change
    log = {key: given[:3].copy() for key, given in log_of(1).items()}
    for key in [key for key in log if key.startswith(column)]:
        log[key][at] = value
    with pytest.raises(InvalidTable, match=why):
        ALL[name](log)
    with pytest.raises(InvalidTable, match="at least one"):
        ALL[name]({key: given[:0] for key, given in log_of(1).items()})
    with pytest.raises(InvalidTable, match="two-dimensional"):
        ALL[name]({key: given[:, 0] for key, given in log_of(1).items()})
