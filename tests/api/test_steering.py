"""Switches and overrides through HTTP: who may order, what it does to the next answer, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bandits.drawing import verify
from recsys.vocabulary import NOTHING, Override, Switch
from serving.receipts import verification
from serving.steered import effects_of
from tests.api.test_hostile import HOSTILE_BODIES, changed, strings_of
from tests.service import App, assert_problem, running, stamp
from tests.steered import administer, override, products_of, switch

SWITCH = {"scope": "product", "subject": "pot", "off": True, "reason": "a drill", "expires_at": "2026-04-01T09:00:00Z"}
OVERRIDE = {"action": "boost", "product_id": "pot", "strength": 2.0, "surface": "home", "reason": "a season",
            "expires_at": "2026-04-01T09:00:00Z"}  # fmt: skip


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An app of the test's own: what one orders, another would feel."""
    with running(tmp_path) as running_app:
        yield administer(running_app)


def shown(app: App, customers: int = 12, **more: Any) -> set[str]:
    """Every product that anybody is shown."""
    return {product for n in range(customers) for product in products_of(app.recommend(f"c-{n}", **more))}


def tell(app: App, customers: int = 12) -> App:
    for n in range(customers):
        app.tell(f"c-{n}")
    return app


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/switches"),
        ("PUT", "/v1/switches"),
        ("GET", "/v1/overrides"),
        ("PUT", "/v1/overrides/o"),
        ("DELETE", "/v1/overrides/o"),
    ],
)
@pytest.mark.parametrize("key", ["backend", "analyst", "auditor", "nobody", None])
def test_ops_1_only_an_administrator_orders(app: App, method: str, path: str, key: str | None) -> None:
    assert_problem(app.ask(method, path, key=key, json={} if method == "PUT" else None), 403 if key else 401)


@pytest.mark.parametrize(("scope", "subject"), [("product", "pot"), ("family", "savings"), ("surface", "savings")])
def test_ops_1_what_is_switched_off_is_not_shown_and_the_receipt_says_why(app: App, scope: str, subject: str) -> None:
    tell(app)
    families = {each.product_id: each.family for each in app.service.offers.current.catalogue.products}
    gone = {"product": {"pot"}, "family": {p for p, f in families.items() if f == "savings"}, "surface": set(families)}
    assert shown(app, surface="savings") & gone[scope]
    told = switch(app, scope, subject)
    assert (told["by"].startswith("admin"), told["in_force"], told["off"]) == (True, True, True)
    assert not shown(app, surface="savings") & gone[scope]
    answer = app.recommend("c-1", surface="savings")
    rules = [rule for rule in app.receipt(answer["decision_id"])["rules"] if rule["rule"].startswith("OPS-1.switch")]
    assert {rule["rule"] for rule in rules} == {f"OPS-1.switch:{scope}:{subject}"}
    assert {rule["product_id"] for rule in rules if not rule["allowed"]} == gone[scope] & set(families)
    switch(app, scope, subject, off=False)
    assert shown(app, surface="savings") & gone[scope]


def test_ops_1_with_everything_off_the_answer_is_an_empty_slate_that_says_so_and_is_logged(app: App) -> None:
    tell(app, 1)
    switch(app, "everything")
    for customer in ("c-0", "stranger"):
        told = app.recommend(customer)
        assert (told["slate"], told["mode"], told["policy"]) == ([], "fallback:empty", "empty@0")
        assert told["shortfall"] == {"asked": 3, "given": 0, "reason": "everything is switched off for now"}
        assert app.receipt(told["decision_id"])["verification"]["draws"]["equal"]
    home = app.get("/", key="analyst").text
    assert "a drill" in home


def test_ops_1_a_switch_ends_at_its_time_and_not_before(app: App) -> None:
    tell(app, 1)
    switch(app, "everything", days=1)
    app.clock.set(app.clock.now() + timedelta(days=1, microseconds=-1))
    assert app.recommend("c-0")["slate"] == []
    app.clock.set(app.clock.now() + timedelta(microseconds=1))
    assert app.recommend("c-0", surface="savings")["slate"]


def test_ops_1_the_list_tells_who_and_why(app: App) -> None:
    switch(app, "product", "pot", reason="the rate is wrong")
    [told] = app.get("/v1/switches", key="admin").json()["switches"]
    assert (told["scope"], told["subject"], told["reason"]) == ("product", "pot", "the rate is wrong")
    bodies = [event.body for event in app.service.log.read() if isinstance(event.body, Switch)]
    assert [body.by for body in bodies] == [told["by"]]


def test_mrm_6_a_pin_leads_the_slate_with_probability_one_and_is_named(app: App) -> None:
    tell(app)
    override(app, "first", "pin", "round-ups", surface="savings")
    for n in range(12):
        told = app.recommend(f"c-{n}", surface="savings")
        assert (told["slate"][0]["product_id"], told["slate"][0]["propensity"]) == ("round-ups", 1.0)
        assert app.receipt(told["decision_id"])["overrides"] == ["first:pin:1.0:round-ups"]
        assert app.receipt(told["decision_id"])["verification"]["probabilities"]["equal"]
    assert app.receipt(app.recommend("c-1", surface="home")["decision_id"])["overrides"] == []


