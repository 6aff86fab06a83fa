"""What is wrong with a rule pack that can be read: rules that never refuse, or that nobody needs.

`parse` refuses what cannot be enforced. This looks further, with the catalogue at hand and a day in
mind; every finding names the file, the line and what to do in one sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import combinations, pairwise, product

from recsys.asking import Allowance, facts_behind
from recsys.audiences import Audience
from recsys.catalogue import Catalogue
from recsys.conditions import Condition
from recsys.eligibility import RulePack, parse
from recsys.errors import InvalidRulePack
from recsys.facts import nearest
from recsys.logic import excludes, implies
from recsys.ruling import PATHS, Rule, Selector
from recsys.tomls import document

_MOMENTS = ("surface", "path")
_Scope = frozenset[tuple[str, str, str]]  # (product, surface, path)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend, and where."""

    where: str
    line: int
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.why} (line {self.line})"


def findings(text: str, *, where: str, catalogue: Catalogue, today: date) -> tuple[Finding, ...]:
    """Everything to mend in a pack, in the order of the file; raises `InvalidRulePack` where it cannot be read."""
    pack = parse(text, where=where)
    top = document(text, where=where, error=InvalidRulePack)
    lines = {name: [top.inside(row, what=name).line for row in top.tables(name)] for name in _TABLES}
    at = {id(rule): line for rule, line in zip(pack.rules, lines["rule"], strict=True)}
    at |= {id(each): line for each, line in zip(pack.audiences, lines["audience"], strict=True)}
    at |= {id(each): line for each, line in zip(pack.tables.allowances, lines["isa_allowance"], strict=True)}
    told = (*_of_rules(pack, catalogue, today), *_of_audiences(pack, catalogue, today), *_of_allowances(pack, today))
    found = [Finding(where, at.get(id(thing), 1), what, why) for thing, what, why in told]
    return tuple(sorted(found, key=lambda each: each.line))


_TABLES = ("rule", "audience", "isa_allowance")
_Told = Iterator[tuple[object, str, str]]


def _of_rules(pack: RulePack, catalogue: Catalogue, today: date) -> _Told:
    scopes = [_scope(rule, catalogue) for rule in pack.rules]
    for rule, scope in zip(pack.rules, scopes, strict=True):
        what = f"rule {rule.rule_id}"
        if rule.effective_to is not None and rule.effective_to <= today:
            yield rule, what, f"ended on {rule.effective_to}; remove it, the version history keeps it"
        strangers = list(_strangers(rule, catalogue))
        yield from ((rule, what, why) for why in strangers)
        if not scope and not strangers:
            yield rule, what, "can concern no product on any surface and path; widen applies_to or remove it"
        yield from ((rule, what, why) for why in _contradictions(rule))
    for (i, one), (j, other) in combinations(enumerate(pack.rules), 2):
        if scopes[i] and _shadows(one, other, scope=scopes[i], shadow=scopes[j]):
            yield other, f"rule {other.rule_id}", f"refuses nobody whom {one.rule_id} lets through; remove it"
        elif scopes[j] and _shadows(other, one, scope=scopes[j], shadow=scopes[i]):
            yield one, f"rule {one.rule_id}", f"refuses nobody whom {other.rule_id} lets through; remove it"
    read = {fact for rule in pack.rules for fact in rule.reads}
    read |= {fact for each in pack.audiences for c in each.require for fact in facts_behind(c.fact)}
    for name in pack.tables.max_age:
        if name not in read:
            yield pack, "max_age", f"no rule reads {name}; remove its age"


def _scope(rule: Rule, catalogue: Catalogue) -> _Scope:
    """Where a rule applies; what products state comes and goes, so `has` is not asked."""
    wanted = {key: values for key, values in rule.applies_to.wanted.items() if key != "has"}
    wide = replace(rule, applies_to=Selector(wanted))
    places = product(catalogue.products, catalogue.surfaces, PATHS)
    return frozenset((p.product_id, s, path) for p, s, path in places if wide.applies(p, surface=s, path=path))


