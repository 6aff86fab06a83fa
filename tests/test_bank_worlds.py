"""Closed forms are the means of what is drawn, in every world.

A z beyond 4.4 comes by chance once in 90,000; all is seeded.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recsys.bank.calibrating import Population, rates_of
from recsys.bank.outcomes import KINDS
from recsys.bank.truth import DISMISS_COST, truths_of
from recsys.bank.worlds import HELD_BACK, WORLDS, world_of
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Floats
from tests.bank_days import IDS, any_ten, bank_of, everybody_searches

Z, N, DAYS = 4.4, 1_500, 12


class Searched:
    """Counts of each kind beside the sum of their chances, after everybody saw ten cards a day."""

    def __init__(self, world: str) -> None:
        self.found, self.expected, self.variance = Counter[str](), Counter[str](), Counter[str]()
        self.values, self.attributed, self.bound = list[Floats](), list[Floats](), list[Floats]()
        bank = bank_of(N, world=world)
        examination = bank.examination("search")
        for day in range(DAYS):
            bank.begin_day()
            arrivals, shown = everybody_searches(N), any_ten(N, day=day)
            cells = arrivals.rows[:, None], shown
            chances = bank._lived().morning.chances
            taps = np.take_along_axis(bank.taps_at(arrivals), shown, axis=1)
            anyway, brought = chances.bound[cells], (1.0 - chances.bound[cells]) * chances.persuaded[cells]
            anyway, brought = (
                np.where(bank.response.holdings.settled()[cells], 0.0, each) for each in (anyway, brought)
            )
            kept = bank.truths.points[shown] * (1.0 - chances.cancels(*cells))
            cost = (1.0 - taps) * chances.dismisses(*cells) * DISMISS_COST
            values = np.take_along_axis(bank.values_at(arrivals), shown, axis=1)
            attributed = np.take_along_axis(bank.attributed_at(arrivals), shown, axis=1)
            np.testing.assert_allclose(values, taps * brought * kept - cost, atol=1e-12)
            np.testing.assert_allclose(attributed, taps * (anyway + brought) * kept - cost, atol=1e-12)
            self.expect("seen", examination + 0.0 * taps)
            self.expect("tapped", examination * taps)
            self.expect("dismissed", examination * (1.0 - taps) * chances.dismisses(*cells))
            self.expect("opened", examination * taps * (anyway + brought))
            outcomes = bank.respond_at(arrivals, shown)
            self.found.update(KINDS[kind] for kind in outcomes.kinds.tolist())
            self.expect("channelled", examination * taps * anyway)
            self.found["channelled"] = bank.response.channelled

    def expect(self, kind: str, chance: Floats) -> None:
        self.expected[kind] += chance.sum()
        self.variance[kind] += (chance * (1.0 - chance)).sum()


@pytest.fixture(scope="module", params=list(WORLDS))
def tested(request: pytest.FixtureRequest) -> Searched:
    return Searched(request.param)


@pytest.mark.parametrize("kind", ["seen", "tapped", "dismissed", "opened", "channelled"])
def test_closed_forms_are_the_means_of_what_is_drawn(tested: Searched, kind: str) -> None:
    assert tested.expected[kind] > 30
    assert abs(tested.found[kind] - tested.expected[kind]) < Z * np.sqrt(tested.variance[kind])


@pytest.mark.parametrize("name", HELD_BACK)
def test_every_world_has_the_base_rates_of_the_plain_one(name: str) -> None:
    """Within a twentieth: the intercepts are rounded to .01 and were found on these very customers."""
    people, plain = Population(), WORLDS["plain"]
    none = np.zeros((3, len(people.truths.ids)))
    wanted = rates_of(plain, people.need(plain), people=people, truths=people.truths, shifts=none)
    world, truths = WORLDS[name], truths_of(people.truths.ids, world=name)
    found = rates_of(world, people.need(world), people=people, truths=truths, shifts=none)
    for each, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(each, other, rtol=0.05)


def test_worlds_are_named() -> None:
    with pytest.raises(InvalidConfiguration, match=r"no world 'flat'; there are plain, thresholds, types, distances"):
        world_of("flat")
    assert truths_of(IDS, world="types").click.tolist() != truths_of(IDS).click.tolist()
