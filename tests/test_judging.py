"""Judging a home's log: right where the truth is known, and honest about what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from bandits.baselines import StaticPolicy, UniformPolicy
from bandits.exploration import Exploration
from bandits.targets import LoggedTarget, PolicyTarget
from recsys.errors import Misuse
from recsys.eventlog import Entry
from recsys.vocabulary import Bools, Candidate, Context, Decision, Display, Floats
from serving import judging
from serving.judged_log import Scope
from serving.judging import Candidate as Asked
from serving.judging import Judged, judge
from tests.builders import START
from tests.judged_worlds import PRODUCTS, World, world

HOME = Scope(surface="home")


@dataclass(frozen=True, slots=True)
class Knowing:
    """A policy that looks at x: savers one way, others another."""

    name: str = "knowing@1"
    floor: float = 0.3
    lift: float = 1.0

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        taste = dict(zip(PRODUCTS, (-1.0, 1.5, 0.0, 0.5), strict=True))
        return np.array([self.lift * taste.get(c.product_id, -1.0) * context.values[0] for c in candidates])

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        return Exploration("softmax", epsilon=self.floor, temperature=0.7).pmf(scores, open_=open_)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("judged"), decisions=3_000)


def judged(lived: World, *targets: object, scope: Scope = HOME, **given: object) -> Judged:
    asked = [Asked(PolicyTarget(each) if hasattr(each, "scores") else each) for each in targets]  # type: ignore[arg-type]
    given.setdefault("rewards", lived.home.rewards.counting("tapped"))
    return judge(lived.home, candidates=asked, scope=scope, **given)  # type: ignore[arg-type]


def test_estimates_of_whole_slates_hold_the_truth(lived: World) -> None:
    policy = Knowing()
    found = judged(lived, policy, LoggedTarget(), level=0.999)
    truth = lived.value(policy)
    assert found.rounds == 3_000
    assert not found.left_out
    for name in ("slot_dr", "iips", "cascade_dr", "rips", "sips"):
        [verdict] = [v for v in found.of("knowing@1") if v.estimator == name]
        assert verdict.interval.low < truth < verdict.interval.high, name
        assert abs(verdict.diagnostics.mean_weight_z) < 4.0
        assert verdict.diagnostics.unsupported == 0.0
    widths = {v.estimator: v.interval.high - v.interval.low for v in found.of("knowing@1")}
    assert widths["slot_dr"] < widths["iips"] < widths["sips"]
    assert widths["cascade_dr"] < widths["rips"]
    [difference] = [v for v in found.differences if v.estimator == "slot_dr"]
    assert difference.interval.low < truth - lived.value(UniformPolicy()) < difference.interval.high


def test_the_policy_that_ran_is_worth_what_it_earned(lived: World) -> None:
    found = judged(lived, LoggedTarget())
    for verdict in found.verdicts:
        if verdict.estimator in ("iips", "rips", "sips", "logged"):
            assert verdict.interval.estimate == pytest.approx(found.logged, rel=1e-9)
    same = judged(lived, UniformPolicy("uniform@9"))
    for one, other in zip(same.verdicts, found.verdicts, strict=True):
        assert one.interval.estimate == pytest.approx(other.interval.estimate, rel=1e-9, abs=1e-9)


def test_first_slots_alone_are_judged_by_every_estimator_of_one_slot(lived: World) -> None:
    policy = Knowing()
    found = judged(lived, policy, scope=replace(HOME, places=1), level=0.999)
    truth = lived.value(policy, slots=1)
    for name in ("dm", "ips", "snips", "dr", "sndr"):
        [verdict] = [v for v in found.verdicts if v.estimator == name]
        if name != "dm":
            assert verdict.interval.low < truth < verdict.interval.high, name
    assert found.headline("knowing@1").estimator == "sndr"


def test_a_fixed_order_is_judged_too_and_its_support_is_told(lived: World) -> None:
    order = StaticPolicy(("pot", "round-ups", "cash-isa"), name="fixed@1")
    found = judged(lived, order, level=0.999)
    assert found.headline("fixed@1").interval.low < lived.value(order) < found.headline("fixed@1").interval.high


def test_time_and_ripeness_decide_what_is_judged(lived: World) -> None:
    middle = START + timedelta(days=30)
    before, after = (judged(lived, LoggedTarget(), scope=s) for s in (Scope(until=middle), Scope(since=middle)))
    assert before.rounds + after.rounds == 3_000
    assert before.first_at == START
    assert before.last_at is not None
    assert after.first_at is not None
    assert before.last_at < middle <= after.first_at
    assert judged(lived, LoggedTarget(), scope=Scope(surface="savings")).rounds == 0
    assert "says nothing yet" in judged(lived, LoggedTarget(), scope=Scope(surface="savings")).conclusion


def test_what_is_no_choice_of_the_policy_is_left_out_and_counted(tmp_path: Path) -> None:
    modes = {0: "holdout", 1: "broadcast"}
    lived = world(tmp_path, decisions=60, days=50, mode=lambda n: modes.get(n, "live"))
    fresh = lived.home.log.decision("d-1-5").body
    assert isinstance(fresh, Decision)
    lived.home.log.append(
        [
            Entry(replace(fresh, decision_id="young", made_at=lived.clock.now())),
            Entry(replace(fresh, decision_id="static", policy="static@0")),
            Entry(replace(fresh, decision_id="erased", context=Context())),
            Entry(
                replace(fresh, decision_id="empty", candidates=(), slots=(), pmfs=np.zeros((0, 0)), scores=np.zeros(0))
            ),
            Entry(Display("d-1-9", lived.clock.now(), ("budgeting", "pot", "loan"))),
        ]
    )
    found = judged(lived, UniformPolicy("uniform@9"), scope=replace(HOME, uniform_only=True))
    assert found.rounds == 58
    assert found.left_out == {
        "drawn from a fixed list": 1,
        "facts erased": 1,
        "not ripe yet": 1,
        "nothing could be shown": 1,
        "the hold-out": 1,
        "the same list for everyone": 1,
    }


def test_slates_shown_otherwise_block(tmp_path: Path) -> None:
    lived = world(tmp_path, decisions=60, days=50)
    first = lived.home.log.decision("d-1-59").body
    assert isinstance(first, Decision)
    late = [replace(first, decision_id=f"late-{n}", made_at=lived.clock.now()) for n in range(2)]
    lived.home.log.append([Entry(each) for each in late])
    lived.home.log.append([Entry(Display("late-0", lived.clock.now(), ("isa-transfer",)))])
    lived.clock.set(lived.clock.now() + timedelta(days=40))
    lived.home.log.append([Entry(replace(first, decision_id="end", made_at=lived.clock.now()))])
    [finding] = [f for f in judged(lived, LoggedTarget()).findings if f.about == "displays"]
    assert finding.colour == "red"


def test_rounds_that_a_snapshot_may_have_learned_from_are_told(lived: World) -> None:
    found = judge(lived.home, candidates=[Asked(PolicyTarget(Knowing()), learned_to=10**9)], scope=HOME)
    [finding] = [f for f in found.findings if f.about == "learned from"]
    assert "3,000 of these 3,000" in finding.sentence


def test_a_propensity_that_lies_is_detected(tmp_path: Path) -> None:
    """The log claims uniform draws while a policy with a taste drew them."""
    lived = world(tmp_path, decisions=1_500, policy=Knowing(), claims=UniformPolicy("uniform@1"))
    found = judged(lived, UniformPolicy("uniform@9"))
    assert {f.colour for f in found.headline("uniform@9").diagnostics.findings} >= {"red"}
    assert any(f.about == "calibration" for f in found.headline("uniform@9").diagnostics.findings)


def test_two_of_one_name_and_unknown_estimators_are_refused(lived: World) -> None:
    with pytest.raises(Misuse, match="compared with itself"):
        judged(lived, Knowing(), Knowing())
    with pytest.raises(Misuse, match="there is no estimator magic"):
        judged(lived, Knowing(), estimators=("magic",))


def test_batches_of_any_size_give_the_same(lived: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = judged(lived, Knowing())
    plain = judging.logged_slates
    monkeypatch.setattr(judging, "logged_slates", lambda *args, **given: plain(*args, **given, size=173))
    for one, other in zip(whole.verdicts, judged(lived, Knowing()).verdicts, strict=True):
        assert other.interval.estimate == pytest.approx(one.interval.estimate, rel=1e-9, abs=1e-12)
        assert other.interval.low == pytest.approx(one.interval.low, rel=1e-9, abs=1e-12)
