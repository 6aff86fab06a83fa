"""Files as public benchmarks publish them are read whole or refused by line, and judged over the whole catalogue."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from embeddings.histories import Histories
from embeddings.protocols import family_of, judge, split_of
from embeddings.ranking import Wanted, ranked
from embeddings.textfiles import read_ordered, read_split
from recsys.errors import InvalidConfiguration, InvalidTable
from recsys.vocabulary import Vector
from serving.commands.train import command
from tests.sequence_worlds import walks


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    "lines",
    [
        ["u1 a", "u2 a", "u1 b", "u2 c"],
        ["u1\ta", "", "u2\ta", "u1\tb", "u2\tc"],
        ["user,item", "u1,a", "u2,a", "u1,b", "u2,c"],
        ["u2 c 9", "u1 b 7", "u1 a 1", "u2 a 2.5"],  # time runs backwards in the file
        ["u1::a::5::1", "u1::b::3::7", "u2::a::1::2", "u2::c::4::9"],
    ],
    ids=["spaces", "tabs", "times", "backwards", "ratings"],
)
def test_an_ordered_file_is_read_whatever_stands_between(tmp_path: Path, lines: list[str]) -> None:
    data = read_ordered(written(tmp_path / "f.txt", *lines))
    histories = {
        customer: [data.subjects.ids[row] for row in data.only(np.array([place])).subject_rows]
        for place, customer in enumerate(data.customers.ids)
    }
    assert histories == {"u1": ["a", "b"], "u2": ["a", "c"]}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["u1 a", "u1", "u2 a"], r"f.txt: expected 2 words \(row 2\)"),
        (["u1 a 5", "u1 b x"], r"f.txt: the last word is not a time \(row 2\)"),
        (["u1 b 3", "u1 a nan"], r"f.txt: the last word is not a time \(row 2\)"),
        (["u1 a b c d", "u1 a b c d"], "a line holds 5 words"),
        ([""], "the file has no interactions"),
        (["u1 a", "u2 b", "u3 a"], "every customer has one event"),
        (["u1 a", "u1 a", "u1 a"], "a catalogue of 1 leaves nothing to choose"),
    ],
)
def test_a_file_that_cannot_be_judged_is_refused_by_line(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(InvalidTable, match=said):
        split_of(written(tmp_path / "f.txt", *lines), protocol="leave-one-out")


def test_files_that_are_missing_or_not_text_are_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidTable, match="no such file"):
        read_ordered(tmp_path / "none.txt")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InvalidTable, match="cannot be read as text"):
        read_ordered(tmp_path / "bytes")


def test_a_given_split_knows_new_customers_and_unknown_products(tmp_path: Path) -> None:
    train = written(tmp_path / "train.txt", "1 10 11", "2 11 12", "3")
    test = written(tmp_path / "test.txt", "2 10 99", "7 12")
    split = read_split(train, test=test)
    assert split.n_unknown == 1  # 99 can only be missed, and nobody could have found it
    assert split.train.customers.ids == ("1", "2", "7")
    assert split.train.lengths.tolist() == [2, 2, 0]
    assert split.wanted.lengths.tolist() == [0, 1, 1]
    with pytest.raises(InvalidTable, match="no product of the test file occurs"):
        read_split(train, test=written(tmp_path / "other.txt", "1 77"))


def test_metrics_are_what_they_say() -> None:
    data = Histories.of(["a", "b", "c"], subjects=["p", "q", "r"])  # rows 0, 1, 2
    wanted = Wanted(np.array([0, 1, 3, 3]), np.array([1, 0, 2]))  # a wants q; b wants p and r; c nothing

    def scores(histories: Histories) -> Vector:
        return np.array([[3, 2, 1], [2, 3, 1]], dtype=np.float32)

    found = ranked(scores, histories=data, wanted=wanted, counts=data.product_counts, k=2)
    assert found.recall(2).tolist() == [1.0, 0.5]
    assert found.hit_rate(1).tolist() == [0.0, 0.0]
    discount = 1 / np.log2(3)
    assert found.ndcg(2) == pytest.approx([discount, discount / (1 + discount)])
    assert found.first.tolist() == [0.5, 0.5]
    dropped = ranked(scores, histories=data, wanted=wanted, counts=data.product_counts, k=2, seen="drop")
    assert dropped.lists.tolist() == [[1, 2], [0, 2]]  # a has p, b has q
    assert dropped.first.tolist() == [1.0, 1.0]
    told = found.metrics((1, 2))
    assert told["coverage"] == pytest.approx(2 / 3)
    assert told["novelty"] == pytest.approx(np.log2(3))
    assert told["popularity_bias"] == pytest.approx(1.0)  # all were chosen equally often


def test_equal_scores_rank_in_row_order_and_a_score_that_is_no_number_is_refused() -> None:
    data = Histories.of(["a", "b"], subjects=["p", "q"])
    wanted = Wanted.one(np.array([0, 1]))
    even = ranked(lambda h: np.zeros((len(h), 2), np.float32), histories=data, wanted=wanted, counts=np.ones(2), k=1)
    assert even.first.tolist() == [1.0, 0.5]
    with pytest.raises(InvalidTable, match="a score is not a number"):
        ranked(lambda h: np.full((len(h), 2), np.nan, np.float32), histories=data, wanted=wanted, counts=np.ones(2))


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # mlflow's own
def test_the_command_judges_a_file_and_says_so_in_one_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "home"))
    data = walks(customers=80)
    lines = [
        f"{data.customers.ids[who]} {data.subjects.ids[what]}"
        for who, what in zip(data.customer_rows, data.subject_rows, strict=True)
    ]
    path = written(tmp_path / "walks.txt", *lines)
    done = CliRunner().invoke(
        command, ["--interactions", str(path), "--encoder", "linear", "--json"], catch_exceptions=False
    )
    told = json.loads(done.stdout)
    assert told["customers"] == told["metrics"]["customers"] == 80
    assert told["metrics"]["ndcg_at_10"] > 0.5
    assert told["chosen"]["weight_transitions"] > 0
    table = CliRunner().invoke(
        command, ["--interactions", str(path), "--encoder", "popularity"], catch_exceptions=False
    )
    assert "80 customers judged" in table.stdout


def test_sets_are_judged_without_order(tmp_path: Path) -> None:
    dice = np.random.default_rng(2)
    rows = [10 * (each % 4) + dice.permutation(10)[:8] for each in range(120)]
    train = written(tmp_path / "train.txt", *(" ".join(map(str, [u, *row[:6]])) for u, row in enumerate(rows)))
    written(tmp_path / "test.txt", *(" ".join(map(str, [u, *row[6:]])) for u, row in enumerate(rows)))
    split = split_of(train, protocol="given-split")
    found = judge(split, family=family_of("blend", protocol="given-split"), protocol="given-split")
    assert found.seen == "drop"
    assert found.found.recall(5).mean() > 0.95  # four of ten are left, of which two are wanted
    assert found.metrics()["history_5_to_19_customers"] == 120
    with pytest.raises(InvalidConfiguration, match="transitions is no encoder for given-split"):
        family_of("transitions", protocol="given-split")
