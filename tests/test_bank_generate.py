"""The bank as tables: same seed, same bytes; a slice is the whole's; memory stays flat; every row fits its schema."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys import tables
from recsys.bank.generate import MANIFEST, Order, generate
from recsys.bank.plots import sheet_of
from recsys.bank.product import EXAMINATION
from recsys.bank.switches import Switches
from recsys.errors import InvalidConfiguration, RecsysError
from recsys.tables import TABLES
from recsys.vocabulary import NOTHING

START = datetime(2026, 1, 20, tzinfo=UTC)
ROOT = Path(__file__).parent.parent


def order(**changes: Any) -> Order:
    usual: dict[str, Any] = {"customers": 60, "days": 20, "seed": 1, "start": START, "policy": "uniform"}
    return Order(**(usual | changes))


def made(folder: Path, *, chunk: int = 25, **changes: Any) -> Path:
    for _ in generate(order(**changes), folder=folder, chunk=chunk):
        pass
    return folder


def rows_of(folder: Path, name: str) -> pl.DataFrame:
    return tables.scan(folder, table=TABLES[name]).collect()


def digests(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("bank") / "whole")


@pytest.mark.parametrize("name", TABLES)
def test_every_row_fits_its_schema(whole: Path, name: str) -> None:
    frame = rows_of(whole, name)
    assert tables.checked(frame, table=TABLES[name], where=name).equals(frame)
    assert name == "rates" or frame.height > 0


@pytest.mark.processes
def test_two_processes_write_the_bytes_of_one(whole: Path, tmp_path: Path) -> None:
    steps = list(generate(order(), folder=tmp_path / "two", chunk=25, processes=2))
    assert digests(tmp_path / "two") == digests(whole)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == steps[-1].total == 60 * 20


@pytest.mark.processes
def test_processes_end_with_whoever_asked_and_tell_when_they_fail(tmp_path: Path) -> None:
    going = generate(order(days=400), folder=tmp_path / "left", chunk=25, processes=2)
    next(going)
    going.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []
    (tmp_path / "broken").mkdir()
    failing = generate(order(), folder=tmp_path / "broken", chunk=25, processes=2)
    (tmp_path / "broken" / "transactions").write_text("in the way")
    with pytest.raises(RecsysError, match=r"a process that lived a chunk of the bank failed: \w+Error"):
        list(failing)
    assert multiprocessing.active_children() == []


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(whole: Path, tmp_path: Path) -> None:
    assert digests(made(tmp_path / "again")) == digests(whole)
    other = digests(made(tmp_path / "other", seed=2))
    assert (
        other["transactions/month=2026-01/part-000.parquet"]
        != digests(whole)["transactions/month=2026-01/part-000.parquet"]
    )


@pytest.mark.parametrize(("first", "last"), [(25, 50), (10, 33), (59, 60)])
def test_a_slice_made_alone_is_that_of_the_whole(whole: Path, tmp_path: Path, first: int, last: int) -> None:
    folder = made(tmp_path / "slice", first=first, last=last)
    ours = [f"c-{number:06d}" for number in range(first, last)]
    decisions = rows_of(whole, "decisions").filter(pl.col("customer_id").is_in(ours))
    for name in ("customers", "transactions", "balances", "sessions", "decisions"):
        expected = rows_of(whole, name).filter(pl.col("customer_id").is_in(ours))
        assert rows_of(folder, name).equals(expected), name
    told = rows_of(whole, "outcomes").filter(
        pl.col("customer_id").is_in(ours) | pl.col("decision_id").is_in(decisions["decision_id"].implode())
    )
    assert rows_of(folder, "outcomes").sort("outcome_id").equals(told.sort("outcome_id"))
    if (first, last) == (25, 50):  # a chunk of its own: the very files
        parts = {name: digest for name, digest in digests(whole).items() if "part-001" in name}
        assert parts.items() <= digests(folder).items()


def test_ids_name_one_row_and_decisions_are_found(whole: Path) -> None:
    decisions, outcomes = rows_of(whole, "decisions"), rows_of(whole, "outcomes")
    brought = outcomes.filter(pl.col("decision_id").is_not_null())
    joined = brought.join(decisions, on="decision_id")
    assert joined.height == brought.height
    assert joined.filter(~pl.col("slots").list.contains(pl.col("product_id"))).is_empty()
    assert (joined["happened_at"] > joined["made_at"]).all()
    assert (outcomes["reported_at"] < START + timedelta(days=20)).all()
    assert outcomes.filter(pl.col("decision_id").is_null())["kind"].unique().to_list() == ["opened"]


def test_uniform_is_uniform_and_says_so(whole: Path) -> None:
    decisions = rows_of(whole, "decisions").with_columns(n=pl.col("candidates").list.len())
    first = decisions.select(pl.col("propensities").list.first() * pl.col("n")).to_series()
    assert first.to_list() == pytest.approx([1.0] * len(first))
    ended = decisions.filter(pl.col("slots").list.last() == NOTHING)
    assert set(ended["surface"]) == {"home", "push", "inline"}  # where showing nothing is a choice
    assert (decisions["n"] <= 22).all()


def test_popular_is_one_list_for_all_and_nothing_is_silent(tmp_path: Path) -> None:
    popular = rows_of(made(tmp_path / "popular", policy="popular"), "decisions")
    assert popular["propensities"].explode().unique().to_list() == [1.0]
    heads = popular.filter(pl.col("candidates").list.contains("cashback") & (pl.col("surface") == "home"))
    assert heads["slots"].list.first().unique().to_list() == ["cashback"]
    silent = made(tmp_path / "silent", policy="nothing")
    assert rows_of(silent, "decisions").is_empty()
    assert rows_of(silent, "outcomes")["decision_id"].null_count() == rows_of(silent, "outcomes").height


def test_customers_are_told_of_at_first_monthly_and_when_permissions_change(whole: Path) -> None:
    told = rows_of(whole, "customers")
    days = told.group_by("as_of").len().sort("as_of")
    everybody = days.filter(pl.col("len") == 60)["as_of"].to_list()
    assert everybody == [START, datetime(2026, 2, 1, tzinfo=UTC)]
    assert told["known_none"].explode().drop_nulls().n_unique() >= 2


def test_progress_counts_and_the_manifest_tells_how(tmp_path: Path) -> None:
    steps = list(generate(order(days=3), folder=tmp_path / "b", chunk=25))
    assert [step.done for step in steps] == [25, 50, 75, 100, 125, 150, 160, 170, 180]
    assert {step.total for step in steps} == {180}
    told = json.loads((tmp_path / "b" / MANIFEST).read_text())
    assert told["rows"] == dict(steps[-1].rows)
    assert (told["customers"], told["start"], told["last"]) == (60, "2026-01-20T00:00:00+00:00", 60)
    assert told["rows"]["transactions"] == rows_of(tmp_path / "b", "transactions").height


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"customers": 0}, "a bank needs at least one customer, got 0"),
        ({"customers": 10**11}, "a bank has at most 100,000,000 customers, not 100,000,000,000"),
        (
            {"days": 40_000, "switches": Switches.parsed(with_=["growth"])},
            "a bank has at most 100,000,000 customers, not",
        ),
        ({"days": 0}, "a bank lives at least one day, got 0"),
        ({"seed": -1}, "the seed must not be negative, got -1"),
        ({"first": 5, "last": 5}, "a slice of 60 customers is 0 <= first < last <= 60, got first 5 and last 5"),
        ({"last": 61}, "got first 0 and last 61"),
        ({"policy": "populr"}, "there is no policy populr; did you mean popular?"),
        ({"world": "moon"}, "there is no world moon; there are plain"),
        ({"start": datetime(2026, 1, 5, 1, tzinfo=UTC)}, "the bank starts at midnight in UTC"),
    ],
)
def test_an_order_that_cannot_be_is_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        order(**wrong)
    assert why in str(refused.value)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InvalidConfiguration, match="is not an empty folder"):
        generate(order(), folder=tmp_path)
    with pytest.raises(InvalidConfiguration, match="at least one process, got 0"):
        generate(order(), folder=tmp_path / "new", processes=0)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.processes
def test_memory_is_flat_in_days_and_customers(tmp_path: Path) -> None:
    """Four times the days in twice the chunks may not need a quarter more memory."""

    def peak(customers: int, days: int) -> int:
        code = (
            "import resource, sys; from datetime import UTC, datetime; from pathlib import Path\n"
            "from recsys.bank.generate import Order, generate\n"
            f"order = Order(customers={customers}, days={days}, seed=1, start=datetime(2026, 1, 1, tzinfo=UTC))\n"
            f"for _ in generate(order, folder=Path({str(tmp_path / f'{customers}-{days}')!r}), chunk=1_000): pass\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert peak(2_000, 124) < 1.25 * peak(1_000, 31)


# -- the numbers of the plot sheet ----------------------------------------------------------------


def test_a_sheet_has_a_picture_of_everything(whole: Path) -> None:
    sheet = sheet_of(whole)
    assert (sheet.customers, sheet.days) == (60, 20)
    assert sheet.since_payday[0]["day"] == 0
    assert all(row["low"] <= row["middle"] <= row["high"] for row in sheet.since_payday)
    assert sum(row["share"] for row in sheet.sessions) == pytest.approx(1.0)
    assert {row["surface"] for row in sheet.places} == set(EXAMINATION)
    assert {round(row["expected"], 6) for row in sheet.delays if row["hours"] > 167} == {1.0}
    for need in {row["need"] for row in sheet.season}:
        assert sum(row["relative"] for row in sheet.season if row["need"] == need) == pytest.approx(2.0)
