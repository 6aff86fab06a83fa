"""Experiments: refused with a sentence, split as promised, households whole, the hold-out first."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from recsys.errors import InvalidConfiguration
from recsys.experiments import (
    Experiment,
    Variant,
    assign,
    from_json,
    in_holdout,
    parse,
    to_json,
    unit_of,
    variant_of,
)
from recsys.layers import Layers
from recsys.tails import chi_square_tail
from recsys.vocabulary import Token
from tests.builders import at, experiment

FROZEN = [2, 2, 1, 2, 2, 1, 2, 2, 0, 2, 2, 0]

TEXT = """
[[experiment]]
experiment_id = "home-bandit"
owner = "ada@bank"
hypothesis = "A learning policy brings more value than popularity."
primary = "value"
unit = "household"
surfaces = ["home"]
control = "popularity"
starts_at = 2026-03-02T00:00:00Z
ends_at = "2026-03-30T00:00:00+00:00"
stop_rule = "28 days, or at once if a guardrail is worse"
state = "running"

[[experiment.variants]]
name = "popularity"
recipe = "popularity-taps"
share = 0.5

[[experiment.variants]]
name = "bandit"
recipe = "vowpal"
share = 0.5
"""


def test_an_experiment_is_read_from_a_file_and_survives_json() -> None:
    (read,) = parse(TEXT)
    assert read.salt == read.experiment_id == "home-bandit"
    assert read.variants[1] == Variant("bandit", "vowpal", 0.5)
    assert from_json(json.loads(json.dumps(to_json(read)))) == read


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"experiment_id": "a/b"}, "experiment a/b: give it an id of letters, digits, dots and dashes"),
        ({"owner": " "}, "experiment home-bandit: name an owner"),
        ({"hypothesis": ""}, "write the hypothesis"),
        ({"stop_rule": ""}, "write the stop rule"),
        ({"unit": "visit"}, 'unit is "visit", expected customer or household'),
        ({"state": "paused"}, "expected one of draft, running, stopped, decided"),
        ({"surfaces": []}, "at least one surface"),
        ({"surfaces": "home"}, r'must be a list, such as \["home"\]'),
        ({"control": "nobody"}, "expected one of its variants: popularity, bandit"),
        ({"ends_at": "2026-03-01T00:00:00Z"}, "ends before it starts"),
        ({"starts_at": "2026-03-01T00:00:00"}, "times need a zone"),
        ({"starts_at": "soon"}, "soon"),
        ({"planned_units": 1}, "plan at least two"),
        ({"alocation": 3}, "unknown entry alocation; known are control"),
        ({"variants": [{"name": "popularity", "recipe": "p", "share": 1.0}]}, "at least two variants"),
        ({"variants": [{"name": "popularity", "recipe": "p"}]}, "share is missing"),
        ({"variants": [{"name": "popularity", "recipe": "p", "share": s} for s in (0.5, 0.5)]}, "the same name"),
        ({"variants": [{"name": n, "recipe": n, "share": 0.6} for n in ("popularity", "b")]}, "shares add up to 1.2"),
        ({"variants": [{"name": n, "recipe": n, "share": 1.0} for n in ("popularity", "b")]}, "above 0 and below 1"),
    ],
)
def test_what_cannot_be_read_honestly_is_refused_with_the_sentence_to_mend_it(
    change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidConfiguration, match=sentence):
        from_json({**to_json(experiment()), **change})


def test_a_missing_entry_is_named() -> None:
    table = to_json(experiment())
    del table["owner"]
    with pytest.raises(InvalidConfiguration, match=r"missing 1 required.* 'owner'"):
        from_json(table)


@pytest.mark.parametrize("text", ["[[experiment]", "[experiments]\nowner = 1", "[experiment]\nowner = 1"])
def test_a_broken_file_is_named(text: str) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^tests\.toml: "):
        parse(text, where="tests.toml")


def test_assignment_never_changes() -> None:
    """Frozen: another answer here would move every customer of every running experiment."""
    assert [assign(f"u-{n}", salt="home-bandit", shares=(0.25, 0.25, 0.5)) for n in range(12)] == FROZEN


def test_assignment_keeps_the_shares_and_forgets_other_salts() -> None:
    shares, n = (0.2, 0.3, 0.5), 30_000
    units = [f"u-{k}" for k in range(n)]
    one = [assign(unit, salt="a", shares=shares) for unit in units]
    two = [assign(unit, salt="b", shares=shares) for unit in units]
    for row, share in enumerate(shares):
        assert abs(Counter(one)[row] / n - share) < 4 * math.sqrt(share * (1 - share) / n)
    joint = Counter(zip(one, two, strict=True))
    distance = sum(
        (joint[i, j] - n * p * q) ** 2 / (n * p * q) for i, p in enumerate(shares) for j, q in enumerate(shares)
    )
    assert chi_square_tail(distance, df=8) > 0.001


def test_raising_the_holdout_keeps_those_already_in_it() -> None:
    small = {u for u in range(5_000) if in_holdout(f"u-{u}", salt="h", share=0.02)}
    large = {u for u in range(5_000) if in_holdout(f"u-{u}", salt="h", share=0.10)}
    assert small < large
    assert 0.015 < len(small) / 5_000 < 0.025
    assert 0.09 < len(large) / 5_000 < 0.11


def test_no_household_is_split() -> None:
    """EXP-5, in the hold-out and in variants."""
    layers = Layers((experiment(unit="household"),), holdout_share=0.1)
    for home in range(400):
        members = [Token(f"t-{home}-{k}") for k in range(3)]
        seen = {layers.placed(m, surface="home", at=at(1), household=f"h-{home}") for m in members}
        assert len(seen) == 1


def test_customers_without_a_household_stand_alone() -> None:
    assert unit_of(Token("t-1"), unit="household", household=None, salt="s") == "t-1"
    assert "h-9" not in unit_of(Token("t-1"), unit="household", household="h-9", salt="s")


def test_the_holdout_comes_before_every_experiment() -> None:
    layers = Layers((experiment(),), holdout_share=0.3)
    placed = [layers.placed(Token(f"t-{n}"), surface="home", at=at(1)) for n in range(2_000)]
    held = [p for p in placed if p.held_out]
    assert 0.25 < len(held) / 2_000 < 0.35
    assert all(not p.assigned and p.recipe is None for p in held)
    rest = Counter(p.recipe for p in placed if not p.held_out)
    assert abs(rest["vowpal"] / rest.total() - 0.5) < 0.05


def test_an_experiment_assigns_only_while_it_runs_and_where() -> None:
    layers = Layers((experiment(),), holdout_share=0.0)
    token = Token("t-1")
    assert layers.placed(token, surface="home", at=at(1)).assigned[0].experiment_id == "home-bandit"
    assert not layers.placed(token, surface="search", at=at(1)).assigned
    assert not layers.placed(token, surface="home", at=at(-1)).assigned
    assert not layers.placed(token, surface="home", at=at(28)).assigned
    stopped = Layers((replace(experiment(), state="stopped"),), holdout_share=0.0)
    assert not stopped.placed(token, surface="home", at=at(1)).assigned


def test_placement_is_the_pure_assignment() -> None:
    layers = Layers((experiment(),), holdout_share=0.0)
    for n in range(50):
        placed = layers.placed(Token(f"t-{n}"), surface="home", at=at(1))
        assert placed.assigned[0].variant == variant_of(experiment(), unit=f"t-{n}").name


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (experiment(experiment_id="b", salt="b"), "would both choose the policy of home at the same time"),
        (experiment(experiment_id="b", surfaces=("push",)), 'both have the salt "home-bandit"'),
        (experiment(surfaces=("push",), salt="b"), 'both have the id "home-bandit"'),
    ],
)
def test_experiments_that_would_meet_are_refused(other: Experiment, sentence: str) -> None:
    with pytest.raises(InvalidConfiguration, match=sentence):
        Layers((experiment(), other))


def test_experiments_that_do_not_meet_live_side_by_side() -> None:
    later = experiment(experiment_id="b", salt="b", starts_at=at(28), ends_at=at(40))
    elsewhere = experiment(experiment_id="c", salt="c", surfaces=("push",))
    draft = experiment(experiment_id="d", salt="d", state="draft")
    assert len(Layers((experiment(), later, elsewhere, draft)).experiments) == 4
