"""The kinds of customer, and who is which: shares, ages and money of domain 3.4.

Customers come in couples, numbers 2i and 2i + 1, and a draw of the couple says whether the two share
a household: then both have families or neither has. Seen singly, the shares of personas are still
those of the table, 30 % of those with families and 10 % of all others live with another customer, and
couples know nothing of each other, so that any slice can be made alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from recsys.bank.dice import Ints, choices, keys_of, uniforms
from recsys.errors import InvalidConfiguration
from recsys.facts import nearest
from recsys.vocabulary import Bools, Floats

LINKED_FAMILIES, LINKED_OTHERS = 0.30, 0.10  # share that lives with another customer


@dataclass(frozen=True, slots=True)
class Persona:
    """A kind of customer; money in pounds, `lean` is the mean of theta by trait."""

    name: str
    share: float
    joins: float  # share of those who come by growth: younger
    ages: tuple[int, int]
    income: float
    spends: float
    no_savings: float
    savings: float
    arrears: float
    overdrawn: float  # share of days after a week or more below zero, as measured in the bank
    payments: float  # card payments a month
    lean: tuple[float, ...]  # thrift risk borrowing social home tinkering enterprise bargains


# fmt: off
PERSONAS = (
    Persona("payday to payday", .22, .24, (18, 55), 1650, 1.02, .35, 300, .10, .03, 32,
            (-.7, -.2, .7, .0, .0, -.2, -.2, .4)),
    Persona("young spender", .20, .36, (18, 29), 1700, .98, .18, 900, .05, .015, 40,
            (-.4, .2, .3, .9, -.8, .5, .0, .2)),
    Persona("builder", .22, .20, (25, 45), 2250, .86, .02, 6000, .01, .002, 34,
            (.7, .3, -.4, .0, .0, .4, .1, .0)),
    Persona("family", .14, .07, (30, 50), 2500, .93, .06, 5000, .03, .005, 38,
            (.0, -.2, .1, -.4, 1.2, -.2, -.1, .4)),
    Persona("affluent in cash", .09, .04, (30, 65), 4200, .70, .00, 24000, .005, .00, 36,
            (.8, .6, -.6, .0, .2, .0, .2, -.5)),
    Persona("teen", .03, .05, (16, 17), 350, .90, .50, 150, .00, .00, 25,
            (-.2, .0, .0, .8, -1.0, .8, .0, .3)),
    Persona("sole trader", .05, .03, (25, 60), 2100, .92, .12, 3500, .04, .005, 40,
            (.0, .3, .2, .0, .1, .1, 1.6, .0)),
    Persona("older and cautious", .05, .01, (60, 80), 1700, .88, .03, 14000, .01, .00, 25,
            (.7, -.9, -.7, -.4, .4, -.9, -.3, .2)),
)
# fmt: on
TEEN, FAMILY, SOLE, OLDER = 5, 3, 6, 7


def by_persona(name: str) -> Floats:
    """(PERSONAS,) one number of the table for each persona, to be indexed by persona."""
    return np.array([getattr(each, name) for each in PERSONAS], dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """(PERSONAS,) shares of the founders, and of those who come by growth; each adds up to one."""

    founders: Floats
    newcomers: Floats


USUAL = Mix(by_persona("share"), by_persona("joins"))
"""That of the table."""


def mix_of(shares: Sequence[tuple[str, float]]) -> Mix:
    """These shares, by persona, of founders and newcomers alike, and nobody of another; the usual mix for none at all.

    Raises InvalidConfiguration in one sentence.

    >>> mix_of([("teen", 0.25), ("builder", 0.75)]).founders.tolist()
    [0.0, 0.0, 0.75, 0.0, 0.0, 0.25, 0.0, 0.0]
    """
    if not shares:
        return USUAL
    places = {each.name: place for place, each in enumerate(PERSONAS)}
    mix = np.zeros(len(PERSONAS))
    for name, share in shares:
        if name not in places:
            hint = nearest(name, among=places) or f"; there are {', '.join(places)}"
            raise InvalidConfiguration(f"there is no persona {name!r}{hint}")
        if not 0.0 < share <= 1.0:
            raise InvalidConfiguration(f"the share of {name!r} must lie above 0 and not above 1, got {share:g}")
        if mix[places[name]]:
            raise InvalidConfiguration(f"the persona {name!r} is named twice")
        mix[places[name]] = share
    if abs(mix.sum() - 1.0) > 1e-6:
        raise InvalidConfiguration(f"the shares of the personas must add up to 1, they add up to {mix.sum():g}")
    return Mix(mix, mix)


def make_personas(numbers: Ints, *, founders: int, seed: int, mix: Mix = USUAL) -> Ints:
    """(n,) the persona of each customer; numbers from `founders` on come by growth."""
    dice = partial(uniforms, seed, day=0)
    family = _families(numbers, founders=founders, mix=mix)
    linked = linked_of(numbers, founders=founders, seed=seed, mix=mix)
    of_linked = family * LINKED_FAMILIES / _linking(family)
    of_single = family * (1.0 - LINKED_FAMILIES) / (1.0 - _linking(family))
    together = dice(purpose="couple has a family", keys=keys_of(numbers // 2)) < of_linked
    alone = dice(purpose="has a family", keys=keys_of(numbers)) < of_single
    luck = dice(purpose="persona", keys=keys_of(numbers))
    founder, newcomer = (choices(luck, cumulative=_others(shares)) for shares in (mix.founders, mix.newcomers))
    other = np.where(_came_by_growth(numbers, founders=founders), newcomer, founder)
    return np.where(np.where(linked, together, alone), FAMILY, other)


def make_households(numbers: Ints, *, founders: int, seed: int, mix: Mix = USUAL) -> Ints:
    """(n,) the couple's number for those who share a household with the other of the couple, else -1."""
    return np.where(linked_of(numbers, founders=founders, seed=seed, mix=mix), numbers // 2, -1)


def linked_of(numbers: Ints, *, founders: int, seed: int, mix: Mix = USUAL) -> Bools:
    """(n,) whether each customer shares a household with the other of the couple."""
    luck = uniforms(seed, purpose="couple shares a household", day=0, keys=keys_of(numbers // 2))
    linked: Bools = luck < _linking(_families(numbers, founders=founders, mix=mix))
    return linked


def _families(numbers: Ints, *, founders: int, mix: Mix) -> Floats:
    """(n,) the share of families among those of the same time."""
    later = _came_by_growth(numbers, founders=founders)
    shares: Floats = np.where(later, mix.newcomers[FAMILY], mix.founders[FAMILY])
    return shares


def _linking(family: Floats) -> Floats:
    """The share that is linked, where that of families is `family`."""
    share: Floats = LINKED_OTHERS + (LINKED_FAMILIES - LINKED_OTHERS) * family
    return share


def _came_by_growth(numbers: Ints, *, founders: int) -> Bools:
    """(n,) by the couple's first number, so that a couple is of one time."""
    later: Bools = numbers // 2 * 2 >= founders
    return later


def _others(shares: Floats) -> Floats:
    """(PERSONAS,) running shares of all but families."""
    others = shares.copy()
    others[FAMILY] = 0.0
    running: Floats = others.cumsum()
    return running
