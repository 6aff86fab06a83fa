"""Diagnostics see what is wrong with a log, and say so in a sentence before any number."""

from __future__ import annotations

import numpy as np
import pytest

from bandits.calibration import calibration
from bandits.diagnostics import Diagnostics, diagnose
from recsys.errors import InvalidTable
from recsys.vocabulary import Floats

PRODUCTS = ("pot", "fixed", "isa", "loan")


def log_of(seed: int, *, n: int = 4_000, rate: float = 0.3) -> dict[str, Floats]:
    rng = np.random.default_rng(seed)
    logged = 0.05 + 0.8 * rng.dirichlet(np.ones(4), n)
    target = rng.dirichlet(np.ones(4), n)
    shown = (logged.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=3)
    rows = np.arange(n)
    return {
        "reward": (rng.random(n) < rate).astype(float),
        "logged_pmf": logged,
        "target_pmf": target,
        "shown": shown.astype(float),
        "propensity": logged[rows, shown],
        "target": target[rows, shown],
    }


def told(log: dict[str, Floats]) -> Diagnostics:
    return diagnose(**log, products=PRODUCTS)


def about(diagnostics: Diagnostics) -> set[str]:
    return {finding.about for finding in diagnostics.findings if finding.colour == "red"}


def test_a_sound_log_has_no_finding() -> None:
    d = told(log_of(1))
    assert not d.findings
    assert d.interval_allowed
    assert d.promotion_allowed
    assert d.mean_weight == pytest.approx(1.0, abs=0.1)
    assert d.unsupported == 0.0
    assert 0.0 < d.effective_rounds < d.n


def test_sound_logs_are_rarely_called_unsound() -> None:
    """Three checks at about 0.3 %, 1 % and none: more than 8 of 200 less than once in 1,000."""
    assert sum(bool(about(told(log_of(seed, n=800, rate=0.9)))) for seed in range(200)) <= 8


def test_a_target_beyond_the_loggers_support_is_refused_with_its_share() -> None:
    log = log_of(2)
    closed = log["logged_pmf"].copy()
    closed[:, 3] = 0.0
    closed /= closed.sum(axis=1, keepdims=True)
    d = diagnose(**(log | {"logged_pmf": closed}))
    assert d.unsupported == pytest.approx(0.25, abs=0.02)
    assert "support" in about(d)
    assert not d.interval_allowed
    little = log["target_pmf"] * [1.0, 1.0, 1.0, 0.08]
    little /= little.sum(axis=1, keepdims=True)
    d = diagnose(**(log | {"logged_pmf": closed, "target_pmf": little}), products=PRODUCTS)
    assert [f.colour for f in d.findings if f.about == "support"] == ["amber"]


def test_rounded_propensities_of_another_policy_show_in_the_weights_or_the_calibration() -> None:
    log = log_of(3)
    rng = np.random.default_rng(3)
    other = 0.05 + 0.8 * rng.dirichlet(np.ones(4) * 3, len(log["reward"]))
    other[:, 0] += 0.2
    other /= other.sum(axis=1, keepdims=True)
    rows = np.arange(len(other))
    wrong = log | {"logged_pmf": other, "propensity": other[rows, log["shown"].astype(int)]}
    d = told(wrong)
    assert about(d) & {"calibration", "mean weight"}
    assert not d.promotion_allowed


def test_a_product_dropped_downstream_is_named() -> None:
    log = log_of(4)
    shown = log["shown"].copy()
    dropped = (shown == 2) & (np.random.default_rng(4).random(shown.size) < 0.5)
    shown[dropped] = 0  # the app showed another card and said it was the drawn one
    rows = np.arange(shown.size)
    d = told(log | {"shown": shown, "propensity": log["logged_pmf"][rows, shown.astype(int)]})
    assert "calibration" in about(d)
    assert {each.name for each in d.miscalibrated} == {"pot", "isa"}
    assert "isa" in " ".join(f.sentence for f in d.findings) or "pot" in " ".join(f.sentence for f in d.findings)


@pytest.mark.parametrize(
    ("rate", "interval", "promotion"), [(0.02, False, False), (0.08, True, False), (0.9, True, True)]
)
def test_few_conversions_refuse_first_a_promotion_then_an_interval(
    rate: float, *, interval: bool, promotion: bool
) -> None:
    d = told(log_of(5, n=2_500, rate=rate))
    assert (d.interval_allowed, d.promotion_allowed) == (interval, promotion)
    if not promotion:
        assert any("effective conversions" in f.sentence for f in d.findings)


def test_heavy_weights_and_rounds_left_out_are_said() -> None:
    log = log_of(6)
    target = log["target"].copy()
    target[:] = 0.001
    target[:20] = 1.0
    d = diagnose(reward=log["reward"], propensity=log["propensity"], target=target, excluded=12)
    assert {"weights", "left out"} <= {f.about for f in d.findings}
    assert d.unsupported is None
    assert d.top_share > 0.5


def test_a_draw_that_had_no_chance_is_never_calibrated() -> None:
    [zero, one] = calibration(np.array([[1.0, 0.0]] * 5), shown=[0, 0, 0, 0, 1], names=("a", "b"))
    assert zero.p_value == 0.0 == one.p_value
    with pytest.raises(InvalidTable):
        calibration(np.ones((3, 2)), shown=[0, 1])
    with pytest.raises(InvalidTable, match="different shapes"):
        diagnose(**(log_of(7, n=10) | {"target_pmf": np.full((10, 2), 0.5)}))


@pytest.mark.parametrize(("wrong", "colour"), [(0.02, "red"), (0.001, "amber"), (1e-8, None)])
def test_propensities_beside_another_distribution_are_counted(wrong: float, colour: str | None) -> None:
    """The policy that ran, judged by its own log: where p is not pmf[shown], it is not worth what it earned."""
    log = log_of(8)
    off = log["propensity"].copy()
    off[:40] /= 1.0 + wrong
    d = diagnose(**(log | {"propensity": off}), products=PRODUCTS)
    assert [f.colour for f in d.findings if f.about == "replay"] == ([] if colour is None else [colour])
    assert d.replayed_wrong == (0 if colour is None else 40)
    if colour is not None:
        assert d.replayed_off == pytest.approx(wrong)
