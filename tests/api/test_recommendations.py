"""Recommendations, their idempotency and their receipts."""

from __future__ import annotations

import json
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.keys import Keys, Scope
from serving.housekeeping import keep_house
from tests.builders import START
from tests.service import NOW, App, asked, assert_problem, running, stamp
from tests.steered import soon


def test_an_empty_home_answers_with_an_empty_slate_that_says_why(tmp_path: Path) -> None:
    with running(tmp_path, catalogue=False) as app:
        told = app.recommend()
        assert told["slate"] == []
        assert "catalogue" in told["shortfall"]["reason"]
        assert told["shortfall"] | {"reason": ""} == {"asked": 3, "given": 0, "reason": ""}
        assert app.receipt(told["decision_id"])["verification"]["draws"]["equal"]
        ready = app.get("/readyz", key=None)
        assert ready.status_code == 503
        assert "catalogue" in ready.json()["missing"][0]


def test_with_a_catalogue_but_no_model_the_fallback_gives_an_eligible_slate_with_true_propensities(app: App) -> None:
    app.tell("fresh")
    told = app.recommend("fresh", surface="savings", slots=5)
    assert told["mode"] == "fallback:uniform"
    assert told["policy"] == "uniform@0"
    assert len(told["slate"]) == 5
    receipt = app.receipt(told["decision_id"])
    assert receipt["verification"] == {
        "draws": {"equal": True, "differs": []},
        "probabilities": {"equal": True, "largest_difference": 0.0},
        "reasons": {"equal": True, "falls": []},
    }
    for given, held in zip(told["slate"], receipt["slate"], strict=True):
        assert given["product_id"] in receipt["eligible"]
        assert sum(held["pmf"].values()) == pytest.approx(1.0, abs=1e-12)
        assert given["propensity"] == held["propensity"] == held["pmf"][given["product_id"]]
    assert receipt["joint_propensity"] == pytest.approx(np.prod([slot["propensity"] for slot in told["slate"]]))


def test_the_decision_is_durable_before_the_answer_leaves(app: App) -> None:
    told = app.recommend("durable")
    other = sqlite3.connect(app.service.home.settings.folder / "recsys.db")
    found = other.execute("SELECT count(*) FROM events WHERE key = ?", [f"decision:{told['decision_id']}"]).fetchone()
    other.close()
    assert found == (1,)


def test_a_customer_nobody_told_us_about_is_the_strictest_case_and_never_an_error(app: App) -> None:
    told = app.recommend("stranger", surface="savings")
    assert told["mode"] == "broadcast"
    receipt = app.receipt(told["decision_id"])
    assert receipt["permissions"]["in_app"] is False
    assert receipt["facts_used"] == []
    products = {product.product_id: product for product in app.service.offers.current.catalogue.products}
    assert all(products[slot["product_id"]].regulated_class not in ("credit", "investment") for slot in told["slate"])


def test_the_null_choice_is_a_real_choice_where_the_surface_allows_it(app: App) -> None:
    app.tell("quiet")
    ended = next(told for _ in range(200) if (told := app.recommend("quiet"))["shortfall"] is not None)
    receipt = app.receipt(ended["decision_id"])
    last = receipt["slate"][-1]
    assert last["product_id"] == "nothing"
    assert 0 < last["propensity"] < 1
    assert "nothing" not in [slot["product_id"] for slot in ended["slate"]]
    assert ended["shortfall"]["given"] == len(ended["slate"]) < 3
    assert receipt["verification"]["draws"]["equal"]


def test_the_null_choice_is_not_offered_where_the_surface_does_not_allow_it(app: App) -> None:
    app.tell("shopper")
    told = app.recommend("shopper", surface="savings", slots=5)
    assert "nothing" not in app.receipt(told["decision_id"])["slate"][0]["pmf"]


def test_candidates_and_exclude_narrow_the_slate_and_the_receipt_says_so(app: App) -> None:
    app.tell("narrow")
    told = app.recommend("narrow", surface="savings", candidates=["pot", "fixed-6m"], exclude=["fixed-6m"], slots=2)
    assert [slot["product_id"] for slot in told["slate"]] == ["pot"]
    assert told["shortfall"]["given"] == 1
    rules = app.receipt(told["decision_id"])["rules"]
    assert {
        "product_id": "fixed-6m",
        "rule": "ASKED",
        "kind": "applicable",
        "allowed": False,
        "reason": "The app asked without this product",
    } in rules


