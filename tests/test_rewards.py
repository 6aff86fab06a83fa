"""What an outcome is worth and when it is known; a configuration that contradicts itself is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from recsys.errors import InvalidConfiguration
from recsys.rewards import SEEN, duration, load, parse
from recsys.vocabulary import NOTHING

ONE = '[[stage]]\nname = "tapped"\nwindow = "1d"\nworth = 0.5\n'


def test_the_default_configuration() -> None:
    rewards = load()
    assert [(stage.name, stage.given) for stage in rewards.stages] == [
        ("tapped", SEEN),
        ("opened", "tapped"),
        ("dismissed", SEEN),
    ]
    assert rewards.kinds == {SEEN, "tapped", "opened", "dismissed"}
    assert rewards.longest == timedelta(days=11)
    assert rewards.digest


def test_worth_is_the_stages_own_or_the_products() -> None:
    tapped, opened, dismissed = load().stages
    rewards = load().with_values({"pot": 3.0})
    assert [rewards.worth(stage, "pot") for stage in (tapped, opened, dismissed)] == [0.0, 3.0, -0.12]
    assert rewards.worth(opened, "unheard-of") == 1.0
    assert rewards.worth(opened, NOTHING) == 0.0


def test_points_stay_inside_the_bounds() -> None:
    rewards = load()
    assert [rewards.bounded(points) for points in (-9.0, 0.5, 99.0)] == [-1.0, 0.5, 12.0]


def test_the_digest_covers_configuration_and_values() -> None:
    base = parse(ONE, where="r")
    others = [
        base.with_values({"pot": 2.0}),
        parse(ONE.replace("0.5", "0.6"), where="r"),
        parse(ONE.replace("1d", "2d"), where="r"),
        parse("high = 2.0\n" + ONE, where="r"),
        parse('version = "2"\n' + ONE, where="r"),
    ]
    assert len({rewards.digest for rewards in (base, *others)}) == 6
    assert parse(ONE, where="elsewhere").digest == base.digest
    assert base.with_values({}).digest == base.digest


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", timedelta(seconds=90)), (" 30m ", timedelta(minutes=30)), ("10d", timedelta(days=10))],
)
def test_durations(text: str, expected: timedelta) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "10", "d", "-1d", "1.5h", "1w", "99999999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfiguration, match="duration"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no stage"),
        ("stage = 3", r"stage must be tables, each headed \[\[stage\]\]"),
        ("stage = [3]", "stage must be tables"),
        ("low = ", "is not TOML"),
        ("low = 2.0\n" + ONE, r"low \(2\) must be below high \(1\)"),
        ('low = "x"\n' + ONE, "low must be a number"),
        ("high = inf\n" + ONE, "high must be finite"),
        ("hihg = 2.0\n" + ONE, "does not know the key hihg"),
        (ONE + "colour = 1\n", "stage tapped: does not know the key colour"),
        (ONE + ONE, "stage tapped stands twice"),
        (ONE.replace("name", "kind"), "a stage: name is missing"),
        (ONE.replace('window = "1d"\n', ""), "stage tapped: window is missing"),
        (ONE.replace('"1d"', "3"), "stage tapped: window must be a duration"),
        (ONE.replace("1d", "soon"), 'stage tapped: window: "soon" is not a duration'),
        (ONE.replace("worth = 0.5\n", ""), "stage tapped: worth is missing"),
        (ONE.replace("0.5", '"much"'), 'stage tapped: worth must be a number or "value"'),
        (ONE.replace("0.5", "true"), "worth must be a number"),
        (ONE.replace("0.5", "nan"), "worth must be finite"),
        (ONE + 'given = "opened"\n', "stage tapped follows opened, which is not above it"),
        (ONE + ONE.replace("tapped", "opened").replace("1d", "1h") + 'given = "tapped"\n', "closes before tapped does"),
    ],
)
def test_a_configuration_that_cannot_hold_is_refused_with_the_reason(text: str, sentence: str) -> None:
    with pytest.raises(InvalidConfiguration, match=sentence) as caught:
        parse(text, where="rewards.toml")
    assert str(caught.value).startswith("rewards.toml: ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=r"rewards\.toml"):
        load(tmp_path / "rewards.toml")


def test_one_kind_of_outcome_can_be_counted_and_others_watched() -> None:
    plain = load()
    taps = plain.counting("tapped")
    assert [stage.worth for stage in taps.stages] == [1.0, 0.0, 0.0]
    assert (taps.low, taps.high, taps.longest) == (0.0, 1.0, plain.longest)
    opt_outs = plain.counting("opted_out")
    assert (opt_outs.stages[-1].kind, opt_outs.stages[-1].given, opt_outs.longest) == (
        "opted_out",
        "seen",
        plain.longest,
    )
    watched = plain.watching(("dismissed", "opted_out"))
    assert [stage.kind for stage in watched.stages] == ["tapped", "opened", "dismissed", "opted_out"]
    assert watched.stages[-1].worth == 0.0
    assert len({plain.digest, taps.digest, opt_outs.digest, watched.digest}) == 4
