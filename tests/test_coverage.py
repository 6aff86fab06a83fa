"""On the bank, where the truth is known: intervals hold it at their rate, and planted faults are seen (S-3)."""

from __future__ import annotations

import numpy as np
import pytest

from bandits import sequences
from bandits.evaluation import ESTIMATORS, Panel, chosen
from tests.judged_bank import CELLS, lived, population
from tests.planted import FAULTS, seen_of

REPLICATIONS, NAMES = 200, ("ips", "snips", "dr", "sndr")


def test_s3_intervals_clustered_by_customer_hold_the_truth_at_their_rate() -> None:
    """200 logs of about 300 effective conversions; exact binomial bounds, each crossed by chance once in 500.

    The full table, of 5,000 logs a row, is `make bench ARGS=coverage`.
    """
    people, rng = population(lived(customers=2_000, days=14), CELLS["mild"]), np.random.default_rng(1)
    held, enough = np.zeros(len(NAMES)), 0
    for _ in range(REPLICATIONS):
        panel = Panel("mild", chosen(ESTIMATORS, names=NAMES))
        panel.add(people.replication(rng, customers=7_000))
        verdicts = panel.verdicts()
        enough += verdicts[0].diagnostics.effective_conversions >= 200.0
        held += [each.interval.low <= people.truth <= each.interval.high for each in verdicts]
    assert enough > 0.9 * REPLICATIONS
    for name, n in zip(NAMES, held.tolist(), strict=True):
        assert 0.90 <= n / REPLICATIONS <= 0.99, name


def test_s3_a_confidence_sequence_holds_at_every_look_at_a_bank_too() -> None:
    """60 logs; at a rate of 5 % more than 8 are wrong at some look once in 500."""
    people, rng = population(lived(customers=1_000, days=14), CELLS["mild"]), np.random.default_rng(2)
    wrong = 0
    for _ in range(60):
        bounds = sequences.empirical_bernstein(**people.visits(rng, n=8_000).weighing)
        wrong += bool((bounds.low > people.truth).any() or (bounds.high < people.truth).any())
    assert wrong <= 8


@pytest.mark.parametrize(
    ("fault", "by"),
    [
        (None, set()),
        ("rounded", {"replay"}),
        ("newer_policy", {"replay"}),
        ("newer_policy, whole", {"calibration"}),
        ("dropped_card", {"calibration"}),
        ("lost_outcomes", {"silence"}),
        ("duplicated", {"left out"}),
        ("immature", {"left out"}),
    ],
)
def test_s3_each_planted_fault_is_seen_and_a_sound_log_is_not_accused(fault: str | None, by: set[str]) -> None:
    found = seen_of(fault, seed=1, customers=2_000, days=8)
    assert found >= by
    assert bool(found) == bool(by)


def test_s3_every_fault_the_bank_can_plant_is_tried() -> None:
    assert set(FAULTS) == {
        "rounded",
        "newer_policy",
        "newer_policy, whole",
        "dropped_card",
        "lost_outcomes",
        "duplicated",
        "immature",
    }
