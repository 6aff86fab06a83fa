"""Public data comes in whole, or is refused with its rows and the reason."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys import datasets
from recsys.errors import InvalidTable

SHARED = Path(os.environ.get("RECSYS_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"{SHARED} is not there (RECSYS_SHARED_DATA names another place)"
)


def feedback(n: int = 12) -> pl.DataFrame:
    """Uniform feedback over three items in the campaign "all", and one row of another policy's."""
    rng = np.random.default_rng(0)
    uniform = pl.DataFrame(
        {
            "campaign": ["all"] * n,
            "behavior_policy": ["random"] * n,
            "item_id": rng.integers(0, 3, n),
            "position": rng.integers(1, 4, n),
            "click": rng.integers(0, 2, n),
            "propensity_score": [1 / 3] * n,
            "n_actions": [3] * n,
            **{f"user_feature_{i}": [f"v{j}" for j in rng.integers(0, 2, n)] for i in range(4)},
        }
    )
    other = uniform[:1].with_columns(behavior_policy=pl.lit("bts"), propensity_score=pl.lit(0.9))
    return pl.concat([other, uniform])


def written(table: pl.DataFrame, path: Path) -> Path:
    table.write_parquet(path)
    return path


def test_feedback_is_read_as_it_was_logged(tmp_path: Path) -> None:
    table = feedback()
    logged = datasets.open_bandit(written(table, tmp_path / "small.parquet"))
    chosen = table[1:]
    assert len(logged) == 12
    assert logged.uniform
    assert logged.products == ("item-0", "item-1", "item-2")
    assert logged.rows.tolist() == chosen["item_id"].to_list()
    assert logged.rewards.tolist() == chosen["click"].to_list()
    context = dict(zip(logged.context(0).names, logged.context(0).values, strict=True))
    assert context[f"user_feature_2={chosen['user_feature_2'][0]}"] == 1.0
    assert context[f"position={chosen['position'][0]}"] == 1.0
    assert sum(context.values()) == 5.0
    table.write_csv(tmp_path / "small.csv")
    again = datasets.open_bandit(tmp_path / "small.csv")
    assert np.array_equal(again.contexts, logged.contexts)


def test_another_policys_rows_are_not_uniform(tmp_path: Path) -> None:
    path = written(feedback(), tmp_path / "small.parquet")
    assert not datasets.open_bandit(path, behaviour_policy="bts").uniform
    with pytest.raises(InvalidTable, match=r"there are all / bts, all / random"):
        datasets.open_bandit(path, campaign="men")


def _at(table: pl.DataFrame, column: str, row: int, value: object) -> pl.DataFrame:
    values = table[column].to_list()
    values[row - 1] = value
    return table.with_columns(pl.Series(column, values))


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("propensity_score", 0.0, r"propensity_score must be in \(0, 1\] \(row 5\)"),
        ("propensity_score", 1.7, r"propensity_score must be in \(0, 1\] \(row 5\)"),
        ("propensity_score", float("nan"), r"propensity_score must be in \(0, 1\] \(row 5\)"),
        ("propensity_score", None, r"propensity_score is missing \(row 5\)"),
        ("click", float("inf"), r"click must be finite \(row 5\)"),
        ("click", float("nan"), r"click must be finite \(row 5\)"),
        ("click", 2, r"click must be 0 or 1 \(row 5\)"),
        ("item_id", 3, r"item_id must be from 0 to n_actions - 1 \(row 5\)"),
        ("item_id", -1, r"item_id must be from 0 to n_actions - 1 \(row 5\)"),
        ("position", 0, r"position counts from 1 \(row 5\)"),
        ("n_actions", 4, r"n_actions must be the same in one campaign \(3\) \(row 5\)"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, column: str, value: object, why: str) -> None:
    table = feedback()
    if column == "click":
        table = table.with_columns(pl.col("click").cast(pl.Float64))
    path = written(_at(table, column, 5, value), tmp_path / "bad.parquet")
    with pytest.raises(InvalidTable, match=f"^bad.parquet: {why}$"):
        datasets.open_bandit(path)


def test_many_bad_rows_are_counted(tmp_path: Path) -> None:
    table = feedback().with_columns(propensity_score=pl.lit(0.0))
    with pytest.raises(InvalidTable, match=r"rows 1, 2, 3, 4, 5 and 8 more") as refused:
        datasets.open_bandit(written(table, tmp_path / "bad.parquet"))
    assert refused.value.rows == tuple(range(1, 14))


def test_wrong_columns_and_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTable, match="the column click, propensity_score is missing"):
        datasets.open_bandit(written(feedback().drop("click", "propensity_score"), tmp_path / "a.parquet"))
    with pytest.raises(InvalidTable, match="item_id must be whole numbers, not String"):
        datasets.open_bandit(written(feedback().with_columns(item_id=pl.lit("x")), tmp_path / "b.parquet"))
    with pytest.raises(InvalidTable, match="no rows"):
        datasets.open_bandit(written(feedback()[:0], tmp_path / "c.parquet"))
    with pytest.raises(InvalidTable, match="no such file"):
        datasets.open_bandit(tmp_path / "d.parquet")
    (tmp_path / "e.parquet").write_bytes(b"not a table")
    with pytest.raises(InvalidTable, match="cannot be read"):
        datasets.classification(tmp_path / "e.parquet")


def labelled() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "size": [1, 2, 3, 4],
            "colour": ["red", "blue", "red", "red"],
            "same": [7, 7, 7, 7],
            "label": [10, 2, 10, 2],
            "label_name": ["a", "b", "a", "b"],
        }
    )


def test_a_labelled_table_is_a_bandit(tmp_path: Path) -> None:
    table = datasets.classification(written(labelled(), tmp_path / "toys.parquet"))
    assert table.names == ("size", "colour=blue", "colour=red")
    assert table.products == ("label-2", "label-10")
    assert table.labels.tolist() == [1, 0, 1, 0]
    assert table.contexts[:, 0].mean() == pytest.approx(0.0)
    assert table.contexts[:, 0].std() == pytest.approx(1.0)
    assert table.context(1).values[1:] == (1.0, 0.0)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (labelled().drop("label"), "the column label is missing"),
        (_at(labelled(), "label", 3, None), r"label is missing \(row 3\)"),
        (_at(labelled().cast({"size": pl.Float64}), "size", 2, float("nan")), r"size must be finite \(row 2\)"),
        (_at(labelled(), "colour", 4, None), r"colour is missing \(row 4\)"),
        (labelled().with_columns(label=pl.lit(1)), "expected 2 to 200 labels, got 1"),
        (labelled().select("label", "label_name"), "no feature column"),
        (labelled().select("label", "same"), "no feature varies"),
        (labelled().with_columns(tags=pl.Series([["x"]] * 4)), "tags must be numbers or texts"),
    ],
)
def test_a_bad_labelled_table_is_refused(tmp_path: Path, change: pl.DataFrame, why: str) -> None:
    with pytest.raises(InvalidTable, match=why):
        datasets.classification(written(change, tmp_path / "toys.parquet"))


@pytest.mark.shared_data
@needs_shared
@pytest.mark.parametrize(("campaign", "items"), [("all", 80), ("men", 34), ("women", 46)])
def test_the_open_bandit_sample_is_what_its_paper_says(campaign: str, items: int) -> None:
    logged = datasets.open_bandit(SHARED / "obd_small.parquet", campaign=campaign)
    assert (len(logged), len(logged.products)) == (10_000, items)
    assert logged.uniform
    assert not datasets.open_bandit(SHARED / "obd_small.parquet", campaign=campaign, behaviour_policy="bts").uniform
