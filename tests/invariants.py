"""What must hold of every answer, written plainly from the requirements; no rule engine is asked.

An invariant looks at a state and at what left the engine, and says what is wrong, or nothing. Each goes
by the requirements that it reads. What cannot be checked must not be shown: a fact that is missing, too
old or of the wrong kind refuses, but for wording that is the same for everyone, which looks at nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from math import fsum, isfinite
from typing import Any, Final, TypeAlias

from bandits.drawing import verify
from recsys.assignment import in_holdout, unit_of
from recsys.touches import DISMISSED, OPENED, OPTED_OUT, SEEN, SENT
from recsys.vocabulary import NOTHING, Decision, Permissions, Product, Profile, Slot, Switch, Token
from tests.states import State, Touched

DAY = timedelta(days=1)
PROMOTION = ("promo_personalised", "promo_broadcast")
CONTACT = (*PROMOTION, "education")
MISSING: Final = object()
MOST_DAYS: Mapping[str, int] = {
    "pre_eligible": 7, "arrears_days": 7, "gambling_spike": 31, "at_risk_of_difficulty": 31,
    "repeat_overdraft_use": 31, "balance_pence": 7, "savings_pence": 31, "monthly_income_pence": 92,
    "monthly_spend_pence": 92, "emergency_months": 92,
}  # fmt: skip
"""OPS-6: how old a fact may be to be believed, in days."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A list of products as it left the engine, by whichever door."""

    door: str  # decided | repeated | unlogged
    slots: tuple[Slot, ...]  # those that carry a product
    shortfall: str | None
    decision: Decision | None  # None where nothing is logged

    @classmethod
    def read(cls, door: str, told: Mapping[str, Any], decision: Decision) -> Answer:
        """What an app reads."""
        short = told["shortfall"]
        slots = (Slot(s["slot"], s["product_id"], s["creative_id"], s["propensity"]) for s in told["slate"])
        return cls(door, tuple(slots), None if short is None else short["reason"], decision)

    @property
    def personal(self) -> bool:
        """Whether it was made for the person."""
        return self.decision is not None and self.decision.purpose == "promotion"


