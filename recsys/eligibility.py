"""The rule pack: what may be shown to whom, every verdict with its rule and reason.

A pack is a dated data file that a compliance officer can read (`recsys/rules/gb.toml`). All rules
are put to all products in one vectorised pass. Missing facts fail closed (OPS-6), and every verdict
is kept, not only the first refusal (OPS-5). A rule asks whether a product is eligible (law and product
terms), applicable (makes sense here and now) or suitable (good for this customer); all must hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

from recsys.asking import NOTHING_GIVEN, Asked, Tables
from recsys.audiences import Audience
from recsys.errors import InvalidConfiguration, InvalidRulePack
from recsys.plans import Plan, planned
from recsys.rulefile import allowance_of, audience_of, max_age_of, rule_of
from recsys.ruling import PATHS, Rule
from recsys.tomls import check_unique, document, read_text
from recsys.vocabulary import FactValue, Product, Profile, Verdicts, same_products

GB_RULES = Path(__file__).parent / "rules" / "gb.toml"
"""The rule pack for Great Britain (domain 2.4)."""

RoutePath: TypeAlias = Literal["personalised", "broadcast"]
_MOST_PLANS = 256


@dataclass(frozen=True, slots=True)
class RulePack:
    """The rules of one country, versioned; `digest` covers their meaning, not layout or comments."""

    pack_id: str
    version: str
    country: str
    rules: tuple[Rule, ...]
    digest: str
    tables: Tables = field(default_factory=Tables)
    _names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _reasons: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _kinds: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _plans: dict[tuple[str, str, int | tuple[int, ...]], Plan] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", tuple(rule.name for rule in self.rules))
        object.__setattr__(self, "_reasons", tuple(rule.reason for rule in self.rules))
        object.__setattr__(self, "_kinds", tuple(rule.kind for rule in self.rules))

    @property
    def audiences(self) -> tuple[Audience, ...]:
        """The declared audiences of advice-sensitive products (ADV-2)."""
        return tuple(each for each in self.tables.audiences if isinstance(each, Audience))

    def verdicts(
        self,
        profile: Profile,
        *,
        products: Sequence[Product],
        surface: str,
        at: datetime,
        path: RoutePath = "personalised",
        given: Mapping[str, FactValue] = NOTHING_GIVEN,
    ) -> Verdicts:
        """What every rule says of every product for this customer now; (products, rules).

        `path` is "broadcast" for a slate that is the same for everyone (MKT-2): products are then
        judged by their wording for everyone, and those without one are refused. Rules that are not in
        force on the London day of `at` allow. Pass lists that come again, such as a whole catalogue:
        a plan is kept for each (making one costs about ten times what asking it does).
        `given` is what only the caller knows of this moment: it can refuse, never allow.
        Raises `InvalidConfiguration` for another path.
        """
        plan = self._plan(products, surface=surface, path=path)
        asked = Asked(profile, at=at, surface=surface, path=path, tables=self.tables, given=given)
        allowed, unknown = plan.allowed(asked, rules=self.rules)
        stale = self._stale(unknown, asked.stale) if asked.stale else ()
        return Verdicts(plan.ids, self._names, self._reasons, allowed, unknown, self._kinds, stale, asked.through)

    def _stale(self, unknown: tuple[int, ...], stale: frozenset[str]) -> tuple[tuple[int, str], ...]:
        """(rule, fact) for each of the `unknown` rules that a fact too old made so."""
        return tuple((rule, fact) for rule in unknown for fact in sorted(self.rules[rule].reads & stale))

    def _plan(self, products: Sequence[Product], *, surface: str, path: str) -> Plan:
        key = (surface, path, same_products(products))
        plan = self._plans.get(key)
        if plan is None:
            if path not in PATHS:
                raise InvalidConfiguration(f"there is no path {path}; choose {' or '.join(PATHS)}")
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            plan = self._plans[key] = planned(self.rules, tuple(products), surface=surface, path=path)
        return plan


def load(path: Path) -> RulePack:
    """Read a rule pack; `InvalidRulePack` when it is missing or cannot be enforced."""
    return parse(read_text(path, error=InvalidRulePack), where=str(path))


def parse(text: str, *, where: str) -> RulePack:
    """Read a rule pack from TOML text; `where` names the file in errors."""
    top = document(text, where=where, error=InvalidRulePack)
    pack_id, version, country = top.text("pack"), top.text("version"), top.text("country")
    max_age = max_age_of(top.take("max_age", dict, 'ages such as { balance_pence = "7d" }', default={}), top=top)
    rows = [top.tables(name) for name in ("isa_allowance", "audience", "rule")]
    lines = [[top.inside(row, what="").line for row in each] for each in rows]
    allowances = tuple(allowance_of(row, top=top) for row in rows[0])
    audiences = tuple(audience_of(row, top=top) for row in rows[1])
    rules = tuple(rule_of(row, top=top) for row in rows[2])
    top.done()
    if not rules:
        raise top.fail("has no rule, which would allow everything; add a [[rule]]")
    for what, names, at in (
        ("isa_allowance from", [each.starts_on.isoformat() for each in allowances], lines[0]),
        ("audience", [audience.name for audience in audiences], lines[1]),
        ("rule", [rule.name for rule in rules], lines[2]),
    ):
        check_unique(names, where=where, what=what, error=InvalidRulePack, lines=at)
    _check_dates(rules, where=where, lines=lines[2])
    dated = [*map(asdict, rules), *map(asdict, allowances), *map(asdict, audiences)]
    meaning = [pack_id, version, country, *dated, sorted((name, age.total_seconds()) for name, age in max_age.items())]
    digest = sha256(json.dumps(meaning, sort_keys=True, default=str).encode()).hexdigest()
    return RulePack(pack_id, version, country, rules, digest, Tables(allowances, max_age, audiences))


def _check_dates(rules: Sequence[Rule], *, where: str, lines: Sequence[int]) -> None:
    """A rule id may come again for other days, never for the same one."""
    seen: dict[str, list[tuple[Rule, int]]] = {}
    for rule, line in zip(rules, lines, strict=True):
        for other, at in seen.setdefault(rule.rule_id, []):
            if rule.overlaps(other):
                raise InvalidRulePack(
                    f"{where}: rule {rule.rule_id}: versions {other.version} and {rule.version} are in force on "
                    f"the same days; end the older one where the newer begins (lines {at} and {line})"
                )
        seen[rule.rule_id].append((rule, line))
