"""Experiments steered: refused with a sentence, stopped by themselves, told in flags, counted on after a restart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from recsys.checklist import checklist_of
from recsys.counting import Counting
from recsys.errors import Corrupt, InvalidConfiguration
from recsys.experiments import Experiment, from_json, to_json
from recsys.layers import Layers
from recsys.metrics import default_metrics, parse
from recsys.moments import Moments
from recsys.scorecards import Scorecard, roll_up, scorecard_of
from recsys.vocabulary import Body, Token
from serving.readings import Readings
from tests.builders import START, at, decision, drifting, events, experiment, outcome
from tests.service import running

METRICS = default_metrics({"pot": 1.0})


def card(bodies: Sequence[Body], *, of: Experiment | None = None) -> Scorecard:
    return roll_up(events(bodies), experiment=of or experiment(), metrics=METRICS, as_of=at(60))


def shown(n: int, *, every: int = 2, day: float = 0.0) -> Body:
    variant = "bandit" if n % every == 1 else "popularity"
    return decision(f"d{n}", token=f"t{n}", made_at=at(day), experiments={"home-bandit": variant})


def test_dut_5_no_experiment_without_owner_hypothesis_harm_check_and_stop_rule() -> None:
    for name, wrong in (("owner", " "), ("hypothesis", ""), ("stop_rule", ""), ("guardrails", ())):
        with pytest.raises(InvalidConfiguration, match=r"name an owner|hypothesis|stop rule|guardrail"):
            replace(experiment(), **{name: wrong})


def test_records_with_everything_come_back_equal() -> None:
    whole = replace(
        experiment(), layer="words", layer_from=0.2, layer_to=0.7, ramp=((START, 0.1), (at(3), 1.0)), sharing="shared"
    )
    assert from_json(to_json(whole)) == whole


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ramp": ((at(3), 0.5), (at(1), 0.9))}, "must grow in time"),
        ({"layer_from": 0.7, "layer_to": 0.2}, "two numbers from 0 to 1 that grow"),
        ({"looks": "often"}, "expected planned or open"),
        ({"stopped_arms": ("popularity",)}, "no treatment that could be stopped"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_sentence_to_mend_it(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidConfiguration, match=sentence):
        replace(experiment(), **changes)  # type: ignore[arg-type]


def test_experiments_of_one_layer_never_meet_and_layers_overlap() -> None:
    left = replace(experiment("left", salt="l"), layer_to=0.5)
    right = replace(experiment("right", salt="r"), layer_from=0.5)
    words = tuple(replace(v, recipe="", configuration={"words": v.name}) for v in left.variants)
    other = replace(experiment("words", salt="w"), layer="words", variants=words)
    layers = Layers((left, right, other), holdout_share=0.0)
    for n in range(400):
        names = {a.experiment_id for a in layers.placed(Token(f"t{n}"), surface="home", at=at(1)).assigned}
        assert "words" in names
        assert len(names & {"left", "right"}) == 1
    with pytest.raises(InvalidConfiguration, match="disjoint parts of one layer"):
        Layers((left, replace(right, layer_from=0.4)))


def test_exp_1_a_ramp_only_adds_units_and_never_moves_one() -> None:
    layers = Layers((replace(experiment(), ramp=((START, 0.1), (at(3), 0.6))),), holdout_share=0.0)
    tokens = [Token(f"t{n}") for n in range(1_000)]
    early = {t: layers.placed(t, surface="home", at=at(1)).assigned for t in tokens}
    later = {t: layers.placed(t, surface="home", at=at(4)).assigned for t in tokens}
    assert 60 < sum(map(bool, early.values())) < 140
    assert 540 < sum(map(bool, later.values())) < 660
    assert all(later[t] == assigned for t, assigned in early.items() if assigned)


def test_late_outcomes_are_told() -> None:
    bodies = [shown(n) for n in range(200)]
    late = [outcome(f"o{n}", token=f"t{n}", kind="opened", happened_at=at(5)) for n in range(40)]
    log = [*events(bodies), *(replace(e, position=999 + e.position, recorded_at=at(40)) for e in events(late))]
    told = roll_up(log, experiment=experiment(), metrics=METRICS)
    assert told.counts.n_late["value"] == 40
    assert "late_outcomes" in {flag.kind for flag in told.flags}


def test_drifting_shares_are_told_and_days_compared_one_by_one() -> None:
    told = card(drifting())
    assert "drift" in {flag.kind for flag in told.flags}
    plain, effect = told.primary.comparisons[0].fixed, told.primary.comparisons[0].effect
    assert plain is not None
    assert effect is not None
    assert abs(plain.absolute) > 0.08
    assert abs(effect.absolute) < 0.03


def test_a_count_taken_up_again_equals_a_recount() -> None:
    bodies: list[Body] = []
    for n in range(300):
        bodies.append(shown(n, day=n % 9))
        bodies.append(outcome(f"o{n}", token=f"t{n}", kind="opened", happened_at=at(n % 11)))
    log = events(bodies)
    first = Counting(experiment(), metrics=METRICS)
    for event in log[:250]:
        first.feed(event)
    scorecard_of(first)
    second = Counting(experiment(), metrics=METRICS)
    second.resume(first.state())
    assert second.position == 250
    for event in log[250:]:
        second.feed(event)
    assert scorecard_of(second).to_json() == roll_up(log, experiment=experiment(), metrics=METRICS).to_json()
    with pytest.raises(Corrupt, match="count anew"):
        Counting(experiment(), metrics=METRICS[:1]).resume(first.state())
    with pytest.raises(Corrupt, match="count anew"):
        Counting(experiment(), metrics=METRICS).resume(b"nothing")


def test_the_checklist_tells_power_and_what_is_not_known() -> None:
    sized = replace(experiment(), planned_units=40_000)
    share = Moments(1_000, 40.0, 40.0)
    found = checklist_of(sized, metrics=METRICS, baseline=share)
    assert found.power == pytest.approx(0.81, abs=0.03)
    assert not found.stops
    unknown = checklist_of(replace(sized, primary="magic"), metrics=METRICS, baseline=Moments())
    assert [item.question for item in unknown.stops] == ["Are its metrics known?"]


def test_metrics_are_a_file() -> None:
    text = (
        '[[metric]]\nname = "rate"\ntitle = "Rate"\nunit = "taps"\nkinds = ["tapped"]\nper = ["seen"]\nform = "ratio"\n'
    )
    [rate] = parse(text, values={})
    assert rate.per == {"seen"}
    for wrong, sentence in (("per", "unknown entry pre"), ("ratio", "expected one of sum")):
        with pytest.raises(InvalidConfiguration, match=sentence):
            parse(text.replace(wrong, wrong[:1] + "re" if wrong == "per" else "mean"), values={})
    with pytest.raises(InvalidConfiguration, match="two metrics are called rate"):
        parse(text + text, values={})


def test_ops_4_a_live_guardrail_stops_an_arm_by_itself_and_says_why(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        home = app.service.home
        home.register.create(experiment(planned_units=200))
        app.service.refresh()
        for n in range(120):
            app.clock.set(START + timedelta(minutes=n))
            app.tell(f"c-{n}")
            told = app.recommend(f"c-{n}")
            if told["experiments"][0]["variant"] == "bandit" and n % 4:
                item = {"outcome_id": f"x{n}", "customer_id": f"c-{n}", "product_id": "pot", "kind": "opted_out"}
                app.post("/v1/outcomes", {"outcomes": [item | {"happened_at": app.clock.now().isoformat()}]})
        assert Readings(app.service).guard() != []
        stopped = home.register.experiment("home-bandit")
        assert (stopped.state, stopped.stopped_arms) == ("stopped", ("bandit",))
        last = home.register.history("home-bandit")[-1]
        assert (last.what, last.by) == ("stopped arm bandit", "recsys")
        assert "Opt-out rate is worse" in last.why
        assert Readings(app.service).guard() == []