def test_mrm_6_a_boost_changes_the_logged_probabilities_and_replay_applies_it_again(app: App) -> None:
    tell(app)
    override(app, "season", "boost", "pot", strength=4.0)
    told = app.recommend("c-1", surface="savings")
    receipt = app.receipt(told["decision_id"])
    first = receipt["slate"][0]["pmf"]
    assert first["pot"] == pytest.approx(4 * first["round-ups"])
    assert sum(first.values()) == pytest.approx(1.0)
    assert receipt["verification"]["probabilities"] == {"equal": True, "largest_difference": 0.0}
    [effect] = effects_of(app.service.log.read(), policy_of=app.service.live.policy_of).values()
    n = len(first)
    assert effect.decisions == 1
    assert effect.slots == len(receipt["slate"])
    assert effect.mean_mass is not None
    assert 0 < effect.mean_mass <= 4 / (n + 3) - 1 / n + 0.2


def test_mrm_6_neither_objectors_nor_search_are_pushed_but_a_ban_holds_for_all(app: App) -> None:
    tell(app, 1)
    objected = {"in_app": True, "objected_at": stamp(app.clock.now())}
    app.tell("objector", permissions=objected)
    before = products_of(app.recommend("objector"))
    override(app, "top", "pin", "round-ups")
    for customer, plain in (("objector", before), ("stranger", products_of(app.recommend("another")))):
        told = app.recommend(customer)
        assert (products_of(told), told["mode"]) == (plain, "broadcast")
        assert app.receipt(told["decision_id"])["overrides"] == []
    override(app, "out", "ban", before[0])
    told = app.recommend("objector")
    assert before[0] not in products_of(told)
    receipt = app.receipt(told["decision_id"])
    assert receipt["overrides"] == [f"out:ban:0.0:{before[0]}"]
    refused = {rule["rule"] for rule in receipt["rules"] if not rule["allowed"] and rule["product_id"] == before[0]}
    assert "MRM-6.ban:out" in refused


def test_mrm_6_a_pinned_product_that_may_not_be_shown_is_not(app: App) -> None:
    tell(app, 3)
    override(app, "top", "pin", "round-ups")
    switch(app, "product", "round-ups")
    assert "round-ups" not in shown(app, 3, surface="savings")


def test_mrm_6_an_expired_override_has_no_effect_and_a_withdrawn_one_neither(app: App) -> None:
    tell(app, 2)
    override(app, "a", "pin", "round-ups", days=1)
    override(app, "b", "ban", "pot", days=30)
    app.clock.set(app.clock.now() + timedelta(days=1))
    assert app.receipt(app.recommend("c-0", surface="savings")["decision_id"])["overrides"] == ["b:ban:0.0:pot"]
    answer = app.ask("DELETE", "/v1/overrides/b", key="admin", params={"reason": "it was a mistake"})
    assert answer.json()["in_force"] is False
    assert app.receipt(app.recommend("c-0", surface="savings")["decision_id"])["overrides"] == []
    listed = {each["override_id"]: each for each in app.get("/v1/overrides", key="admin").json()["overrides"]}
    assert {name: each["in_force"] for name, each in listed.items()} == {"a": False, "b": False}
    assert listed["b"]["withdrawn_at"]
    bodies = [event.body for event in app.service.log.read() if isinstance(event.body, Override)]
    assert [body.override_id for body in bodies] == ["a", "b", "b"]
    assert_problem(app.ask("DELETE", "/v1/overrides/c", key="admin", params={"reason": "because"}), 404)


def test_mrm_6_the_same_override_again_changes_nothing_and_another_under_its_name_is_a_conflict(app: App) -> None:
    assert override(app, "o", "ban", "pot") == override(app, "o", "ban", "pot")
    body = OVERRIDE | {"strength": 3.0}
    assert_problem(app.put("/v1/overrides/o", body, key="admin"), 409)


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": "galaxy"}, {"subject": "lona"}, {"off": "yes"}, {"off": 1}, {"reason": ""}, {"reason": None},
        {"expires_at": None}, {"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at": 7}, {"more": 1},
        {"scope": "everything"}, {"scope": "policy"},
    ],
)  # fmt: skip
def test_ops_1_a_switch_that_does_not_fit_is_refused_and_nothing_is_switched(app: App, changes: dict[str, Any]) -> None:
    assert_problem(app.put("/v1/switches", SWITCH | changes, key="admin"), 422)
    assert app.get("/v1/switches", key="admin").json() == {"switches": []}


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "hide"}, {"action": "pin"}, {"product_id": "lona"}, {"strength": None}, {"strength": 0},
        {"strength": 1e308}, {"strength": "2"}, {"strength": True}, {"surface": "hall"}, {"surface": "search"},
        {"reason": "\x00\x00\x00"}, {"expires_at": "2026-06-01T00:00:01Z"}, {"expires_at": "2020-01-01T00:00:00Z"},
    ],
)  # fmt: skip
def test_mrm_6_an_override_that_does_not_fit_is_refused_and_has_no_effect(app: App, changes: dict[str, Any]) -> None:
    assert_problem(app.put("/v1/overrides/o", OVERRIDE | changes, key="admin"), 422)
    assert app.get("/v1/overrides", key="admin").json() == {"overrides": []}


