"""What changed between two rule packs, in words a compliance officer can sign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from recsys.eligibility import RulePack
from recsys.rulewords import condition_in_words, rule_in_words
from recsys.ruling import Rule

_Said = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was added, removed or changed, and how, by part: (part, before, after)."""

    what: str  # added | removed | changed
    name: str
    parts: tuple[tuple[str, str, str], ...] = ()
    warning: str = ""

    def __str__(self) -> str:
        told = [f"{self.what} {self.name}"]
        told += [f"    {part}: {_arrow(before, after)}" for part, before, after in self.parts]
        return "\n".join([*told, *([f"    beware: {self.warning}"] if self.warning else [])])

    def to_json(self) -> dict[str, Any]:
        """The change as JSON."""
        parts = [{"part": part, "before": before, "after": after} for part, before, after in self.parts]
        return asdict(self) | {"parts": parts}


def changes(before: RulePack, after: RulePack) -> tuple[Change, ...]:
    """Every change from one pack to another, in the order of the new one; removals last."""
    return tuple(
        change
        for old, new, judge in (
            ({"pack": _pack_in_words(before)}, {"pack": _pack_in_words(after)}, None),
            (_tables_in_words(before), _tables_in_words(after), None),
            (_rules_in_words(before), _rules_in_words(after), _unraised),
        )
        for change in _compared(old, new, judge=judge)
    )


def _compared(old: Mapping[str, _Said], new: Mapping[str, _Said], *, judge: Any) -> Iterator[Change]:
    for name, said in new.items():
        if name not in old:
            yield Change("added", name, tuple((part, "", text) for part, text in said.items()))
        elif said != old[name]:
            keys = dict.fromkeys((*old[name], *said))
            pairs = ((key, old[name].get(key, ""), said.get(key, "")) for key in keys)
            parts = tuple((key, was, now) for key, was, now in pairs if was != now)
            yield Change("changed", name, parts, judge(parts) if judge else "")
    for name, said in old.items():
        if name not in new:
            yield Change("removed", name, tuple((part, text, "") for part, text in said.items()))


def _unraised(parts: tuple[tuple[str, str, str], ...]) -> str:
    return "" if any(part == "version" for part, _, _ in parts) else "its version was not raised"


def _pack_in_words(pack: RulePack) -> _Said:
    return {"pack": pack.pack_id, "version": pack.version, "country": pack.country}


def _rules_in_words(pack: RulePack) -> dict[str, _Said]:
    """By id; a rule that is there for several spans of days is named by its versions."""
    ids = [rule.rule_id for rule in pack.rules]
    return {f"rule {_named(rule, often=ids.count(rule.rule_id) > 1)}": rule_in_words(rule) for rule in pack.rules}


def _named(rule: Rule, *, often: bool) -> str:
    return rule.name if often else rule.rule_id


def _tables_in_words(pack: RulePack) -> dict[str, _Said]:
    tables = pack.tables
    told: dict[str, _Said] = {"max_age": {name: str(age) for name, age in tables.max_age.items()}}
    for each in tables.allowances:
        pence = {"total_pence": f"{each.total_pence:,}", "cash_under_65_pence": f"{each.cash_under_65_pence:,}"}
        told[f"isa_allowance from {each.starts_on}"] = pence
    for audience in pack.audiences:
        told[f"audience {audience.audience_id}"] = {
            "version": str(audience.version),
            "route": audience.route,
            "about": audience.about,
            "products": ", ".join(audience.products),
            "requires": " and ".join(map(condition_in_words, audience.require)),
            "in force from": str(audience.effective_from or "ever"),
            "in force until": str(audience.effective_to or "further notice"),
        }
    return told


def _arrow(before: str, after: str) -> str:
    return f"{before} → {after}" if before and after else before or after
