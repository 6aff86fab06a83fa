"""A log's propensities are true: what it says of its own policy and of others is what they are worth.

Rewards are rare, so tests of estimators take each slot's expected reward in the place of its draw:
the draw of the slate is what a propensity speaks of.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from bandits.estimators import ips, snips
from recsys.bank.logged import Log, target_of, true_value
from recsys.bank.logs import FAULTS, log_of
from recsys.bank.slates import ArrayPolicy, epsilon_greedy, softmax
from recsys.bank.truth import TRUTHS
from recsys.bank.world import Bank
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Bools, Floats

START = datetime(2026, 1, 5, tzinfo=UTC)


def bank_of(customers: int = 300, *, seed: int = 1) -> Bank:
    return Bank.create(customers=customers, seed=seed, start=START, catalogue=tuple(TRUTHS))


def scores(visible: Floats, *, eligible: Bools, surface: str) -> Floats:
    """Some taste of its own for what can be seen, bounded so that weights are; showing nothing scores 0."""
    weights = 0.08 * np.random.default_rng(0).normal(size=(visible.shape[1], eligible.shape[1]))
    return np.hstack([np.tanh(np.einsum("vf,fp->vp", visible, weights)), np.zeros((len(visible), 1))])


def other_scores(visible: Floats, *, eligible: Bools, surface: str) -> Floats:
    return -0.2 * scores(visible, eligible=eligible, surface=surface)


LOGGING = ArrayPolicy("logging@1", scores, softmax())
GREEDY = ArrayPolicy("greedy@1", scores, epsilon_greedy(epsilon=0.5))
OTHER = ArrayPolicy("other@1", other_scores, softmax())


def expected_rewards(log: Log) -> Floats:
    """(d, K) what each logged slot is expected to earn."""
    worth = np.hstack([log.attributed, np.zeros((len(log), 1))])
    there = log.columns >= 0
    found = np.take_along_axis(worth, np.where(there, log.columns, log.pmfs.shape[2] - 1), axis=1)
    return np.where(there, found, 0.0) * log.examination


def z_of(log: Log, target: ArrayPolicy) -> float:
    """How many standard errors the importance-weighted mean lies from the true value in the same states."""
    weights = np.cumprod(target_of(target, log=log) / log.propensities, axis=1)
    off = (weights * expected_rewards(log)).sum(axis=1) - true_value(target, log=log).by_slot.sum(axis=1)
    return float(off.mean() / (off.std(ddof=1) / np.sqrt(len(off))))


@pytest.fixture(scope="module")
def log() -> Log:
    return log_of(bank_of(), days=5, policy=LOGGING)


def test_a_log_says_what_was_drawn_of_what(log: Log) -> None:
    assert (log.surface, log.policy, log.products) == ("home", "logging@1", tuple(TRUTHS))
    assert len({(day, row) for day, row in zip(log.days.tolist(), log.rows.tolist(), strict=True)}) == len(log)
    there = log.columns >= 0
    open_ = np.hstack([log.eligible, np.ones((len(log), 1), dtype=bool)])
    assert np.take_along_axis(open_, np.maximum(log.columns, 0), axis=1)[there].all()
    sums = log.pmfs.sum(axis=2)
    assert np.allclose(sums[there], 1.0)
    assert not (log.tapped & ~log.seen).any()
    assert not (log.seen & (log.columns < 0)).any()
    assert not (log.seen & (log.columns == len(TRUTHS))).any()
    assert log.seen.any()


def test_the_logging_policy_is_worth_what_it_earned(log: Log) -> None:
    assert np.array_equal(target_of(LOGGING, log=log), log.propensities)
    contributions = ips(reward=log.rewards[:, 0], propensity=log.propensities[:, 0], target=log.propensities[:, 0])
    assert contributions.mean() == log.rewards[:, 0].mean()


def test_the_same_seed_gives_the_same_log_and_a_slice_is_part_of_it(log: Log) -> None:
    again = log_of(bank_of(), days=5, policy=LOGGING)
    assert np.array_equal(again.columns, log.columns)
    assert np.array_equal(again.rewards, log.rewards)
    part = Bank.create(customers=300, seed=1, start=START, catalogue=tuple(TRUTHS), first=100, last=200)
    some = log_of(part, days=5, policy=LOGGING)
    ours = (log.rows >= 100) & (log.rows < 200)
    assert np.array_equal(some.columns, log.columns[ours])
    assert np.array_equal(some.seen, log.seen[ours])


@pytest.mark.parametrize("policy", [LOGGING, GREEDY], ids=lambda policy: policy.name)
def test_estimates_of_any_policy_cover_its_true_value(policy: ArrayPolicy) -> None:
    """Twelve logs each; their z-scores sum to a normal of spread √12, refused beyond 4: once in 16,000 seeds."""
    own, others = [], []
    for seed in range(12):
        log = log_of(bank_of(200, seed=seed), days=4, policy=policy)
        own.append(z_of(log, policy))
        others.append(z_of(log, OTHER))
    for found in (own, others):
        assert abs(np.sum(found)) / np.sqrt(12) < 4.0
        assert 0.4 < np.std(found) < 1.9


def test_the_first_slot_by_the_estimators_of_the_house(log: Log) -> None:
    """Within 4 standard errors."""
    target, reward = target_of(OTHER, log=log)[:, 0], expected_rewards(log)[:, 0]
    truth = true_value(OTHER, log=log).by_slot[:, 0]
    for estimate in (ips, snips):
        off = estimate(reward=reward, propensity=log.propensities[:, 0], target=target) - truth
        assert abs(off.mean()) < 4.0 * off.std() / np.sqrt(len(off))


def test_drawn_rewards_have_the_mean_that_is_claimed() -> None:
    """Over all slots of a larger bank, within 4 standard errors of the difference."""
    log = log_of(bank_of(3_000, seed=3), days=6, policy=LOGGING)
    off = log.rewards - expected_rewards(log)
    assert abs(off.mean()) < 4.0 * off.std() / np.sqrt(off.size)
    seen = log.seen - np.where((log.columns >= 0) & (log.columns < len(TRUTHS)), log.examination, 0.0)
    assert abs(seen.mean()) < 4.0 * seen.std() / np.sqrt(seen.size)


def test_slots_below_the_third_are_simulated_to_a_known_error() -> None:
    log = log_of(bank_of(600), days=4, policy=LOGGING, surface="savings")
    worth = true_value(OTHER, log=log, draws=32)
    assert (worth.exact, worth.by_slot.shape[1]) == (3, 5)
    assert not worth.errors[:3].any()
    again = true_value(OTHER, log=log, draws=32, seed=5)
    gap = np.abs(worth.by_slot.mean(axis=0) - again.by_slot.mean(axis=0))[3:]
    assert (gap < 5.0 * np.hypot(worth.errors, again.errors)[3:]).all()
    assert (log.columns < len(TRUTHS)).all()  # savings always shows something


def test_what_cards_bring_about_is_valued_too(log: Log) -> None:
    assert true_value(LOGGING, log=log, caused="values").mean == pytest.approx(
        float((np.einsum("dkp,dp->dk", _chances(log), log.values) * log.examination).sum(axis=1).mean())
    )


def _chances(log: Log) -> Floats:
    """P(slot = product) by rebuilding the sum over what stands above from `true_value` of one product at a time."""
    products = log.eligible.shape[1]
    chances = np.zeros((*log.columns.shape, products))
    for column in range(products):
        only = np.zeros_like(log.values)
        only[:, column] = 1.0
        marked = Log(**{name: getattr(log, name) for name in Log.__slots__ if name != "attributed"}, attributed=only)
        chances[:, :, column] = true_value(LOGGING, log=marked).by_slot / log.examination
    return chances


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_spoils_what_it_says_and_nothing_else(fault: str, log: Log) -> None:
    bad = log_of(bank_of(), days=5, policy=LOGGING, fault=fault, newer=OTHER, product="cashback")
    column = log.products.index("cashback")
    if fault == "rounded":
        assert np.array_equal(bad.propensities, np.maximum(log.propensities.round(2), 0.01))
    elif fault == "newer_policy":
        assert np.allclose(bad.propensities, target_of(OTHER, log=log))
    elif fault == "dropped_card":
        assert (log.columns == column).any()
        assert not (bad.columns == column).any()
        first_day = (bad.days == 0).sum()
        moved = (log.columns[:first_day, 0] == column) & (log.columns[:first_day, 1] >= 0)
        assert np.array_equal(bad.propensities[:first_day][moved, 0], log.propensities[:first_day][moved, 1])
        assert np.array_equal(bad.columns[:first_day][moved, 0], log.columns[:first_day][moved, 1])
    elif fault == "lost_outcomes":
        assert log.seen[log.columns == column].any()
        assert not bad.seen[bad.columns == column].any()
        assert np.array_equal(bad.seen[bad.columns != column], log.seen[log.columns != column])
    elif fault == "duplicated":
        twice = len(bad) - len(log)
        assert 0.04 * len(log) < twice < 0.2 * len(log)
    else:
        assert bad.opened.sum() <= log.opened.sum()
    if fault in ("rounded", "newer_policy", "immature"):
        assert np.array_equal(bad.columns, log.columns)
        assert np.array_equal(bad.seen, log.seen)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"fault": "lost_outcome"}, "there is no fault lost_outcome; did you mean lost_outcomes?"),
        ({"fault": "newer_policy"}, "the fault newer_policy needs the newer policy"),
        ({"product": "gold"}, "the bank knows no product 'gold'"),
        ({"surface": "lobby"}, "the bank has no surface 'lobby'"),
        ({"surface": "search"}, "nobody came to search in 1 days: there is nothing to log"),
    ],
)
def test_a_log_that_cannot_be_is_refused(wrong: dict[str, str], why: str) -> None:
    with pytest.raises(InvalidConfiguration, match=why):
        log_of(bank_of(20), days=1, policy=LOGGING, **wrong)  # type: ignore[arg-type]
