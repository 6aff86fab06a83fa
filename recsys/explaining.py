"""Why a product may or may not be shown to a customer: every verdict in words, with the facts behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from recsys.derivations import london_day
from recsys.eligibility import RoutePath, RulePack
from recsys.rulewords import condition_in_words, fact_in_words
from recsys.ruling import Rule
from recsys.vocabulary import Product, ProductId, Profile, Verdict


@dataclass(frozen=True, slots=True)
class Explained:
    """One verdict in words: whether it allows, what it asks, and which facts it rests on with their ages."""

    rule: str
    kind: str
    allowed: bool
    reason: str
    requires: tuple[str, ...]
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every verdict of one product for one customer, refusals first."""

    product: ProductId
    surface: str
    path: str
    pack: str
    at: datetime
    verdicts: tuple[Explained, ...]
    audiences: tuple[str, ...]
    unconcerned: int  # rules that do not concern the product here

    @property
    def allowed(self) -> bool:
        """Whether it may be shown."""
        return all(each.allowed for each in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """The explanation as JSON."""
        return asdict(self) | {"at": self.at.isoformat(), "allowed": self.allowed}

    def __str__(self) -> str:
        may = "may be shown" if self.allowed else "may not be shown"
        lines = [
            f"{self.product} {may} on {self.surface} ({self.path} path, {self.pack}, {self.at:%Y-%m-%d %H:%M} UTC)"
        ]
        for each in self.verdicts:
            lines += ["", f"{'allows ' if each.allowed else 'REFUSES'}  {each.rule}  ({each.kind})"]
            lines += [] if each.allowed else [f"    {each.reason}"]
            lines += [f"    requires {clause}" for clause in each.requires]
            lines += [f"    {fact}" for fact in each.facts]
        lines += ["", *(f"admitted through the audience {name}" for name in self.audiences)]
        return "\n".join([*lines, f"{self.unconcerned} other rules do not concern it here"])


def explanation(
    profile: Profile,
    *,
    product_id: ProductId,
    pack: RulePack,
    products: Sequence[Product],
    surface: str,
    path: RoutePath,
    at: datetime,
) -> Explanation:
    """Judge a product as a decision would, and say why; `products` are all that is on offer."""
    verdicts = pack.verdicts(profile, products=products, surface=surface, at=at, path=path)
    told = [verdict for verdict in verdicts.expanded() if verdict.product_id == product_id]
    product = next(each for each in products if each.product_id == product_id)
    day = london_day(at)
    concerned = [
        _explained(rule, verdict, profile=profile, at=at)
        for rule, verdict in zip(pack.rules, told, strict=True)
        if rule.applies(product, surface=surface, path=path) and rule.in_force(day)
    ]
    return Explanation(
        product=product_id,
        surface=surface,
        path=path,
        pack=f"{pack.pack_id} {pack.version}",
        at=at,
        verdicts=tuple(sorted(concerned, key=lambda each: each.allowed)),
        audiences=tuple(name for admitted, name in verdicts.through if admitted == product_id),
        unconcerned=len(pack.rules) - len(concerned),
    )


def _explained(rule: Rule, verdict: Verdict, *, profile: Profile, at: datetime) -> Explained:
    facts = [
        fact_in_words(name, profile.facts.get(name), at=at) + (", which is too old" if name in verdict.stale else "")
        for name in sorted(rule.reads)
    ]
    clauses = tuple(map(condition_in_words, rule.require))
    return Explained(verdict.rule_id, verdict.kind, verdict.allowed, verdict.reason, clauses, tuple(facts))
