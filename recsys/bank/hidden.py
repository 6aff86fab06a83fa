"""What drives customers and is never told: no fact, no table and no feed holds any of it.

Theta leans with the persona, shapes the spending mix, what is owned on the first day and the `saver`
signal, so that a learner can recover part of it from spending, as a real one must. All else here
leaves no trace but what people do with what they are shown.

A taste hangs on the customer's number and the product's name, so a catalogue in another order, or
with one more product, changes nobody's taste for the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from recsys.bank.dice import Ints, keys_of, normals, uniforms
from recsys.bank.personas import PERSONAS
from recsys.bank.truth import TRAITS, Truths
from recsys.vocabulary import Bools, Floats

TASTE_SPREAD = 0.5  # sd of eps, the taste for one product that nothing explains (domain 3.6 has .7)
THETA_SPREAD = 0.85  # around the persona's leaning
DRIFTING = 0.20  # of customers want other things after the drift


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """What drives wants and is never told: every array by customer row.

    The last three are N(0, 1) in any bank: higher is more patient, sooner irritated, keener on rates.
    """

    theta: Floats  # (n, TRAITS) preferences; the appetite for risk is one of them
    taste: Floats  # (n, P) liking of one product
    persuadable: Floats  # (n, P) how much a card changes the mind; lower where taste is strong
    patience: Floats  # (n,) how long deposits stay
    irritation: Floats  # (n,) how soon dismissals become an objection
    price: Floats  # (n,) how much a better rate counts


def make_hidden(persona: Ints, *, numbers: Ints, truths: Truths, seed: int) -> Hidden:
    """Hidden traits around each persona's leaning; `persona` and `numbers` are (n,)."""
    bell = partial(normals, seed, day=0, keys=keys_of(numbers))
    tilt = _columns(bell(purpose=f"taste for {product}") for product in truths.ids)
    whim = _columns(bell(purpose=f"persuadable by {product}") for product in truths.ids)
    return Hidden(
        theta=_theta(persona, numbers=numbers, purpose="theta", seed=seed),
        taste=TASTE_SPREAD * tilt,
        persuadable=whim - 0.45 * tilt,
        patience=bell(purpose="patience"),
        irritation=bell(purpose="irritation"),
        price=bell(purpose="price sensitivity"),
    )


def drifted(hidden: Hidden, *, persona: Ints, numbers: Ints, seed: int) -> Hidden:
    """The same customers after an abrupt drift: a fifth of them, by number, have drawn a new theta."""
    fresh = _theta(persona, numbers=numbers, purpose="theta after the drift", seed=seed)
    drifts = drifting(numbers, seed=seed)
    return replace(hidden, theta=np.where(drifts[:, None], fresh, hidden.theta))


def drifting(numbers: Ints, *, seed: int) -> Bools:
    """(n,) who drifts."""
    drifts: Bools = uniforms(seed, purpose="drifts", day=0, keys=keys_of(numbers)) < DRIFTING
    return drifts


def _theta(persona: Ints, *, numbers: Ints, purpose: str, seed: int) -> Floats:
    lean = np.array([each.lean for each in PERSONAS])[persona]
    bell = partial(normals, seed, day=0, keys=keys_of(numbers))
    return lean + THETA_SPREAD * _columns(bell(purpose=f"{purpose}/{trait}") for trait in TRAITS)


def _columns(columns: Iterable[Floats]) -> Floats:
    return np.stack(list(columns), axis=1)
