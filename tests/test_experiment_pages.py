"""Experiments made and steered, over HTTP and on their pages: refused at their fields, kept as typed, audited."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsys.keys import Keys, Scope
from recsys.metrics import default_metrics
from recsys.scorecards import roll_up
from recsys.vocabulary import Body
from serving import recording
from serving.exports import csv_of
from tests.builders import START, at, decision, events, experiment, outcome
from tests.conftest import Recsys
from tests.service import App, assert_problem, running, stamp
from tests.test_policy_pages import signed_in, token_of

METRICS = default_metrics({"pot": 1.0})
FORM: Mapping[str, str] = {
    "experiment_id": "home-words", "owner": "ada", "hypothesis": "Shorter words bring more taps", "unit": "household",
    "surfaces": "home", "primary": "value", "guardrails": "dismissals", "name_1": "long", "share_1": "50",
    "name_2": "short", "share_2": "50", "configuration_2": "title=short", "starts_on": "2026-03-03", "days": "28",
    "smallest_effect": "15", "planned_units": "5000", "looks": "planned", "sharing": "own", "layer": "words",
    "layer_from": "0", "layer_to": "100", "stop_rule": "after 28 days", "why": "the first trial",
}  # fmt: skip
MEETS = {"layer": "main", "unit": "customer", "recipe_1": "popularity", "recipe_2": "bandit"}
RECORD: Mapping[str, Any] = {
    "experiment_id": "home-bandit", "owner": "ada", "hypothesis": "h", "primary": "value", "unit": "customer",
    "surfaces": ["home"], "control": "popularity", "starts_at": stamp(START), "ends_at": stamp(START + timedelta(28)),
    "stop_rule": "28 days", "variants": [{"name": "popularity", "recipe": "popularity", "share": 0.5},
                                         {"name": "bandit", "recipe": "bandit", "share": 0.5}],
}  # fmt: skip


def form(app: App, path: str, fields: Mapping[str, str], *, at: str = "") -> httpx.Response:
    """Post a form with the token of the page that it stands on."""
    token = token_of(app.get(at or path, key=None).text)
    return app.ask("POST", path, key=None, data={**fields, "form_token": token})


def steering(app: App) -> None:
    keys = Keys(app.service.home.database)
    app.keys |= {"pm": keys.create("pm", scopes=[Scope.STEER, Scope.ANALYSE])}
    app.keys |= {"boss": keys.create("boss", scopes=[Scope.APPROVE, Scope.ANALYSE])}


def test_an_experiment_is_steered_over_http_and_every_step_is_kept(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        steering(app)
        given = {"experiment": {**RECORD, "ramp": [{"from": stamp(START), "share": 0.1}]}, "why": "a first trial"}
        assert_problem(app.post("/v1/experiments", given, key="analyst"), 403)
        assert app.post("/v1/experiments", given, key="pm").json()["state"] == "draft"
        assert_problem(app.post("/v1/experiments", given, key="pm"), 409)
        checked = app.get("/v1/experiments/home-bandit/checklist", key="pm").json()
        assert [item["ok"] for item in checked["items"]].count("no") == 0
        why = {"why": "all is answered"}
        assert app.post("/v1/experiments/home-bandit/start", why, key="pm").json()["state"] == "running"
        path = "/v1/experiments/home-bandit/ramp"
        grown = app.post(path, {"share": 0.5, "why": "no harm"}, key="pm").json()
        assert [step["share"] for step in grown["ramp"]] == [0.5]
        told = assert_problem(app.post(path, {"share": 0.2, "why": "fewer"}, key="pm"), 422)
        assert "a ramp only grows" in told["detail"]
        early = {"variant": "bandit", "why": "I like it"}
        assert_problem(app.post("/v1/experiments/home-bandit/decide", early, key="pm"), 403)
        told = assert_problem(app.post("/v1/experiments/home-bandit/decide", early, key="boss"), 409)
        assert "stop it before its read-out decides" in told["detail"]
        assert (
            app.post("/v1/experiments/home-bandit/stop", {"why": "it is over"}, key="pm").json()["state"] == "stopped"
        )
        told = assert_problem(app.post("/v1/experiments/home-bandit/decide", early, key="boss"), 409)
        assert "does not crown bandit" in told["detail"]
        history = app.get("/v1/experiments/home-bandit/history", key="pm").json()["history"]
        assert [each["what"] for each in history] == ["created", "running", "ramped to 50%", "stopped"]
        assert {each["by"] for each in history} == {"pm"}


def test_deciding_writes_the_read_out_down_and_links_it_both_ways(tmp_path: Path) -> None:
    """By a real process of its own, into a real MLflow store; the API itself never imports MLflow."""
    with running(tmp_path, mlflow_page="http://runs.bank") as app:
        steering(app)
        home = app.service.home
        home.register.create(experiment(names=("popularity", "bandit"), state="stopped"), by="pm", why="w", at=START)
        body = {"variant": "popularity", "why": "nothing was gained"}
        answer = app.post("/v1/experiments/home-bandit/decide", body, key="boss")
        assert answer.status_code == 200, answer.text
        assert answer.json()["state"] == "decided"
        last = home.register.history("home-bandit")[-1]
        assert (last.what, last.by, last.why) == ("decided", "boss", "popularity: nothing was gained")
        assert re.fullmatch(r"http://runs\.bank/#/experiments/\d+/runs/[0-9a-f]{32}", last.link)
        assert home.promotions.history() == []
        found = list((tmp_path / "mlflow-files").rglob("scorecard.json"))
        assert [path.is_file() for path in found] == [True]
        signed_in(app, Scope.ANALYSE)
        page = app.get("/experiments/home-bandit", key=None).text
        assert f'href="{last.link}"' in page


def test_nothing_is_decided_whose_read_out_could_not_be_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "PATIENCE_SECONDS", 0.01)
    with running(tmp_path) as app:
        steering(app)
        home = app.service.home
        home.register.create(experiment(names=("popularity", "bandit"), state="stopped"), by="pm", why="w", at=START)
        body = {"variant": "popularity", "why": "nothing was gained"}
        told = assert_problem(app.post("/v1/experiments/home-bandit/decide", body, key="boss"), 503)
        assert "MLflow did not take the read-out" in told["detail"]
        assert home.register.experiment("home-bandit").state == "stopped"


def test_an_experiment_is_made_and_steered_on_pages_without_a_script(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        signed_in(app, Scope.ANALYSE, Scope.STEER, name="pm")
        assert 'href="/experiments/new"' in app.get("/experiments", key=None).text
        checked = form(app, "/experiments/new", {**FORM, "action": "check"})
        assert checked.status_code == 200
        assert "Will it be able to answer?" in checked.text
        assert 'value="title=short"' in checked.text
        assert app.service.home.register.experiments() == ()
        made = form(app, "/experiments/new", {**FORM, "action": "create"})
        assert (made.status_code, made.headers["location"]) == (303, "/experiments/home-words")
        record = app.service.home.register.experiment("home-words")
        assert (record.state, record.owner, record.shares) == ("draft", "ada", (0.5, 0.5))
        assert (record.ends_at - record.starts_at).days == 28
        page = app.get("/experiments/home-words", key=None).text
        assert "Go through the checklist" in page
        assert "What must not get worse?" in app.get("/experiments/home-words/checklist", key=None).text
        here = "/experiments/home-words"
        silent = form(app, f"{here}/start", {"why": ""}, at=here)
        assert silent.status_code == 422
        assert "Say why" in silent.text
        assert form(app, f"{here}/start", {"why": "it is ready"}, at=here).status_code == 303
        assert form(app, f"{here}/stop", {"why": "it is over"}, at=here).status_code == 303
        assert "Deciding it needs a key with the scope <code>approve</code>" in app.get(here, key=None).text
        history = [(each.what, each.by, each.why) for each in app.service.home.register.history("home-words")]
        assert history == [
            ("created", "pm", "the first trial"), ("running", "pm", "it is ready"), ("stopped", "pm", "it is over"),
        ]  # fmt: skip
        traced = {(each.by, each.action, each.status) for each in app.service.trail.read()}
        assert {
            ("pm", "create_experiment", 201),
            ("pm", "start_experiment", 422),
            ("pm", "stop_experiment", 200),
        } <= traced


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"share_2": "40"}, "variants", "Shares add up to 0.9"),
        ({"share_2": "half"}, "variants", "Write a percentage"),
        ({"recipe_2": "bandit"}, "variants", "Give every variant a recipe, or none"),
        ({"configuration_2": "short"}, "variants", "write a configuration as name=value"),
        ({"experiment_id": "a b"}, "experiment_id", "Give it an id of letters"),
        ({"experiment_id": "taken"}, "experiment_id", "An experiment of this id exists"),
        ({"experiment_id": "new"}, "experiment_id", "This id is taken by a page"),
        ({"owner": ""}, "owner", "Name an owner"),
        ({"hypothesis": " "}, "hypothesis", "Write the hypothesis"),
        ({"stop_rule": ""}, "stop_rule", "Write the stop rule"),
        ({"guardrails": ""}, "guardrails", "Name at least one guardrail"),
        ({"guardrails": "value,dismissals"}, "guardrails", "Value is primary and guardrail"),
        ({"primary": "magic"}, "primary", "No metric is called magic"),
        ({"starts_on": "soon"}, "starts_on", "Write a day"),
        ({"days": "0"}, "days", "at least 1"),
        ({"planned_units": "many"}, "planned_units", "Write a whole number"),
        (MEETS,
         "layer_from", "disjoint parts of one layer"),
        ({"layer_from": "60", "layer_to": "40"}, "layer_from", "two numbers from 0 to 1 that grow"),
        ({"ramp_share": "10"}, "ramp_days", "Say for how many days"),
        ({"why": ""}, "why", "Say why it is made"),
    ],
)  # fmt: skip
def test_dut_5_what_cannot_be_run_is_refused_at_its_field_and_keeps_what_was_typed(
    tmp_path: Path, changes: dict[str, str], field: str, sentence: str
) -> None:
    with running(tmp_path) as app:
        app.service.home.register.create(experiment("taken", state="running"), by="x", why="y", at=START)
        signed_in(app, Scope.ANALYSE, Scope.STEER)
        answer = form(app, "/experiments/new", {**FORM, **changes, "action": "create"})
        assert answer.status_code == 422
        said = re.search(rf'<p class="fault" id="fault-{field}">.*?</span> (.*?)</p>', answer.text, re.S)
        assert said is not None, answer.text
        assert sentence in said[1]
        assert f'href="#{field}"' in answer.text
        typed = {**FORM, **changes}
        for name in ("experiment_id", "owner", "name_2", "planned_units", "starts_on"):
            assert f'name="{name}"' in answer.text
            assert f'value="{typed[name]}"' in answer.text
        assert len(app.service.home.register.experiments()) == 1


def test_forged_forms_change_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        app.service.home.register.create(experiment(), by="x", why="y", at=START)
        path = "/experiments/home-bandit/stop"
        nobody = app.ask("POST", path, key=None, data={"why": "from afar"})
        assert (nobody.status_code, nobody.headers["location"]) == (303, "/sign-in")
        signed_in(app, Scope.ANALYSE, Scope.STEER)
        good = {"why": "from afar", "form_token": token_of(app.get("/experiments/home-bandit", key=None).text)}
        for headers, fields in (
            ({}, {"why": "from afar"}),
            ({}, good | {"form_token": "é"}),
            ({"Origin": "https://elsewhere.example"}, good),
            ({"Sec-Fetch-Site": "cross-site"}, good),
        ):
            answer = app.ask("POST", path, key=None, data=fields, headers=headers)
            assert answer.status_code == 403
        assert app.service.home.register.experiment("home-bandit").state == "running"
        assert app.ask("POST", path, key=None, data=good, headers={"Origin": "http://bank"}).status_code == 303
        assert app.service.home.register.experiment("home-bandit").state == "stopped"


def told_in_parts() -> list[Body]:
    """On home the bandit doubles openings, on savings it does nothing."""
    bodies: list[Body] = []
    for n in range(4_000):
        name, surface = ("popularity", "bandit")[n % 2], ("home", "savings")[n // 2 % 2]
        token = f"t{n}"
        bodies.append(decision(f"d{n}", token=token, experiments={"home-bandit": name}, surface=surface))
        every = 6 if (name, surface) == ("bandit", "home") else 24
        if n // 4 % every == 0:
            bodies.append(outcome(f"o{n}", token=token, kind="opened", happened_at=at(1)))
    return bodies


def test_segments_tell_where_the_effect_is_and_whether_they_differ() -> None:
    card = roll_up(
        events(told_in_parts()), experiment=experiment(), metrics=default_metrics({"pot": 1.0}), as_of=at(60)
    )
    [cut] = [each for each in card.to_json()["segments"] if each["kind"] == "surface"]
    home, savings = cut["segments"]
    assert (home["name"], savings["name"]) == ("home", "savings")
    assert home["n_control"] + home["n_variant"] + savings["n_control"] + savings["n_variant"] == 4_000
    assert home["effect"]["low"] > 0.0
    assert savings["effect"]["low"] < 0.0 < savings["effect"]["high"] or savings["effect"]["absolute"] == 0.0
    assert cut["adjusted_p_value"] < 0.001


def test_the_csv_holds_the_numbers_of_the_page() -> None:
    card = roll_up(
        events(told_in_parts()), experiment=experiment(), metrics=default_metrics({"pot": 1.0}), as_of=at(60)
    )
    told = card.to_json()
    rows = list(csv.DictReader(io.StringIO(csv_of(told))))
    [effect] = [row for row in rows if (row["what"], row["role"]) == ("effect", "primary")]
    assert float(effect["absolute"]) == told["metrics"][0]["comparisons"][0]["effect"]["absolute"]
    assert sum(row["what"] == "day" for row in rows) == 2 * len(told["days"])
    hostile = roll_up(events([]), experiment=experiment(names=("=1+1", "@b")), metrics=METRICS)
    assert not re.search(r"(^|,)[=@]", csv_of(hostile.to_json()), re.M)


def test_numbers_and_pictures_are_kept_as_files(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        app.service.home.register.create(experiment(), by="x", why="y", at=START)
        signed_in(app, Scope.ANALYSE)
        answer = app.get("/experiments/home-bandit/numbers.csv", key=None)
        assert answer.headers["content-disposition"] == 'attachment; filename="home-bandit.csv"'
        assert answer.text.startswith("what,day,metric")
        none = app.get("/experiments/home-bandit/lift.png", key=None)
        assert none.status_code == 404
        assert "has no chart lift" in none.text
        assert app.get("/experiments/unknown/numbers.csv", key=None).status_code == 404


SPENT = """
[[metric]]
name = "spent"
title = "Spent by card"
unit = "pence"
kinds = ["card_spend"]
worth = "amount"
window = "7d"
before = "0d"

