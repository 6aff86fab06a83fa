"""The bank: reproducible, honest about its truth, and silent about what nobody could know."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from recsys.bank.facts import NAMES
from recsys.bank.merchants import SENSITIVE
from recsys.bank.outcomes import KINDS
from recsys.bank.switches import Switches
from recsys.bank.truth import TRUTHS
from recsys.bank.visits import BankOutcome, Day, Visit
from recsys.bank.world import Bank
from recsys.errors import InvalidConfiguration, InvalidTable, Misuse
from recsys.facts import checked_fact
from recsys.vocabulary import Activity, Permissions

START = datetime(2026, 1, 5, tzinfo=UTC)
IDS = tuple(TRUTHS)


def bank_of(
    customers: int = 300,
    *,
    seed: int = 1,
    start: datetime = START,
    ids: Sequence[str] = IDS,
    switches: Switches | None = None,
) -> Bank:
    return Bank.create(customers=customers, seed=seed, start=start, catalogue=ids, switches=switches)


def searches(bank: Bank, day: Day) -> list[Visit]:
    """Everybody searches once: many slots, so that rare things happen in a small bank."""
    at = day.starts_at + timedelta(hours=9)
    return [Visit(id_, row, "search", at + timedelta(seconds=row)) for row, id_ in enumerate(bank.customers.ids)]


def slates_for(visits: Sequence[Visit], *, length: int, seed: int) -> list[list[str]]:
    order = np.random.default_rng(seed).random((len(visits), len(IDS))).argsort(axis=1)[:, :length]
    return [[IDS[column] for column in row] for row in order.tolist()]


def live(bank: Bank, *, days: int, chunk: int) -> list[BankOutcome]:
    found: list[BankOutcome] = []
    for number in range(days):
        day = bank.begin_day()
        visits = sorted([*day.visits, *searches(bank, day)], key=lambda v: (v.at, v.row))
        slates = [
            each[: 3 if v.surface != "search" else 10]
            for v, each in zip(visits, slates_for(visits, length=10, seed=number), strict=True)
        ]
        found += bank.organic()
        for first in range(0, len(visits), chunk):
            chosen = slice(first, first + chunk)
            found += bank.respond(visits[chosen], slates[chosen])
    return found


def without_index(outcomes: Sequence[BankOutcome]) -> list[tuple[object, ...]]:
    return [(o.outcome_id, o.row, o.product_id, o.kind, o.happened_at, o.reported_at, o.amount_pence) for o in outcomes]


def told_by(bank: Bank, *, days: int) -> str:
    """A digest of everything a bank says in some days."""
    digest = hashlib.sha256()
    rows = range(len(bank.customers))
    for _ in range(days):
        day = bank.begin_day()
        slates = slates_for(day.visits, length=3, seed=day.number)
        told = (day.visits, bank.facts(rows), bank.permissions(rows), bank.changed_permissions())
        happened = (bank.activity(), bank.organic(), bank.respond(day.visits, slates))
        digest.update(repr((told, happened)).encode() + bank.values(day.visits).tobytes())
    return digest.hexdigest()


def test_the_same_seed_tells_the_same_bytes_and_another_seed_others() -> None:
    first = told_by(bank_of(200), days=6)
    assert told_by(bank_of(200), days=6) == first
    assert told_by(bank_of(200, seed=2), days=6) != first


def test_outcomes_do_not_depend_on_how_visits_are_grouped_into_calls() -> None:
    whole, single = bank_of(), bank_of()
    at_once, one_by_one = live(whole, days=20, chunk=100_000), live(single, days=20, chunk=1)
    assert {outcome.kind for outcome in at_once} >= {"seen", "tapped", "dismissed", "opened"}
    assert without_index(at_once) == without_index(one_by_one)
    rows = range(300)
    assert whole.facts(rows) == single.facts(rows)
    assert whole.permissions(rows) == single.permissions(rows)


def test_visits_and_spending_do_not_depend_on_what_is_shown() -> None:
    """Common random numbers: two policies meet the same people on the same errands."""
    quiet, busy = bank_of(), bank_of()
    live(busy, days=10, chunk=1_000)
    for _ in range(10):
        quiet.begin_day()
    assert quiet.begin_day().visits == busy.begin_day().visits

    def errands(bank: Bank) -> list[tuple[str, datetime]]:
        return [(each.activity_id, each.happened_at) for each in bank.activity() if each.kind == "spending"]

    assert errands(quiet) == errands(busy)


def test_facts_are_those_of_the_border_and_nothing_hidden() -> None:
    bank = bank_of(500)
    for _ in range(3):
        bank.begin_day()
    names = set()
    for _, sheet in bank.facts(range(500)):
        names |= set(sheet)
        for name, value in sheet.items():
            assert checked_fact(name, value) == value
    assert names == set(NAMES)
    assert not names & {"theta", "taste", "persuadable", "persona", "risk_appetite", "patience"}


def test_some_facts_are_missing_for_some_customers() -> None:
    missing = [set(NAMES) - set(sheet) for _, sheet in bank_of(500).facts(range(500))]
    assert any(missing)
    assert set().union(*missing) == {"employment", "has_defined_benefit_pension"}


def test_sensitive_spending_is_never_sent_and_activity_is_of_today() -> None:
    bank = bank_of(400)
    feed: list[Activity] = []
    for _ in range(35):
        day = bank.begin_day()
        today = bank.activity()
        assert all(day.starts_at <= each.happened_at < day.starts_at + timedelta(days=1) for each in today)
        feed += today
    kinds = Counter(each.kind for each in feed)
    assert set(kinds) == {"spending", "salary", "savings", "viewed"}
    assert not {each.subject for each in feed} & SENSITIVE
    assert len({each.activity_id for each in feed}) == len(feed)
    assert 0.5 < kinds["spending"] / (400 * 35) < 2.0
    assert all((each.amount_pence or 0) > 0 for each in feed if each.kind != "viewed")


def test_preferences_can_be_recovered_from_the_spending_mix() -> None:
    """Who pays brokers taps the stocks and shares ISA more than who does not."""
    bank = bank_of(1_000)
    paid: Counter[str] = Counter()
    for _ in range(40):
        bank.begin_day()
        paid.update(each.customer_id for each in bank.activity() if each.subject in {"brokerage", "crypto"})
    everyone = searches(bank, bank.begin_day())
    rates = np.log(bank.tap_rates(everyone)[:, IDS.index("ss-isa")])
    often = np.array([paid[visit.customer_id] >= 3 for visit in everyone])
    assert rates[often].mean() - rates[~often].mean() > 0.8


def test_at_most_one_visit_a_customer_day_and_surface_in_time_order() -> None:
    bank, rates, paid_rates = bank_of(1_000), [], []
    for _ in range(40):
        day = bank.begin_day()
        assert len({(visit.row, visit.surface) for visit in day.visits}) == len(day.visits)
        assert [visit.at for visit in day.visits] == sorted(visit.at for visit in day.visits)
        assert all(day.starts_at <= visit.at < day.starts_at + timedelta(days=1) for visit in day.visits)
        home = {visit.row for visit in day.visits if visit.surface == "home"}
        assert {visit.row for visit in day.visits} == home
        paid = {int(each.customer_id[2:]) for each in bank.activity() if each.kind == "salary"}
        rates.append(len(home) / 1_000)
        if len(paid) > 300:
            paid_rates.append(len(home & paid) / len(paid))
    assert 0.38 < np.mean(rates) < 0.52
    assert np.mean(paid_rates) > np.mean(rates) + 0.06


def test_the_isa_season_raises_the_cash_isa_and_the_allowance_begins_anew() -> None:
    seasons = Switches.parsed(without=["rates"])
    bank = bank_of(400, start=datetime(2026, 2, 16, tzinfo=UTC), switches=seasons)
    rates, subscribed = {}, {}
    for _ in range(51):
        day = bank.begin_day()
        if day.starts_at.day in {16, 5, 6}:
            rate = np.median(bank.tap_rates(searches(bank, day)), axis=0)
            rates[day.starts_at.date().isoformat()] = rate[IDS.index("cash-isa")] / rate[IDS.index("pension")]
        sheets = bank.facts(range(400))
        subscribed[day.starts_at.date().isoformat()] = sum(
            int(str(sheet["isa_subscribed_pence"])) for _, sheet in sheets
        )
    assert rates["2026-04-05"] > 2.0 * rates["2026-02-16"]
    assert subscribed["2026-04-05"] > 0
    assert subscribed["2026-04-06"] < subscribed["2026-04-05"] / 10


def cancelled_in(bank: Bank) -> set[tuple[int, str]]:
    """What customers gave back today."""
    later = bank.later()
    columns = (later.rows.tolist(), later.columns.tolist(), later.kinds.tolist())
    return {(row, IDS[column]) for row, column, kind in zip(*columns, strict=True) if KINDS[kind] == "cancelled_14d"}


def test_what_is_opened_is_held_from_the_day_it_happens_and_opened_once() -> None:
    bank, given_back = bank_of(400, switches=Switches.none()), set[tuple[int, str]]()
    outcomes = []
    for number in range(30):
        visits = searches(bank, bank.begin_day())
        given_back |= cancelled_in(bank)
        outcomes += bank.organic() + bank.respond(visits, slates_for(visits, length=10, seed=number))
    outcomes = [outcome for outcome in outcomes if outcome.kind == "opened"]
    owned = [outcome for outcome in outcomes if TRUTHS[outcome.product_id].owned]
    times = Counter((outcome.row, outcome.product_id) for outcome in owned)
    assert len(owned) > 30
    assert max(times.values()) == 1
    assert given_back
    now = bank.begin_day().starts_at
    given_back |= cancelled_in(bank)
    sheets = dict(bank.facts(range(400)))
    for outcome in owned:
        held = sheets[outcome.customer_id]["held"]
        assert isinstance(held, tuple)
        if (outcome.row, outcome.product_id) not in given_back:
            assert (outcome.product_id in held) == (outcome.happened_at < now)
    assert all(outcome.reported_at > outcome.happened_at for outcome in outcomes)
    assert any(outcome.amount_pence for outcome in owned if TRUTHS[outcome.product_id].family == "savings")


def irritate(bank: Bank, *, days: int, chunk: int) -> list[BankOutcome]:
    """Show everybody what they need least, day after day; return the opting out."""
    found: list[BankOutcome] = []
    for _ in range(days):
        visits = searches(bank, bank.begin_day())
        worst = bank.tap_rates(visits).argsort(axis=1)[:, :10].tolist()
        slates = [[IDS[column] for column in row] for row in worst]
        for first in range(0, len(visits), chunk):
            found += bank.respond(visits[first : first + chunk], slates[first : first + chunk])
    return [outcome for outcome in found if outcome.kind == "opted_out"]


def test_an_objector_is_told_at_once_and_never_comes_back() -> None:
    bank, other = (bank_of(3_000, switches=Switches.none()) for _ in range(2))
    outcomes = irritate(bank, days=21, chunk=3_000)
    assert without_index(outcomes) == without_index(irritate(other, days=21, chunk=1_111))
    gone = {outcome.row: outcome.happened_at for outcome in outcomes}
    assert 0 < len(gone) == len(outcomes)
    for _ in range(30):
        bank.begin_day()
    for row, permission in zip(gone, bank.permissions(list(gone)), strict=True):
        assert permission == Permissions(objected_at=gone[row])


def test_every_change_of_consent_is_announced() -> None:
    bank = bank_of(2_000)
    known = bank.permissions(range(2_000))
    for number in range(15):
        day = bank.begin_day()
        visits = searches(bank, day)
        bank.respond(visits, slates_for(visits, length=10, seed=number))
        now = bank.permissions(range(2_000))
        changed = {row for row in range(2_000) if now[row] != known[row]}
        assert changed <= set(bank.changed_permissions())
        known = now


def test_minors_are_not_offered_credit_and_open_nothing_for_adults() -> None:
    bank = bank_of(2_000)
    outcomes = []
    for _ in range(20):
        bank.begin_day()
        outcomes += bank.organic()
    born = {id_: str(sheet["date_of_birth"]) for id_, sheet in bank.facts(range(2_000))}
    minors = {id_ for id_, birthday in born.items() if birthday > "2008-01-25"}
    assert len(minors) > 20
    assert not any(sheet["pre_eligible"] for id_, sheet in bank.facts(range(2_000)) if id_ in minors)
    opened = {outcome.product_id for outcome in outcomes if outcome.customer_id in minors}
    assert not any(TRUTHS[product].adults_only for product in opened)


def test_points_can_be_given_by_the_catalogue() -> None:
    plain = bank_of(50)
    doubled = Bank.create(customers=50, seed=1, start=START, catalogue=IDS, points={"pot": 12.0})
    visits = searches(plain, plain.begin_day())
    doubled.begin_day()
    assert plain.truths.points[0] == 6.0
    assert (doubled.values(visits)[:, 0] >= plain.values(visits)[:, 0]).all()
    assert (doubled.values(visits)[:, 1:] == plain.values(visits)[:, 1:]).all()


def test_nothing_in_a_slate_shows_nothing() -> None:
    bank = bank_of(50)
    visits = searches(bank, bank.begin_day())
    assert bank.respond(visits, [["nothing"]] * 50) == []
    assert bank.respond([], []) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"customers": 0}, "at least one customer"),
        ({"seed": -1}, "seed must not be negative"),
        ({"start": START.replace(tzinfo=None)}, "aware UTC"),
        ({"start": datetime(2026, 1, 5, tzinfo=timezone(timedelta(hours=1)))}, "aware UTC"),
        ({"start": datetime(2026, 1, 5, 9, tzinfo=UTC)}, "starts at midnight"),
        ({"catalogue": ()}, "catalogue is empty"),
        ({"catalogue": ("pot", "pot")}, "a product twice"),
        ({"catalogue": ("pot", "mortgage")}, "knows no product 'mortgage'"),
    ],
)
def test_bad_parameters_get_one_sentence(changes: dict[str, Any], says: str) -> None:
    good: dict[str, Any] = {"customers": 10, "seed": 1, "start": START, "catalogue": IDS}
    with pytest.raises(InvalidConfiguration, match=says) as caught:
        Bank.create(**(good | changes))
    assert "\n" not in str(caught.value)


def test_misuse_is_named() -> None:
    bank = bank_of(10)
    with pytest.raises(Misuse, match="begin_day first"):
        bank.activity()
    visits = searches(bank, bank.begin_day())[:1]
    with pytest.raises(InvalidTable, match="2 slates for 1 visits"):
        bank.respond(visits, [["pot"], ["pot"]])
    with pytest.raises(InvalidTable, match=r"no product 'mortgage' \(row 1\)"):
        bank.respond(visits, [["mortgage"]])
    with pytest.raises(InvalidTable, match="11 products on search"):
        bank.respond(visits, [list(IDS[:11])])
    lobby = Visit(visits[0].customer_id, 0, "lobby", visits[0].at)
    with pytest.raises(InvalidTable, match=r"no such surface; the bank has home.* \(row 1\)"):
        bank.values([lobby])
    with pytest.raises(InvalidConfiguration, match="no surface 'lobby'"):
        bank.examination("lobby")


def test_a_part_of_the_catalogue_makes_a_bank_too() -> None:
    bank = bank_of(100, ids=("cashback", "pot"))
    day = bank.begin_day()
    assert bank.values(day.visits).shape == (len(day.visits), 2)
    assert {sheet["held"] for _, sheet in bank.facts(range(100))} <= {(), ("pot",)}
