"""The rule pack: what may be shown to whom, every verdict with its rule and reason.

A pack is a dated data file that a compliance officer can read (`recsys/rules/gb.toml`). All rules
are put to all products in one vectorised pass. Missing facts fail closed (OPS-6), and every verdict
is kept, not only the first refusal (OPS-5).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

from recsys.asking import Allowance, Asked
from recsys.errors import InvalidConfiguration, InvalidRulePack
from recsys.plans import Plan, planned
from recsys.rulefile import allowance_of, rule_of
from recsys.ruling import PATHS, Rule
from recsys.tomls import check_unique, document, read_text
from recsys.vocabulary import Product, Profile, Verdicts

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
    allowances: tuple[Allowance, ...] = ()
    _names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _reasons: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _plans: dict[tuple[str, str, tuple[int, ...]], Plan] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", tuple(rule.name for rule in self.rules))
        object.__setattr__(self, "_reasons", tuple(rule.reason for rule in self.rules))

    def verdicts(
        self,
        profile: Profile,
        *,
        products: Sequence[Product],
        surface: str,
        at: datetime,
        path: RoutePath = "personalised",
    ) -> Verdicts:
        """What every rule says of every product for this customer now; (products, rules).

        `path` is "broadcast" for a slate that is the same for everyone (MKT-2): products are then
        judged by their wording for everyone, and those without one are refused. Rules that are not in
        force on the London day of `at` allow. Pass lists that come again, such as a whole catalogue:
        a plan is kept for each (making one costs about ten times what asking it does).
        Raises `InvalidConfiguration` for another path.
        """
        plan = self._plan(products, surface=surface, path=path)
        asked = Asked(profile, at=at, surface=surface, path=path, allowances=self.allowances)
        allowed, unknown = plan.allowed(asked, rules=self.rules)
        return Verdicts(plan.ids, self._names, self._reasons, allowed.T, unknown)

    def _plan(self, products: Sequence[Product], *, surface: str, path: str) -> Plan:
        key = (surface, path, tuple(map(id, products)))  # a plan keeps its products alive, so ids stay theirs
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
    allowances = tuple(allowance_of(row, top=top) for row in top.tables("isa_allowance"))
    rules = tuple(rule_of(row, top=top) for row in top.tables("rule"))
    top.done()
    if not rules:
        raise top.fail("has no rule, which would allow everything; add a [[rule]]")
    check_unique((rule.rule_id for rule in rules), where=where, what="rule", error=InvalidRulePack)
    starts = (allowance.starts_on.isoformat() for allowance in allowances)
    check_unique(starts, where=where, what="isa_allowance from", error=InvalidRulePack)
    meaning = [pack_id, version, country, *map(asdict, rules), *map(asdict, allowances)]
    digest = sha256(json.dumps(meaning, sort_keys=True, default=str).encode()).hexdigest()
    return RulePack(pack_id, version, country, rules, digest, allowances)
