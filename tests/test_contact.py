"""How often something may be shown or sent: caps, rests and quiet hours against a recount by brute force."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product as every
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.contact import ContactPolicy
from recsys.contactfile import DEFAULT, load, parse
from recsys.errors import InvalidConfiguration
from recsys.touches import (
    DAILY,
    DAY,
    Memory,
    mark_of,
    parsed,
    remembered,
    second_of,
    seen_lately,
    touches_of,
    without,
    written,
)
from recsys.vocabulary import NO_CONTACT, Contact, Display, Touch
from tests.builders import START, at, decision, outcome
from tests.contact_worlds import BANK, Happened, cap, policy, quiet, recounted, refused, rest

GB = load()
SURFACES = ("home", "savings", "search", "push", "inline")
SOME = ("pot", "cash-isa", "loan", "flex", "help", "debt-help", "gone")


def contact_of(happened: list[Happened], *, chosen: ContactPolicy, now: datetime) -> Contact:
    """What the engine remembers of it, told in this order, each at the time it happened or later."""
    contact = NO_CONTACT
    for each in happened:
        contact = remembered(contact, [(each.kind, _touch(each))], now=second_of(now), memory=chosen.memory)
    return contact


def _touch(each: Happened) -> Touch:
    return second_of(each.at), each.product_id, "" if each.decision_id is None else mark_of(each.decision_id)


def sent(n: int, *, days: float = 0.0, product: str = "pot") -> Happened:
    return Happened("sent", product, at(days), f"d-{n}")


# -- the recount ---------------------------------------------------------------------------------

happenings = st.builds(
    lambda kind, product_id, second, number: Happened(
        kind, product_id, START - timedelta(seconds=second), f"d-{number}" if number or kind == "sent" else None
    ),
    st.sampled_from(["seen", "sent", "dismissed", "opened", "opted_out"]),
    st.sampled_from(SOME),
    st.one_of(
        st.integers(0, 100 * DAY),
        st.builds(lambda days, off: days * DAY + off, st.sampled_from([1, 3, 7, 30, 90]), st.integers(-1, 1)),
    ),
    st.integers(0, 60),
)
timelines = st.lists(happenings, max_size=30, unique_by=lambda each: (each.kind, each.product_id, each.decision_id))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(timelines, st.sampled_from(SURFACES), st.sampled_from(["personalised", "broadcast"]), st.integers(0, 999_999))
def test_mkt_7_and_dut_3_every_verdict_equals_a_recount_of_all_that_ever_happened(
    happened: list[Happened], surface: str, path: str, microsecond: int
) -> None:
    now = START.replace(microsecond=microsecond)
    wanted = {
        (limit.name, product.product_id)
        for limit, product in every(GB.limits, BANK.products)
        if recounted(limit, happened, product=product, surface=surface, path=path, at=now)
    }
    contact = contact_of(happened, chosen=GB, now=now)
    contact = parsed(written(contact), version=contact.version)
    told = {(rule, product) for rule, product in refused(contact, GB, surface=surface, at=now, path=path)}
    assert told - {("MKT-7.quiet-hours", each) for each in BANK.ids} == wanted


@settings(max_examples=100, deadline=None, derandomize=True)
@given(timelines, st.randoms(use_true_random=False))
def test_neither_the_order_of_events_nor_a_repeat_matters(happened: list[Happened], dice: Random) -> None:
    told = [each for each in happened if each.decision_id is not None]
    again = told + told
    dice.shuffle(again)
    one, other = (contact_of(each, chosen=GB, now=START) for each in (told, again))
    assert {kind: sorted(each) for kind, each in one.touches.items()} == {
        kind: sorted(each) for kind, each in other.touches.items()
    }
    for product in SOME:
        now = second_of(START)
        assert seen_lately(one, product, now=now) == pytest.approx(seen_lately(other, product, now=now), abs=1e-4)


# -- caps ----------------------------------------------------------------------------------------


def test_mkt_7_a_window_rolls_to_the_second() -> None:
    chosen = policy(cap(within="1d"))
    contact = contact_of([sent(1)], chosen=chosen, now=START)
    for seconds, stopped in ((0, True), (DAY - 1, True), (DAY, False)):
        later = START + timedelta(seconds=seconds)
        assert bool(refused(contact, chosen, surface="push", at=later)) is stopped


def test_mkt_7_a_message_counts_once_however_many_products_it_names() -> None:
    chosen = policy(cap(most=2))
    both = [sent(1, product="pot"), sent(1, product="cash-isa")]
    assert not refused(contact_of(both, chosen=chosen, now=START), chosen, surface="push", at=START)
    assert refused(contact_of([*both, sent(2)], chosen=chosen, now=START), chosen, surface="push", at=START)


def test_mkt_7_caps_on_pushes_and_displays_are_separate() -> None:
    pushed = contact_of([sent(1), sent(2), sent(3)], chosen=GB, now=START)
    assert ("MKT-7.push-week", "pot") in refused(pushed, GB, surface="push", at=START)
    assert not refused(pushed, GB, surface="home", at=START)
    shown = [Happened("seen", "pot", at(hours=-n), f"d-{n}") for n in range(3)]
    contact = contact_of(shown, chosen=GB, now=START)
    assert refused(contact, GB, surface="home", at=START) == {("MKT-7.shown-day", "pot")}
    assert refused(contact, GB, surface="search", at=START) == set()  # who searches has asked


def test_mkt_7_a_product_that_left_the_catalogue_still_counts_as_a_message() -> None:
    contact = contact_of([sent(1, product="gone")], chosen=GB, now=START)
    assert ("MKT-7.push-day", "pot") in refused(contact, GB, surface="push", at=START)


def test_crd_8_service_messages_are_in_no_rule_and_reach_people_at_night() -> None:
    night = datetime(2026, 3, 2, 23, tzinfo=UTC)
    everything = [
        Happened(kind, product, night, f"d-{n}")
        for n in range(20)
        for kind in ("seen", "sent", "dismissed", "opened", "opted_out")
        for product in BANK.ids
    ]
    contact = contact_of(everything, chosen=GB, now=night)
    for surface in SURFACES:
        named = {product for _, product in refused(contact, GB, surface=surface, at=night)}
        assert named == set(BANK.ids) - {"debt-help"}


def test_mkt_3_slates_for_everyone_differ_only_by_what_a_customer_said() -> None:
    seen = [Happened("seen", product, START, f"d-{n}") for n in range(9) for product in BANK.ids]
    opened = [Happened("opened", product, START, "d-1") for product in BANK.ids]
    contact = contact_of(seen + opened, chosen=GB, now=START)
    assert refused(contact, GB, surface="home", at=START)
    assert not refused(contact, GB, surface="home", at=START, path="broadcast")
    said = contact_of([Happened("dismissed", "pot", START)], chosen=GB, now=START)
    assert ("DUT-3.dismissed", "pot") in refused(said, GB, surface="home", at=START, path="broadcast")


def test_mkt_4_who_opted_out_gets_no_promotion_until_the_permission_says_so() -> None:
    contact = contact_of([Happened("opted_out", "pot", START, "d-1")], chosen=GB, now=START)
    promotions = {each.product_id for each in BANK.products if each.communication_class.value.startswith("promo")}
    assert {product for _, product in refused(contact, GB, surface="search", at=START)} == promotions


# -- dismissals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("surface", SURFACES)
def test_dut_3_a_dismissal_keeps_the_product_away_90_days_and_its_family_30_on_every_surface(surface: str) -> None:
    contact = contact_of([Happened("dismissed", "pot", START, "d-1")], chosen=GB, now=START)
    family = {each.product_id for each in BANK.products if each.family == "savings"}
    for path in ("personalised", "broadcast"):
        for days, wanted in ((0, family), (29.99, family), (30, {"pot"}), (89.99, {"pot"}), (90, set())):
            told = refused(contact, GB, surface=surface, at=at(days), path=path)
            assert {product for rule, product in told if rule.startswith("DUT-3")} == wanted


def test_dut_3_a_dismissal_is_remembered_for_as_long_as_its_rule_even_among_many_events() -> None:
    contact = contact_of([Happened("dismissed", "pot", START, "d-1")], chosen=GB, now=START)
    for day in range(1, 90):
        fresh = ("seen", (second_of(at(day)), "loan", mark_of(f"d-{day}")))
        contact = remembered(contact, [fresh], now=second_of(at(day)), memory=GB.memory)
    assert ("DUT-3.dismissed", "pot") in refused(contact, GB, surface="home", at=at(89.9))
    assert len(contact.touches["seen"]) == 7  # and displays are not kept longer than a rule asks
    assert len(written(contact)) < 600


# -- quiet hours ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "quiet"),
    [
        ("2026-03-28T20:59:59+00:00", False),  # the evening before the clocks go forward: GMT
        ("2026-03-28T21:00:00+00:00", True),
        ("2026-03-29T06:59:59+00:00", True),  # the morning after: BST, so 07:59:59 in London
        ("2026-03-29T07:00:00+00:00", False),
        ("2026-03-29T20:00:00+00:00", True),
        ("2026-10-24T20:00:00+00:00", True),  # the evening before the clocks go back: BST
        ("2026-10-25T00:30:00+00:00", True),  # half past one, for the first time
        ("2026-10-25T01:30:00+00:00", True),  # and for the second
        ("2026-10-25T07:59:59+00:00", True),
        ("2026-10-25T08:00:00+00:00", False),
        ("2026-10-25T20:59:59+00:00", False),
    ],
)
def test_mkt_7_quiet_hours_follow_londons_clock_on_the_days_it_changes(moment: str, quiet: bool) -> None:  # noqa: FBT001
    now = datetime.fromisoformat(moment)
    told = refused(NO_CONTACT, GB, surface="push", at=now)
    assert bool(told) is quiet
    assert {rule for rule, _ in told} <= {"MKT-7.quiet-hours"}
    assert not refused(NO_CONTACT, GB, surface="home", at=now)


# -- what an event does --------------------------------------------------------------------------


def test_only_a_decision_to_push_is_a_message_and_only_what_the_app_reports_is_a_display() -> None:
    assert list(touches_of(decision(surface="home"))) == []
    pushed = decision("d-9", surface="push", shown=("pot",))
    assert list(touches_of(pushed)) == [("sent", (second_of(START), "pot", mark_of("d-9")))]
    assert list(touches_of(outcome(kind="tapped"))) == []
    assert list(touches_of(outcome(kind="sent"))) == []
    display = Display("d-9", START, ("pot", "loan"))
    assert [kind for kind, _ in touches_of(display)] == ["seen", "seen"]


def test_a_display_that_is_told_twice_counts_once() -> None:
    display, seen = Display("d-1", START, ("pot",)), outcome(kind="seen", decision_id="d-1")
    contact = NO_CONTACT
    for body in (display, seen, outcome("o-2", kind="seen", decision_id="d-1")):
        contact = remembered(contact, list(touches_of(body)), now=second_of(START), memory=GB.memory)
    assert len(contact.touches["seen"]) == 1
    assert seen_lately(contact, "pot", now=second_of(START)) == 1.0
    assert contact.version == 1


def test_seen_lately_is_the_decayed_count_of_displays() -> None:
    days = [0.0, 0.5, 3.25, 9.0]
    contact = NO_CONTACT
    for n, day in enumerate([9.0, 0.0, 3.25, 0.5]):
        fresh = ("seen", (second_of(at(day)), "pot", mark_of(f"d-{n}")))
        contact = remembered(contact, [fresh], now=second_of(at(9)), memory=Memory.of({"seen": 30 * DAY}))
    wanted = sum(DAILY ** (20 - day) for day in days)
    assert seen_lately(contact, "pot", now=second_of(at(20))) == pytest.approx(wanted, abs=1e-5)
    assert seen_lately(contact, "loan", now=second_of(at(20))) == 0.0


def test_a_decision_does_not_count_against_itself_but_what_was_said_of_it_does() -> None:
    happened = [sent(1), Happened("seen", "pot", START, "d-1"), Happened("dismissed", "pot", START, "d-1"), sent(2)]
    left = without(contact_of(happened, chosen=GB, now=START), decision_id="d-1")
    assert {kind: len(each) for kind, each in left.touches.items()} == {"sent": 1, "seen": 0, "dismissed": 1}


# -- the file ------------------------------------------------------------------------------------


def test_the_default_policy_says_in_a_sentence_why_it_refuses() -> None:
    rules = (*GB.limits, *GB.quiet)
    assert len({rule.name for rule in rules}) == len(rules) == 13
    assert all(rule.reason[0].isupper() and rule.reason.endswith(".") for rule in rules)
    assert GB.memory.seconds["dismissed"] == 90 * DAY


def test_layout_and_comments_do_not_change_a_policys_digest_and_a_number_does() -> None:
    text = DEFAULT.read_text()
    assert parse(text.replace("\n\n", "\n# aside\n\n"), where="x").digest == GB.digest
    assert parse(text.replace("most = 3", "most = 2", 1), where="x").digest != GB.digest


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("version", "contact.toml: is not TOML"),
        ('[[cap]]\nid = "A"', "contact.toml: version is missing"),
        ('version = "1"\ncaps = []', "contact.toml: does not know the key caps"),
        (cap(most=0), "cap CAP: most must be at least 1"),
        (cap(within="0d"), "cap CAP: within must be longer than nothing and at most 366d"),
        (cap(within="367d"), "cap CAP: within must be longer than nothing and at most 366d"),
        (cap(within="a week"), 'cap CAP: within: "a week" is not a duration'),
        (cap(of="postcode"), "cap CAP: of is 'postcode'; choose product, family, customer"),
        (cap(counts="dismissed"), "cap CAP: counts is 'dismissed'; choose seen, sent"),
        (cap(channel="email"), "cap CAP: channel is 'email'; choose push, in_app, every"),
        (cap(forr="1d"), "cap CAP: does not know the key forr"),
        (rest(after="seen"), "rest REST: after is 'seen'; choose dismissed, opened, opted_out"),
        (rest(for_everyone="yes"), "rest REST: for_everyone must be true or false"),
        (cap().replace('["promo_personalised", "promo_broadcast"]', "[]"), "cap CAP: classes is empty"),
        (cap().replace("promo_broadcast", "promo"), "cap CAP: classes names 'promo'; choose among service"),
        (cap().replace("It was enough.", "enough"), "cap CAP: reason must be a sentence"),
        (cap() + "\n" + rest("CAP"), "rule CAP: is there 2 times"),
        (quiet("from = 21:00:00"), "quiet QUIET: from and to are the same"),
        (quiet('from = "nine"'), "quiet QUIET: from must be a time of day"),
        (quiet("from = 20:00:00") + quiet("from = 20:00:00"), "rule QUIET: is there 2 times"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence_that_names_the_rule(text: str, sentence: str) -> None:
    whole = text if text.startswith(("version", '[[cap]]\nid = "A"')) else 'version = "1"\n' + text
    with pytest.raises(InvalidConfiguration) as refusal:
        parse(whole, where="contact.toml")
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)
