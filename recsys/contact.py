"""The contact policy: how often something may be shown or sent, and when (MKT-7, DUT-3).

A policy is a dated data file that a compliance officer can read (`recsys/default_contact.toml`):
limits over rolling windows and quiet hours. Every one of them is a column of verdicts beside those
of the rule pack, on every decision. Limits are policy and never learned. What a customer was shown
and answered (`Contact`) comes with the profile; a `Reservation` has the same rules asked again at
the moment a decision is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time

import numpy as np

from recsys.derivations import LONDON
from recsys.touches import OPTED_OUT, PUSH, SENT, Memory, second_of
from recsys.vocabulary import Contact, Decision, Product, ProductId, Touch, Verdicts, same_products

CHANNELS = ("push", "in_app", "every")
GROUPS = ("product", "family", "customer")
_MOST_PLANS = 256


@dataclass(frozen=True, slots=True)
class Reach:
    """What a rule concerns: a channel, the surfaces it leaves alone, classes and perhaps families of products."""

    channel: str  # one of CHANNELS
    not_on: frozenset[str]  # surfaces
    classes: frozenset[str]
    families: frozenset[str]  # none: every family
    for_everyone: bool  # also on slates that are the same for everyone

    def fits(self, product: Product) -> bool:
        """Whether the rule concerns this product."""
        return product.communication_class in self.classes and (not self.families or product.family in self.families)

    def applies(self, *, surface: str, path: str) -> bool:
        """Whether the rule concerns this surface and path."""
        channel = PUSH if surface == PUSH else "in_app"
        here = self.channel in ("every", channel) and surface not in self.not_on
        return here and (self.for_everyone or path != "broadcast")


@dataclass(frozen=True, slots=True)
class Limit:
    """Refuses once there were `most` touches of one kind within the window, counted by product, family or customer."""

    name: str
    reason: str
    reach: Reach
    counts: str  # a kind of touch
    of: str  # one of GROUPS
    most: int
    within: int  # seconds

    def group(self, product: Product) -> str | None:
        """What touches of a product count towards, None where the limit does not concern it."""
        if not self.reach.fits(product):
            return None
        return {"product": product.product_id, "family": product.family, "customer": ""}[self.of]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Refuses between two times of day in London, the first included and the second not."""

    name: str
    reason: str
    reach: Reach
    begins: time
    ends: time

    def holds(self, at: datetime) -> bool:
        """Whether it is quiet now; midnight may lie between.

        >>> from datetime import UTC
        >>> quiet = Quiet("", "", Reach("push", frozenset(), frozenset(), frozenset(), False), time(21), time(8))
        >>> [quiet.holds(datetime(2026, 7, 1, hour, tzinfo=UTC)) for hour in (6, 7, 19, 20)]
        [True, False, False, True]
        """
        now = at.astimezone(LONDON).time()
        if self.begins < self.ends:
            return self.begins <= now < self.ends
        return now >= self.begins or now < self.ends


@dataclass(frozen=True, slots=True, eq=False)
class _Tally:
    """A limit made ready for one list of products."""

    column: int
    limit: Limit
    groups: Mapping[ProductId, str | None]
    rows: Mapping[str, list[int]]

    def refused(self, touches: Sequence[Touch], *, now: int) -> list[int]:
        """Rows of the products that are over the limit; `touches` oldest first."""
        stranger = "" if self.limit.of == "customer" else None  # what left the catalogue was shown all the same
        since = now - self.limit.within
        counted: dict[str, int] = {}
        messages: set[tuple[str, str]] = set()
        for second, product, mark in reversed(touches):
            if second <= since:
                break
            group = self.groups.get(product, stranger)
            if group is None:
                continue
            if self.limit.counts == SENT:  # a message is one, however many products it names
                if (group, mark) in messages:
                    continue
                messages.add((group, mark))
            counted[group] = counted.get(group, 0) + 1
        return [row for group, n in counted.items() if n >= self.limit.most for row in self.rows.get(group, ())]


