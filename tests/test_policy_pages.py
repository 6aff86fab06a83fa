"""The pages of policies and of the system, over a home that lived: shares, promises kept, and what to settle."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recsys import daily
from recsys.daily import Daily
from recsys.keys import Keys, Scope
from recsys.promotions import CHALLENGER, CHAMPION, Promotion
from recsys.quarantine import Refused
from serving.charts import charts_of_policies
from serving.commands.learn import learner_of
from serving.policies import policies_told
from serving.system import system_told
from tests.builders import START
from tests.service import App, running
from tests.steered import administer, override

DAY = timedelta(days=1)


def signed_in(app: App, *scopes: Scope, name: str = "grace") -> None:
    """The client goes on as a person with these scopes, by cookie alone."""
    secret = Keys(app.service.home.database).create(name, scopes=[*scopes])
    answer = app.ask("POST", "/sign-in", key=None, data={"key": secret})
    assert answer.status_code == 303


def look(app: App, path: str) -> str:
    answer = app.get(path, key=None)
    assert answer.status_code == 200, answer.text
    return answer.text


def token_of(page: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]


def lived(app: App, *, days: int = 3, each: int = 8) -> None:
    for day in range(days):
        app.clock.set(START + day * DAY)
        for n in range(each):
            app.tell(f"c-{n}")
            app.recommend(f"c-{n}")
    loop = learner_of(app.service.home)
    loop.catch_up()
    loop.publish()
    app.service.refresh()


def test_policies_tell_who_serves_what_share_and_what_is_shown(tmp_path: Path) -> None:
    with running(tmp_path, uniform_share=0.2) as app:
        signed_in(app, Scope.ANALYSE)
        assert "Nothing has been counted yet" in look(app, "/policies")
        lived(app)
        told = policies_told(app.service.home)
        decided = {row["recipe"]: row["decisions"] for row in told["serving"]}
        made = [decision.policy.partition("@")[0] for decision in app.decisions()]
        assert decided == {name: made.count(name) for name in set(made)}
        assert sum(row["share"] for row in told["serving"]) == pytest.approx(1.0)
        cards = sum(len(decision.shown) for decision in app.decisions())
        assert sum(row["cards"] for row in told["products"]["now"]) == cards
        assert told["lag"]["events"] == 0
        assert app.get("/v1/policies", key="analyst").json() == told
        page = look(app, "/policies")
        fallen = sum(decision.mode.startswith("fallback:") for decision in app.decisions())
        sliced = made.count("uniform") - fallen  # before a snapshot every answer is a fallback, drawn evenly
        assert fallen
        shares = told["exploration"]["fallback_share"], told["exploration"]["uniform_share"]
        assert shares == pytest.approx((fallen / len(made), sliced / len(made)))
        assert 'data-chart="products"' in page
        assert set(charts_of_policies(told)) == {"products"}
        assert "Nobody was promoted yet" in page
        assert "although the recipe itself gave another card a higher chance" in page
        assert "best guess" not in page


def test_a_recipe_has_one_colour_on_every_chart() -> None:
    def rows(value: str, *recipes: str) -> list[dict[str, Any]]:
        return [{"day": f"2026-03-0{day}", "recipe": each, value: 0.1, "n": 9} for day in (1, 2) for each in recipes]

    curve = {"rates": rows("rate", "bandit", "popularity", "uniform"), "values": rows("mean", "popularity", "zebra")}
    drawn = charts_of_policies({"products": {"by_day": []}, "curve": curve})
    colours = [drawn[name]["encoding"]["color"] for name in ("rates", "values")]
    assert [each["scale"]["domain"] for each in colours] == [["bandit", "popularity", "uniform", "zebra"]] * 2
    assert [each["legend"]["values"] for each in colours] == [
        ["bandit", "popularity", "uniform"], ["popularity", "zebra"],
    ]  # fmt: skip


def test_what_was_promoted_and_overridden_stands_with_its_evidence(tmp_path: Path) -> None:
    with running(tmp_path, mlflow_page="http://runs.bank") as app:
        signed_in(app, Scope.ANALYSE)
        administer(app)
        override(app, "isa-week", "boost", "cash-isa", strength=2.0)
        app.service.home.orders.refresh()
        home = app.service.home
        recipe = next(each for each in home.recipes if each.name == "popularity")
        home.promotions.name(Promotion(CHAMPION, recipe.name, recipe.digest, "ada", "it was better", "r-1", START))
        page = look(app, "/policies")
        for text in ("it was better", "http://runs.bank/#/runs/r-1", "is boosted ×2", "a season"):
            assert text in page


def test_a_prediction_stands_beside_what_came(tmp_path: Path) -> None:
    """Six days with both recipes: 0.30 and 0.25 points a decision where the gate foretold 0.33 and 0.25."""
    with running(tmp_path) as app:
        home = app.service.home
        said = {"surface": "home", "against": "popularity", "outcome": None, "candidate": 0.33, "champion": 0.25}
        home.promotions.name(Promotion(CHALLENGER, "bandit", "d", "ada", "passed", "r", START, predicted=said))
        sums = Daily(home.database)
        first = (START.date() - daily._EPOCH).days
        for day in range(7):  # the promotion's own day does not count
            for recipe, points in (("bandit", 30.0 + day % 2), ("popularity", 25.0)):
                sums._add((first + day, "value", "home", recipe, "live"), 100, points if day else 900.0, points)
                sums._add((first + day, "decided", "home", recipe, "live"), 100)
        sums.save(1, open_from=0, full=False)
        [kept] = policies_told(home)["predictions"]
        assert kept["predicted_lift"] == pytest.approx(0.32)
        assert kept["realised"] == pytest.approx(0.305)
        assert kept["realised_against"] == pytest.approx(0.25)
        assert kept["days"] == 6
        assert kept["effect"]["relative"] == pytest.approx(0.22)
        assert kept["effect"]["relative_low"] < 0.22 < kept["effect"]["relative_high"]
        signed_in(app, Scope.ANALYSE)
        page = look(app, "/policies")
        assert "+32.0%" in page
        assert "+22.0%" in page


def test_the_systems_counters_reconcile_and_rules_are_counted(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        signed_in(app, Scope.ANALYSE)
        assert "No outcome has come yet" in look(app, "/system")
        lived(app)
        drawn = next(each for each in app.decisions() if each.shown)
        item = {"outcome_id": "o-1", "decision_id": drawn.decision_id, "product_id": drawn.shown[0].product_id}
        seen = item | {"kind": "seen", "happened_at": app.clock.now().isoformat()}
        app.post("/v1/outcomes", {"outcomes": [seen, seen | {"outcome_id": "o-2", "kind": "tapped"}]})
        told = system_told(app.service.home)
        counted = {name: told["counters"][name] for name in ("received", "joined", "waiting", "quarantined")}
        assert counted == {"received": 2, "joined": 0, "waiting": 2, "quarantined": 0}
        lived(app, days=1, each=1)
        counted = system_told(app.service.home)["counters"]
        assert (counted["received"], counted["joined"], counted["waiting"]) == (2, 2, 0)
        rules = {row["rule"]: row for row in system_told(app.service.home)["rules"]}
        verdicts = [decision.verdicts for decision in app.decisions()]
        for rule, row in rules.items():
            refused = sum(int((~v.allowed[:, v.rules.index(rule)]).sum()) for v in verdicts if rule in v.rules)
            assert row["refused"] == refused
        assert any(row["refused"] for row in rules.values())
        assert "DUT-3.family" in rules
        assert all(row["reason"] for row in rules.values())  # of rules and of the contact policy
        assert app.get("/v1/system", key="analyst").json()["rules"] == list(rules.values())
        assert "Nothing was lost and nothing counted twice" in look(app, "/system")


def put_aside(app: App, key: str, kind: str = "outcome") -> None:
    reason = f"{key} names a product that its decision never showed"
    app.service.home.quarantine.put([Refused(key, 1, "", reason, kind)])


def test_quarantine_is_settled_on_the_page_by_an_administrator_alone(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        put_aside(app, "event:1")
        signed_in(app, Scope.ANALYSE, name="reader")
        page = look(app, "/system")
        assert "Event:1 names a product" in page
        assert "<button name" not in page
        html = {"Accept": "text/html"}
        refused = app.ask("POST", "/system/quarantine", key=None, data={"key": "event:1"}, headers=html)
        assert refused.status_code == 403
        assert "Not with this key" in refused.text
        signed_in(app, Scope.ANALYSE, Scope.ADMIN, name="root")
        form = {"key": "event:1", "why": "an old app", "what": "drop", "form_token": token_of(look(app, "/system"))}
        for forged in ({"form_token": ""}, {"form_token": "0" * 64}):
            assert app.ask("POST", "/system/quarantine", key=None, data=form | forged).status_code == 403
        foreign = {"Origin": "https://elsewhere.example"}
        assert app.ask("POST", "/system/quarantine", key=None, data=form, headers=foreign).status_code == 403
        assert app.service.home.quarantine.one("event:1").state == "kept"
        again = app.ask("POST", "/system/quarantine", key=None, data=form | {"what": "release"})
        assert again.status_code == 409
        assert "nothing that it could teach" in again.text
        done = app.ask("POST", "/system/quarantine", key=None, data=form)
        assert done.status_code == 303
        settled = app.service.home.quarantine.one("event:1")
        assert (settled.state, settled.by, settled.why) == ("dropped", "root", "an old app")
        assert ("root", "drop_quarantined") in {(each.by, each.action) for each in app.service.trail.read()}
        assert "Dropped: it never teaches" in look(app, done.headers["location"].partition("#")[0])
