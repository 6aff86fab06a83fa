"""The gate's rules: how often it errs, what it spends, and what it says where the data cannot."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from bandits.gate import Compared, Measured, Splits, Terms, compared, ruled
from bandits.unit_sums import UnitSums
from recsys.errors import Misuse
from tests.gate_worlds import CHAMPION, Log, candidate_worth, green, worth

TERMS = Terms(margin=0.05)
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def passes(log: Log, *, share: float, look: int = 1, towards: int = 0) -> bool:
    value = log.measured(candidate_worth(share, towards=towards), CHAMPION)
    return ruled(value, guardrails=(), diagnostics=(green(),), look=look, terms=TERMS).passed


def test_candidates_exactly_at_the_margin_seldom_pass() -> None:
    """400 candidates; a true rate of 5 % would give more than 32 with a chance of 0.8 % (binomial)."""
    assert worth(candidate_worth(0.95)) == pytest.approx(0.95 * worth(CHAMPION))
    rng = np.random.default_rng(2)
    passed = sum(passes(Log.of(rng, n=2_000), share=0.95) for _ in range(400))
    assert stats.binom.sf(passed - 1, 400, 0.05) > 0.008


def test_ten_candidates_on_one_split_err_no_more_together() -> None:
    """150 splits, ten candidates each at the margin; the families that let one pass are at most 5 %."""
    rng = np.random.default_rng(3)
    erred = 0
    for _ in range(150):
        log = Log.of(rng, n=1_500)
        ways = [(0, 0.95), (1, 0.95)] * 5
        erred += any(passes(log, share=share, towards=to, look=k) for k, (to, share) in enumerate(ways, start=1))
    assert stats.binom.sf(erred - 1, 150, 0.05) > 0.005


def test_a_better_candidate_passes() -> None:
    rng = np.random.default_rng(4)
    assert sum(passes(Log.of(rng, n=12_000), share=1.15, towards=3) for _ in range(20)) >= 16


def test_looks_spend_no_more_than_alpha_together() -> None:
    terms = Terms()
    spent = [terms.alpha_of(k) for k in range(1, 5_000)]
    assert all(later < earlier for earlier, later in pairwise(spent))
    assert 0.0499 < sum(spent) < 0.05
    with pytest.raises(Misuse, match="numbered from 1"):
        terms.alpha_of(0)


def sums(one: list[float], other: list[float]) -> UnitSums:
    return UnitSums.of(np.array([one, other]).T, unit=np.arange(len(one), dtype=np.uint64))


def test_dut_2_a_guardrail_is_green_red_or_unknown() -> None:
    rng = np.random.default_rng(5)
    base = rng.random(4_000)

    def held(shift: float, *, noise: float, better: str = "lower") -> Compared:
        one = base + shift + noise * rng.normal(size=4_000)
        harm = Measured("dismissals", sums(one.tolist(), base.tolist()), better)
        return compared(harm, margin=0.10, alpha=0.05, power=0.8)

    def state(shift: float, *, noise: float, better: str = "lower") -> str:
        return held(shift, noise=noise, better=better).state

    assert state(0.0, noise=0.1) == "green"
    assert state(0.10, noise=0.1) == "red"  # 20 % more harm than 0.5
    assert state(-0.10, noise=0.1) == "green"  # less harm
    assert state(0.0, noise=20.0) == "unknown"
    assert state(-0.10, noise=0.1, better="higher") == "red"
    assert "the data cannot say (a change of" in held(0.0, noise=20.0).sentence


def test_what_never_happened_is_unknown_unless_both_are_the_same() -> None:
    nothing = [0.0] * 50
    assert compared(Measured("x", sums(nothing, nothing)), margin=0.1, alpha=0.05, power=0.8).state == "unknown"


def test_red_diagnostics_and_other_reasons_refuse() -> None:
    rng = np.random.default_rng(6)
    value = Log.of(rng, n=12_000).measured(candidate_worth(1.3, towards=3), CHAMPION)
    assert ruled(value, guardrails=(), diagnostics=(green(),), look=1, terms=TERMS).passed
    little = replace(green(), effective_conversions=120.0)
    ruling = ruled(value, guardrails=(), diagnostics=(little,), look=1, terms=TERMS, reasons=("no owner",))
    assert not ruling.passed
    assert ruling.reasons == ("no owner", "120 effective conversions are not enough to promote on")


def test_splits_follow_one_another_and_impossible_ones_are_refused() -> None:
    splits = Splits.of(NOW, NOW + timedelta(days=10))
    assert (splits.train_until, splits.select_until) == (NOW + timedelta(days=5), NOW + timedelta(days=7))
    for train, select in ((0.0, 0.5), (0.5, 0.5), (0.9, 0.2)):
        with pytest.raises(Misuse, match="must each have a part"):
            Splits.of(NOW, NOW + timedelta(days=1), train=train, select=select)
    with pytest.raises(Misuse, match="must each have a part"):
        Splits.of(NOW, NOW)
    for wrong in ({"margin": 1.0}, {"alpha": 0.5}, {"power": 0.2}):
        with pytest.raises(Misuse, match="the gate"):
            Terms(**wrong)
