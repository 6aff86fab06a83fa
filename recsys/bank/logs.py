"""A log under any given policy, with true propensities and the truth about every state it met.

    log = log_of(bank, days=5, policy=ArrayPolicy("greedy@1", scores, epsilon_greedy(epsilon=0.1)))
    worth = true_value(other, log=log)              # what `other` would earn in the very same states
    given = target_of(other, log=log)               # its propensities of the logged slates

A logged reward is the points of an opening that was not given back, less the price of a dismissal; its
expectation, if the card is seen, stands in `Log.attributed`. `Log.values` is what the card truly brings
about. Everything is arrays, since off-policy evaluation wants thousands of logs.

Faults can be planted by name, as domain 1.4 lists them: the estimators must notice or be misled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from types import MappingProxyType

import numpy as np

from recsys.bank.app import luck_of, on_surface
from recsys.bank.dice import uniforms
from recsys.bank.logged import Log, target_of
from recsys.bank.outcomes import KINDS, Outcomes, taken
from recsys.bank.slates import (
    ArrayPolicy,
    Slates,
    drawn,
    prepared,
)
from recsys.bank.truth import DISMISS_COST
from recsys.bank.visible import Watched
from recsys.bank.visits import SURFACES, Arrivals
from recsys.bank.world import Bank
from recsys.errors import InvalidConfiguration
from recsys.facts import nearest
from recsys.vocabulary import Bools, Floats, ProductId

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "rounded": "propensities are kept to two digits",
        "newer_policy": "propensities are recomputed later, by a newer policy",
        "dropped_card": "one product's card is dropped downstream and the rest logged as if drawn so",
        "lost_outcomes": "no outcome of one product arrives",
        "duplicated": "one decision in ten is logged twice",
        "immature": "openings still to come when the log is cut count as none",
    }
)
"""What can go wrong with a log, by name."""


def log_of(
    bank: Bank,
    *,
    days: int,
    policy: ArrayPolicy,
    surface: str = "home",
    settle: int = 0,
    fault: str | None = None,
    newer: ArrayPolicy | None = None,
    product: ProductId = "pot",
) -> Log:
    """Live `days` days of a fresh bank with `policy` on one surface, and keep everything.

    `settle` more days are lived with nothing shown, so that what is given back later is known too. A
    `fault` of FAULTS spoils the log as its consumer would find it: `newer` recomputes propensities,
    `product` is dropped or loses its outcomes. Raises `InvalidConfiguration` for an unknown surface,
    fault or product, and where there is nothing to log.
    """
    _check(bank, surface=surface, fault=fault, newer=newer, product=product)
    dropped = bank.truths.ids.index(product) if fault == "dropped_card" else None
    watched, parts, told = Watched(bank), list[Log](), list[Outcomes]()
    for number in range(days):
        day = bank.begin_day()
        watched.look()
        here = day.arrivals.on((surface,))
        visible = watched.of(here.rows, at=day.starts_at)
        eligible = bank.suited(here.rows) & on_surface(bank.truths.ids, surface=surface)
        examination = bank.examination(surface)
        scores, open_ = prepared(policy, visible, eligible=eligible, surface=surface)
        luck = luck_of(here, first=bank.scope.first, places=len(examination), seed=bank.seed, number=number)
        slates = drawn(scores, open_=open_, rule=policy.rule, luck=luck)
        if dropped is not None:
            slates = _without(slates, column=dropped)
        parts.append(
            _states(bank, here, number=number, surface=surface, policy=policy, visible=visible, eligible=eligible,
                    slates=slates)
        )  # fmt: skip
        told += [bank.respond_at(here, slates.shown), bank.later()]
    for _ in range(settle):
        bank.begin_day()
        told.append(bank.later())
    if not sum(map(len, parts)):
        raise InvalidConfiguration(f"nobody came to {surface} in {days} days: there is nothing to log")
    log = _joined(parts)
    if fault == "immature":
        told = [taken(each, each.seconds < 86_400.0 * days) for each in told]
    if fault == "lost_outcomes":
        told = [taken(each, each.columns != bank.truths.ids.index(product)) for each in told]
    log = _rewarded(log, told, points=bank.truths.points)
    return _spoiled(log, fault=fault, newer=newer, seed=bank.seed)


def _check(bank: Bank, *, surface: str, fault: str | None, newer: ArrayPolicy | None, product: ProductId) -> None:
    bank.examination(surface)
    if fault is not None and fault not in FAULTS:
        hint = nearest(fault, among=FAULTS) or f"; there are {', '.join(FAULTS)}"
        raise InvalidConfiguration(f"there is no fault {fault}{hint}")
    if fault == "newer_policy" and newer is None:
        raise InvalidConfiguration("the fault newer_policy needs the newer policy")
    if product not in bank.truths.ids:
        raise InvalidConfiguration(f"the bank knows no product {product!r}; it knows {', '.join(bank.truths.ids)}")


def _states(
    bank: Bank,
    here: Arrivals,
    *,
    number: int,
    surface: str,
    policy: ArrayPolicy,
    visible: Floats,
    eligible: Bools,
    slates: Slates,
) -> Log:
    """One day's decisions, before anybody has answered."""
    nothing = np.zeros(slates.columns.shape, dtype=np.bool_)
    return Log(
        surface=surface,
        policy=policy.name,
        products=bank.truths.ids,
        days=np.full(len(here), number),
        rows=here.rows,
        seconds=here.seconds,
        visible=visible,
        eligible=eligible,
        values=bank.values_at(here),
        attributed=bank.attributed_at(here),
        taps=bank.taps_at(here),
        examination=np.tile(bank.examination(surface), (len(here), 1)),
        columns=slates.columns,
        propensities=slates.propensities,
        pmfs=slates.pmfs,
        seen=nothing,
        tapped=nothing,
        dismissed=nothing,
        opened=nothing,
        rewards=np.zeros(nothing.shape),
    )