@pytest.mark.parametrize("path", ["/v1/switches", "/v1/overrides/o"])
def test_hostile_bodies_never_break_the_orders(app: App, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    for content in HOSTILE_BODIES.values():
        answer = app.ask("PUT", path, key="admin", content=content, headers=headers)
        assert_problem(answer, answer.status_code)
        assert answer.status_code in (400, 413, 422)
    body = SWITCH if "switches" in path else OVERRIDE
    for place in strings_of(body):
        for text in ("\ud800", "a\x00b", "../../etc/passwd", "x" * 5_000, "", "\u202e", "' OR 1=1 --"):
            content = json.dumps(changed(body, place, text)).encode()
            assert app.ask("PUT", path, key="admin", content=content, headers=headers).status_code in (200, 409, 422)
    for name in ("%00", "..%2f..", "x" * 200, "%ff", "A B"):
        assert app.ask("PUT", f"/v1/overrides/{name}", key="admin", json=OVERRIDE).status_code in (404, 422)
    assert app.recommend("after")["decision_id"]


def test_with_the_database_gone_switches_and_bans_still_hold(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        administer(app)
        first, second, *_ = products_of(app.recommend("stranger"))
        switch(app, "product", first)
        override(app, "out", "ban", second)
        for path in tmp_path.glob("recsys.db*"):
            path.write_bytes(b"\x00garbage" * 4_096)
        told = app.recommend("stranger")
        assert told["mode"] == "fallback:unlogged"
        assert told["slate"]
        assert not {first, second} & set(products_of(told))
        assert_problem(app.put("/v1/switches", SWITCH, key="admin"), 503)


orders = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["product", "family", "surface", "policy", "everything"]), st.integers(0, 30)),
        st.tuples(st.sampled_from(["pin", "ban", "boost"]), st.integers(0, 30)),
    ),
    max_size=5,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with running(tmp_path_factory.mktemp("home"), uniform_share=0.2, holdout_share=0.1) as running_app:
        running_app.service.home.orders.close()  # tests set the orders themselves: nothing may put them back
        yield tell(administer(running_app))


@given(given_orders=orders, customer=st.integers(0, 12), surface=st.sampled_from(["home", "savings", "search", "push"]))
@hypothesis_settings(
    derandomize=True, deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_ops_1_mrm_6_under_any_orders_nothing_ineligible_leaves_and_every_pmf_is_sound(
    shared: App, given_orders: list[tuple[str, int]], customer: int, surface: str
) -> None:
    service = shared.service
    known = {scope: sorted(subjects) for scope, subjects in service.home.subjects().items()}
    now, until = service.clock.now(), service.clock.now() + timedelta(days=1)
    switches, overrides = [], []
    for number, (what, pick) in enumerate(given_orders):
        if what in ("pin", "ban", "boost"):
            product = known["product"][pick % len(known["product"])]
            strength = {"pin": 1.0, "ban": 0.0}.get(what, 0.1 + pick / 4)
            overrides.append(Override(f"o-{number}", what, product, strength, "any", "test", until))
        else:
            subject = known[what][pick % len(known[what])] if what in known else ""
            switches.append(Switch(what, subject, True, "any", "test", until))  # noqa: FBT003
    state = type(service.home.orders.current)(7, tuple(switches), tuple(overrides))
    object.__setattr__(service.home.orders, "current", state)
    told = shared.recommend(f"c-{customer}", surface=surface, slots=1)
    decision = service.log.decision(told["decision_id"]).body
    eligible = set(decision.verdicts.eligible())
    assert {slot.product_id for slot in decision.shown} <= eligible
    assert not verification(decision, policy_of=service.live.policy_of).mismatches
    assert not verify(decision)
    families = {each.product_id: each.family for each in service.offers.current.catalogue.products}
    for each in switches:
        refused = {"product": {each.subject}, "family": {p for p, f in families.items() if f == each.subject}}
        refused |= {"everything": set(families), "surface": set(families) if each.subject == surface else set()}
        assert not eligible & refused.get(each.scope, set())
        assert each.scope != "policy" or decision.policy.partition("@")[0] != each.subject
    bans = {each.product_id for each in overrides if each.action == "ban"}
    assert not eligible & bans
    pins = [each.product_id for each in overrides if each.action == "pin" and each.product_id in eligible]
    free = (
        decision.mode in ("broadcast", "holdout") or surface == "search" or decision.policy in ("uniform@0", "empty@0")
    )
    if pins and not free:
        assert decision.slots[0].product_id == pins[0]
        assert decision.slots[0].propensity == 1.0
    assert NOTHING not in [slot.product_id for slot in decision.shown]
    assert service.clock.now() == now