def _tally(column: int, *, limit: Limit, products: Sequence[Product]) -> _Tally:
    groups = {product.product_id: limit.group(product) for product in products}
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups.values()):
        if group is not None:
            rows.setdefault(group, []).append(row)
    if limit.counts == OPTED_OUT and limit.of == "customer":
        groups = dict.fromkeys(groups, "")  # said of an article or of help, it is meant of suggestions all the same
    return _Tally(column, limit, groups, rows)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """The rules that concern one list of products on one surface and path."""

    products: Sequence[Product]  # kept alive, so that their ids stay theirs
    ids: tuple[ProductId, ...]
    tallies: tuple[_Tally, ...]
    quiet: tuple[tuple[int, Quiet, list[int]], ...]


@dataclass(frozen=True, slots=True)
class ContactPolicy:
    """The limits and quiet hours of one file; `digest` covers their meaning, not layout or comments."""

    version: str
    limits: tuple[Limit, ...]
    quiet: tuple[Quiet, ...]
    digest: str
    _names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _reasons: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _plans: dict[tuple[str, str, int | tuple[int, ...]], _Plan] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        rules: tuple[Limit | Quiet, ...] = (*self.limits, *self.quiet)
        object.__setattr__(self, "_names", tuple(rule.name for rule in rules))
        object.__setattr__(self, "_reasons", tuple(rule.reason for rule in rules))

    @property
    def reasons(self) -> Mapping[str, str]:
        """What each rule says, by its name."""
        return dict(zip(self._names, self._reasons, strict=True))

    @property
    def memory(self) -> Memory:
        """How long each kind of touch must be remembered for these limits."""
        windows: dict[str, int] = {}
        for limit in self.limits:
            windows[limit.counts] = max(windows.get(limit.counts, 0), limit.within)
        return Memory.of(windows)

    def verdicts(
        self, contact: Contact, *, products: Sequence[Product], surface: str, at: datetime, path: str = "personalised"
    ) -> Verdicts:
        """What every rule says of every product for a customer with this contact now; (products, rules).

        Pass the whole catalogue: a family's count is over all its products.
        """
        plan = self._plan(products, surface=surface, path=path)
        allowed = np.ones((len(plan.ids), len(self._names)), dtype=np.bool_)
        now = second_of(at)
        for tally in plan.tallies:
            if (touches := contact.touches.get(tally.limit.counts)) and (rows := tally.refused(touches, now=now)):
                allowed[rows, tally.column] = False
        for column, quiet, rows in plan.quiet:
            if quiet.holds(at):
                allowed[rows, column] = False
        return Verdicts(plan.ids, self._names, self._reasons, allowed)

    def quiet_on(self, surface: str, *, at: datetime) -> Quiet | None:
        """The quiet hours that hold on a surface now, if any."""
        here = (each for each in self.quiet if each.reach.applies(surface=surface, path="personalised"))
        return next((each for each in here if each.holds(at)), None)

    def _plan(self, products: Sequence[Product], *, surface: str, path: str) -> _Plan:
        key = (surface, path, same_products(products))
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            plan = self._plans[key] = self._planned(tuple(products), surface=surface, path=path)
        return plan

    def _planned(self, products: tuple[Product, ...], *, surface: str, path: str) -> _Plan:
        tallies = tuple(
            _tally(column, limit=limit, products=products)
            for column, limit in enumerate(self.limits)
            if limit.reach.applies(surface=surface, path=path)
        )
        quiet = tuple(
            (column, each, [row for row, product in enumerate(products) if each.reach.fits(product)])
            for column, each in enumerate(self.quiet, start=len(self.limits))
            if each.reach.applies(surface=surface, path=path)
        )
        return _Plan(products, tuple(product.product_id for product in products), tallies, quiet)


@dataclass(frozen=True, slots=True, eq=False)
class Reservation:
    """What a decision was made with, so that it is written only while that still holds.

    Checked under the append lock (recsys/contacts.py): `told` must be the profile's number still, and
    where the contact has moved from version `contact`, the policy is asked again.
    """

    told: int
    contact: int
    policy: ContactPolicy
    products: Sequence[Product]
    path: str

    def holds(self, contact: Contact, *, decision: Decision) -> bool:
        """Whether all that the decision shows may still be shown to a customer with this contact."""
        verdicts = self.policy.verdicts(
            contact, products=self.products, surface=decision.surface, at=decision.made_at, path=self.path
        )
        return {slot.product_id for slot in decision.shown} <= set(verdicts.eligible())