[[metric]]
name = "left"
title = "Accounts left"
unit = "share"
kinds = ["left"]
form = "any"
better = "lower"
window = "7d"
before = "0d"
"""
TABLE = """
zone = "UTC"

[outcomes]
from = "spending.csv"
[outcomes.columns]
outcome_id = "n"
customer_id = "who"
product_id = { always = "pot" }
kind = { always = "card_spend" }
happened_at = "at"
amount_pence = "pence"
"""


def test_a_metric_reads_a_table_that_the_bank_brings(
    home: Path, recsys: Recsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What customers of each variant spent lies in a file of the bank's own; the page tells its very means."""
    (tmp_path / "metrics.toml").write_text(SPENT)
    (tmp_path / "map.toml").write_text(TABLE)
    monkeypatch.setenv("RECSYS_METRICS", str(tmp_path / "metrics.toml"))
    with running(home, metrics=tmp_path / "metrics.toml") as app:
        made = replace(experiment(names=("popularity", "bandit")), primary="spent", guardrails=("left",))
        app.service.home.register.create(made, by="x", why="y", at=START)
        app.service.refresh()
        spent: dict[str, list[float]] = {"popularity": [], "bandit": []}
        lines = ["n,who,at,pence"]
        for n in range(60):
            app.tell(f"c-{n}")
            [assigned] = app.recommend(f"c-{n}")["experiments"]
            pence = 100 * (n % 7) + (500 if assigned["variant"] == "bandit" else 0)
            spent[assigned["variant"]].append(pence)
            lines.append(f"{n},c-{n},{stamp(START + timedelta(days=1))},{pence}")
        (tmp_path / "spending.csv").write_text("\n".join(lines) + "\n")
        told = json.loads(recsys("import", "--map", tmp_path / "map.toml", "--json").out)
        assert told["taken"]["outcomes appended"] == 60
        app.clock.set(START + timedelta(days=30))
        app.tell("c-0")
        app.recommend("c-0")  # the log goes on, and every window closes
        card = app.get("/v1/experiments/home-bandit", key="analyst").json()
        [metric] = [each for each in card["metrics"] if each["name"] == "spent"]
        for variant, pence_of in spent.items():
            assert metric["variants"][variant]["n"] == len(pence_of)
            assert metric["variants"][variant]["mean"] == pytest.approx(sum(pence_of) / len(pence_of))
        signed_in(app, Scope.ANALYSE)
        assert "Spent by card" in app.get("/experiments/home-bandit", key=None).text
        item = {"outcome_id": "live", "customer_id": "c-1", "product_id": "pot", "kind": "left"}
        answer = app.post("/v1/outcomes", {"outcomes": [item | {"happened_at": stamp(app.clock.now())}]})
        assert answer.json()["accepted"] == 1
