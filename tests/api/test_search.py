"""POST /v1/search: what fits the words, within the rules, logged without the words."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from recsys.vocabulary import CommunicationClass
from serving.curriculum import teaches
from tests.service import ADULT, App, running
from tests.steered import administer, override, switch


def search(app: App, query: str, customer: str = "sue", slots: int = 5, **more: Any) -> dict[str, Any]:
    answer = app.post("/v1/search", {"customer_id": customer, "query": query, "slots": slots} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def shown(told: dict[str, Any]) -> list[str]:
    return [slot["product_id"] for slot in told["slate"]]


@pytest.fixture(scope="module", autouse=True)
def sue(app: App) -> None:
    """An ordinary adult."""
    app.tell("sue")


def test_a_search_is_answered_by_relevance_as_a_recommendation_is_formed(app: App) -> None:
    told = search(app, "joint acount", slots=2)
    assert shown(told)[0] == "joint"
    assert told["policy"] == "search@1"
    assert told["mode"] == "search"
    assert told["experiments"] == []
    assert {slot["propensity"] for slot in told["slate"]} == {1.0}
    assert {reason["code"] for slot in told["slate"] for reason in slot["reasons"]} == {"SEARCHED_FOR"}


def test_the_decision_is_logged_and_its_draws_verify(app: App) -> None:
    told = search(app, "savings")
    receipt = app.receipt(told["decision_id"])
    assert receipt["surface"] == "search"
    assert receipt["verification"]["draws"]["equal"]
    assert "words that were searched for are not kept" in receipt["verification"]["probabilities"]["said"]
    assert [slot["product_id"] for slot in receipt["slate"]] == shown(told)


def test_vul_2_the_words_are_kept_nowhere(app: App) -> None:
    words = "xylophonegambling"
    search(app, f"savings {words}", request_id="words-1")
    home = app.service.home.settings.folder
    connection = sqlite3.connect(home / "recsys.db")
    assert words not in "\n".join(connection.iterdump())
    connection.close()
    assert all(words.encode() not in file.read_bytes() for file in home.rglob("*") if file.is_file())


def test_age_1_a_minor_finds_no_credit_isa_or_investment(app: App) -> None:
    app.tell("minor", facts=dict(ADULT) | {"date_of_birth": "2012-01-01"})
    for query in ("loan", "credit card", "isa", "overdraft", "pension", "stocks and shares", "joint account", "borrow"):
        told = search(app, query, "minor", slots=10)
        products = [app.service.offers.current.catalogue.product(each) for each in shown(told)]
        assert all(each.regulated_class in ("none", "savings") and each.family != "credit" for each in products), query
        assert not {"joint", "business"} & set(shown(told))


def test_mkt_3_objectors_find_what_is_for_everybody_alike_and_the_same_as_each_other(app: App) -> None:
    for name, signals in (("objector-a", ["saver"]), ("objector-b", [])):
        objecting = {"in_app": True, "push": True, "objected_at": "2026-01-01T00:00:00Z"}
        app.tell(name, facts=dict(ADULT) | {"signals": signals}, permissions=objecting)
    for query in ("savings", "borrow", "budget", "account"):
        one, other = search(app, query, "objector-a", slots=10), search(app, query, "objector-b", slots=10)
        assert shown(one) == shown(other)
        catalogue = app.service.offers.current.catalogue
        for slot in one["slate"]:
            creative = next(
                each
                for each in catalogue.product(slot["product_id"]).creatives
                if each.creative_id == slot["creative_id"]
            )
            assert creative.communication_class is not CommunicationClass.PROMO_PERSONALISED


def test_crd_arrears_hide_credit_in_search_too(app: App) -> None:
    app.tell("behind", facts=dict(ADULT) | {"arrears_days": 40})
    told = search(app, "loan", "behind", slots=10)
    families = {app.service.offers.current.catalogue.product(each).family for each in shown(told)}
    assert "credit" not in families


def test_nothing_is_pushed_up_in_search_and_what_is_banned_is_not_found(tmp_path: Path) -> None:
    with running(tmp_path) as own:
        app = administer(own)
        app.tell("sue")
        before = shown(search(app, "savings", slots=5))
        override(app, "push", "boost", before[-1], strength=9.0)
        override(app, "pin", "pin", "card")
        assert shown(search(app, "savings", slots=5)) == before
        switch(app, "product", before[0])
        assert before[0] not in shown(search(app, "savings", slots=5))
        switch(app, "policy", "search")
        told = search(app, "savings")
        assert told["slate"] == []


def test_words_that_fit_nothing_give_an_empty_slate_that_says_so(app: App) -> None:
    told = search(app, "qqqqzzzz")
    assert told["slate"] == []
    assert "fits these words" in told["shortfall"]["reason"]
    assert app.receipt(told["decision_id"])["shortfall"]


def test_the_same_request_again_gives_the_same_answer_and_other_words_conflict(app: App) -> None:
    one, again = (search(app, "pension", request_id="again") for _ in range(2))
    assert one == again
    answer = app.post("/v1/search", {"customer_id": "sue", "query": "loan", "slots": 5, "request_id": "again"})
    assert answer.status_code == 409


def test_a_stranger_may_search_and_is_the_strictest_case(app: App) -> None:
    told = search(app, "borrow money", "nobody-knows")
    families = {app.service.offers.current.catalogue.product(each).family for each in shown(told)}
    assert "credit" not in families
    assert "help" in {app.service.offers.current.catalogue.product(each).family for each in shown(
        search(app, "help with debt", "nobody-knows")
    )}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"query": ""}, "/query"),
        ({"query": "   "}, "/query"),
        ({"query": "x" * 201}, "/query"),
        ({"query": 7}, "/query"),
        ({"slots": 0}, "/slots"),
        ({"slots": 11}, "/slots"),
        ({"surface": "home"}, "/surface"),
        ({"customer_id": ""}, "/customer_id"),
    ],
)
def test_a_search_that_does_not_fit_is_refused_with_its_place(app: App, change: dict[str, Any], pointer: str) -> None:
    answer = app.post("/v1/search", {"customer_id": "sue", "query": "pot", "slots": 3} | change)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


def test_search_needs_a_key_that_may_recommend(app: App) -> None:
    body = {"customer_id": "sue", "query": "pot"}
    assert app.post("/v1/search", body, key=None).status_code == 401
    assert app.post("/v1/search", body, key="auditor").status_code == 403


def test_searches_teach_nobody(app: App) -> None:
    searched = [each for each in app.decisions() if each.mode == "search"]
    assert searched
    assert not any(teaches(each) for each in searched)