def _strangers(rule: Rule, catalogue: Catalogue) -> Iterator[str]:
    known = {
        "product": {p.product_id for p in catalogue.products},
        "family": {p.family for p in catalogue.products},
        "tags": {tag for p in catalogue.products for tag in p.tags},
        "surface": set(catalogue.surfaces),
    }
    for selector in (rule.applies_to, rule.except_for):
        for key, values in selector.wanted.items() if selector is not None else ():
            for value in values if key in known else ():
                if value not in known[key]:
                    hint = nearest(value, among=dict.fromkeys(sorted(known[key])))
                    yield f"names the {key} {value}, which the catalogue does not have{hint}"


def _contradictions(rule: Rule) -> Iterator[str]:
    for one, other in combinations(rule.require, 2):
        if excludes(one, other):
            yield f"asks two things of {one.fact} that nobody can satisfy; it would refuse everybody"
    for name in _MOMENTS:
        if name in rule.applies_to.wanted:
            here = Condition(name, "in", rule.applies_to.wanted[name])
            if any(excludes(here, condition) for condition in rule.require):
                yield f"applies to a {name} that it then refuses; it would refuse everybody"


def _shadows(one: Rule, other: Rule, *, scope: _Scope, shadow: _Scope) -> bool:
    """Whether whatever `one` lets through, `other` lets through: the stricter one is enough.

    Two products' worth of scope may differ in what they state (`has`), which the stricter rule must not ask.
    """
    if not shadow or not shadow <= scope or one.applies_to.wanted.get("has", ()) not in ((), _has(other)):
        return False
    begins = (one.effective_from or date.min) <= (other.effective_from or date.min)
    ends = (other.effective_to or date.max) <= (one.effective_to or date.max)
    strict = set(one.unknown_passes_on) <= set(other.unknown_passes_on)
    return begins and ends and strict and all(any(implies(o, c) for o in one.require) for c in other.require)


def _has(rule: Rule) -> tuple[str, ...]:
    return rule.applies_to.wanted.get("has", ())


def _of_audiences(pack: RulePack, catalogue: Catalogue, today: date) -> _Told:
    for audience in pack.audiences:
        what = f"audience {audience.audience_id}"
        if audience.effective_to is not None and audience.effective_to <= today:
            yield audience, what, f"ended on {audience.effective_to}; remove it, the version history keeps it"
        for name in audience.products:
            if name not in catalogue:
                yield audience, what, f"names the product {name}, which the catalogue does not have"
            elif "advice_sensitive" not in catalogue.product(name).tags:
                yield audience, what, f"names {name}, which is not advice-sensitive and needs no audience"
        yield from ((audience, what, why) for why in _nobody(audience))
    asks = any(condition.fact == "audience_for" for rule in pack.rules for condition in rule.require)
    if asks and not pack.audiences:
        yield pack, "audience", "a rule asks for an audience and there is none, so nobody gets through; declare one"


def _nobody(audience: Audience) -> Iterator[str]:
    for one, other in combinations(audience.require, 2):
        if excludes(one, other):
            yield f"asks two things of {one.fact} that nobody can satisfy"


def _of_allowances(pack: RulePack, today: date) -> _Told:
    allowances: Sequence[Allowance] = pack.tables.allowances
    names = {condition.fact for rule in pack.rules for condition in rule.require}
    if not names & {"isa_remaining_pence", "cash_isa_remaining_pence"}:
        return
    if not any(each.starts_on <= today for each in allowances):
        yield pack, "isa_allowance", f"no allowance is in force on {today}, so no ISA could be shown; add one"
    for each in allowances:
        what = f"isa_allowance from {each.starts_on}"
        if (each.starts_on.month, each.starts_on.day) != (4, 6):
            yield each, what, "does not begin with a tax year; let it begin on 6 April"
        if each.cash_under_65_pence > each.total_pence:
            yield each, what, "allows more in cash than in all; mend one of the two"
    for one, other in pairwise(allowances):
        if other.starts_on < one.starts_on:
            yield other, f"isa_allowance from {other.starts_on}", "stands after a later one; order them by day"
