"""Scorecards: equal to a recount by hand, blind to the order of the log, and honest in words."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from recsys.effects import Moments, sequential
from recsys.errors import InvalidConfiguration
from recsys.experiments import Experiment
from recsys.metrics import Metric, default_metrics
from recsys.scorecards import Scorecard, roll_up
from recsys.vocabulary import Body, Outcome
from tests.builders import at, decision, events, experiment, outcome

VALUES = {"pot": 1.0, "cash-isa": 4.0, "round-ups": 2.0}
METRICS = tuple(replace(m, window=timedelta(days=10), before=timedelta(0)) for m in default_metrics(VALUES))
AS_OF = at(45)  # every window has closed


def card(bodies: Sequence[Body], *, of: Experiment | None = None, metrics: Sequence[Metric] = METRICS) -> Scorecard:
    return roll_up(events(bodies), experiment=of or experiment(), metrics=metrics, as_of=AS_OF)


def exposed(token: str, variant: str, *, days: float = 0.0, unit: str = "") -> Body:
    return decision(f"d-{token}-{days}", token=token, made_at=at(days), experiments={"home-bandit": variant}, unit=unit)


def opened(outcome_id: str, token: str, *, days: float, product: str = "pot", organic: str = "no") -> Outcome:
    named = None if organic == "yes" else f"d-{token}-0.0"
    moment = at(days)
    return outcome(outcome_id, token=token, kind="opened", product_id=product, happened_at=moment, decision_id=named)


def moments(scorecard: Scorecard, metric: str, variant: str) -> Moments:
    return next(row for row in scorecard.metrics if row.metric.name == metric).standing[variant]


def test_a_small_log_counted_by_hand() -> None:
    bodies: list[Body] = [
        exposed("a", "popularity"),
        exposed("b", "popularity", days=1),
        exposed("c", "bandit"),
        exposed("c", "bandit", days=2),  # a second decision is not a second unit
        decision("d-x", token="x", made_at=at(0), experiments={"another": "bandit"}),
        opened("1", "a", days=1, product="cash-isa"),
        opened("2", "a", days=3, product="pot"),
        opened("3", "b", days=0.5, product="cash-isa"),  # before b's first exposure
        opened("4", "c", days=1, product="round-ups", organic="yes"),
        opened("4", "c", days=1, product="round-ups", organic="yes"),  # told twice
        opened("5", "x", days=1, product="pot"),  # not in this experiment
        opened("6", "c", days=100, product="cash-isa"),  # long after its end
        outcome("7", token="c", kind="tapped", happened_at=at(2), decision_id="d-c-0.0"),
        outcome("8", token="c", kind="tapped", happened_at=at(2), decision_id="d-c-0.0"),
        outcome("9", token="b", kind="dismissed", happened_at=at(2), decision_id="d-b-1"),
    ]
    told = card(bodies)
    assert dict(told.units) == {"popularity": 2, "bandit": 1}
    assert moments(told, "value", "popularity") == Moments.of_array([5.0, 0.0])
    assert moments(told, "value", "bandit") == Moments.of(2.0)
    assert moments(told, "taps", "bandit") == Moments.of(2.0)
    assert moments(told, "opened", "popularity") == Moments.of_array([1.0, 0.0])
    assert moments(told, "dismissals", "popularity") == Moments.of_array([0.0, 1.0])
    assert (told.counts.n_attributed, told.counts.n_organic, told.counts.n_crossed) == (5, 1, 0)
    assert [day.day.day for day in told.counts.days] == list(range(2, 14))  # until the last window closed
    assert told.counts.days[0].closing["popularity"]["value"] == Moments.of(0.0)
    assert told.counts.days[1].closing["popularity"]["value"] == Moments.of_array([4.0, 0.0])


def test_a_big_log_equals_a_recount() -> None:
    bodies = planted(400, lift=2.0, seed=1)
    told = card(bodies)
    first = {b.token: b.made_at for b in bodies if not isinstance(b, Outcome)}
    for variant in ("popularity", "bandit"):
        tokens = [b.token for b in bodies if not isinstance(b, Outcome) and b.experiments[0].variant == variant]
        totals = [
            sum(
                VALUES[o.product_id]
                for o in bodies
                if isinstance(o, Outcome)
                and o.token == t
                and o.kind == "opened"
                and first[t] <= o.happened_at < first[t] + timedelta(days=10)
            )
            for t in tokens
        ]
        counted = moments(told, "value", variant)
        assert counted.n == len(totals)
        assert (counted.mean, counted.variance) == pytest.approx((np.mean(totals), np.var(totals, ddof=1)))
        assert moments(told, "opened", variant).total == np.count_nonzero(totals)


def test_the_order_of_the_log_does_not_matter() -> None:
    bodies = planted(60, lift=1.5, seed=2)
    shuffled = bodies.copy()
    random.Random(3).shuffle(shuffled)
    assert card(bodies).to_json() == card(shuffled).to_json()


def test_organic_outcomes_count_as_much_as_attributed_ones() -> None:
    followed = [exposed("a", "bandit"), opened("1", "a", days=1)]
    by_itself = [exposed("a", "bandit"), opened("1", "a", days=1, organic="yes")]
    assert moments(card(followed), "value", "bandit") == moments(card(by_itself), "value", "bandit") == Moments.of(1.0)


def test_a_household_is_one_unit_whoever_of_it_acts() -> None:
    bodies = [
        exposed("mum", "bandit", unit="household-1"),
        opened("1", "dad", days=1, organic="yes"),  # exposed through mum, known to be hers only later
        exposed("dad", "bandit", days=2, unit="household-1"),
        opened("2", "dad", days=3, product="cash-isa"),
    ]
    told = card(bodies, of=experiment(unit="household"))
    assert moments(told, "value", "bandit") == Moments.of(5.0)
    alone = card(bodies, of=experiment(unit="customer"))
    assert moments(alone, "value", "bandit") == Moments.of_array([0.0, 4.0])


def test_units_that_changed_sides_count_where_they_began_and_are_told() -> None:
    told = card([exposed("a", "bandit", days=1), exposed("a", "popularity", days=2), opened("1", "a", days=3)])
    assert told.counts.n_crossed == 1
    assert moments(told, "value", "bandit") == Moments.of(1.0)
    assert "1 unit was seen in more than one variant" in told.alarms[0]


def test_what_days_added_adds_up_to_where_things_stand() -> None:
    bodies = [b if isinstance(b, Outcome) else replace(b, made_at=at(0)) for b in planted(200, lift=1.0, seed=4)]
    table = card(bodies).to_json()
    for variant in ("popularity", "bandit"):
        added = sum(day["variants"][variant]["value"]["added_mean"] for day in table["days"])
        assert added == pytest.approx(table["metrics"][0]["variants"][variant]["mean"])


def test_json_tells_the_very_effect_of_its_moments() -> None:
    told = card(planted(300, lift=2.0, seed=5), of=replace(experiment(), looks="open"))
    table = json.loads(json.dumps(told.to_json(), allow_nan=False))
    primary = table["metrics"][0]
    standing = {name: Moments(row["n"], row["total"], row["squares"]) for name, row in primary["variants"].items()}
    effect = sequential(standing["popularity"], variant=standing["bandit"])
    shown = primary["comparisons"][0]["effect"]
    assert (shown["absolute"], shown["low"], shown["high"]) == (effect.absolute, effect.low, effect.high)
    assert primary["comparisons"][0]["over_time"][-1]["low"] == effect.low
    assert table["status"]["sentence"] == told.status.sentence


@pytest.mark.parametrize(
    ("lift", "n_units", "kind", "begins"),
    [
        (2.5, 2_000, "better", "Better: bandit shows "),
        (0.4, 2_000, "worse", "Worse: bandit shows "),
        (1.0, 30, "not_enough_data", "Not enough data: too few customers with an outcome yet"),
        (1.0, 1_000, "not_enough_data", "Not enough data: every unit has been read"),
    ],
)
def test_status_says_what_was_planted(lift: float, n_units: int, kind: str, begins: str) -> None:
    told = card(planted(n_units, lift=lift, seed=6))
    assert told.status.kind == kind
    assert told.status.sentence.startswith(begins)


def test_status_before_anybody_was_exposed() -> None:
    told = card([])
    assert told.status.sentence == "Not enough data: not enough customers have been exposed yet."
    assert (told.as_of, told.counts.days, told.srm_p_value) == (None, (), 1.0)


def test_no_harm_is_shown_when_the_loss_is_surely_within_the_margin() -> None:
    """Everybody opens about once: little noise, no difference, a margin of 5 %."""
    bodies: list[Body] = []
    for n in range(1_000):
        variant = ("popularity", "bandit")[n % 2]
        bodies.append(exposed(f"t{n}", variant))
        bodies += [opened(f"o{n}-{k}", f"t{n}", days=1) for k in range(10 + n // 2 % 2)]
    told = card(bodies)
    assert told.status.word == "No harm shown"
    assert "by less than 5%" in told.status.sentence
    assert not told.alarms


def test_a_broken_split_silences_every_number() -> None:
    bodies = [b for b in planted(4_000, lift=3.0, seed=7) if isinstance(b, Outcome) or int(b.token[1:]) % 16 != 1]
    told = card(bodies)
    assert told.srm_p_value < 0.001
    assert told.status.kind == "broken_split"
    assert told.status.sentence.startswith("Do not read these numbers")
    assert {c.judgement.kind for row in told.metrics for c in row.comparisons} == {"broken_split"}
    assert told.to_json()["srm"]["ok"] is False


def test_a_guardrail_that_breaks_from_almost_nothing_is_worse() -> None:
    """Two opt-outs against eighty: no relative interval could tell, the absolute one must."""
    bodies: list[Body] = [exposed(f"t{n}", ("popularity", "bandit")[n % 2]) for n in range(2_000)]
    leave = [n for n in range(2_000) if (n % 2 and n < 160) or n in (0, 2)]
    bodies += [outcome(f"o{n}", token=f"t{n}", kind="opted_out", happened_at=at(1)) for n in leave]
    told = card(bodies)
    guardrail = next(row for row in told.metrics if row.metric.name == "opted_out")
    assert guardrail.role == "guardrail"
    assert guardrail.comparisons[0].judgement.kind == "worse"
    assert told.alarms[0].startswith("Worse: bandit shows 7.80 percentage points higher opt-out rate than popularity")


def test_several_treatments_share_the_error_and_the_winner_speaks() -> None:
    three = experiment(names=("popularity", "bandit", "uniform"), shares=(0.4, 0.3, 0.3))
    rng = random.Random(8)
    bodies: list[Body] = []
    for n in range(3_000):
        variant = ("popularity",) * 4 + ("bandit",) * 3 + ("uniform",) * 3
        name = variant[n % 10]
        bodies.append(exposed(f"t{n}", name))
        if rng.random() < {"popularity": 0.1, "bandit": 0.25, "uniform": 0.1}[name]:
            bodies.append(opened(f"o{n}", f"t{n}", days=1))
    told = card(bodies, of=three)
    assert [c.variant for c in told.primary.comparisons] == ["bandit", "uniform"]
    assert told.status.kind == "better"
    assert "bandit shows" in told.status.sentence
    assert told.primary.comparisons[0].effect is not None
    assert told.primary.comparisons[0].effect.alpha == 0.025


def test_metrics_are_data() -> None:
    funded = Metric("funded", "Funded accounts", "accounts", frozenset({"funded"}))
    bodies: list[Body] = [exposed("a", "bandit"), outcome("1", token="a", kind="funded", happened_at=at(1))]
    guard = replace(funded, name="guard")
    told = card(bodies, of=replace(experiment(), primary="funded", guardrails=("guard",)), metrics=(funded, guard))
    assert told.primary.standing["bandit"] == Moments.of(1.0)
    with pytest.raises(InvalidConfiguration, match="no metric is called value; known are funded, guard"):
        card(bodies, metrics=(funded, guard))
    with pytest.raises(InvalidConfiguration, match='form is "mean", expected one of sum, any, ratio'):
        replace(funded, form="mean")
    with pytest.raises(InvalidConfiguration, match="at least one outcome kind"):
        replace(funded, kinds=frozenset())


def planted(n_units: int, *, lift: float, seed: int) -> list[Body]:
    """Half of the units a side; bandit's opening `lift` times as likely as popularity's 10 %."""
    rng = random.Random(seed)
    bodies: list[Body] = []
    for n in range(n_units):
        variant = ("popularity", "bandit")[n % 2]
        start = rng.random() * 5
        token = f"t{n}"
        bodies.append(exposed(token, variant, days=start))
        for k in range(rng.randrange(3)):
            days = start + rng.random() * 10 - 0.5
            organic = rng.choice(("yes", "no"))
            if rng.random() < 0.1 * (lift if variant == "bandit" else 1.0):
                product = rng.choice(list(VALUES))
                bodies.append(opened(f"o{n}-{k}", token, days=days, product=product, organic=organic))
    return bodies
