"""From what one of each costs to what many a day need: plain arithmetic, linear in the number of decisions.

A process has one core. Where a cost grows with its size, the one to give is of the largest size known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_DAY, _HOUR = 86_400.0, 3_600.0
_MICRO = 1e-6


@dataclass(frozen=True, slots=True)
class Costs:
    """What one of each costs: CPU in µs, space in bytes."""

    decision_us: float  # in the API's process
    outcome_us: float  # in the API's process
    write_us: float  # of a decision with its outcomes, in the transaction: one writer at a time
    learn_us: float  # of a decision with its outcomes, in the learner
    judge_us: float  # of a decision with its outcomes, in `recsys evaluate`
    encode_us: float  # a customer
    train_us: float  # an interaction and epoch
    decision_bytes: float  # in the database, with its share of indexes
    outcome_bytes: float
    compacted_bytes: float  # of a decision, once it was moved to Parquet, with what stays in the database
    customer_bytes: float
    interaction_bytes: float  # of the arrays that training holds
    open_bytes: float  # of the learner's memory, a decision whose windows have not closed


@dataclass(frozen=True, slots=True)
class Habits:
    """How customers come, and how much of a processor may be spent."""

    busiest_hour: float = 0.1  # share of the day's decisions
    utilisation: float = 0.5  # of a core at that hour
    outcomes: float = 3.05  # a decision: three slots seen, one decision in twenty tapped
    taps: float = 0.05  # a decision; each an interaction to train on
    customers: float = 1.0  # known, for one decision a day
    train_days: int = 90  # of taps that a training reads
    epochs: int = 10
    open_days: int = 11  # until the last window of a decision has closed
    judged_days: int = 28  # of decisions that an evaluation reads
    log_days: int = 90  # that stay in the database before `recsys compact` moves them


@dataclass(frozen=True, slots=True)
class Machine:
    """The one that everything begins on."""

    cores: int = 16
    memory_bytes: float = 64e9
    disk_bytes: float = 4e12
    night_hours: float = 6.0  # in which a training or an evaluation must end


@dataclass(frozen=True, slots=True)
class Need:
    """What a number of decisions a day needs."""

    peak: float  # decisions a second in the busiest hour
    api_processes: int
    learner_processes: int
    learner_bytes: float  # of memory, for what is open
    writer_share: float  # of the time in the busiest hour that the database is being written
    train_hours: float  # of one core
    judge_hours: float
    encode_hours: float  # of every customer
    train_bytes: float  # of memory
    customer_bytes: float  # of database
    year_bytes: float  # of log, nothing compacted
    compacted_year_bytes: float  # of log after a year


def need(decisions: float, *, costs: Costs, habits: Habits) -> Need:
    """What so many decisions a day need."""
    peak = decisions * habits.busiest_hour / _HOUR
    api = peak * (costs.decision_us + habits.outcomes * costs.outcome_us) * _MICRO
    learner = decisions * costs.learn_us * _MICRO / _DAY  # it may fall behind by day and catch up by night
    interactions = decisions * habits.taps * habits.train_days
    outcomes = habits.outcomes * costs.outcome_bytes
    fresh = decisions * habits.log_days * (costs.decision_bytes + outcomes)
    old = decisions * (365 - habits.log_days) * (costs.compacted_bytes + outcomes)
    return Need(
        peak=peak,
        api_processes=math.ceil(api / habits.utilisation),
        learner_processes=math.ceil(learner / habits.utilisation),
        learner_bytes=decisions * habits.open_days * costs.open_bytes,
        writer_share=peak * costs.write_us * _MICRO,
        train_hours=interactions * habits.epochs * costs.train_us * _MICRO / _HOUR,
        judge_hours=decisions * habits.judged_days * costs.judge_us * _MICRO / _HOUR,
        encode_hours=decisions * habits.customers * costs.encode_us * _MICRO / _HOUR,
        train_bytes=interactions * costs.interaction_bytes,
        customer_bytes=decisions * habits.customers * costs.customer_bytes,
        year_bytes=decisions * 365 * (costs.decision_bytes + outcomes),
        compacted_year_bytes=fresh + old,
    )


def limits(costs: Costs, *, habits: Habits, machine: Machine) -> dict[str, float]:
    """Decisions a day at which each part outgrows one machine, the first to move first."""
    million = need(1e6, costs=costs, habits=habits)
    api = 1e6 * habits.busiest_hour / _HOUR * (costs.decision_us + habits.outcomes * costs.outcome_us) * _MICRO
    learner = 1e6 * costs.learn_us * _MICRO / _DAY
    used = {
        "log: writes, SQLite to PostgreSQL": million.writer_share / habits.utilisation,
        "log: a year on disk, SQLite to PostgreSQL": million.compacted_year_bytes / machine.disk_bytes,
        "API: half the cores, replicas (Ray Serve)": api / (habits.utilisation * machine.cores / 2),
        "learner: its one process, a recipe each": learner / habits.utilisation,
        "learner: half the memory, for open decisions": million.learner_bytes / (machine.memory_bytes / 2),
        "training: a night of one core, Ray": million.train_hours / machine.night_hours,
        "evaluation: a night of one core, Ray": million.judge_hours / machine.night_hours,
        "encoding: a night of one core, Ray": million.encode_hours / machine.night_hours,
        "training: half the memory, Ray": million.train_bytes / (machine.memory_bytes / 2),
        "facts: half the memory, Feast": million.customer_bytes / (machine.memory_bytes / 2),
    }
    return {part: 1e6 / share for part, share in sorted(used.items(), key=lambda each: -each[1])}
