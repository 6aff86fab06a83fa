"""What goes wrong with experiments is planted, and the page says so: a broken split, drift, late outcomes, harm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from recsys.counting import Counts, Day
from recsys.experiments import Experiment
from recsys.metrics import default_metrics
from recsys.moments import Moments, Paired
from recsys.scorecards import Scorecard, scorecard_from
from recsys.vocabulary import Body, Event
from serving.memory_source import MemorySource
from tests.builders import at, decision, drifting, events, experiment, outcome
from tests.test_dashboard import client

METRICS = tuple(replace(m, window=timedelta(days=7), before=timedelta(0)) for m in default_metrics({"pot": 1.0}))


def page_of(log: Sequence[Event]) -> str:
    return client(MemorySource((experiment(),), log, METRICS, as_of=at(60))).get("/experiments/home-bandit").text


def tapped(n: int, variant: str, *, day: int, every: int) -> list[Body]:
    """A customer of a variant, whose opening comes a day later, one of `every`."""
    name, rows = f"{variant}{n}", list[Body]()
    rows.append(decision(f"d{name}", token=name, made_at=at(day), experiments={"home-bandit": variant}))
    if n % every == 0:
        rows.append(outcome(f"o{name}", token=name, kind="opened", happened_at=at(day + 1), decision_id=f"d{name}"))
    return rows


@dataclass(frozen=True, slots=True)
class Counted(MemorySource):
    """An experiment known by its daily sums alone, as a large one is."""

    counts: Counts = Counts((), 0, 0, 0, None)  # noqa: RUF009  frozen

    def scorecard(self, experiment_id: str) -> Scorecard:
        return scorecard_from(self.counts, experiment=self.known[0], metrics=METRICS)


def counted(sizes: dict[str, int], *, days: int = 10) -> Counts:
    """So many units of each variant, evenly over some days, one in ten with an outcome."""
    found = []
    for k in range(days):
        closing, read = {}, {}
        for variant, n in sizes.items():
            so_far, new = n * (k + 1) // days, n * (k + 1) // days - n * k // days
            closing[variant] = {m.name: Moments(so_far, so_far / 10, so_far / 10) for m in METRICS}
            read[variant] = {m.name: Paired(new, new / 10, new / 10, 0.0, 0.0, 0.0) for m in METRICS}
        found.append(Day(date(2026, 3, 2) + timedelta(days=k), closing, read))
    return Counts(tuple(found), sum(sizes.values()) // 10, 0, 0, at(60))


def large(sizes: dict[str, int]) -> str:
    planned: Experiment = replace(experiment(), planned_units=400_000)
    source = Counted((planned,), (), METRICS, counts=counted(sizes))
    return client(source).get("/experiments/home-bandit").text


def test_exp_1_a_split_that_lost_two_percent_of_one_arm_must_not_be_read() -> None:
    page = large({"popularity": 200_000, "bandit": 196_000})
    assert "Do not read" in page
    assert "units did not split as planned" in page
    assert "Find the lost units first" in page
    assert "No</span>" in page  # the badge
    whole = large({"popularity": 200_000, "bandit": 200_100})
    assert "Do not read" not in whole
    assert "Yes</span>" in whole


def test_simpsons_drift_is_flagged_and_days_are_compared_one_by_one() -> None:
    page = page_of(events(drifting()))
    assert "shares changed between days" in page
    assert "days are compared one by one" in page
    assert 'class="verdict worse"' not in page  # a plain comparison would say that the bandit lost


def test_a_metric_whose_outcomes_come_late_is_flagged() -> None:
    shown = [body for n in range(400) for body in tapped(n, ("popularity", "bandit")[n % 2], day=0, every=10_000)]
    late = [
        outcome(f"late{n}", token=f"{('popularity', 'bandit')[n % 2]}{n}", kind="opened", happened_at=at(3))
        for n in range(1, 80)
    ]
    on_time = events(shown)
    log = [*on_time, *(replace(e, position=len(on_time) + e.position, recorded_at=at(40)) for e in events(late))]
    page = page_of(log)
    assert "reached us after their window had been read" in page
    assert "Find out why they are late before deciding" in page


def test_a_broken_guardrail_is_flagged_beside_a_primary_that_won() -> None:
    bodies: list[Body] = []
    for n in range(1_500):
        bodies += tapped(n, "popularity", day=n % 3, every=12) + tapped(n, "bandit", day=n % 3, every=5)
        if n % 3 == 0:
            when = at(n % 3, hours=1)
            bodies.append(outcome(f"x{n}", token=f"bandit{n}", kind="dismissed", happened_at=when))
    page = page_of(events(bodies))
    assert "dismissals per customer" in page.split('aria-label="What to know before believing it"')[1].split("</ul>")[0]
    assert 'class="pill worse"' in page
    assert "What next:" in page
    assert "Ship" not in page.split("What next:")[1][:120]


def test_a_page_of_a_large_experiment_costs_its_days_and_not_its_units() -> None:
    sizes = {"popularity": 50_000_000, "bandit": 50_001_000}
    assert "100,001,000" in large(sizes)
