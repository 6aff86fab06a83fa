"""Contact through HTTP: dismissals, caps, what changes between reading and writing, and answers asked for again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recsys.customers import Told
from recsys.entries import Entry, Receipt
from recsys.vocabulary import CustomerId, Decision, Permissions
from serving.commands.learn import learner_of
from serving.recommender import MOST_REDRAWS
from serving.slates import UNSETTLED, WITHDRAWN
from tests.builders import START
from tests.service import ADULT, App, outcome_in, running, stamp

SURFACES = {"home": 3, "savings": 5, "search": 10, "push": 1, "inline": 1}
Between = Callable[[int], None]


def reported(app: App, decision_id: str, product: str, kind: str, *, number: int = 0) -> None:
    item = outcome_in(f"{decision_id}-{product}-{kind}-{number}", decision_id=decision_id, product_id=product)
    answer = app.post("/v1/outcomes", {"outcomes": [item | {"kind": kind, "happened_at": stamp(app.clock.now())}]})
    assert answer.json()["accepted"] == 1, answer.text


def shown(told: dict[str, Any]) -> list[str]:
    return [slot["product_id"] for slot in told["slate"]]


def allowed_now(app: App, customer: str, surface: str) -> set[str]:
    told = app.recommend(customer, surface=surface, slots=SURFACES[surface])
    return set(app.receipt(told["decision_id"])["eligible"])


# -- dismissals and caps -------------------------------------------------------------------------


def test_dut_3_what_was_dismissed_is_never_shown_again_inside_its_window_on_any_surface(app: App) -> None:
    app.tell("shy")
    before = {surface: allowed_now(app, "shy", surface) for surface in SURFACES}
    assert all("pot" in each for each in before.values())
    told = app.recommend("shy", surface="savings", slots=1, candidates=["pot"])
    reported(app, told["decision_id"], "pot", "dismissed")
    for surface in SURFACES:
        assert not {"pot", "cash-isa", "fixed-6m", "fixed-1y"} & allowed_now(app, "shy", surface)
    rules = {
        (each["product_id"], each["rule"]): each.get("reason")
        for each in app.receipt(app.recommend("shy")["decision_id"])["rules"]
        if not each["allowed"]
    }
    assert "not interested in this" in rules["pot", "DUT-3.dismissed"]
    assert "something like this" in rules["cash-isa", "DUT-3.family"]
    app.tell("bold")
    assert "pot" in allowed_now(app, "bold", "home")  # one customer's answer is nobody else's


def test_dut_3_a_dismissal_also_holds_on_a_slate_for_everyone(app: App) -> None:
    told = app.recommend("nobody-told-us", surface="savings", slots=5)
    assert told["mode"] == "broadcast"
    assert "pot" in shown(told)
    reported(app, told["decision_id"], "pot", "dismissed")
    assert "pot" not in shown(app.recommend("nobody-told-us", surface="savings", slots=5))


def test_mkt_7_displays_count_and_requests_do_not(app: App) -> None:
    app.tell("often")
    for _ in range(12):
        assert shown(app.recommend("often", surface="savings", slots=1, candidates=["pot"])) == ["pot"]
    for n in range(3):
        told = app.recommend("often", surface="savings", slots=1, candidates=["pot"])
        assert shown(told) == ["pot"]
        if n % 2:
            item = {"decision_id": told["decision_id"], "displayed_at": stamp(START), "product_ids": ["pot"]}
            assert app.post("/v1/displays", {"displays": [item]}).json()["accepted"] == 1
        reported(app, told["decision_id"], "pot", "seen")
    told = app.recommend("often", surface="savings", slots=1, candidates=["pot"])
    assert shown(told) == []
    assert "pot" in allowed_now(app, "often", "search")


def test_mkt_7_many_callers_at_once_get_one_message(app: App) -> None:
    app.tell("crowd")
    body = {"customer_id": "crowd", "surface": "push", "slots": 1, "candidates": ["pot", "cash-isa", "round-ups"]}
    for _ in range(3):  # "nothing" may be drawn too, which is no message
        answers = [answer.json() for answer in app.together([("/v1/recommendations", body)] * 16)]
    token = app.receipt(answers[0]["decision_id"])["customer_token"]
    pushed = [each for each in app.decisions() if each.token == token and each.shown]
    assert len(pushed) == 1
    assert all(app.receipt(each["decision_id"])["verification"]["draws"]["equal"] for each in answers)


# -- what changes between reading and writing ----------------------------------------------------


@pytest.fixture
def between(app: App, monkeypatch: pytest.MonkeyPatch) -> list[Between]:
    """Something that happens after a decision was made and before it is written, each time."""
    happens: list[Between] = []
    durable = app.service.commit.durable
    times = 0

    async def written(entries: Sequence[Entry]) -> list[Receipt]:
        nonlocal times
        if happens and isinstance(entries[0].body, Decision):
            times += 1
            happens[0](times)
        return await durable(entries)

    monkeypatch.setattr(app.service.commit, "durable", written)
    return happens


def told_meanwhile(app: App, customer: str, *, minutes: int, **facts: Any) -> None:
    permissions = facts.pop("permissions", None)
    told = Told(CustomerId(customer), START + timedelta(minutes=minutes), facts, permissions)
    app.service.customers.tell([told], log=app.service.log)


def test_ops_3_arrears_that_come_between_reading_and_writing_are_honoured(app: App, between: list[Between]) -> None:
    app.tell(
        "debtor", facts=dict(ADULT) | {"pre_eligible": ["loan"], "pre_eligible_until": stamp(START.replace(year=2027))}
    )
    ask = {"surface": "search", "slots": 1, "candidates": ["loan"]}
    assert shown(app.recommend("debtor", **ask)) == ["loan"]
    between.append(lambda n: told_meanwhile(app, "debtor", minutes=1, arrears_days=30) if n == 1 else None)
    told = app.recommend("debtor", **ask)
    assert shown(told) == []
    receipt = app.receipt(told["decision_id"])
    assert receipt["redraws"] == 1
    assert {each["name"]: each["value"] for each in receipt["facts_used"]}["arrears_days"] == 30


def test_mkt_4_an_objection_between_reading_and_writing_leads_to_the_slate_for_everyone(
    app: App, between: list[Between]
) -> None:
    app.tell("objector")
    permissions = Permissions(in_app=True, objected_at=START)
    between.append(lambda n: told_meanwhile(app, "objector", minutes=1, permissions=permissions) if n == 1 else None)
    told = app.recommend("objector", surface="savings")
    assert told["mode"] == "broadcast"
    receipt = app.receipt(told["decision_id"])
    assert receipt["redraws"] == 1
    assert receipt["verification"]["draws"]["equal"]
    assert app.metric("recsys_redraws_total") >= 1


def test_a_slate_that_never_settles_is_empty_logged_and_says_why(app: App, between: list[Between]) -> None:
    app.tell("restless")
    between.append(lambda n: told_meanwhile(app, "restless", minutes=n, balance_pence=n))
    told = app.recommend("restless", surface="savings", request_id="restless-1")
    assert told["slate"] == []
    assert told["shortfall"] == {"asked": 3, "given": 0, "reason": UNSETTLED}
    receipt = app.receipt(told["decision_id"])
    assert receipt["redraws"] == MOST_REDRAWS + 1
    assert {each["rule"] for each in receipt["rules"] if not each["allowed"]} >= {"OPS-3.unsettled"}
    assert receipt["eligible"] == []
    between.clear()
    assert app.recommend("restless", surface="savings", request_id="restless-1") == told


# -- an answer asked for again -------------------------------------------------------------------


def test_ops_3_the_rules_run_again_on_an_answer_that_is_given_again(app: App) -> None:
    app.tell("again")
    body = {"surface": "savings", "slots": 2, "candidates": ["pot", "cash-isa"], "request_id": "again-1"}
    first = app.recommend("again", **body)
    assert app.recommend("again", **body) == first
    held = dict(ADULT) | {"held": ["cash-isa"]}
    app.tell("again", at=START + timedelta(minutes=1), facts=held)
    second = app.recommend("again", **body)
    assert second["slate"] == []
    assert second["shortfall"] == {"asked": 2, "given": 0, "reason": WITHDRAWN}
    assert second["decision_id"] == first["decision_id"]
    logged = app.receipt(first["decision_id"])
    assert [slot["product_id"] for slot in logged["slate"]] == shown(first)  # what was decided stays as it was
    reported(app, first["decision_id"], shown(first)[0], "seen")  # and what was seen of it is still taken in


def test_mkt_1_a_personal_slate_is_not_given_again_to_somebody_who_objected_since(app: App) -> None:
    app.tell("leaver")
    body = {"surface": "savings", "request_id": "leaver-1"}
    assert app.recommend("leaver", **body)["slate"]
    later = START + timedelta(minutes=1)
    app.tell("leaver", at=later, permissions={"in_app": True, "objected_at": stamp(START)})
    assert app.recommend("leaver", **body)["slate"] == []


def test_a_message_does_not_count_against_itself_when_it_is_asked_for_again(app: App) -> None:
    app.tell("echo")
    answers: list[dict[str, Any]] = []
    for n in range(40):  # until something other than "nothing" is drawn
        body = {"surface": "push", "slots": 1, "candidates": ["pot"], "request_id": f"echo-{n}"}
        answers.append(app.recommend("echo", **body))
        if answers[-1]["slate"]:
            break
    assert shown(answers[-1]) == ["pot"]
    assert app.recommend("echo", **body) == answers[-1]
    assert app.recommend("echo", surface="push", slots=1, candidates=["pot"])["slate"] == []


# -- how often it was seen, as a feature ---------------------------------------------------------


def test_features_logged_are_features_used_where_a_customer_has_seen_some_products(tmp_path: Path) -> None:
    with running(tmp_path, publish_every_lessons=10, publish_every_minutes=1) as app:
        for n in range(30):
            app.tell(f"c-{n}")
            told = app.recommend(f"c-{n}", surface="savings", slots=4)
            for product in shown(told):
                reported(app, told["decision_id"], product, "seen")
        app.clock.set(START + timedelta(days=21))
        app.recommend("c-0")
        assert learner_of(app.service.home).catch_up().quarantined == 0
        app.service.refresh()
        app.clock.set(START + timedelta(days=22))
        for _ in range(2):
            told = app.recommend("c-1", surface="savings", slots=1)
            reported(app, told["decision_id"], shown(told)[0], "seen")
        told = app.recommend("c-1", surface="savings", slots=3)
        assert told["mode"] == "live"
        receipt = app.receipt(told["decision_id"])
        seen = {each["product_id"]: each["seen_lately"] for each in receipt["candidates"]}
        assert sum(value >= 1.0 for value in seen.values()) >= 1
        assert sum(0.0 < value < 0.25 for value in seen.values()) >= 1  # of three weeks ago
        assert receipt["verification"]["probabilities"]["equal"]
        [logged] = [each for each in app.decisions() if each.decision_id == told["decision_id"]]
        assert {each.product_id: each.seen_lately for each in logged.candidates} == seen
