"""The rule packs of every country a bank serves: where a customer lives decides which is asked (EUA-1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recsys.eligibility import RulePack, load, parse
from recsys.errors import InvalidConfiguration
from recsys.tomls import check_unique
from recsys.vocabulary import Profile


@dataclass(frozen=True, slots=True)
class RuleBook:
    """One pack a country; the first is the home country's.

    The home pack judges whoever lives nowhere known, or where no pack is in force: its own rule on
    residence (EUA-1) then refuses what it must.
    """

    packs: tuple[RulePack, ...]

    @property
    def home(self) -> RulePack:
        """The pack of the home country."""
        return self.packs[0]

    @property
    def version(self) -> str:
        """`pack version` of each, as people read it."""
        return ", ".join(f"{pack.pack_id} {pack.version}" for pack in self.packs)

    def of(self, profile: Profile) -> RulePack:
        """The pack of the country where the customer lives."""
        if len(self.packs) == 1:
            return self.packs[0]
        residence = profile.value("residence")
        return next((pack for pack in self.packs if pack.country == residence), self.home)


def load_book(paths: Sequence[Path]) -> RuleBook:
    """Read packs, the home country's first; raises `InvalidRulePack` or `InvalidConfiguration`."""
    if not paths:
        raise InvalidConfiguration("rules: name at least one rule pack, the home country's first")
    return _book(tuple(load(path) for path in paths))


def parse_book(packs: Sequence[tuple[str, str]]) -> RuleBook:
    """Read packs from their (name, text), the home country's first; raises as `load_book`."""
    return _book(tuple(parse(text, where=name) for name, text in packs))


def _book(packs: tuple[RulePack, ...]) -> RuleBook:
    countries = [pack.country for pack in packs]
    check_unique(countries, where="rules", what="country", error=InvalidConfiguration)
    return RuleBook(packs)
