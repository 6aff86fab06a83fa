"""Lessons are taught once, when they are known; a log tells the same whatever the batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.joining import Joiner, join, lessons, rounds
from recsys.rewards import Rewards, parse
from recsys.vocabulary import (
    NOTHING,
    Body,
    Display,
    Erasure,
    Event,
    Lesson,
    Outcome,
    Round,
    Switch,
    Token,
    without_person,
)
from recsys.waiting import AT_ONCE, Closed, InLog
from tests.builders import START, at, decision, events, outcome

REWARDS = parse(
    """
    version = "test"
    low = -1.0
    high = 10.0
    [[stage]]
    name = "tapped"
    window = "1d"
    grace = "1d"
    worth = 0.5
    [[stage]]
    name = "opened"
    given = "tapped"
    window = "10d"
    grace = "1d"
    worth = "value"
    [[stage]]
    name = "dismissed"
    window = "1d"
    grace = "1d"
    worth = -0.25
    """,
    where="test",
).with_values({"pot": 2.0, "cash-isa": 20.0})
LONG_AFTER = at(30)
END = Switch("everything", "", off=False, reason="the log goes on", by="test")


def told_of(bodies: Iterable[Body], *, until: datetime = LONG_AFTER) -> list[Lesson | Round]:
    """What a log tells when it goes on until some day: later events stand later, recorded as they happen."""
    log = events(sorted_by_time(bodies))
    return list(join([*log, Event(len(log) + 1, until, END)], rewards=REWARDS))


def sorted_by_time(bodies: Iterable[Body]) -> list[Body]:
    return [event.body for event in sorted(events(bodies), key=lambda event: event.recorded_at)]


def taught(told: Iterable[Lesson | Round]) -> list[tuple[str, int, str, bool]]:
    return [
        (each.decision.decision_id, each.slot.number, each.stage, each.happened)
        for each in told
        if isinstance(each, Lesson)
    ]


def happened(kind: str, when: datetime, *, product_id: str = "pot", decision_id: str = "d-1", n: str = "") -> Outcome:
    return outcome(
        f"{decision_id}-{product_id}-{kind}{n}",
        product_id=product_id,
        kind=kind,
        happened_at=when,
        decision_id=decision_id,
    )


SEEN = happened("seen", at(hours=1))
TAPPED = happened("tapped", at(hours=2))
OPENED = happened("opened", at(4))


# -- what teaches ------------------------------------------------------------------------------


def test_each_stage_of_a_seen_slot_teaches_once() -> None:
    told = told_of([decision(), SEEN, TAPPED, OPENED])
    assert taught(told) == [("d-1", 1, "tapped", True), ("d-1", 1, "dismissed", False), ("d-1", 1, "opened", True)]


def test_a_stage_is_not_taught_before_its_window_and_grace_have_passed() -> None:
    assert taught(told_of([decision(), SEEN], until=at(2) - timedelta(microseconds=1))) == []
    assert taught(told_of([decision(), SEEN], until=at(2))) == [
        ("d-1", 1, "tapped", False),
        ("d-1", 1, "dismissed", False),
    ]


def test_opened_is_taught_only_where_tapped_happened() -> None:
    assert [stage for _, _, stage, _ in taught(told_of([decision(), SEEN]))] == ["tapped", "dismissed"]


def test_unseen_slots_do_not_teach() -> None:
    told = told_of([decision(shown=("pot", "round-ups")), SEEN])
    assert {number for _, number, _, _ in taught(told)} == {1}
    assert taught(told_of([decision(), TAPPED])) == []


def test_an_outcome_after_its_window_does_not_teach() -> None:
    edge = [happened("tapped", at(1)), happened("tapped", at(1) + timedelta(microseconds=1))]
    assert [taught(told_of([decision(), SEEN, tap]))[0][3] for tap in edge] == [True, False]


def test_an_outcome_in_time_but_told_after_the_grace_amends_no_lesson() -> None:
    log = [
        *events([decision(), SEEN]),
        Event(3, at(2), END),
        Event(4, at(2.5), TAPPED),
        Event(5, at(30), END),
    ]
    told = list(join(log, rewards=REWARDS))
    assert taught(told)[0] == ("d-1", 1, "tapped", False)
    (closed,) = [each for each in told if isinstance(each, Round)]
    assert closed.stages["tapped"].tolist() == [True]  # the round was still open and knows better


def test_slots_displayed_otherwise_do_not_teach() -> None:
    shown = decision(shown=("pot", "round-ups"))
    also = happened("seen", at(hours=1), product_id="round-ups")
    swapped = Display("d-1", at(hours=0.5), ("cash-isa", "round-ups"))
    told = told_of([shown, swapped, SEEN, also])
    assert {number for _, number, _, _ in taught(told)} == {2}
    (closed,) = [each for each in told if isinstance(each, Round)]
    assert closed.displayed == ("cash-isa", "round-ups")
    shorter = Display("d-1", at(hours=0.5), ("pot",))
    assert {number for _, number, _, _ in taught(told_of([shown, shorter, SEEN, also]))} == {1}


def test_the_null_choice_teaches_nothing_and_is_no_reward() -> None:
    told = told_of([decision(shown=("pot", NOTHING), candidates=("pot", NOTHING)), SEEN])
    assert {number for _, number, _, _ in taught(told)} == {1}
    (closed,) = [each for each in told if isinstance(each, Round)]
    assert closed.rewards.shape == (1,)


def test_a_lesson_names_the_row_of_its_candidate() -> None:
    told = told_of([decision(shown=("round-ups",)), happened("seen", START, product_id="round-ups")])
    assert [each.row for each in told if isinstance(each, Lesson)] == [2, 2]


def test_organic_outcomes_join_nothing() -> None:
    joiner = Joiner(REWARDS)
    organic = outcome("organic", happened_at=at(hours=2), decision_id=None)
    told = [
        each for event in [*events([decision(), SEEN, organic]), Event(9, at(30), END)] for each in joiner.feed(event)
    ]
    assert taught(told)[0] == ("d-1", 1, "tapped", False)
    assert (joiner.counters.organic, joiner.counters.joined) == (1, 1)


def test_a_second_tap_changes_nothing() -> None:
    once, twice = (
        told_of([decision(), SEEN, TAPPED]),
        told_of([decision(), SEEN, TAPPED, happened("tapped", at(3), n="2")]),
    )
    assert taught(once) == taught(twice)
    early = told_of([decision(), SEEN, happened("tapped", at(3)), happened("tapped", at(0.5), n="2")])
    assert taught(early)[0][3]


# -- rounds ------------------------------------------------------------------------------------


def test_the_rewards_of_a_round_by_hand() -> None:
    slate = decision(shown=("pot", "cash-isa", "round-ups"))
    bodies: list[Body] = [
        slate,
        SEEN,
        TAPPED,
        OPENED,  # 0.5 + 2.0
        happened("seen", at(hours=1), product_id="cash-isa"),
        happened("tapped", at(hours=3), product_id="cash-isa"),
        happened("opened", at(5), product_id="cash-isa"),  # 0.5 + 20.0, at most 10.0
        happened("dismissed", at(hours=3), product_id="round-ups"),  # never seen
    ]
    (closed,) = [each for each in told_of(bodies) if isinstance(each, Round)]
    np.testing.assert_array_equal(closed.rewards, [2.5, 10.0, 0.0])
    np.testing.assert_array_equal(closed.seen, [True, True, False])
    assert {stage: found.tolist() for stage, found in closed.stages.items()} == {
        "tapped": [True, True, False],
        "opened": [True, True, False],
        "dismissed": [False, False, False],
    }


def test_a_dismissal_costs() -> None:
    (closed,) = rounds(
        [*events([decision(), SEEN, happened("dismissed", at(0.5))]), Event(9, at(30), END)], rewards=REWARDS
    )
    np.testing.assert_array_equal(closed.rewards, [-0.25])


def test_a_decision_that_showed_nothing_is_a_round_without_slots() -> None:
    (closed,) = rounds([*events([decision(shown=())]), Event(9, at(30), END)], rewards=REWARDS)
    assert closed.rewards.shape == closed.seen.shape == (0,)


def test_an_empty_log_tells_nothing() -> None:
    assert list(join([], rewards=REWARDS)) == []


# -- order, batches, restarts ------------------------------------------------------------------


def a_week(*, n: int = 25) -> list[Event]:
    """Decisions two hours apart with outcomes of every kind, recorded with delays."""
    dice = np.random.default_rng(5)
    bodies: list[tuple[datetime, Body]] = []
    for i in range(n):
        made = at(hours=2.0 * i)
        name = f"d-{i}"
        bodies.append((made, decision(name, made_at=made, shown=("pot", "round-ups"), token=f"t-{i % 4}")))
        for product in ("pot", "round-ups"):
            for kind, chance, days in (
                ("seen", 0.8, 0.1),
                ("tapped", 0.5, 0.8),
                ("opened", 0.5, 9.0),
                ("dismissed", 0.2, 2.0),
            ):
                if dice.random() < chance:
                    when = made + timedelta(days=days * dice.random())
                    delay = timedelta(days=float(dice.choice([0.0, 0.2, 3.0])))
                    bodies.append((when + delay, happened(kind, when, product_id=product, decision_id=name)))
        if dice.random() < 0.2:
            bodies.append((made, Display(name, made, ("pot",))))
    bodies.sort(key=lambda pair: pair[0])
    log = [Event(n, recorded, body) for n, (recorded, body) in enumerate(bodies, start=1)]
    return [*log, Event(len(log) + 1, at(60), END)]


WEEK = a_week()


def digest(told: Iterable[Lesson | Round]) -> list[tuple[object, ...]]:
    return [
        (each.decision.decision_id, each.slot.number, each.stage, each.happened, each.ripe_at)
        if isinstance(each, Lesson)
        else (each.decision.decision_id, each.rewards.tolist(), each.seen.tolist())
        for each in told
    ]


def test_lessons_come_by_the_time_they_were_known_then_by_position() -> None:
    keys = [
        (each.ripe_at, each.position, [stage.name for stage in REWARDS.stages].index(each.stage), each.slot.number)
        for each in lessons(WEEK, rewards=REWARDS)
    ]
    assert len(keys) > 60
    assert keys == sorted(set(keys))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.sets(st.integers(1, len(WEEK) - 1)))
def test_what_is_told_after_a_prefix_depends_on_that_prefix_alone(cuts: set[int]) -> None:
    whole = digest(join(WEEK, rewards=REWARDS))
    joiner, told = Joiner(REWARDS), []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(WEEK)], strict=True):
        told += [each for event in WEEK[start:end] for each in joiner.feed(event)]
        prefix = digest(join(WEEK[:end], rewards=REWARDS))
        assert digest(told) == prefix == whole[: len(prefix)]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.permutations([SEEN, TAPPED, happened("dismissed", at(0.4)), happened("seen", at(0.6), n="2")]))
def test_outcomes_may_come_in_any_order_inside_their_windows(order: Sequence[Body]) -> None:
    def told(bodies: Sequence[Body]) -> list[tuple[object, ...]]:
        first = Event(1, START, decision())
        log = [first, *(Event(n, at(0.9), body) for n, body in enumerate(bodies, start=2)), Event(99, at(30), END)]
        return digest(join(log, rewards=REWARDS))

    assert told(order) == told([SEEN, TAPPED, happened("dismissed", at(0.4))])


@pytest.mark.parametrize("stop", [1, 20, 57, 90, len(WEEK) - 1])
def test_a_restart_from_the_oldest_open_decision_teaches_the_same(stop: int) -> None:
    before = Joiner(REWARDS)
    for event in WEEK[:stop]:
        list(before.feed(event))
    begin = before.open_from(WEEK[stop - 1].position)
    after = Joiner(REWARDS)
    resumed = [
        each for event in WEEK[begin:] for each in list(after.feed(event)) if event.position > WEEK[stop - 1].position
    ]
    undisturbed = [each for event in WEEK[stop:] for each in before.feed(event)]
    assert digest(resumed) == digest(undisturbed)


def test_with_nothing_open_a_restart_reads_on_where_it_stood() -> None:
    joiner = Joiner(REWARDS)
    assert joiner.open_from(7) == 7
    list(joiner.feed(Event(8, START, decision())))
    assert joiner.open_from(8) == 7


def test_a_recorded_time_that_runs_back_does_not_move_the_watermark_back() -> None:
    joiner = Joiner(REWARDS)
    list(joiner.feed(Event(1, at(5), END)))
    list(joiner.feed(Event(2, at(1), END)))
    assert joiner.watermark == at(5)


# -- decisions that are read again -------------------------------------------------------------


class Reread:
    """A log that decisions are read from again, and how often it was asked for how many."""

    def __init__(self, log: Iterable[Event]) -> None:
        self.events = {event.position: event for event in log}
        self.asked: list[int] = []

    def __call__(self, positions: Sequence[int]) -> Mapping[int, Event]:
        self.asked.append(len(positions))
        return {each: self.events[each] for each in positions if each in self.events}


def told_again(again: Reread, *, pages: Sequence[Sequence[Event]]) -> tuple[list[Lesson | Closed], Joiner]:
    joiner, told = Joiner(REWARDS, whole=InLog(again)), list[Lesson | Closed]()
    for page in pages:
        joiner.expect(page[-1].recorded_at)
        told += [each for event in page for each in joiner.ripen(event)]
    return told, joiner


@pytest.mark.parametrize("page", [1, 7, 60, len(WEEK)])
def test_what_is_read_again_tells_the_same_as_what_is_held(page: int) -> None:
    again, held = Reread(WEEK), Joiner(REWARDS)
    wanted = [each for event in WEEK for each in held.feed(event)]
    told, joiner = told_again(again, pages=[WEEK[start : start + page] for start in range(0, len(WEEK), page)])
    assert joiner.counters == held.counters
    assert [key for key in digest(wanted) if len(key) == 5] == digest(e for e in told if isinstance(e, Lesson))
    rounds_ = [each for each in wanted if isinstance(each, Round)]
    closed = [each for each in told if isinstance(each, Closed)]
    for one, other in zip(rounds_, closed, strict=True):
        assert (one.position, one.displayed) == (other.position, other.displayed)
        np.testing.assert_array_equal(one.rewards, other.rewards)
    assert len(again.asked) < (12 if page >= 60 else 60)  # together, where they ripen together


def test_of_many_that_ripen_at_once_only_some_are_read_together() -> None:
    bodies = [b for n in range(AT_ONCE + 50) for b in (decision(f"d{n}"), happened("seen", START, decision_id=f"d{n}"))]
    log = [*events(bodies, recorded_at=START), Event(9_999, at(30), END)]
    again = Reread(log)
    told, _ = told_again(again, pages=[log])
    assert sum(isinstance(each, Lesson) for each in told) == 2 * (AT_ONCE + 50)
    assert max(again.asked) <= AT_ONCE + 1
    assert len(again.asked) == 2


def test_ers_1_of_an_open_decision_the_log_says_whether_it_may_teach() -> None:
    """Scrubbed before its lesson, or gone: it tells none, its round closes, and the books are right."""
    log = [*events([decision(), SEEN]), Event(9, at(30), END)]
    for fate in ("kept", "scrubbed", "gone"):
        again = Reread(log)
        if fate == "scrubbed":
            again.events[1] = replace(log[0], body=without_person(decision()))
        if fate == "gone":
            del again.events[1]
        told, joiner = told_again(again, pages=[log])
        assert [isinstance(each, Lesson) for each in told] == ([True, True, False] if fate == "kept" else [False])
        assert joiner.counters.reconciles()
        assert joiner.counters.closed == 1


def test_ers_1_what_was_read_ahead_of_an_erasure_is_read_again_after_it() -> None:
    other = decision("d-2", made_at=at(hours=1), token="t-2")
    log = [
        *events([decision(), other, SEEN, happened("seen", at(hours=2), decision_id="d-2")]),
        Event(7, at(2), END),
        Event(8, at(2), Erasure("e-1", Token("t-2"), ())),
        Event(9, at(30), END),
    ]
    again = Reread(log)
    joiner = Joiner(REWARDS, whole=InLog(again))
    joiner.expect(at(30))
    told = []
    for event in log:
        told += [each.decision.decision_id for each in joiner.ripen(event) if isinstance(each, Lesson)]
        if event.position == 7:
            again.events[2] = replace(log[1], body=without_person(other))
    assert again.asked == [2, 1]
    assert told == ["d-1", "d-1"]


# -- the books ---------------------------------------------------------------------------------


def test_every_outcome_and_every_decision_is_accounted_for() -> None:
    joiner = Joiner(REWARDS)
    n_lessons = 0
    for event in WEEK:
        n_lessons += sum(isinstance(each, Lesson) for each in joiner.feed(event))
        assert joiner.counters.reconciles()
    counters = joiner.counters
    assert (counters.decisions, counters.closed, counters.waiting) == (25, 25, 0)
    assert counters.outcomes == sum(isinstance(event.body, Outcome) for event in WEEK)
    assert counters.lessons == n_lessons > 0


def test_outcomes_that_fit_no_slot_are_put_aside_and_late_ones_counted() -> None:
    joiner = Joiner(REWARDS)
    stray = happened("tapped", at(0.2), product_id="pension")
    for event in [
        *events([decision(), stray]),
        Event(3, at(30), END),
        Event(4, at(30), replace(TAPPED, outcome_id="x")),
    ]:
        list(joiner.feed(event))
    assert (joiner.counters.quarantined, joiner.counters.late, joiner.counters.joined) == (1, 1, 0)
    ((position, reason),) = joiner.misfits
    assert position == 2
    assert "never showed" in reason
    assert joiner.counters.reconciles()


def test_a_configuration_without_values_gives_every_product_one_point() -> None:
    plain: Rewards = REWARDS.with_values({})
    (closed,) = rounds([*events([decision(), SEEN, TAPPED, OPENED]), Event(9, at(30), END)], rewards=plain)
    np.testing.assert_array_equal(closed.rewards, [1.5])
