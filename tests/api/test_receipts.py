"""The receipt as JSON and as a page: for each way of answering, for each reader, and at a readable size."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsys.keys import Keys, Scope
from recsys.vocabulary import NOT_KNOWN
from serving.bootstrap import compose
from serving.commands.learn import learner_of
from serving.settings import Settings
from tests.builders import START
from tests.service import ADULT, App, assert_problem, outcome_in, running, stamp

READABLE = 30_000
"""Characters of a receipt with three slots."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app with a snapshot of its champion, and somebody from everywhere."""
    folder = tmp_path_factory.mktemp("home")
    with running(folder) as app:
        app.tell("ann")
        learner_of(compose(Settings(home=folder), clock=app.clock)).publish()
        app.service.refresh()
        yield app


def page_of(app: App, decision_id: str) -> str:
    answer = app.get(f"/decisions/{decision_id}", key="auditor")
    assert answer.status_code == 200, answer.text
    return answer.text


def words_of(html: str) -> str:
    """What a page says, without its markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).replace("&#39;", "'").replace("&amp;", "&")


def checked(app: App, told: dict[str, Any]) -> dict[str, Any]:
    """A receipt that accounts for every product of the catalogue, with a reason for each that was shown (TRN-1)."""
    receipt = app.receipt(told["decision_id"])
    shown = {slot["product_id"] for slot in told["slate"]}
    absent = [each["product_id"] for each in receipt["not_shown"]]
    assert sorted([*shown, *absent]) == sorted(app.service.offers.current.catalogue.ids)
    for given, slot in zip(told["slate"], receipt["slate"], strict=False):
        assert [(r["code"], r["text"]) for r in given["reasons"]] == [(r["code"], r["text"]) for r in slot["reasons"]]
        assert 1 <= len(slot["reasons"]) <= 3
        assert all(reason["data"] and reason["turn_off"] for reason in slot["reasons"])
    assert all(each["sentence"] for each in receipt["not_shown"])
    assert all(each["rules"] for each in receipt["not_shown"] if each["why"] == "not_allowed")
    return receipt


def test_trn_1_a_live_receipt_says_what_was_used_and_how_to_turn_it_off(live: App) -> None:
    told = live.recommend("ann", slots=3)
    assert told["mode"] == "live"
    receipt = checked(live, told)
    assert receipt["displayed"] is None
    assert receipt["outcomes"] == []
    names = {each["id"] for each in receipt["data_used"]}
    assert names >= {"balances", "paydays", "identity", "checks"}
    assert receipt["versions"]["reasons"] == live.service.home.explainer.vocabulary.digest
    assert receipt["verification"]["reasons"]["equal"] is True
    assert all(fact["category"] in names for fact in receipt["facts_used"])


def test_the_receipt_is_readable_and_every_verdict_is_one_question_away(live: App) -> None:
    told = live.recommend("ann", slots=3)
    packed = live.receipt(told["decision_id"])
    assert len(json.dumps(packed)) < READABLE
    assert not any(each["allowed"] for each in packed["rules"])
    whole = live.receipt(told["decision_id"], rules="all")
    assert len(whole["rules"]) == len(packed["rules_checked"]) * len(packed["rules_passed"])
    assert [each for each in whole["rules"] if not each["allowed"]] == packed["rules"]
    for product, passed in packed["rules_passed"].items():
        assert passed == sum(each["allowed"] for each in whole["rules"] if each["product_id"] == product)
    wrong = live.get(f"/v1/decisions/{told['decision_id']}", key="auditor", params={"rules": "some"})
    assert_problem(wrong, 422)


def test_what_came_of_it_is_joined_to_the_receipt_and_read_out(live: App) -> None:
    told = live.recommend("ann", surface="savings", slots=2)
    other = live.recommend("ann", surface="savings", slots=2)
    shown = [slot["product_id"] for slot in told["slate"]]
    live.clock.set(live.clock.now() + timedelta(minutes=5))
    at = stamp(live.clock.now())
    seen = outcome_in("r-seen", decision_id=told["decision_id"], product_id=shown[0], kind="seen", happened_at=at)
    organic = outcome_in("r-organic", customer_id="ann", product_id=shown[0], kind="opened", happened_at=at)
    assert live.post("/v1/outcomes", {"outcomes": [seen, organic]}).json()["accepted"] == 2
    display = {"decision_id": told["decision_id"], "displayed_at": at, "product_ids": shown}
    assert live.post("/v1/displays", {"displays": [display]}).json()["accepted"] == 1
    receipt = live.receipt(told["decision_id"])
    assert receipt["displayed"]["as_decided"] is True
    assert [(each["kind"], each["product_id"]) for each in receipt["outcomes"]] == [("seen", shown[0])]
    assert live.receipt(other["decision_id"])["outcomes"] == []
    page = words_of(page_of(live, told["decision_id"]))
    assert "You saw it on 2 March 2026, 09:05 UTC." in page
    assert "The app displayed exactly this on 2 March 2026, 09:05 UTC." in page


def test_a_display_that_differs_is_told(live: App) -> None:
    told = live.recommend("ann", surface="savings", slots=2)
    display = {"decision_id": told["decision_id"], "displayed_at": stamp(live.clock.now()), "product_ids": ["help"]}
    live.post("/v1/displays", {"displays": [display]})
    assert live.receipt(told["decision_id"])["displayed"]["as_decided"] is False
    assert "The app displayed something else on" in page_of(live, told["decision_id"])


def test_mkt_3_the_receipt_of_a_broadcast_says_that_nothing_personal_chose_it(live: App) -> None:
    live.tell("objector", permissions={"in_app": True, "objected_at": stamp(START)})
    told = live.recommend("objector")
    receipt = checked(live, told)
    assert receipt["mode"] == "broadcast"
    assert {each["turn_off"] for each in receipt["data_used"]} == {live.service.home.explainer.vocabulary.checked_only}
    page = words_of(page_of(live, told["decision_id"]))
    assert (
        "These cards are for everybody who may have them. Nothing was chosen by looking at what you like or do." in page
    )
    assert "No. The order was fixed, and chance played no part." in page
    assert {each["why"] for each in receipt["not_shown"]} <= {"not_allowed", "lower", "closed"}


def test_ops_7_the_page_of_a_held_customer_gives_nothing_away(live: App) -> None:
    objected = {"in_app": True, "objected_at": stamp(START)}
    live.tell("held", facts=dict(ADULT) | {"status": "fincrime_hold"}, permissions=objected)
    live.tell("ordinary", permissions=objected)
    pages = []
    for customer in ("held", "ordinary"):
        told = live.recommend(customer)
        spoken = page_of(live, told["decision_id"]).partition("<details>")[0]
        pages.append(words_of(spoken).replace(told["decision_id"], ""))
    assert pages[0] == pages[1]


def test_exp_2_the_receipt_of_the_hold_out_says_what_it_is_for(tmp_path: Path) -> None:
    with running(tmp_path, holdout_share=0.999999) as app:
        app.tell("c")
        told = app.recommend("c")
        assert checked(app, told)["mode"] == "holdout"
        assert "so that we can tell whether suggestions help anybody" in page_of(app, told["decision_id"])


def test_ops_2_the_receipt_of_a_fallback_says_so_and_that_chance_picked(app: App) -> None:
    app.tell("unlucky")
    told = app.recommend("unlucky", surface="savings", slots=3)
    receipt = checked(app, told)
    assert receipt["mode"] == "fallback:uniform"
    assert all(slot["reasons"][0]["code"] == "BY_CHANCE" for slot in told["slate"])
    page = words_of(page_of(app, told["decision_id"]))
    assert "The usual way of choosing was not available just then" in page
    assert "Yes. What was not set was picked at random from what the rules allow" in page


def test_the_receipt_of_an_empty_slate_says_why(live: App) -> None:
    told = live.recommend("ann", candidates=["loan"], surface="home")
    assert told["slate"] == []
    receipt = checked(live, told)
    whys = {each["product_id"]: each["why"] for each in receipt["not_shown"]}
    assert whys["loan"] == "not_allowed"
    assert whys["help"] == "asked"
    page = words_of(page_of(live, told["decision_id"]))
    assert "we chose nothing to show you on the home screen" in page
    assert "Nothing was shown. No product may be shown to this customer here and now." in page


def test_exp_2_trn_1_an_empty_slate_in_the_hold_out_says_that_it_is_for_the_hold_out(tmp_path: Path) -> None:
    with running(tmp_path / "all") as app:
        app.tell("ann")
        short = app.recommend("ann", candidates=["fixed-6m"])["shortfall"]
        assert short is None or "may be shown" not in short["reason"]  # outside the hold-out it may be
    with running(tmp_path / "held-out", holdout_share=0.999999) as app:
        app.tell("ann")
        told = app.recommend("ann", candidates=["fixed-6m"])
        assert told["slate"] == []
        reason = told["shortfall"]["reason"]
        assert reason.startswith("this customer is in the hold-out group and is shown nothing: ")
        assert checked(app, told)["shortfall"] == reason
        page = words_of(page_of(app, told["decision_id"]))
        assert "Nothing was shown. This customer is in the hold-out group and is shown nothing" in page
        assert "No product may be shown" not in page


def test_an_empty_home_has_receipts_too(tmp_path: Path) -> None:
    with running(tmp_path, catalogue=False) as app:
        told = app.recommend("c")
        assert checked(app, told)["not_shown"] == []
        assert "Nothing was shown." in words_of(page_of(app, told["decision_id"]))


def test_somebody_unknown_gets_the_strictest_receipt(live: App) -> None:
    told = live.recommend("nobody-told-us")
    receipt = checked(live, told)
    assert receipt["facts_used"] == receipt["data_used"] == []
    page = words_of(page_of(live, told["decision_id"]))
    assert "Nothing about the customer was used." in page
    assert f"{NOT_KNOWN}." in page


def test_trn_1_the_page_tells_every_reason_and_every_absence(live: App) -> None:
    told = live.recommend("ann", slots=3)
    receipt = live.receipt(told["decision_id"])
    page = words_of(page_of(live, told["decision_id"]))
    catalogue = live.service.offers.current.catalogue
    for slot in told["slate"]:
        assert catalogue.product(slot["product_id"]).name in page
        assert all(f"{reason['text']}." in page for reason in slot["reasons"])
    for each in receipt["not_shown"]:
        assert catalogue.product(each["product_id"]).name in page
        assert each["sentence"] in page
        assert all(rule["reason"].rstrip(".") in page for rule in each.get("rules", ()) if rule["rule"] != "ASKED")
    for each in receipt["data_used"]:
        assert each["name"] in page
        assert each["turn_off"] in page


def test_ret_2_the_page_names_nobody_and_tells_no_fact(live: App) -> None:
    facts = dict(ADULT) | {"balance_pence": 7_654_321, "date_of_birth": "1983-07-19"}
    live.tell("secret-customer", facts=facts)
    told = live.recommend("secret-customer", slots=3)
    page = page_of(live, told["decision_id"])
    token = live.receipt(told["decision_id"])["customer_token"]
    for personal in ("secret-customer", token, "7654321", "7,654,321", "76543", "1983", "treatment_flags"):
        assert personal not in page


def test_the_page_works_without_scripts_and_loads_nothing_from_elsewhere(live: App) -> None:
    told = live.recommend("ann")
    answer = live.get(f"/decisions/{told['decision_id']}", key="auditor")
    assert "<script" not in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.count("<h1>") == 1
    assert answer.text.count("<details>") == 1


@pytest.mark.parametrize("path", ["/v1/decisions/d-1", "/decisions/d-1", "/decisions"])
@pytest.mark.parametrize("key", ["backend", "analyst", "nobody"])
def test_a_receipt_is_for_those_who_audit(live: App, path: str, key: str) -> None:
    assert_problem(live.get(path, key=key), 403)


def test_an_unknown_decision_is_404_and_can_be_searched_again(live: App) -> None:
    assert_problem(live.get("/v1/decisions/no-such", key="auditor"), 404)
    answer = live.get("/decisions/no-such", key="auditor")
    assert answer.status_code == 404
    assert "No decision has the id no-such." in answer.text
    assert 'value="no-such"' in answer.text


def test_a_decision_is_found_by_its_id(live: App) -> None:
    told = live.recommend("ann")
    assert 'name="decision"' in live.get("/decisions", key="auditor").text
    found = live.get("/decisions", key="auditor", params={"decision": f" {told['decision_id']} "})
    assert found.status_code == 303
    assert found.headers["location"] == f"/decisions/{told['decision_id']}"


@pytest.mark.parametrize(
    "hostile", ["../../v1/experiments", "//evil.example", "<script>alert(1)</script>", "a" * 5_000]
)
def test_a_hostile_search_leads_nowhere_else(live: App, hostile: str) -> None:
    found = live.get("/decisions", key="auditor", params={"decision": hostile})
    assert found.status_code == 303
    target = found.headers["location"]
    assert re.fullmatch(r"/decisions/[^/?#<>]+", target)
    answer = live.get(target, key="auditor")
    assert answer.status_code in (404, 307)
    assert "<script>alert" not in answer.text


def test_an_auditor_signs_in_and_begins_at_the_search(live: App) -> None:
    def signed_in(scope: Scope) -> httpx.Response:
        secret = Keys(live.service.home.database).create(f"signs-in-{scope}", scopes=[scope])
        answer = live.ask("POST", "/sign-in", key=None, data={"key": secret})
        live.client.cookies.clear()
        return answer

    auditor = signed_in(Scope.AUDIT)
    assert auditor.headers["location"] == "/decisions"
    session = {"Cookie": auditor.headers["set-cookie"].split(";")[0]}
    assert live.get("/decisions", key=None, headers=session).status_code == 200
    assert_problem(live.get("/", key=None, headers=session), 403)
    assert signed_in(Scope.ANALYSE).headers["location"] == "/"
