"""The tables a bank brings: what fits comes through unchanged, what does not is refused with its rows."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import tables
from recsys.catalogue import BANK_CATALOGUE, load
from recsys.errors import InvalidTable
from recsys.facts import FACTS
from recsys.tables import BALANCES, CUSTOMERS, DECISIONS, OUTCOMES, TABLES, TRANSACTIONS, Table, files
from recsys.vocabulary import Permissions

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def decisions(n: int = 6) -> pl.DataFrame:
    """Decisions that fit."""
    columns = {
        "decision_id": [f"d-{row}" for row in range(n)],
        "customer_id": ["c-1"] * n,
        "made_at": [NOON + timedelta(hours=row) for row in range(n)],
        "surface": ["home"] * n,
        "policy": ["uniform@1"] * n,
        "n_slots": [3] * n,
        "candidates": [["pot", "loan", "nothing"]] * n,
        "slots": [["pot", "nothing"]] * n,
        "propensities": [[0.5, None]] * n,
    }
    return pl.DataFrame(columns, schema=DECISIONS.schema)


def outcomes(n: int = 6) -> pl.DataFrame:
    """Outcomes that fit: the first half of decisions, the rest organic."""
    ours = [row < n // 2 for row in range(n)]
    columns = {
        "outcome_id": [f"o-{row}" for row in range(n)],
        "decision_id": [f"d-{row}" if own else None for row, own in enumerate(ours)],
        "customer_id": [None if own else "c-1" for own in ours],
        "product_id": ["pot"] * n,
        "kind": ["opened"] * n,
        "happened_at": [NOON] * n,
        "amount_pence": [None, *range(1, n)],
        "reported_at": [NOON + timedelta(hours=1)] * n,
    }
    return pl.DataFrame(columns, schema=OUTCOMES.schema)


def balances(n: int = 14) -> pl.DataFrame:
    """Balances that fit."""
    days = [date(2026, 1, 25) + timedelta(days=row) for row in range(n)]
    columns = {"customer_id": ["c-1"] * n, "date": days, "closing_pence": [5] * n, "lowest_pence": [-5] * n}
    return pl.DataFrame(columns, schema=BALANCES.schema)


def at(frame: pl.DataFrame, column: str, row: int, value: object) -> pl.DataFrame:
    """The frame with one value replaced; rows count from 1."""
    values = frame[column].to_list()
    values[row - 1] = value
    dtype = None if frame.schema[column].is_integer() and isinstance(value, float) else frame.schema[column]
    return frame.with_columns(pl.Series(column, values, dtype=dtype or pl.Float64))


def refused(frame: pl.DataFrame, table: Table) -> str:
    with pytest.raises(InvalidTable) as error:
        tables.checked(frame, table=table, where="a.parquet")
    assert str(error.value).startswith("a.parquet: ")
    return str(error.value).removeprefix("a.parquet: ")


@pytest.mark.parametrize(("frame", "table"), [(decisions(), DECISIONS), (outcomes(), OUTCOMES), (balances(), BALANCES)])
def test_what_fits_comes_through_unchanged(frame: pl.DataFrame, table: Table) -> None:
    assert tables.checked(frame, table=table, where="a.parquet").equals(frame)
    shuffled = frame.select(reversed(frame.columns))
    assert tables.checked(shuffled, table=table, where="a.parquet").equals(frame)
    assert tables.checked(frame[:0], table=table, where="a.parquet").is_empty()


@pytest.mark.parametrize(
    ("frame", "table", "why"),
    [
        (balances().drop("date"), BALANCES, "the column date is missing"),
        (balances().drop("date", "customer_id"), BALANCES, "the columns customer_id, date are missing"),
        (balances().rename({"closing_pence": "closing_pense"}), BALANCES,
         "there is no column closing_pense; did you mean closing_pence?"),
        (balances().with_columns(xyz=1), BALANCES,
         "there is no column xyz; balances has customer_id, date, closing_pence, lowest_pence"),
        (balances().cast({"date": pl.Int64}), BALANCES, "date must be days, not whole numbers"),
        (balances().cast({"closing_pence": pl.String}), BALANCES, "closing_pence must be whole numbers, not texts"),
        (balances().with_columns(date=pl.lit("2026-13-01")), BALANCES,
         "date must be days such as 2026-03-02 (rows 1, 2, 3, 4, 5 and 9 more)"),
        (at(balances(), "closing_pence", 3, 5.5), BALANCES, "closing_pence must be whole pence (row 3)"),
        (at(balances(), "closing_pence", 3, float("nan")), BALANCES, "closing_pence must be whole pence (row 3)"),
        (at(balances(), "closing_pence", 3, None), BALANCES, "closing_pence is missing (row 3)"),
        (at(balances(), "closing_pence", 3, 10**16), BALANCES,
         "closing_pence must be at most 1,000,000,000,000,000 (row 3)"),
        (at(balances(), "closing_pence", 3, -9), BALANCES, "lowest_pence is above closing_pence (row 3)"),
        (at(balances(), "date", 3, date(2026, 1, 25)), BALANCES,
         "the same customer_id and date comes more than once (rows 1, 3)"),
        (at(balances(), "date", 2, date(1026, 1, 25)), BALANCES,
         "date must be between the years 1850 and 2200 (row 2)"),
        (at(balances(), "customer_id", 4, ""), BALANCES, "customer_id is empty (row 4)"),
        (at(balances(), "customer_id", 4, "c" * 129), BALANCES, "customer_id is longer than 128 characters (row 4)"),
        (at(balances(), "customer_id", 4, "c\n1"), BALANCES, "customer_id holds a control character (row 4)"),
        (decisions().with_columns(pl.col("made_at").dt.replace_time_zone(None)), DECISIONS,
         "made_at has no time zone: write its times as UTC"),
        (at(decisions(), "propensities", 2, [0.0, 1.0]), DECISIONS, "propensities must be in (0, 1] (row 2)"),
        (at(decisions(), "propensities", 2, [0.1, 1.5]), DECISIONS, "propensities must be in (0, 1] (row 2)"),
        (at(decisions(), "propensities", 2, [0.1, float("nan")]), DECISIONS, "propensities must be finite (row 2)"),
        (at(decisions(), "propensities", 2, [0.1]), DECISIONS, "slots and propensities are not equally many (row 2)"),
        (at(decisions(), "propensities", 2, None), DECISIONS, "propensities is missing (row 2)"),
        (at(decisions(), "slots", 2, ["pot", None]), DECISIONS, "slots holds an element that is missing (row 2)"),
        (at(decisions(), "slots", 2, ["pot", "flex"]), DECISIONS,
         "a product is shown that was no candidate (row 2)"),
        (at(decisions(), "slots", 2, ["pot", "pot"]), DECISIONS, "a product is shown twice (row 2)"),
        (at(decisions(), "slots", 2, ["nothing", "pot"]), DECISIONS, "nothing is shown before the last slot (row 2)"),
        (at(decisions(), "candidates", 2, ["pot", "pot", "nothing"]), DECISIONS, "a candidate stands twice (row 2)"),
        (at(decisions(), "n_slots", 2, 0), DECISIONS, "n_slots must be at least 1 (row 2)"),
        (at(decisions(), "n_slots", 2, 1), DECISIONS, "there are more slots than n_slots (row 2)"),
        (decisions().cast({"n_slots": pl.Float64}).with_columns(n_slots=2.5), DECISIONS,
         "n_slots must be whole numbers (rows 1, 2, 3, 4, 5 and 1 more)"),
        (decisions().with_columns(slots=pl.lit("pot")), DECISIONS, "slots must be a list, not texts"),
        (at(decisions(), "decision_id", 2, "d-0"), DECISIONS,
         "the same decision_id comes again with another content (rows 1, 2)"),
        (at(outcomes(), "customer_id", 1, "c-1"), OUTCOMES,
         "name a decision, or a customer for an organic outcome, and not both (row 1)"),
        (at(outcomes(), "customer_id", 6, None), OUTCOMES,
         "name a decision, or a customer for an organic outcome, and not both (row 6)"),
        (at(outcomes(), "reported_at", 6, NOON - timedelta(seconds=1)), OUTCOMES,
         "it was told before it happened (row 6)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_rows(frame: pl.DataFrame, table: Table, why: str) -> None:
    assert refused(frame, table) == why


def test_every_column_that_does_not_fit_is_told() -> None:
    wrong = at(at(at(balances(), "closing_pence", 3, None), "customer_id", 4, ""), "date", 2, date(1026, 1, 25))
    assert refused(wrong.cast({"lowest_pence": pl.String}), BALANCES).split("\n  ") == [
        "4 faults:",
        "a.parquet: lowest_pence must be whole numbers, not texts",
        "a.parquet: customer_id is empty (row 4)",
        "a.parquet: date must be between the years 1850 and 2200 (row 2)",
        "a.parquet: closing_pence is missing (row 3)",
    ]


def test_a_rule_between_columns_names_the_banks_own_columns() -> None:
    wrong = at(balances(), "closing_pence", 3, -9)
    _, [said] = tables.fitting(wrong, table=BALANCES, where="a.parquet", named={"closing_pence": "closing_pence (x)"})
    assert str(said) == "a.parquet: lowest_pence is above closing_pence: closing_pence (x), lowest_pence (row 3)"


def test_a_word_that_is_no_choice_is_refused() -> None:
    row: dict[str, Any] = {
        "transaction_id": "t-1", "customer_id": "c-1", "happened_at": NOON, "amount_pence": 1, "direction": "sideways",
        "scheme": "card", "category": "pub", "is_salary": False, "is_recurring": False, "declined": False,
    }  # fmt: skip
    assert refused(pl.DataFrame([row]), TRANSACTIONS) == "direction must be in or out (row 1)"
    fits = tables.checked(pl.DataFrame([row | {"direction": "out"}]), table=TRANSACTIONS, where="a")
    assert fits.schema == TRANSACTIONS.schema
    assert fits["mcc"].to_list() == [None]


def test_a_fact_may_be_absent_or_known_to_be_none_but_not_both_known_and_none() -> None:
    permissions = dict.fromkeys(("in_app", "push", "email", "targeted_support"), True)
    row: dict[str, Any] = {"customer_id": "c-1", "as_of": NOON, "known_none": ["employment"], **permissions}
    fits = tables.checked(pl.DataFrame([row]), table=CUSTOMERS, where="a")
    assert set(fits.columns) == {*FACTS, *row, "objected_at"}
    assert set(Permissions.__slots__) <= set(fits.columns)
    assert refused(pl.DataFrame([row | {"employment": "employed"}]), CUSTOMERS) == (
        "employment has a value and is also named in known_none (row 1)"
    )
    assert refused(pl.DataFrame([row | {"known_none": ["held"]}]), CUSTOMERS).startswith(
        "known_none must be employment"
    )
    assert refused(pl.DataFrame([row | {"signals": ["saver", "rich"]}]), CUSTOMERS).startswith("signals must be family")
    assert refused(pl.DataFrame([row | {"savings_pence": -1}]), CUSTOMERS) == "savings_pence must be at least 0 (row 1)"


def test_other_types_that_hold_the_same_values_are_taken() -> None:
    told = outcomes().with_columns(
        pl.col("amount_pence").cast(pl.Float64),
        pl.col("happened_at").dt.convert_time_zone("Europe/London").cast(pl.Datetime("ms", "Europe/London")),
        pl.col("kind").cast(pl.Categorical),
        pl.col("reported_at").dt.cast_time_unit("ns"),
    )
    assert tables.checked(told, table=OUTCOMES, where="a").equals(outcomes())
    days = balances().with_columns(pl.col("date").cast(pl.String), pl.col("closing_pence").cast(pl.Int16))
    assert tables.checked(days, table=BALANCES, where="a").equals(balances())


def test_what_is_told_at_least_once_may_come_again() -> None:
    again = outcomes()[:1].with_columns(pl.col("reported_at") + timedelta(days=1))
    assert tables.checked(pl.concat([outcomes(), again]), table=OUTCOMES, where="a").height == 7
    other = again.with_columns(product_id=pl.lit("loan"))
    assert refused(pl.concat([outcomes(), other]), OUTCOMES) == (
        "the same outcome_id comes again with another content (rows 1, 7)"
    )


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_column_is_told_of(table: Table) -> None:
    told = tables.described(table)
    for column in table:
        assert column.about.split(",")[0][:40] in " ".join(told.split())
        assert f"\n  {column.name} " in told
    assert all(len(line) <= 150 for line in told.splitlines())


def test_products_say_what_the_catalogue_knows() -> None:
    known = {"communication_class", "regulated_class", *load(BANK_CATALOGUE).products[0].__slots__} - {"creatives"}
    assert set(tables.PRODUCTS.schema) == known


pence = st.integers(-(10**15), 10**15)
rows_of_balances = st.lists(
    st.tuples(st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), min_size=1, max_size=20),
              st.dates(date(1990, 1, 1), date(2199, 12, 31)), pence, pence),
    max_size=30, unique_by=lambda row: row[:2],
)  # fmt: skip


@given(rows=rows_of_balances)
def test_whatever_fits_survives_writing_and_reading(rows: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    ordered = [(who, day, max(a, b), min(a, b)) for who, day, a, b in rows]
    frame = pl.DataFrame(ordered, schema=BALANCES.schema, orient="row")
    folder = tmp_path_factory.mktemp("round")
    with tables.Writer(folder, table=BALANCES) as writer:
        writer.add(tables.checked(frame, table=BALANCES, where="a"))
    read = tables.scan(folder, table=BALANCES).collect()
    assert read.sort("customer_id", "date").equals(frame.sort("customer_id", "date"))
    assert writer.rows == len(rows)


def digests(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*.parquet"))
    }


def test_files_are_divided_by_month_and_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with tables.Writer(tmp_path / name, table=BALANCES, part=3) as writer:
            for start in range(0, 14, 5):
                writer.add(balances()[start : start + 5])
    names = ["balances/month=2026-01/part-003.parquet", "balances/month=2026-02/part-003.parquet"]
    assert list(digests(tmp_path / "a")) == names
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert tables.scan(tmp_path / "a", table=BALANCES).collect().equals(balances())
    assert pl.read_parquet(tmp_path / "a" / names[1], hive_partitioning=False)[
        "date"
    ].dt.month().unique().to_list() == [2]


def test_a_month_that_is_over_is_written_and_stragglers_follow_in_a_part_of_their_own(tmp_path: Path) -> None:
    with tables.Writer(tmp_path, table=BALANCES) as writer:
        writer.add(balances()[:10])
        writer.turn("2026-02")
        assert list(digests(tmp_path)) == ["balances/month=2026-01/part-000.parquet"]
        writer.add(at(balances(1), "date", 1, date(2026, 1, 2)))
    assert [Path(name).name for name in digests(tmp_path)] == [
        "part-000-1.parquet",
        "part-000.parquet",
        "part-000.parquet",
    ]
    assert tables.scan(tmp_path, table=BALANCES).collect().height == 11


def test_many_rows_of_one_month_are_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "HELD_ROWS", 4)
    with tables.Writer(tmp_path, table=BALANCES) as writer:
        for row in range(14):
            writer.add(balances()[row : row + 1])
    assert len(digests(tmp_path)) == 4
    assert tables.scan(tmp_path, table=BALANCES).collect().sort("date").equals(balances())


def test_a_writer_takes_only_its_table_and_a_fresh_place(tmp_path: Path) -> None:
    with tables.Writer(tmp_path, table=BALANCES) as writer, pytest.raises(InvalidTable, match="balances: expected"):
        writer.add(outcomes())
    with pytest.raises(InvalidTable, match="already there"), tables.Writer(tmp_path, table=BALANCES):
        pass
    with pytest.raises(InvalidTable, match="there is no table outcomes here"):
        tables.scan(tmp_path, table=OUTCOMES)
    assert tables.scan(tmp_path, table=BALANCES).collect().is_empty()
