"""How late outcomes come is learned without the bias of what has not come yet, and labels are corrected by it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from recsys.delays import MOST, Delays
from tests.builders import START

DAY = timedelta(days=1)


def noted(rng: np.random.Generator, *, decided: int, mean_days: float, until: int, each: int = 40) -> Delays:
    """Delays as known on day `until`: `each` outcomes were to come of every day's decisions, exponentially late."""
    delays = Delays(60 * DAY)
    for day in range(decided):
        for late in rng.exponential(mean_days, each):
            if day + late <= until:
                delays.note("isa", START + day * DAY, family="slow", delay=float(late) * DAY)
    return delays


def test_a_curve_is_not_shortened_by_what_has_not_come_yet() -> None:
    """40 seeds; half of all decisions are younger than the mean delay. The mean estimate lies within 3 standard errors
    of the truth (a false alarm in 370), and the plain share of what is known lies far off."""
    truth = (1.0 - np.exp(-10 / 20)) / (1.0 - np.exp(-60 / 20))
    found, plain = [], []
    for seed in range(40):
        delays = noted(np.random.default_rng(seed), decided=80, mean_days=20.0, until=80)
        found.append(delays.share("isa", 10 * DAY, family="slow", now=START + 80 * DAY))
        rng = np.random.default_rng(seed)
        known = [late for day in range(80) for late in rng.exponential(20.0, 40) if day + late <= 80]
        plain.append(np.mean(np.array(known) <= 10))
    assert abs(np.mean(found) - truth) < 3 * np.std(found) / np.sqrt(40) + 0.01
    assert np.mean(plain) > truth + 0.05


def test_a_corrected_label_is_unbiased_and_bounded() -> None:
    """Labels of 20,000 slots taught when a third has come: their mean is the chance of coming at all, to 4 errors."""
    delays = noted(np.random.default_rng(1), decided=200, mean_days=20.0, until=400, each=100)
    share = delays.share("isa", 10 * DAY, family="slow", now=START + 400 * DAY)
    rng = np.random.default_rng(2)
    comes = (rng.random(20_000) < 0.2) & ((late := rng.exponential(20.0, 20_000)) <= 60)
    labels = np.where(comes & (late <= 10), 1.0 / share, 0.0)
    error = np.std(labels) / np.sqrt(20_000)
    assert abs(labels.mean() - 0.2 * (1.0 - np.exp(-3))) < 4 * error
    assert delays.share("isa", timedelta(minutes=1), family="slow", now=START + 400 * DAY) == 1.0 / MOST


def test_a_product_of_which_little_is_known_leans_on_its_family_and_a_family_on_all_others() -> None:
    delays = noted(np.random.default_rng(3), decided=200, mean_days=20.0, until=400)
    known = delays.share("isa", 10 * DAY, family="slow", now=(now := START + 400 * DAY))
    delays.note("new", START, family="slow", delay=timedelta(hours=1))
    delays.note("other", START, family="else", delay=timedelta(hours=1))
    assert abs(delays.share("new", 10 * DAY, family="slow", now=now) - known) < 0.1
    assert abs(delays.share("other", 10 * DAY, family="else", now=now) - known) < 0.1
    assert Delays(60 * DAY).share("anything", DAY, family="any", now=now) == 1.0


def test_a_quick_and_a_slow_product_of_one_family_have_each_their_own_curve() -> None:
    """A pot is opened within the hour, an ISA after weeks: 1,000 of each, more than the family lends either."""
    delays = noted(np.random.default_rng(4), decided=200, mean_days=20.0, until=400, each=5)
    for day in range(200):
        for _ in range(5):
            delays.note("pot", START + day * DAY, family="slow", delay=timedelta(minutes=5))
    now = START + 400 * DAY
    truth = (1.0 - np.exp(-10 / 20)) / (1.0 - np.exp(-60 / 20))
    assert delays.share("pot", 10 * DAY, family="slow", now=now) > 0.95
    assert abs(delays.share("isa", 10 * DAY, family="slow", now=now) - truth) < 0.08


def test_days_that_have_shown_all_tell_the_same_asked_daily_and_asked_once() -> None:
    rng = np.random.default_rng(5)
    late = rng.exponential(20.0, (100, 10))
    daily, once = Delays(30 * DAY), Delays(30 * DAY)
    for today in range(140):
        for day, row in enumerate(late[: today + 1]):
            for each in row[(row > today - day) & (row <= today + 1 - day)]:
                for delays in (daily, once):
                    delays.note("isa", START + day * DAY, family="slow", delay=float(each) * DAY)
        now = START + (today + 1) * DAY
        daily.share("isa", 10 * DAY, family="slow", now=now)
    assert daily.share("isa", 10 * DAY, family="slow", now=now) == once.share("isa", 10 * DAY, family="slow", now=now)
