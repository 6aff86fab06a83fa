"""Whatever is wrong with a bank's file: refused with file, column, row and one sentence, and nothing changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.imports import parquet, sources
from tests.bank_files import MAP, PEOPLE, local, spending, state, written
from tests.conftest import Recsys

WRONG: dict[str, tuple[str, str, str]] = {
    "a date in another form": ("opened", "2020-12-31", "joined_on (their opened) is not written as %d/%m/%Y (row 2)"),
    "a fraction of a penny": ("balance", "1.005", "balance_pence (their balance) is no whole number of pence (row 2)"),
    "a word for a number": ("balance", "lots", "balance_pence (their balance) is no number (row 2)"),
    "an answer unheard of": ("consent", "maybe", "in_app (their consent) must be one of Y, N (row 2)"),
    "nobody": ("id", "", "customer_id (their id) is missing (row 2)"),
    "somebody twice": ("id", "ann", "the same customer_id (their id) and as_of comes more than once (rows 1, 2)"),
    "a control character": ("id", "b\x07b", "customer_id (their id) holds a control character (row 2)"),
}


@pytest.mark.parametrize("what", WRONG)
def test_one_wrong_value_stops_everything_with_file_column_and_row(
    home: Path, tmp_path: Path, recsys: Recsys, what: str
) -> None:
    column, value, sentence = WRONG[what]
    path = written(tmp_path / "bank", people={**PEOPLE, column: [PEOPLE[column][0], value, PEOPLE[column][2]]})
    before = state(home)
    told = recsys("import", "--map", path)
    assert told.code == 2
    assert told.sentence == f"recsys: people.csv: {sentence}"
    assert state(home) == before


def test_a_byte_order_mark_harms_nothing_and_a_torn_file_is_refused(home: Path, tmp_path: Path, recsys: Recsys) -> None:
    path = written(tmp_path / "bank")
    people = path.parent / "people.csv"
    people.write_bytes(b"\xef\xbb\xbf" + people.read_bytes())
    assert recsys("import", "--map", path).code == 0
    whole = (path.parent / "days" / "2.parquet").read_bytes()
    (path.parent / "days" / "2.parquet").write_bytes(whole[: len(whole) // 2])
    before = state(home)
    told = recsys("import", "--map", path)
    assert told.code == 2
    assert "2.parquet: cannot be read" in told.err
    assert state(home) == before


TIMES = ["2025-06-01T12:00:00+02:00", "2025-06-01 11:00:00", "2025-06-01T10:00:00Z"]
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "a person missing": ({"who": ["ann", None, "bob"]}, "customer_id (their who) is missing (row 2)"),
    "a time missing": ({"at": [None, local("2025-06-02"), None]}, "happened_at (their at) is missing (rows 1, 3)"),
    "persons as structs": ({"who": [{"id": "ann"}] * 3}, "customer_id (their who) must be texts, not Struct"),
    "persons as lists": ({"who": [["ann"]] * 3}, "customer_id (their who) must be texts, not a list of texts"),
    "persons as true and false": ({"who": [True, False, True]},
                                  "customer_id (their who) must be texts, not true or false"),
    "times as numbers": ({"at": [1, 2, 3]}, "happened_at (their at) must be times with a zone, not whole numbers"),
    "zones in some rows": ({"at": TIMES}, "has a time zone in some rows and none in others; give zone in the map"),
    "amounts as lists": ({"spent": [[1.0]] * 3},
                         "amount_pence (their spent) must be whole numbers, not a list of numbers"),
    "an endless amount": ({"spent": [1.0, float("inf"), 1.0]}, "is no whole number of pence (row 2)"),
    "an amount that is none": ({"spent": [1.0, 2.0, float("nan")]}, "is no whole number of pence (row 3)"),
    "an amount beyond all": ({"spent": [1.0, 2.0, 1e15]}, "(row 3)"),
    "the same twice": ({"line": [1, 1, 1]}, "comes again with another content (rows 1, 2)"),
    "in the future": ({"at": [local("2025-06-02"), local("2190-01-01"), local("2025-06-02")]},
                      "happened_at (their at) lies in the future (row 2)"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_parquet_file_changes_nothing(home: Path, tmp_path: Path, recsys: Recsys, what: str) -> None:
    other, sentence = HOSTILE[what]
    text = MAP.replace('zone = "Europe/London"', "") if what == "zones in some rows" else MAP
    path = written(tmp_path / "bank", text=text)
    spending(path.parent, day=1, **other)
    if what == "zones in some rows":
        spending(path.parent, day=2, at=[f"2025-06-0{day}T10:00:00Z" for day in (1, 2, 3)])
    before = state(home)
    told = recsys("import", "--map", path)
    assert told.code == 2
    assert told.sentence.startswith("recsys: 1.parquet: ")
    assert sentence in told.sentence
    assert state(home) == before


TORN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "torn": (lambda whole: whole[: whole.rindex(b"|")],
             "ends in the middle of a row: its last has 4 of 5 fields; copy the file anew"),
    "in another encoding": (lambda whole: whole.replace(b"bob", b"b\xf6b"), "is not written in UTF-8"),
    "a field too many": (lambda whole: whole.replace(b"bob|", b"bob|bob|"),
                         "has more fields than the row of column names (row 2)"),
    "an open quotation mark": (lambda whole: whole.replace(b"bob", b'"bob'), "a quotation mark that is never closed"),
    "nothing at all": (lambda whole: b"", "is empty"),
}  # fmt: skip


@pytest.mark.parametrize("what", TORN)
def test_a_hostile_csv_file_changes_nothing_and_is_not_quoted(
    home: Path, tmp_path: Path, recsys: Recsys, what: str
) -> None:
    spoilt, sentence = TORN[what]
    path = written(tmp_path / "bank")
    people = path.parent / "people.csv"
    people.write_bytes(spoilt(people.read_bytes()))
    before = state(home)
    told = recsys("import", "--map", path)
    assert told.code == 2
    assert told.sentence.startswith(f"recsys: people.csv: {sentence}") or sentence in told.sentence
    assert "bob" not in told.err
    assert state(home) == before


def test_one_row_group_of_any_size_comes_in_part_by_part(
    home: Path, tmp_path: Path, recsys: Recsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, n = written(tmp_path / "bank"), 3_000
    rows = pl.read_parquet(path.parent / "days" / "1.parquet")
    rows = pl.concat([rows.head(1)] * n).with_columns(basket=pl.int_range(100, 100 + n))
    rows.write_parquet(path.parent / "days" / "1.parquet", row_group_size=n)
    monkeypatch.setattr(sources, "SIZE", 1_000)
    seen = list[int]()

    def counted(file: Path, *, columns: list[str], size: int) -> Iterator[pl.DataFrame]:
        for frame in page_by_page(file, columns=columns, size=1_000):
            seen.append(frame.height)
            yield frame

    page_by_page = parquet.page_by_page
    whole = json.loads(recsys("import", "--map", path, "--check", "--json").out)
    monkeypatch.setattr(parquet, "WHOLE_BYTES", 10_000)
    monkeypatch.setattr(parquet, "page_by_page", counted)
    assert json.loads(recsys("import", "--map", path, "--check", "--json").out) == whole
    assert seen == [1_000, 1_000, 1_000]
    rows.with_columns(spent=pl.when(pl.col("basket") == 1_600).then(0.001).otherwise("spent")).write_parquet(
        path.parent / "days" / "1.parquet", row_group_size=n
    )
    assert "is no whole number of pence (row 1501)" in recsys("import", "--map", path).err


def test_every_column_that_does_not_fit_is_told_at_once_by_both_its_names(
    home: Path, tmp_path: Path, recsys: Recsys
) -> None:
    people = {"id": ["ann", "", "c\x07"], "balance": ["lots", "2", "1.005"], "opened": ["31/12/2020", "2021", "2022"],
              "consent": ["Y", "N", "Y"], "has": ["1;2", "", "2" * 200]}  # fmt: skip
    path = written(tmp_path / "bank", people=people)
    spending(path.parent, day=1, who=["ann", None, "bob"])
    spending(path.parent, day=2, who=["ann", None, None], spent=[1.0, 2.0, 0.001])
    before = state(home)
    told = recsys("import", "--map", path, "--check")
    assert told.code == 2
    assert told.err.replace("\r", "\n").rpartition("recsys: ")[2].splitlines() == [
        "bank.toml: 8 faults:",
        "  people.csv: joined_on (their opened) is not written as %d/%m/%Y (rows 2, 3)",
        "  people.csv: balance_pence (their balance) is no number (row 1)",
        "  people.csv: held (their has) is longer than 100 characters (row 3)",
        "  people.csv: customer_id (their id) is missing (row 2)",
        "  people.csv: customer_id (their id) holds a control character (row 3)",
        "  1.parquet: customer_id (their who) is missing (row 2)",
        "  2.parquet: customer_id (their who) is missing (rows 2, 3)",
        "  2.parquet: amount_pence (their spent) is no whole number of pence (row 3)",
    ]
    assert state(home) == before


def test_of_a_file_that_is_wrong_throughout_the_first_rows_are_told_and_how_many_there_are(
    home: Path, tmp_path: Path, recsys: Recsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, n = written(tmp_path / "bank"), 2_500
    for day in range(1, 9):
        spending(path.parent, day=day, line=range(n), basket=[day] * n, who=[None] * n, shop=["s"] * n,
                 at=[local("2025-06-01")] * n, spent=[1.0] * n)  # fmt: skip
    monkeypatch.setattr(sources, "SIZE", 1_000)
    monkeypatch.setattr(sources.read, "__kwdefaults__", {"size": 1_000})
    told = recsys("import", "--map", path, "--check").err.replace("\r", "\n").rpartition("recsys: ")[2].splitlines()
    assert told == [
        "bank.toml: 3 faults:",
        "  1.parquet: customer_id (their who) is missing (rows 1, 2, 3, 4, 5 and 2,495 more)",
        "  2.parquet: customer_id (their who) is missing (rows 1, 2, 3, 4, 5 and 2,495 more)",
        "  3.parquet: customer_id (their who) is missing, as in 5 more files (rows 1, 2, 3, 4, 5 and 2,495 more)",
    ]


def test_columns_that_a_file_lacks_are_told_at_once(home: Path, tmp_path: Path, recsys: Recsys) -> None:
    people = {name: values for name, values in PEOPLE.items() if name not in ("opened", "consent")}
    path = written(tmp_path / "bank", people=people)
    assert recsys("import", "--map", path, "--check").sentence == (
        "recsys: people.csv: has no columns opened, consent; it has id, balance, has"
    )