@dataclass(slots=True)
class Case:
    """A state and an answer to it, to be asked for what the requirements speak of."""

    state: State
    answer: Answer
    at: datetime = field(init=False)
    surface: str = field(init=False)
    personal: bool = field(init=False)
    profile: Profile | None = field(init=False)
    products: Mapping[str, Product] = field(init=False)
    shown: tuple[Product, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.at, self.surface, self.personal = self.state.at, self.state.ask.surface, self.answer.personal
        self.profile = None if self.answer.door == "unlogged" else self.state.profile
        self.products = {product.product_id: product for product in self.state.world.catalogue.products}
        self.shown = tuple(self.products[slot.product_id] for slot in self.answer.slots)

    # -- facts ---------------------------------------------------------------------------------

    @property
    def permissions(self) -> Permissions:
        """What the customer allows; nobody allows nothing."""
        return Permissions() if self.profile is None else self.profile.permissions

    def value(self, name: str) -> object:
        """A fact that is known and young enough, else `MISSING`."""
        fact = None if self.profile is None else self.profile.facts.get(name)
        if fact is None or (name in MOST_DAYS and self.at - fact.as_of > MOST_DAYS[name] * DAY):
            return MISSING
        return fact.value

    def number(self, name: str) -> float | None:
        """A fact that is a number, else None."""
        value = self.value(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def texts(self, name: str) -> tuple[str, ...] | None:
        """A fact that is a list, else None."""
        value = self.value(name)
        return value if isinstance(value, tuple) else None

    def all_false(self, *names: str) -> bool:
        """Whether each is known to be false."""
        return all(self.value(name) is False for name in names)

    def long_ago(self, name: str, *, days: int) -> bool:
        """Whether a day lies so far back, or is known never to have been."""
        value = self.value(name)
        if value is None:
            return True
        day = _date(value)
        return day is not None and (self.today - day).days >= days

    @property
    def paid_up(self) -> bool:
        """Nothing overdue, and no breathing space."""
        overdue = self.number("arrears_days")
        return overdue is not None and overdue <= 0 and self.value("breathing_space") is False

    # -- the calendar of London ----------------------------------------------------------------

    @property
    def today(self) -> date:
        """The day in London."""
        return _in_london(self.at).date()

    def aged(self, years: int) -> bool:
        """Whether the customer is known to have had that birthday; one of 29 February waits for 1 March."""
        born = _date(self.value("date_of_birth"))
        return born is not None and _birthday(born, years) <= self.today

    # -- contact -------------------------------------------------------------------------------

    def touched(self, kind: str, *, days: int) -> Iterable[Touched]:
        """What happened within the last so many days, to the second; this very decision's own messages apart."""
        since = self.at.replace(microsecond=0) - days * DAY
        own = self.answer.decision.decision_id if self.answer.decision is not None else ""
        for each in self.state.happened if self.profile is not None else ():
            mine = kind in (SEEN, SENT) and each.decision_id == own
            if each.kind == kind and not mine and each.at.replace(microsecond=0) > since:
                yield each

    def counted(self, kind: str, *, days: int, product: str = "", family: str = "", of: tuple[str, ...]) -> int:
        """Displays or messages of a product, a family or all, among products of some classes; repeats count once."""
        found: list[tuple[str | None, str]] = []
        for each in self.touched(kind, days=days):
            there = self.products.get(each.product_id)
            if there is not None and there.communication_class not in of:
                continue
            if there is None and (product or family):
                continue
            if product in ("", each.product_id) and (there is None or family in ("", there.family)):
                found.append((each.decision_id, "" if kind == SENT else each.product_id))
        return len({each for each in found if each[0] is not None}) + sum(each[0] is None for each in found)


# -- the products on a slate ---------------------------------------------------------------------


def _adults_only(case: Case, product: Product) -> bool:
    adult = product.regulated_class in ("credit", "isa", "investment", "pension")
    adult = adult or product.product_id in ("joint", "business") or "referral_bonus" in product.tags
    youngest = max(product.min_age, 18 * adult)
    return youngest > 0 and not (case.value("age_verified") is True and case.aged(youngest))


def _credit_in_trouble(case: Case, product: Product) -> bool:
    flags = case.texts("treatment_flags")
    overdue = case.number("arrears_days")
    return product.regulated_class == "credit" and not (
        overdue is not None
        and overdue <= 0
        and case.all_false("forbearance", "breathing_space", "insolvent", "persistent_debt", "at_risk_of_difficulty")
        and case.long_ago("credit_declined_on", days=90)
        and flags is not None
        and "no_credit" not in flags
    )


def _credit_without_a_yes(case: Case, product: Product) -> bool:
    if product.regulated_class != "credit":
        return False
    until = case.value("pre_eligible_until")
    try:
        ends = datetime.fromisoformat(until) if isinstance(until, str) else None
    except ValueError:
        ends = None
    fresh = ends is not None and ends.tzinfo is not None and ends > case.at
    return not (fresh and product.product_id in (case.texts("pre_eligible") or ()))


def _credit_in_distress(case: Case, product: Product) -> bool:
    if product.regulated_class != "credit":
        return False
    names = ("balance_pence", "monthly_income_pence", "monthly_spend_pence")
    balance, income, spend = map(case.number, names)
    if balance is None or income is None or spend is None or balance < 0 or 10 * balance < max(income, spend):
        return True
    if case.answer.door == "decided" and case.state.ask.given.get("low_balance") is True:
        return True
    calm = case.all_false("gambling_block", "gambling_spike")
    return not (calm and case.long_ago("direct_debit_failed_on", days=30))


def _credit_unwanted(case: Case, product: Product) -> bool:
    return "credit_limit" in product.tags and not case.all_false("limit_increase_opt_out")


def _credit_again_and_again(case: Case, product: Product) -> bool:
    return product.regulated_class == "credit" and not case.all_false("repeat_overdraft_use")


def _isa_beyond_allowance(case: Case, product: Product) -> bool:
    if "isa" not in product.tags:
        return False
    paid = case.number("isa_subscribed_pence")
    if paid is None or case.value("residence") != "GB" or case.profile is None:
        return True
    told = _in_london(case.profile.facts["isa_subscribed_pence"].as_of).date()
    year = _tax_year(case.today)
    paid = paid if _tax_year(told) >= year else 0  # another year's payments are that year's
    cash = 1_200_000 if year >= 2027 and not case.aged(65) else 2_000_000
    return paid >= (cash if product.regulated_class == "isa" else 2_000_000)


def _locked_away(case: Case, product: Product) -> bool:
    if "locks_money" not in product.tags:
        return False
    balance, savings, spend = map(case.number, ("balance_pence", "savings_pence", "monthly_spend_pence"))
    if balance is None or savings is None or spend is None or spend <= 0:
        return True
    return max(balance, 0) + savings < 3 * spend


def _saving_before_help(case: Case, product: Product) -> bool:
    pressed = "locks_money" in product.tags
    pressed = pressed or (product.regulated_class == "isa" and case.surface in ("home", "push", "inline"))
    return pressed and not case.paid_up


def _worse_than_held(case: Case, product: Product) -> bool:
    better = set(product.dominated_by) & {*(case.texts("held") or ()), *(each.product_id for each in case.shown)}
    return bool(better)


def _advice_outside_an_audience(case: Case, product: Product) -> bool:
    if "advice_sensitive" not in product.tags or not case.personal:
        return False
    savings = case.number("emergency_months")
    audiences = {
        "ss-isa": savings is not None and savings >= 3,
        "pension": case.aged(22) and not case.aged(65),
    }
    through = case.answer.decision is not None and case.answer.decision.verdicts.through
    named = case.answer.door == "repeated" or product.product_id in dict(through or ())
    return not (case.permissions.targeted_support and audiences[product.product_id] and named)


def _advice_unfit(case: Case, product: Product) -> bool:
    if product.regulated_class == "pension" and not case.all_false("has_defined_benefit_pension"):
        return True
    months = case.number("emergency_months")
    return "advice_sensitive" in product.tags and not (months is not None and months >= 1 and case.paid_up)


def _promoted_in_bad_times(case: Case, product: Product) -> bool:
    if product.communication_class not in PROMOTION:
        return False
    status, flags = case.value("status"), case.value("treatment_flags")
    if (status is not MISSING or case.personal) and status not in ("active", "dormant", "fincrime_hold"):
        return True
    if flags is not MISSING or case.personal:
        return not isinstance(flags, tuple) or "no_promotion" in flags
    return False


def _abroad(case: Case, product: Product) -> bool:
    residence = case.value("residence")
    if product.communication_class not in PROMOTION or (residence is MISSING and not case.personal):
        return False
    return residence not in product.countries


def _not_on_offer(case: Case, product: Product) -> bool:
    begun = product.launched_at is None or product.launched_at <= case.at
    return not (begun and (product.retired_at is None or case.at < product.retired_at))


def _elsewhere(case: Case, product: Product) -> bool:
    return case.surface not in product.surfaces


def _held_already(case: Case, product: Product) -> bool:
    if product.communication_class not in PROMOTION or product.family == "offers":
        return False
    held = case.value("held")
    if held is MISSING:
        return case.personal
    return not isinstance(held, tuple) or product.product_id in held


def _outside_its_market(case: Case, product: Product) -> bool:
    wanted = {"business": "sole_trader", "teen-account": "parent_of_teen"}.get(product.product_id)
    return wanted is not None and wanted not in (case.texts("signals") or ())


def _account_pushed_in_arrears(case: Case, product: Product) -> bool:
    return product.family == "accounts" and case.surface == "push" and not case.paid_up


def _pushed_without_permission(case: Case, product: Product) -> bool:
    if case.surface != "push":
        return False
    flags = case.texts("treatment_flags")
    if flags is None or "no_push" in flags:
        return True
    return product.communication_class in PROMOTION and not (case.personal and case.permissions.push)


def _pushed_what_belongs_in_the_app(case: Case, product: Product) -> bool:
    return case.surface == "push" and product.communication_class in ("promo_broadcast", "education")


def _pushed_at_night(case: Case, product: Product) -> bool:
    night = not time(8) <= _in_london(case.at).time() < time(21)
    return case.surface == "push" and night and product.communication_class in CONTACT


def _pushed_too_often(case: Case, product: Product) -> bool:
    if case.surface != "push" or not case.personal or product.communication_class not in CONTACT:
        return False
    return (
        case.counted(SENT, days=1, of=CONTACT) >= 1
        or case.counted(SENT, days=7, of=CONTACT) >= 3
        or case.counted(SENT, days=7, family=product.family, of=CONTACT) >= 1
        or case.counted(SENT, days=30, product=product.product_id, of=CONTACT) >= 1
    )


def _seen_too_often(case: Case, product: Product) -> bool:
    if case.surface == "search" or not case.personal or product.communication_class not in PROMOTION:
        return False
    own, credit = product.product_id, product.family == "credit"
    return (
        case.counted(SEEN, days=1, product=own, of=PROMOTION) >= 3
        or case.counted(SEEN, days=7, product=own, of=PROMOTION) >= 7
        or (credit and case.counted(SEEN, days=7, family="credit", of=PROMOTION) >= 6)
    )


def _just_opened(case: Case, product: Product) -> bool:
    if case.surface == "search" or not case.personal or product.communication_class not in PROMOTION:
        return False
    return _answered(case, product, OPENED, days=30, family_days=3, of=PROMOTION)


def _dismissed(case: Case, product: Product) -> bool:
    if product.communication_class not in CONTACT:
        return False
    return _answered(case, product, DISMISSED, days=90, family_days=30, of=CONTACT)


def _answered(case: Case, product: Product, kind: str, *, days: int, family_days: int, of: tuple[str, ...]) -> bool:
    """Whether the customer lately answered so to the product, or to another of its family."""
    if any(each.product_id == product.product_id for each in case.touched(kind, days=days)):
        return True
    others = [case.products.get(each.product_id) for each in case.touched(kind, days=family_days)]
    return any(p is not None and p.family == product.family and p.communication_class in of for p in others)


def _after_opting_out(case: Case, product: Product) -> bool:
    if not case.personal or product.communication_class not in PROMOTION:
        return False
    return any(True for _ in case.touched(OPTED_OUT, days=30))


def _switched_off(case: Case, product: Product) -> bool:
    off = [(each.scope, each.subject) for each in _off(case)]
    ways = (("product", product.product_id), ("family", product.family), ("surface", case.surface), ("everything", ""))
    return any(way in off for way in ways)


def _banned(case: Case, product: Product) -> bool:
    return any(
        each.action == "ban" and each.product_id == product.product_id
        for each in case.state.steering.overrides
        if each.surface in ("", case.surface) and case.at < each.expires_at
        if each.withdrawn_at is None or case.at < each.withdrawn_at
    )


def _personal_words_for_everyone(case: Case, product: Product) -> bool:
    [slot] = [each for each in case.answer.slots if each.product_id == product.product_id]
    words = [each for each in product.creatives if each.creative_id == slot.creative_id]
    if len(words) != 1:
        return True
    return not case.personal and words[0].communication_class == "promo_personalised"


# -- the slate as a whole ------------------------------------------------------------------------


def _profiled(case: Case) -> bool:
    """Nobody who objects, allows nothing, stands in the hold-out or under a hold is looked at."""
    decision = case.answer.decision
    if decision is None or decision.purpose != "promotion":
        return decision is not None and not (
            decision.policy in ("static@0", "empty@0", *(("search@1",) if case.state.ask.query is not None else ()))
            and not any(":pin:" in each or ":boost:" in each for each in decision.overrides)
            and all(each.affinity is None and not each.seen_lately for each in decision.candidates)
        )
    permissions, state = case.permissions, case.state
    if case.profile is None or not permissions.in_app or permissions.objected_at is not None:
        return bool(case.answer.slots) or case.answer.door == "decided"
    if case.value("status") == "fincrime_hold":
        return bool(case.answer.slots) or case.answer.door == "decided"
    layers = state.world.layers
    found = case.profile.value("household_id")
    unit = unit_of(
        Token(case.profile.token),
        unit="household",
        household=found if isinstance(found, str) else None,
        salt=layers.holdout_salt,
    )
    held_out = in_holdout(unit, salt=layers.holdout_salt, share=layers.holdout_share)
    return held_out and case.answer.door == "decided"


def _not_what_was_asked(case: Case) -> bool:
    """At most so many, none twice, in order, within the family's share, and only what the caller wanted."""
    ids = [slot.product_id for slot in case.answer.slots]
    ask, surfaces = case.state.ask, case.state.world.catalogue.surfaces
    wanted = set(ids if ask.candidates is None else ask.candidates) - set(ask.exclude)
    families = [product.family for product in case.shown]
    most = max((families.count(each) for each in families), default=0)
    return not (
        len(ids) <= ask.slots
        and len(set(ids)) == len(ids)
        and [slot.number for slot in case.answer.slots] == list(range(1, len(ids) + 1))
        and set(ids) <= wanted
        and (not ids or most <= surfaces[ask.surface].per_family)
    )


def _silent_about_less(case: Case) -> bool:
    """Whoever gets less than was asked for is told why; the approved list says so at the border."""
    if case.answer.door == "unlogged":
        return False
    short = len(case.answer.slots) < case.state.ask.slots
    return short != bool(case.answer.shortfall)


def _not_the_logged_slate(case: Case) -> bool:
    decision = case.answer.decision
    if decision is None:
        return False
    logged = [(s.number, s.product_id, s.creative_id, s.propensity) for s in decision.slots if s.product_id != NOTHING]
    return [(s.number, s.product_id, s.creative_id, s.propensity) for s in case.answer.slots] != logged


def _untrue_probabilities(case: Case) -> bool:
    decision = case.answer.decision
    if decision is None or case.answer.door == "repeated":
        return not all(0.0 < slot.propensity <= 1.0 for slot in case.answer.slots)
    if verify(decision) or len(decision.pmfs) != len(decision.slots):
        return True
    rows = {each.product_id: row for row, each in enumerate(decision.candidates)}
    for slot, pmf in zip(decision.slots, decision.pmfs.tolist(), strict=True):
        sound = all(isfinite(p) and 0.0 <= p <= 1.0 for p in pmf) and abs(fsum(pmf) - 1.0) <= 1e-9
        if not (sound and 0.0 < slot.propensity <= 1.0 and slot.propensity == pmf[rows[slot.product_id]]):
            return True
    return not all(map(isfinite, decision.scores.tolist()))


def _unjudged(case: Case) -> bool:
    """Every product has its verdicts, and nothing that one refused is a candidate or shown."""
    decision = case.answer.decision
    if decision is None or case.answer.door == "repeated":
        return False
    eligible = set(decision.verdicts.eligible())
    candidates = {each.product_id for each in decision.candidates} - {NOTHING}
    whole = decision.verdicts.products == tuple(case.products)
    return not (whole and candidates <= eligible and {slot.product_id for slot in case.answer.slots} <= candidates)


def _drawn_while_off(case: Case) -> bool:
    decision, off = case.answer.decision, _off(case)
    if any(each.scope == "everything" for each in off) and case.answer.slots:
        return True
    unlogged = "static@0" if case.state.ask.query is None else "search@1"
    policy = unlogged if decision is None else decision.policy
    names = (policy, policy.partition("@")[0])
    decided = case.answer.door != "repeated" and bool(case.answer.slots)
    return decided and any(each.scope == "policy" and each.subject in names for each in off)


def _wrongly_steered(case: Case) -> bool:
    """Overrides move a slate while they last, where they may, and are named."""
    decision = case.answer.decision
    if decision is None or case.answer.door == "repeated":
        return False
    there = {each.product_id for each in decision.candidates}
    expected = [
        f"{each.override_id}:{action}:{each.strength!r}:{each.product_id}"
        for action in ("pin", "boost")
        for each in case.state.steering.overrides
        if each.action == action
        and each.surface in ("", case.surface)
        and case.at < min(each.expires_at, each.withdrawn_at or each.expires_at)
        and each.product_id in there
    ]
    even = decision.mode == "live" and decision.policy == "uniform@0"  # the slice that nothing moves
    if not case.personal or case.surface == "search" or even or decision.mode == "fallback:empty":
        expected = []
    named = [each for each in decision.overrides if ":ban:" not in each]
    pins = [each.split(":")[3] for each in expected if ":pin:" in each]
    return named != expected or (bool(pins) and case.answer.slots[0].product_id != pins[0])


# -- what there is -------------------------------------------------------------------------------

OfProduct: TypeAlias = Callable[[Case, Product], bool]
OfSlate: TypeAlias = Callable[[Case], bool]

OF_PRODUCTS: Mapping[str, OfProduct] = {
    "AGE-1 AGE-2 adults only": _adults_only,
    "CRD-1 credit in trouble": _credit_in_trouble,
    "CRD-2 credit without a fresh yes": _credit_without_a_yes,
    "CRD-4 credit in distress": _credit_in_distress,
    "CRD-6 credit limits unwanted": _credit_unwanted,
    "CRD-8 credit for repeated overdrafts": _credit_again_and_again,
    "SAV-1 SAV-2 ISA beyond the allowance": _isa_beyond_allowance,
    "SAV-4 money locked away": _locked_away,
    "SAV-5 worse than what is held": _worse_than_held,
    "SAV-8 saving before help": _saving_before_help,
    "ADV-2 MKT-9 advice outside an audience": _advice_outside_an_audience,
    "ADV-4 ADV-5 advice unfit": _advice_unfit,
    "VUL-3 promotion in bad times": _promoted_in_bad_times,
    "EUA-1 promotion abroad": _abroad,
    "DUT-1 not on offer": _not_on_offer,
    "DUT-1 on another surface": _elsewhere,
    "DUT-1 held already": _held_already,
    "DUT-1 outside its market": _outside_its_market,
    "DUT-1 account pushed in arrears": _account_pushed_in_arrears,
    "DUT-3 dismissed": _dismissed,
    "MKT-2 personal words for everyone": _personal_words_for_everyone,
    "MKT-4 after opting out": _after_opting_out,
    "MKT-6 pushed without permission": _pushed_without_permission,
    "MKT-6 pushed what belongs in the app": _pushed_what_belongs_in_the_app,
    "MKT-7 pushed at night": _pushed_at_night,
    "MKT-7 pushed too often": _pushed_too_often,
    "MKT-7 seen too often": _seen_too_often,
    "MKT-7 just opened": _just_opened,
    "OPS-1 switched off": _switched_off,
    "MRM-6 banned": _banned,
}
"""Invariants of each product on a slate: whether it should not stand there."""

OF_SLATES: Mapping[str, OfSlate] = {
    "MKT-1 MKT-2 OPS-7 EXP-2 profiled": _profiled,
    "OPS-1 drawn while off": _drawn_while_off,
    "MRM-6 wrongly steered": _wrongly_steered,
    "OPS-5 unjudged": _unjudged,
    "TRN-2 untrue probabilities": _untrue_probabilities,
    "TRN-2 not the logged slate": _not_the_logged_slate,
    "OPS-2 not what was asked": _not_what_was_asked,
    "OPS-2 silent about less": _silent_about_less,
}
"""Invariants of a slate as a whole: whether something is wrong."""


def broken_by(case: Case) -> list[str]:
    """The invariants that an answer breaks."""
    products = (name for name, broken in OF_PRODUCTS.items() if any(broken(case, each) for each in case.shown))
    return [*products, *(name for name, odd in OF_SLATES.items() if odd(case))]


# -- small helps ---------------------------------------------------------------------------------


def _off(case: Case) -> list[Switch]:
    """Switches in force."""
    return [s for s in case.state.steering.switches if s.off and (s.expires_at is None or case.at < s.expires_at)]


def _in_london(at: datetime) -> datetime:
    """The clock of London: an hour ahead from the last Sunday of March to that of October, at one."""
    begins, ends = _summer(at.year)
    return at + timedelta(hours=1) if begins <= at < ends else at


@lru_cache
def _summer(year: int) -> tuple[datetime, datetime]:
    ends = [datetime(year, month, 31, 1, tzinfo=UTC) for month in (3, 10)]
    begins, ends_at = (last - (last.weekday() + 1) % 7 * DAY for last in ends)
    return begins, ends_at


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _birthday(born: date, years: int) -> date:
    try:
        return born.replace(year=born.year + years)
    except ValueError:  # 29 February, in a year without one
        return date(born.year + years, 3, 1)


def _tax_year(day: date) -> int:
    return day.year if day >= date(day.year, 4, 6) else day.year - 1
