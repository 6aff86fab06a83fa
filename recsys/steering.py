"""What people may order over the models' heads: kill switches (OPS-1) and overrides (MRM-6).

A switch takes products, a surface, a policy or everything out of service; it says who, why and until
when. An override pins, bans or boosts one product for at most 90 days. Both are read at every
decision: a ban and a switch are verdicts like any rule's, a pin and a boost change the probabilities
before the draw, so that what is logged stays true. Each ends exactly at its time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Override, Product, ProductId, Switch, Verdicts

SCOPES = ("everything", "policy", "product", "family", "surface")
ACTIONS = ("pin", "ban", "boost")
SEARCH = "search"  # asked for by the customer: nothing is pushed up there
SWITCH, BAN = "OPS-1.switch:", "MRM-6.ban:"  # verdict columns begin so
LONGEST = timedelta(days=90)
WEAKEST, STRONGEST = 0.1, 10.0
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_MATCHES: Mapping[str, Callable[[Switch, Product, str], bool]] = {
    "everything": lambda switch, product, surface: True,
    "surface": lambda switch, product, surface: surface == switch.subject,
    "family": lambda switch, product, surface: product.family == switch.subject,
    "product": lambda switch, product, surface: product.product_id == switch.subject,
    "policy": lambda switch, product, surface: False,  # the ladder passes it over
}

Known = Mapping[str, Collection[str]]
"""scope → subjects there are: what a switch or an override may name."""


@dataclass(frozen=True, slots=True)
class Steering:
    """The last word on every switch and override that may still have an effect; `number` grows with each."""

    number: int = 0
    switches: tuple[Switch, ...] = ()
    overrides: tuple[Override, ...] = ()  # in the order in which they were given

    def off(self, at: datetime) -> tuple[Switch, ...]:
        """Switches in force."""
        return tuple(each for each in self.switches if each.off and _holds(each.expires_at, at))

    def everything_off(self, at: datetime) -> bool:
        """Whether nothing at all may be shown."""
        return any(each.scope == "everything" for each in self.off(at))

    def lets_draw(self, policy: str, *, at: datetime) -> bool:
        """Whether the policy `name@version` may draw; a switch names it whole, or all its versions."""
        names = (policy, policy.partition("@")[0])
        return not any(each.scope == "policy" and each.subject in names for each in self.off(at))

    def judged(self, verdicts: Verdicts, *, products: Sequence[Product], surface: str, at: datetime) -> Verdicts:
        """The same verdicts with a column for each switch and ban in force that refuses a product here."""
        if not self.switches and not self.overrides:
            return verdicts
        columns = [each for each in self._columns(products, surface=surface, at=at) if not all(each[2])]
        if not columns:
            return verdicts
        rules, reasons, allowed = zip(*columns, strict=True)
        return verdicts.joined(Verdicts(verdicts.products, rules, reasons, np.array(allowed, dtype=np.bool_).T))

    def _columns(
        self, products: Sequence[Product], *, surface: str, at: datetime
    ) -> Iterator[tuple[str, str, list[bool]]]:
        for switch in self.off(at):
            matches = _MATCHES[switch.scope]
            name = f"{switch.scope}:{switch.subject}" if switch.subject else switch.scope
            allowed = [not matches(switch, product, surface) for product in products]
            yield SWITCH + name, "This is switched off for now", allowed
        for ban in self._overrides("ban", surface=surface, at=at):
            allowed = [product.product_id != ban.product_id for product in products]
            yield BAN + ban.override_id, "The bank does not show this for now", allowed

    def moves(self, products: Collection[ProductId], *, surface: str, at: datetime) -> tuple[str, ...]:
        """The pins and boosts that change the draw among these products, as a decision names them (`name_of`)."""
        if surface == SEARCH or not self.overrides:
            return ()
        found = (*self._overrides("pin", surface=surface, at=at), *self._overrides("boost", surface=surface, at=at))
        return tuple(name_of(each) for each in found if each.product_id in products)

    def bans(self, verdicts: Verdicts) -> tuple[str, ...]:
        """The bans without which these verdicts would have let a product pass, as a decision names them."""
        if not self.overrides:
            return ()
        columns = [row for row, rule in enumerate(verdicts.rules) if rule.startswith("MRM-6.ban:")]
        if not columns:
            return ()
        others = np.delete(verdicts.allowed, columns, axis=1).all(axis=1)
        working = {
            verdicts.rules[row].partition(":")[2] for row in columns if (others & ~verdicts.allowed[:, row]).any()
        }
        return tuple(name_of(each) for each in self.overrides if each.override_id in working)

    def _overrides(self, action: str, *, surface: str, at: datetime) -> tuple[Override, ...]:
        return tuple(
            each
            for each in self.overrides
            if each.action == action and each.surface in ("", surface) and at < each.ends_at
        )


UNREADABLE = Steering(-1, (Switch("everything", "", off=True, reason="the switches cannot be read", by="recsys"),))
"""What holds while nobody can say what is switched off: nothing is shown."""


def name_of(override: Override) -> str:
    """An override as a decision names it, with all that a replay needs.

    >>> from datetime import UTC
    >>> name_of(Override("isa-week", "boost", "cash-isa", 2.0, "season", "ada", datetime(2026, 4, 6, tzinfo=UTC)))
    'isa-week:boost:2.0:cash-isa'
    """
    return f"{override.override_id}:{override.action}:{override.strength!r}:{override.product_id}"


@dataclass(frozen=True, slots=True)
class Moved:
    """An override as a decision named it.

    >>> Moved.read("isa-week:boost:2.0:cash-isa")
    Moved(override_id='isa-week', action='boost', strength=2.0, product_id='cash-isa')
    """

    override_id: str
    action: str
    strength: float
    product_id: ProductId

    @classmethod
    def read(cls, name: str) -> Moved:
        """The override behind a name; raises ValueError for a text that is none."""
        override_id, action, strength, product_id = name.split(":", 3)
        return cls(override_id, action, float(strength), product_id)


def checked_switch(switch: Switch, *, at: datetime, known: Known) -> Switch:
    """Return the switch, or raise `InvalidConfiguration` with the sentence that mends it."""
    if switch.scope not in SCOPES:
        raise InvalidConfiguration(f'"{switch.scope}" is no scope: use {", ".join(SCOPES)}')
    _check_reason(switch.reason)
    if switch.scope == "everything" and switch.subject:
        raise InvalidConfiguration("a switch of everything has no subject")
    if switch.off:
        if switch.scope != "everything":
            _check_known(switch.subject.partition("@")[0] if switch.scope == "policy" else switch.subject,
                         scope=switch.scope, known=known)  # fmt: skip
        if switch.expires_at is None:
            raise InvalidConfiguration("a switch needs an end: say until when")
        if switch.expires_at <= at:
            raise InvalidConfiguration("a switch must end in the future")
    return switch


def checked_override(override: Override, *, at: datetime, known: Known) -> Override:
    """Return the override, or raise `InvalidConfiguration` with the sentence that mends it."""
    if not _ID.fullmatch(override.override_id):
        raise InvalidConfiguration("an override's id is 1 to 63 of a-z, 0-9, dot, dash and underscore")
    if override.action not in ACTIONS:
        raise InvalidConfiguration(f'"{override.action}" is no override: use {", ".join(ACTIONS)}')
    _check_reason(override.reason)
    _check_known(override.product_id, scope="product", known=known)
    if override.surface:
        _check_known(override.surface, scope="surface", known=known)
    if override.surface == SEARCH and override.action != "ban":
        raise InvalidConfiguration("nothing is pinned or boosted in search: customers find what they look for")
    if not override.expires_at > at:
        raise InvalidConfiguration("an override must end in the future")
    if override.expires_at > at + LONGEST:
        raise InvalidConfiguration(f"an override lasts at most {LONGEST.days} days (MRM-6): choose an earlier end")
    if override.action == "boost" and not (
        math.isfinite(override.strength) and WEAKEST <= override.strength <= STRONGEST and override.strength != 1.0
    ):
        raise InvalidConfiguration(
            f"a boost multiplies a probability by {WEAKEST:g} to {STRONGEST:g}, and not by 1: got {override.strength:g}"
        )
    return override


def _check_reason(reason: str) -> None:
    if len(reason.strip()) < 3:
        raise InvalidConfiguration("say why: the reason is kept for as long as the log")


def _check_known(subject: str, *, scope: str, known: Known) -> None:
    subjects = known.get(scope, ())
    if subject not in subjects:
        there = ", ".join(sorted(subjects)[:20]) or "none yet"
        raise InvalidConfiguration(f'no {scope} is called "{subject[:60]}": there are {there}')


def _holds(expires_at: datetime | None, at: datetime) -> bool:
    return expires_at is None or at < expires_at
