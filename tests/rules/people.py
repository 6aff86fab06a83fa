"""People, products and the pack for tests of the rules: somebody who may see everything, and what to change."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.catalogue import BANK_CATALOGUE, load
from recsys.eligibility import GB_RULES, RoutePath, RulePack
from recsys.eligibility import load as load_pack
from recsys.vocabulary import CommunicationClass, CustomerId, Fact, FactValue, Permissions, Product, Profile, Token

CATALOGUE = load(BANK_CATALOGUE)
PACK = load_pack(GB_RULES)
NOON = datetime(2026, 5, 12, 12, tzinfo=UTC)
CASES = Path(__file__).parent / "cases.toml"
CREDIT = ("overdraft", "loan", "flex", "card")
ADULT_ONLY = {*CREDIT, "cash-isa", "ss-isa", "pension", "joint", "business"}
PROMOTIONS = {
    p.product_id for p in CATALOGUE.products if p.communication_class is CommunicationClass.PROMO_PERSONALISED
}
EVERYTHING_ALLOWED: Mapping[str, FactValue] = {
    "date_of_birth": "1985-02-01",
    "age_verified": True,
    "residence": "GB",
    "status": "active",
    "arrears_days": 0,
    "forbearance": False,
    "breathing_space": False,
    "insolvent": False,
    "persistent_debt": False,
    "at_risk_of_difficulty": False,
    "credit_declined_on": None,
    "limit_increase_opt_out": False,
    "direct_debit_failed_on": None,
    "repeat_overdraft_use": False,
    "gambling_block": False,
    "gambling_spike": False,
    "pre_eligible": CREDIT,
    "pre_eligible_until": "2099-01-01T00:00:00Z",
    "treatment_flags": (),
    "balance_pence": 150_000,
    "savings_pence": 1_500_000,
    "monthly_income_pence": 250_000,
    "monthly_spend_pence": 200_000,
    "isa_subscribed_pence": 0,
    "held": (),
    "signals": ("sole_trader", "parent_of_teen"),
    "emergency_months": 4.0,
    "has_defined_benefit_pension": False,
}
ALL_PERMISSIONS = Permissions(in_app=True, push=True, email=True, targeted_support=True)
ABSENT = object()


def profile_of(
    changes: Mapping[str, object] | None = None,
    *,
    permissions: Permissions = ALL_PERMISSIONS,
    as_of: datetime = NOON,
    told: Mapping[str, datetime] | None = None,
) -> Profile:
    """Somebody who may see everything, but for the changes; `told` says since when some facts hold."""
    facts: dict[str, Any] = {**EVERYTHING_ALLOWED, **(changes or {})}
    return Profile(
        CustomerId("c"),
        Token("t"),
        {name: Fact(value, (told or {}).get(name, as_of)) for name, value in facts.items() if value is not ABSENT},
        permissions,
    )


NOBODY = Profile(CustomerId("c"), Token("t"))


def eligible(
    profile: Profile,
    *,
    surface: str = "search",
    at: datetime = NOON,
    path: RoutePath = "personalised",
    pack: RulePack = PACK,
    products: tuple[Product, ...] = CATALOGUE.products,
) -> set[str]:
    return set(pack.verdicts(profile, products=products, surface=surface, at=at, path=path).eligible())


def refusals(
    profile: Profile, product: Product, *, pack: RulePack = PACK, beside: tuple[Product, ...] = (), **asked: Any
) -> list[str]:
    """Ids of the rules that refuse the product, judged beside others."""
    verdicts = pack.verdicts(profile, products=(product, *beside), **asked)
    ids = [rule.partition("@")[0] for rule in verdicts.rules]
    return [rule for rule, allowed in zip(ids, verdicts.allowed[0].tolist(), strict=True) if not allowed]


@dataclass(frozen=True)
class Case:
    """One line of `cases.toml`: a customer, a product, a place and a moment, and the rules that refuse."""

    name: str
    product: str
    refused_by: frozenset[str]
    facts: Mapping[str, object] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    permissions: Permissions = ALL_PERMISSIONS
    told: Mapping[str, datetime] = field(default_factory=dict)
    surface: str = "search"
    path: RoutePath = "personalised"
    at: datetime = NOON
    change: Mapping[str, Any] = field(default_factory=dict)
    beside: tuple[Product, ...] = ()

    @property
    def profile(self) -> Profile:
        """The customer."""
        facts = {**self.facts, **dict.fromkeys(self.without, ABSENT), **dict.fromkeys(self.none, None)}
        return profile_of(facts, permissions=self.permissions, as_of=self.at, told=self.told)

    def refusals(self, pack: RulePack) -> frozenset[str]:
        """Ids of the rules of `pack` that refuse."""
        product = replace(CATALOGUE.product(self.product), **self.change)
        found = refusals(
            self.profile, product, pack=pack, beside=self.beside, surface=self.surface, at=self.at, path=self.path
        )
        return frozenset(found)


def cases() -> list[Case]:
    """Every case of the table."""
    return [_case(row) for row in tomllib.loads(CASES.read_text(encoding="utf-8"))["case"]]


def _case(row: dict[str, Any]) -> Case:
    row = dict(row)
    for name in ("facts", "change"):
        if name in row:
            row[name] = {key: tuple(v) if isinstance(v, list) else v for key, v in row[name].items()}
    for name in ("without", "none"):
        row[name] = tuple(row.get(name, ()))
    if "permissions" in row:
        row["permissions"] = replace(ALL_PERMISSIONS, **row["permissions"])
    row["beside"] = tuple(CATALOGUE.product(each) for each in row.get("beside", ()))
    return Case(**{**row, "refused_by": frozenset(row.pop("refused_by"))})
