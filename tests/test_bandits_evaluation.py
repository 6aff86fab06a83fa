"""Panels: the same numbers in one batch and in many, and sentences that a person can act on."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from bandits import diagnostics, estimators, intervals
from bandits.batches import Batch, SlateBatch, batches_of
from bandits.evaluation import ESTIMATORS, SLATE_ESTIMATORS, Panel, chosen, conclusion, headline
from bandits.unit_sums import keys_of
from recsys.errors import InvalidTable, Misuse


def batch_of(seed: int, *, n: int = 6_000, lift: float = 0.0) -> Batch:
    """Rounds of 700 units with a reward model that is roughly right."""
    rng = np.random.default_rng(seed)
    logged = 0.05 + 0.8 * rng.dirichlet(np.ones(4), n)
    target = rng.dirichlet(np.array([1.0, 1.0, 1.0, 1.0 + lift]), n)
    shown = (logged.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=3)
    rows, rates = np.arange(n), np.array([0.1, 0.15, 0.2, 0.5])
    model = rates + 0.02 * rng.normal(size=(n, 4))
    return Batch(
        unit=keys_of([f"u-{each}" for each in rng.integers(0, 700, n)]),
        reward=(rng.random(n) < rates[shown]).astype(float),
        propensity=logged[rows, shown],
        target=target[rows, shown],
        q_logged=model[rows, shown],
        q_target=(target * model).sum(axis=1),
        logged_pmf=logged,
        target_pmf=target,
        shown=shown.astype(float),
    )


def panel_of(batches: list[Batch]) -> Panel[Batch]:
    panel = Panel("new@1", ESTIMATORS)
    for batch in batches:
        panel.add(batch)
    return panel


@pytest.mark.parametrize("size", [1, 17, 1_000])
def test_batches_give_what_one_batch_gives(size: int) -> None:
    whole = batch_of(1, n=1_500)
    together, apart = panel_of([whole]).verdicts(), panel_of(batches_of(whole, size=size)).verdicts()
    for one, many in zip(together, apart, strict=True):
        for bound in ("estimate", "low", "high"):
            assert getattr(many.interval, bound) == pytest.approx(getattr(one.interval, bound), rel=1e-9, abs=1e-12)
        assert many.interval.n == one.interval.n
        for each in fields(diagnostics.Diagnostics):
            if isinstance(getattr(one.diagnostics, each.name), float):
                wanted = pytest.approx(getattr(one.diagnostics, each.name), rel=1e-9)
                assert getattr(many.diagnostics, each.name) == wanted, each.name


def test_panels_of_two_processes_add() -> None:
    first, second = batches_of(batch_of(2), size=3_000)
    left, right = panel_of([first]), panel_of([second])
    left.merge(right)
    both = panel_of([first, second])
    assert [v.interval for v in left.verdicts()] == [v.interval for v in both.verdicts()]
    with pytest.raises(Misuse, match="do not add"):
        left.merge(Panel("other@1", ESTIMATORS))


@pytest.mark.parametrize("name", ["ips", "snips", "dr", "sndr"])
def test_the_streamed_interval_is_that_of_the_contributions(name: str) -> None:
    batch = batch_of(3)
    columns = batch.modelled if name in ("dr", "sndr") else batch.weighing
    interval = intervals.logit if name == "snips" else intervals.normal  # rewards are 0 or 1
    plain = interval(getattr(estimators, name)(**columns), unit=batch.unit)
    [verdict] = [v for v in panel_of(batches_of(batch, size=500)).verdicts() if v.estimator == name]
    assert (verdict.interval.low, verdict.interval.high) == pytest.approx((plain.low, plain.high), rel=1e-9)
    assert verdict.interval.n == plain.n == 700


def test_the_uplift_is_paired_and_the_logged_is_the_mean() -> None:
    batch = batch_of(4)
    found = {v.estimator: v.interval for v in panel_of([batch]).verdicts()}
    assert found["logged"].estimate == pytest.approx(batch.reward.mean())
    assert found["uplift"].estimate == pytest.approx(found["dr"].estimate - batch.reward.mean())
    own = replace(batch, target=batch.propensity, q_target=batch.q_logged)
    assert {v.estimator: v.interval for v in panel_of([own]).verdicts()}["uplift"].estimate == pytest.approx(0.0)


def test_a_better_policy_is_said_to_be_better_and_little_evidence_says_nothing() -> None:
    better = panel_of([batch_of(5, lift=8.0)]).verdicts()
    assert headline(better).estimator == "sndr"
    logged = float(batch_of(5, lift=8.0).reward.mean())
    assert conclusion(better, logged=logged).startswith("new@1 would have earned more")
    same = batch_of(6)
    assert "No difference" in conclusion(
        panel_of([replace(same, target=same.propensity, target_pmf=same.logged_pmf)]).verdicts(),
        logged=float(same.reward.mean()),
    )
    little = panel_of([batch_of(7, n=60)]).verdicts()
    assert "cannot say" in conclusion(little, logged=0.2)
    assert "not enough evidence" in str(headline(little))


def test_what_is_missing_or_wrong_is_said() -> None:
    batch = batch_of(8, n=50)
    with pytest.raises(Misuse, match="no estimator magic"):
        chosen(ESTIMATORS, names=("magic",))
    with pytest.raises(Misuse, match="reward model"):
        Panel("x", chosen(ESTIMATORS, names=("dr",))).add(replace(batch, q_logged=None))
    broken = batch.propensity.copy()
    broken[2] = 0.0
    with pytest.raises(InvalidTable, match=r"row 3"):
        Panel("x", chosen(ESTIMATORS, names=("ips",))).add(replace(batch, propensity=broken))
    assert Panel("x", ESTIMATORS).verdicts() == ()
    with pytest.raises(Misuse):
        headline(())


def test_slates_are_judged_slot_by_slot_and_their_first_slots_alone() -> None:
    rng, n = np.random.default_rng(9), 3_000
    logged = np.tile(np.array([0.5, 0.5]), (n, 2, 1))
    shown = rng.integers(0, 2, (n, 2)).astype(float)
    shown[rng.random(n) < 0.3, 1] = -1.0  # some slates end early
    ended = shown < 0.0
    target_pmf = np.tile(np.array([0.2, 0.8]), (n, 2, 1))
    slates = SlateBatch(
        unit=keys_of([f"u-{each}" for each in rng.integers(0, 500, n)]),
        reward=np.where(ended, 0.0, (shown == 1) * 1.0),
        propensity=np.where(ended, 1.0, 0.5),
        target=np.where(ended, 1.0, np.where(shown == 1, 0.8, 0.2)),
        logged_pmf=logged,
        target_pmf=target_pmf,
        shown=shown,
    )
    panel = Panel("new@1", chosen(SLATE_ESTIMATORS, names=("sips", "rips", "logged", "uplift")), level=0.999)
    panel.add(slates)
    found = {verdict.estimator: verdict for verdict in panel.verdicts()}
    truth = 0.8 + 0.7 * 0.8
    for name in ("sips", "rips"):
        assert found[name].interval.low < truth < found[name].interval.high
    assert found["uplift"].interval.estimate == pytest.approx(
        found["rips"].interval.estimate - found["logged"].interval.estimate
    )
    assert abs(found["rips"].diagnostics.mean_weight_z) < 4.0
    alone = Panel("new@1", chosen(ESTIMATORS, names=("ips",)), level=0.999)
    alone.add(slates.first_slots())
    [verdict] = alone.verdicts()
    assert verdict.interval.low < 0.8 < verdict.interval.high


def test_a_ratio_of_binary_rewards_stays_inside_and_any_other_is_plain() -> None:
    few = batch_of(10, n=40)
    few = replace(few, reward=np.append(1.0, np.zeros(39)))
    [inside] = [v.interval for v in panel_of([few]).verdicts() if v.estimator == "snips"]
    assert 0.0 < inside.low < inside.estimate < inside.high < 1.0
    [plain] = [
        v.interval for v in panel_of([replace(few, reward=few.reward * 3.0)]).verdicts() if v.estimator == "snips"
    ]
    assert plain.low < 0.0
    nothing = panel_of([replace(few, reward=np.zeros(40))]).verdicts()
    assert [v.interval.estimate for v in nothing if v.estimator == "snips"] == [0.0]


def test_an_estimate_of_what_no_round_earned_is_red() -> None:
    batch = batch_of(11, n=400)
    heavy = replace(batch, propensity=np.where(batch.reward > 0.0, 0.05, 1.0), target=batch.reward)
    verdicts = panel_of([heavy]).verdicts()
    found = [f for f in headline(verdicts).diagnostics.findings if f.about == "range"]
    assert [f.colour for f in found] == ["red"]
    assert "ips (" in found[0].sentence
    assert "snips" not in found[0].sentence
    assert not headline(verdicts).diagnostics.promotion_allowed
    assert not [f for f in headline(panel_of([batch]).verdicts()).diagnostics.findings if f.about == "range"]
