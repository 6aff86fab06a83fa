"""`recsys export`: everything in the log, once, under a documented schema; the same days give the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
import sqlglot

from recsys import joining
from recsys.eventlog import Entry
from recsys.vocabulary import Decision, Outcome
from serving import settings
from serving.bootstrap import compose
from serving.export_schema import TABLES, described
from tests.conftest import Recsys
from tests.judged_worlds import World, world


@pytest.fixture
def lived(home: Path) -> Iterator[World]:
    made = world(home, decisions=150, days=20)
    yield made
    made.home.database.close()


def read(out: Path, table: str) -> pl.DataFrame:
    return pl.read_parquet(out / table / "*" / "*.parquet")


def bytes_of(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.parquet"))}


def test_what_is_in_the_log_is_in_the_files(recsys: Recsys, lived: World, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = json.loads(recsys("export", "--out", out, "--json").out)
    events = list(lived.home.log.read())
    decisions = [event.body for event in events if isinstance(event.body, Decision)]
    outcomes = [event.body for event in events if isinstance(event.body, Outcome)]
    assert read(out, "decisions")["decision_id"].to_list() == [each.decision_id for each in decisions]
    assert read(out, "outcomes").height == len(outcomes) - 1  # the last day is not over
    slots = read(out, "slots")
    assert slots["propensity"].to_list() == [slot.propensity for each in decisions for slot in each.slots]
    assert slots.select(pl.col("pmf").list.sum().round(9)).unique().item() == 1.0
    rounds = read(out, "rounds")
    told = list(joining.rounds(events, rewards=lived.home.rewards))
    assert rounds["reward"].sum() == pytest.approx(sum(float(each.rewards.sum()) for each in told))
    assert rounds["decision_id"].n_unique() == len(told) == 150
    assert done["rows"] == {table: read(out, table).height for table in TABLES}
    for table, (_, columns) in TABLES.items():
        assert dict(read(out, table).drop("day", strict=False).schema) == {n: kind for n, (kind, _) in columns.items()}


def test_a_second_run_gives_the_same_bytes_and_a_longer_log_only_more(
    recsys: Recsys, lived: World, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    recsys("export", "--out", one)
    before = bytes_of(one)
    again = json.loads(recsys("export", "--out", one, "--json").out)
    assert again["files"] == 0
    assert again["unchanged"] == len(before)
    recsys("export", "--out", two)
    assert bytes_of(two) == before
    lived.clock.set(lived.clock.now() + timedelta(days=3))
    lived.home.log.append([Entry(Outcome("later", lived_token(lived), "pot", "opened", lived.clock.now()))])
    recsys("export", "--out", one)
    after = bytes_of(one)
    assert {name: after[name] for name in before} == before
    assert len(after) > len(before)


def lived_token(lived: World) -> str:
    return next(event.body.token for event in lived.home.log.read() if isinstance(event.body, Decision))


def test_days_exported_apart_are_days_exported_together(recsys: Recsys, lived: World, tmp_path: Path) -> None:
    whole, apart = tmp_path / "whole", tmp_path / "apart"
    recsys("export", "--out", whole)
    for since, until in (("2026-03-02", "2026-03-09"), ("2026-03-09", "2026-03-23"), ("2026-03-23", "2026-05-01")):
        assert recsys("export", "--out", apart, "--since", since, "--until", until).code == 0
    assert bytes_of(apart) == bytes_of(whole)


def test_the_dictionary_names_every_column_and_the_queries_run(recsys: Recsys, lived: World, tmp_path: Path) -> None:
    told = recsys("export", "--describe").out
    assert told == described() + "\n"
    for table, (says, columns) in TABLES.items():
        assert f"\n{table}: {says}" in told
        assert all(f"\n  {name} " in told for name in columns)
    recsys("export", "--out", tmp_path / "out")
    rounds, slots = read(tmp_path / "out", "rounds"), read(tmp_path / "out", "slots")
    joined = rounds.join(slots, on=["decision_id", "slot"]).filter(pl.col("slot") == 1)
    assert joined.height == 150
    [(even, logged, n)] = duckdb.sql(query_of("DuckDB").replace("OUT", str(tmp_path / "out"))).fetchall()
    assert n == 150
    assert even == pytest.approx(logged)  # it was an even choice


def query_of(engine: str) -> str:
    """The example query for an engine, as `recsys export --describe` prints it."""
    return described().partition(f"-- {engine}")[2].partition(";")[0].partition("\n")[2]


def test_the_query_for_bigquery_is_its_sql_and_says_the_same(recsys: Recsys, lived: World, tmp_path: Path) -> None:
    """There is no BigQuery here: its own grammar reads the query, which is then run, translated, by DuckDB."""
    recsys("export", "--out", tmp_path / "out")
    query = query_of("BigQuery")
    for table in ("rounds", "slots"):
        assert f"`project.recsys.{table}`" in query
        duckdb.sql(f"CREATE OR REPLACE VIEW {table} AS SELECT * FROM '{tmp_path}/out/{table}/*/*.parquet'")
        query = query.replace(f"`project.recsys.{table}`", table)
    [translated] = sqlglot.transpile(query, read="bigquery", write="duckdb", error_level=sqlglot.ErrorLevel.RAISE)
    [found] = duckdb.sql(translated).fetchall()
    [same] = duckdb.sql(query_of("DuckDB").replace("OUT", str(tmp_path / "out"))).fetchall()
    assert found == pytest.approx(same)


@pytest.mark.parametrize("damage", [b"", b"PAR1 and then nothing"])
def test_a_damaged_file_is_written_again_and_the_others_stay(
    recsys: Recsys, lived: World, tmp_path: Path, damage: bytes
) -> None:
    out = tmp_path / "out"
    recsys("export", "--out", out)
    before = bytes_of(out)
    broken = next(out.glob("decisions/*/*.parquet"))
    broken.write_bytes(damage)
    (broken.parent / ".part.parquet.99999999").write_bytes(b"left by an export that was killed")
    again = json.loads(recsys("export", "--out", out, "--json").out)
    assert again["files"] == 1
    assert bytes_of(out) == before
    assert not list(out.rglob(".part*"))


@pytest.mark.processes
def test_an_export_that_is_killed_leaves_whole_files_and_the_next_ends_it(
    recsys: Recsys, lived: World, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    recsys("export", "--out", whole)
    child = subprocess.Popen([sys.executable, "-m", "serving.cli", "export", "--out", killed])
    deadline = time.monotonic() + 60.0
    while not list(killed.rglob("*.parquet")) and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.001)
    child.kill()
    child.wait(30)
    wanted = bytes_of(whole)
    left = bytes_of(killed)
    assert left
    assert all(wanted[name] == content for name, content in left.items())
    recsys("export", "--out", killed)
    assert bytes_of(killed) == wanted


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "say where to: --out FOLDER"),
        (["--out", "x", "--since", "2026-03-03", "--until", "2026-03-02"], "there are no days to export"),
        (["--out", "x", "--since", "yesterday"], '"yesterday" is no time'),
    ],
)
def test_misuse_is_one_sentence(recsys: Recsys, arguments: list[str], sentence: str) -> None:
    done = recsys("export", *arguments)
    assert done.code == 2
    assert sentence in done.sentence


def test_an_empty_log_exports_nothing_and_a_file_in_the_way_is_told(recsys: Recsys, tmp_path: Path) -> None:
    assert recsys("export", "--out", tmp_path / "out").out.startswith("0 days in")
    (tmp_path / "file").touch()
    assert "is a file" in recsys("export", "--out", tmp_path / "file").sentence
    assert compose(settings.load()).log.last_position() == 0