def _joined(parts: Sequence[Log]) -> Log:
    names = _arrays(parts[0])
    return _with_arrays(parts[0], {name: np.concatenate([getattr(each, name) for each in parts]) for name in names})


def _arrays(log: Log) -> list[str]:
    return [each.name for each in fields(log) if isinstance(getattr(log, each.name), np.ndarray)]


def _with_arrays(log: Log, arrays: Mapping[str, object]) -> Log:
    return replace(log, **arrays)  # type: ignore[arg-type]


def _rewarded(log: Log, told: Sequence[Outcomes], *, points: Floats) -> Log:
    """The log with what came of each slot; an outcome finds its slot by day, customer and place."""
    names = ("rows", "kinds", "days", "surfaces", "places")
    rows, kinds, days, surfaces, places = (np.concatenate([getattr(each, name) for each in told]) for name in names)
    people = int(log.rows.max()) + 1
    keys = log.days * people + log.rows
    order = np.argsort(keys)
    ours = (surfaces == SURFACES.index(log.surface)) & (rows < people)
    wanted = days * people + rows
    found = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(order) - 1)]
    ours &= keys[found] == wanted
    marks = np.zeros((5, *log.columns.shape), dtype=np.bool_)
    for which, name in enumerate(("seen", "tapped", "dismissed", "opened", "cancelled_14d")):
        happened = ours & (kinds == KINDS.index(name))
        marks[which, found[happened], places[happened]] = True
    seen, tapped, dismissed, opened, given_back = marks
    worth = np.append(points, 0.0)[log.columns]
    rewards = np.where(opened & ~given_back, worth, 0.0) - DISMISS_COST * dismissed
    return replace(log, seen=seen, tapped=tapped, dismissed=dismissed, opened=opened, rewards=rewards)


def _without(slates: Slates, *, column: int) -> Slates:
    """The slates without one product's card: those below move up and keep the propensities they were drawn with."""
    order = np.argsort(slates.columns == column, axis=1, kind="stable")
    columns = np.take_along_axis(slates.columns, order, axis=1)
    gone = columns == column
    propensities = np.where(gone, 1.0, np.take_along_axis(slates.propensities, order, axis=1))
    pmfs = np.where(gone[:, :, None], 0.0, np.take_along_axis(slates.pmfs, order[:, :, None], axis=1))
    return Slates(np.where(gone, -1, columns), propensities, pmfs)


def _spoiled(log: Log, *, fault: str | None, newer: ArrayPolicy | None, seed: int) -> Log:
    """The faults of keeping, once everything has happened."""
    if fault == "rounded":
        return replace(log, propensities=np.maximum(log.propensities.round(2), 0.01))
    if fault == "newer_policy" and newer is not None:
        given = target_of(newer, log=log)
        return replace(log, propensities=np.maximum(given, 1e-6))
    if fault == "duplicated":
        luck = uniforms(seed, purpose="duplicated", day=0, keys=np.arange(len(log), dtype=np.uint64))
        again = np.repeat(np.arange(len(log)), 1 + (luck < 0.1))
        return _with_arrays(log, {name: getattr(log, name)[again] for name in _arrays(log)})
    return log
