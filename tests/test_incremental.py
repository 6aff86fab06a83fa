"""What comes of its own accord is learned from what was not shown, taken off, and never from the hold-out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from bandits.chain import Chain
from bandits.teaching import checked
from recsys.errors import InvalidConfiguration, Misuse
from recsys.joining import Joiner, lessons
from recsys.rewards import ANYWAY, parse
from recsys.vocabulary import Body, Event, Lesson, Outcome, Switch
from tests.builders import at, decision, events, outcome

TEXT = """
low = -1.0
high = 10.0
[[stage]]
name = "tapped"
window = "1d"
worth = 0.0
[[stage]]
name = "opened"
given = "tapped"
window = "10d"
horizon = "60d"
worth = "value"
[[stage]]
name = "dismissed"
window = "1d"
worth = -0.1
[anyway]
window = "30d"
"""
REWARDS = parse(TEXT, where="test").with_values({"pot": 2.0})
INCREMENTAL = REWARDS.teaching(["incremental"])
END = Switch("everything", "", off=False, reason="the log goes on", by="test")


def organic(product_id: str, when: float, *, token: str = "t-1") -> Outcome:
    return outcome(f"o-{product_id}-{when}", product_id=product_id, kind="opened", happened_at=at(when), token=token)


def taught(bodies: Sequence[Body], *, until: float = 100.0, stage: str = ANYWAY) -> list[Lesson]:
    log = sorted(events(bodies), key=lambda event: event.recorded_at)
    log = [Event(number, each.recorded_at, each.body) for number, each in enumerate(log, start=1)]
    told = lessons([*log, Event(len(log) + 1, at(until), END)], rewards=INCREMENTAL)
    return [each for each in told if each.stage == stage]


def test_one_candidate_that_was_not_shown_teaches_what_comes_anyway() -> None:
    two = decision(candidates=("pot", "cash-isa"), shown=("pot",))
    came, not_yet, too_late, before, another = (
        taught([two, *more])
        for more in (
            [organic("cash-isa", 20)], [], [organic("cash-isa", 31)], [organic("cash-isa", -1)],
            [organic("cash-isa", 20, token="t-2")],
        )
    )  # fmt: skip
    assert [each.happened for each in (*came, *not_yet, *too_late, *before, *another)] == [
        True,
        False,
        False,
        False,
        False,
    ]
    assert came[0].slot is None
    assert came[0].decision.candidates[came[0].row].product_id == "cash-isa"
    assert came[0].ripe_at == at(30)
    assert not taught([two, organic("cash-isa", 20)], until=29.9)
    assert not taught([decision(candidates=("pot",), shown=("pot",))])


def test_where_a_card_brought_them_to_it_nobody_knows_what_would_have_come() -> None:
    first = decision("d-1", candidates=("pot", "cash-isa"), shown=("pot",))
    later = decision("d-2", candidates=("pot", "cash-isa"), shown=("cash-isa",), made_at=at(5))
    opened = outcome("o", product_id="cash-isa", kind="opened", happened_at=at(6), decision_id="d-2")
    assert [each.decision.decision_id for each in taught([first, later, opened])] == ["d-2"]


def test_the_lesson_is_drawn_by_the_decision_and_by_nothing_else() -> None:
    many = [decision(f"d-{n}", made_at=at(n / 10)) for n in range(50)]
    alone = [taught([each])[0].row for each in many]
    assert [each.row for each in taught(many)] == alone
    assert len(set(alone)) > 1


def test_a_lesson_of_what_was_shown_is_no_lesson_of_what_was_not() -> None:
    lesson = taught([decision(candidates=("pot", "cash-isa"), shown=("pot",))])[0]
    chain = Chain.of(REWARDS, "incremental")
    assert checked(lesson, chain=chain).label == 0.0
    shown = Lesson(lesson.decision, None, 0, ANYWAY, happened=False, ripe_at=lesson.ripe_at, position=1)
    with pytest.raises(Misuse, match="was shown"):
        checked(shown, chain=chain)


def test_a_stage_with_a_horizon_counts_for_those_still_to_come() -> None:
    """Half of the openings come after the window: once that is known, one inside it is taught as two."""
    bodies: list[Body] = []
    for number in range(60):
        name, start = f"d-{number:02}", number * 2.0
        bodies.append(decision(name, made_at=at(start), candidates=("pot", "cash-isa"), shown=("pot",)))
        late = 1.0 if number % 2 else 20.0
        for kind, when in (("seen", start + 0.1), ("tapped", start + 0.2), ("opened", start + late)):
            bodies.append(
                outcome(f"{name}-{kind}", product_id="pot", kind=kind, happened_at=at(when), decision_id=name)
            )
    told = taught(bodies, until=300.0, stage="opened")
    assert len(told) == 60
    assert all(each.label == 0.0 for each in told if not each.happened)
    early, late_ones = told[1].label, [each.label for each in told[50:] if each.happened]
    assert early == 1.0
    assert all(1.8 < label < 2.2 for label in late_ones)


def test_whatever_the_batches_the_lessons_are_the_same() -> None:
    bodies = [each for n in range(20) for each in (decision(f"d-{n}", made_at=at(n)), organic("cash-isa", n + 2.5))]
    log = events(bodies)
    whole = list(lessons(log, rewards=INCREMENTAL))
    joiner = Joiner(INCREMENTAL)
    piecewise = [each for event in log for each in joiner.feed(event) if isinstance(each, Lesson)]
    assert [(e.decision.decision_id, e.row, e.stage, e.label) for e in whole] == [
        (e.decision.decision_id, e.row, e.stage, e.label) for e in piecewise
    ]
    assert joiner.counters.reconciles()
    assert joiner.counters.organic == 20


def test_the_increment_is_what_is_worth_more_than_coming_anyway() -> None:
    """Of two products that are opened alike once tapped, the one that would be opened anyway is worth less."""
    credited, incremental = Chain.of(REWARDS), Chain.of(REWARDS, "incremental")
    chances = np.array([[0.1, 0.1], [0.4, 0.4], [0.0, 0.0]])
    anyway = np.vstack([chances, [0.3, 0.01]])
    assert credited.expected(chances, ["pot", "pot"]).tolist() == pytest.approx([0.08, 0.08])
    assert incremental.expected(anyway, ["pot", "pot"]).tolist() == pytest.approx([0.08 * 0.4 / 0.7, 0.08 * 0.4 / 0.41])
    assert Chain.from_plain(incremental.plain) == incremental
    twice = Chain.of(parse(TEXT + "lift = 1.2\n", where="test").with_values({"pot": 2.0}), "incremental")
    assert twice.expected(anyway, ["pot", "pot"]).tolist() == pytest.approx([0.08 * 0.4 / 0.76, 0.08 * 0.4 / 0.412])


def test_forms_teach_what_they_say() -> None:
    names = {form: [stage.name for stage in REWARDS.taught(form)] for form in ("attributed", "direct", "tapped")}
    assert names == {
        "attributed": ["tapped", "opened", "dismissed"],
        "direct": ["opened|seen", "dismissed"],
        "tapped": ["tapped"],
    }
    with pytest.raises(InvalidConfiguration, match="anyway"):
        parse(TEXT.split("[anyway]")[0], where="test").taught("incremental")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('horizon = "60d"', 'horizon = "5d"', "horizon must not be shorter"),
        ('horizon = "60d"', 'early = "2d"', "early lies within"),
        ('horizon = "60d"', 'horizon = "60d"\nearly = "20d"', "early lies within"),
        ('name = "dismissed"', 'name = "anyway"', "are taken"),
    ],
)
def test_a_configuration_that_would_mislead_is_refused(old: str, new: str, why: str) -> None:
    with pytest.raises(InvalidConfiguration, match=why):
        parse(TEXT.replace(old, new), where="test")


def test_a_stage_may_be_taught_before_its_window_closes() -> None:
    early = parse(TEXT.replace('horizon = "60d"', 'horizon = "60d"\nearly = "2d"'), where="test")
    assert [stage.taught_after for stage in early.stages] == [timedelta(days=1), timedelta(days=2), timedelta(days=1)]
    assert early.longest == timedelta(days=10)


def test_a_restart_from_the_oldest_open_decision_tells_the_same() -> None:
    """Both where how late things come is learned from everything, and where nothing asks for it."""
    bodies = [each for n in range(60) for each in (decision(f"d-{n:02}", made_at=at(n)), organic("cash-isa", n + 2.5))]
    log = sorted(events(bodies), key=lambda event: event.recorded_at)
    log = [Event(number, each.recorded_at, each.body) for number, each in enumerate(log, start=1)]
    plain = parse(TEXT.replace('horizon = "60d"', ""), where="test").teaching(["incremental"])
    for rewards, begins_late in ((INCREMENTAL, False), (plain, True)):
        whole, stopped = Joiner(rewards), 100
        told = [(event.position, each) for event in log for each in whole.feed(event) if isinstance(each, Lesson)]
        first = Joiner(rewards)
        for event in log[:stopped]:
            list(first.feed(event))
        begin = first.open_from(stopped)
        assert (begin > 0) == begins_late
        again = Joiner(rewards)
        after = [(event.position, each) for event in log[begin:] for each in again.feed(event)]
        wanted = [(each.decision.decision_id, each.stage, each.row, each.label) for at_, each in told if at_ > stopped]
        assert wanted == [
            (each.decision.decision_id, each.stage, each.row, each.label)
            for at_, each in after
            if at_ > stopped and isinstance(each, Lesson)
        ]
        assert any(label > 0.0 for _, stage, _, label in wanted if stage == ANYWAY)