def test_nothing_eligible_is_an_empty_slate_with_a_shortfall(app: App) -> None:
    app.tell("none")
    told = app.recommend("none", candidates=[])
    assert told["slate"] == []
    assert told["shortfall"]["given"] == 0


def test_no_product_stands_twice_and_a_family_keeps_its_limit(app: App) -> None:
    app.tell("many")
    families = {each.product_id: each.family for each in app.service.offers.current.catalogue.products}
    for _ in range(20):
        shown = [slot["product_id"] for slot in app.recommend("many")["slate"]]
        assert len(shown) == len(set(shown))
        assert all([families[product] for product in shown].count(families[product]) <= 2 for product in shown)


def test_times_are_rfc_3339_and_the_answer_expires_after_it_was_made(app: App) -> None:
    told = app.recommend()
    assert told["made_at"] == NOW
    assert told["expires_at"] == stamp(START + timedelta(days=1))


def test_the_same_request_id_and_body_gives_the_same_answer_and_one_decision(app: App) -> None:
    app.tell("twice")
    first = app.recommend("twice", surface="savings", request_id="r-1", context={"payday_in_days": 1})
    again = app.recommend("twice", surface="savings", request_id="r-1", context={"payday_in_days": 1})
    assert again == first
    assert sum(decision.request_id == "r-1" for decision in app.decisions()) == 1


def test_the_same_request_id_with_another_body_is_a_conflict(app: App) -> None:
    app.recommend("twice", request_id="r-2")
    answer = app.post("/v1/recommendations", {"customer_id": "other", "surface": "home", "request_id": "r-2"})
    assert_problem(answer, 409)


def test_a_request_id_belongs_to_its_key(app: App) -> None:
    app.keys["second"] = Keys(app.service.home.database).create("second", scopes=[Scope.RECOMMEND])
    mine = app.recommend("mine", request_id="r-3")
    theirs = app.post("/v1/recommendations", {"customer_id": "x", "surface": "home", "request_id": "r-3"}, key="second")
    assert theirs.status_code == 200
    assert theirs.json()["decision_id"] != mine["decision_id"]


def test_many_equal_requests_at_once_make_one_decision(app: App) -> None:
    body = asked(customer_id="crowd", request_id="r-4")
    told = [answer.json() for answer in app.together([("/v1/recommendations", body)] * 20)]
    assert len({each["decision_id"] for each in told}) == 1
    assert all(each == told[0] for each in told)


def test_idempotency_holds_across_workers_and_restarts(tmp_path: Path) -> None:
    with running(tmp_path) as one, running(tmp_path, catalogue=False) as other:
        other.keys["backend"] = one.keys["backend"]
        told = one.recommend("c", request_id="r-1")
        assert other.recommend("c", request_id="r-1") == told
        secret = one.keys["backend"]
    with running(tmp_path, catalogue=False) as restarted:
        restarted.keys["backend"] = secret
        assert restarted.recommend("c", request_id="r-1") == told
        assert len(restarted.decisions()) == 1


def test_request_ids_are_kept_seven_days(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        first = app.recommend(request_id="r-1")
        app.clock.set(START + timedelta(days=6, hours=23))
        soon(lambda: keep_house(app.service.home))  # the service keeps house by itself, too
        assert app.recommend(request_id="r-1") == first
        app.clock.set(START + timedelta(days=7, hours=1))
        soon(lambda: keep_house(app.service.home))  # the service keeps house by itself, too
        assert app.recommend(request_id="r-1")["decision_id"] != first["decision_id"]


def test_an_unknown_decision_is_404(app: App) -> None:
    assert_problem(app.get("/v1/decisions/no-such", key="auditor"), 404)


def test_a_receipt_holds_the_whole_record(app: App, decided: dict[str, Any]) -> None:
    receipt = app.receipt(decided["decision_id"], verify=False, rules="all")
    assert "verification" not in receipt
    said = [(reason["code"], reason["text"]) for reason in receipt["slate"][0]["reasons"]]
    assert said == [(reason["code"], reason["text"]) for reason in decided["slate"][0]["reasons"]]
    assert set(receipt["versions"]) >= {"catalogue", "rule_pack", "features", "rewards", "recipe", "snapshot", "bundle"}
    products = {rule["product_id"] for rule in receipt["rules"]}
    assert products == set(app.service.offers.current.catalogue.ids)
    assert all(rule["reason"] for rule in receipt["rules"] if not rule["allowed"])
    assert "decided" not in json.dumps(receipt), "the log knows customers by their token"
