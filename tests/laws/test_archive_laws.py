"""Old decisions move to Parquet, and nobody who reads the log can tell; whoever is forgotten leaves the archive too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys import archive, compaction, records, terms
from recsys.clocks import FixedClock
from recsys.compaction import compact, shrink, swept
from recsys.database import Database, sqlite_url
from recsys.entries import Entry, Status
from recsys.erasures import Erasures
from recsys.errors import Corrupt
from recsys.eventlog import EventLog
from recsys.expiring import expire
from recsys.vocabulary import CustomerId, Decision, Token
from serving.commands.verify_log import verify_log
from serving.exporting import export
from serving.housekeeping import keep_house
from tests import builders
from tests.builders import START
from tests.conftest import Recsys
from tests.service import App, running
from tests.steered import soon

N, SIZE = 60, 7
DAY = timedelta(days=1)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(compaction, "_EACH", SIZE)
    return tmp_path / "archive"


@pytest.fixture
def lived(database: Database, clock: FixedClock, folder: Path) -> EventLog:
    """A log of decisions of six people, with outcomes between them."""
    log = EventLog(database, clock=clock, archive=folder)
    fill(log)
    return log


def fill(log: EventLog) -> None:
    for n in range(N):
        token = f"t-{n % 6}"
        log.append([Entry(replace(builders.decision(f"d-{n}", token=token, request_id=f"r-{n}"), retention="3y"))])
        log.append([Entry(builders.outcome(f"o-{n}", token=token, decision_id=f"d-{n}"))])


def whole(log: EventLog) -> list[tuple[int, str, str]]:
    """The log as anybody reads it."""
    return [(event.position, *_text(event.body)) for event in log.read()]


def _text(body: Any) -> tuple[str, str]:
    record = records.encode(body)
    return record.digest, record.text


def in_database(database: Database) -> int:
    """Decisions whose text is in the database."""
    with database.reading() as connection:
        query = "SELECT count(*) FROM events WHERE kind = 'decision' AND text <> ''"
        return int(connection.exec_driver_sql(query).scalar() or 0)


def test_what_was_archived_reads_as_it_was_written(database: Database, lived: EventLog, folder: Path) -> None:
    before, digest = whole(lived), lived.digest(until=2 * N)
    done = compact(database, folder=folder, until=90)  # the rest is not old enough
    assert (done.decisions, done.files) == (45, 7)
    assert done.file_bytes == sum(each.path.stat().st_size for each in archive.segments(folder))
    assert in_database(database) == N - 45
    assert whole(lived) == before
    assert lived.digest(until=2 * N) == digest
    assert [each.position for each in lived.glance()] == [position for position, *_ in before]
    found = lived.decision("d-3")
    assert isinstance(found.body, Decision)
    assert len(lived.sequel(found.body)) == 1
    assert len(lived.of_person("t-3")) == 2 * N // 6
    [again] = lived.append([Entry(replace(builders.decision("d-3", token="t-3", request_id="r-3"), retention="3y"))])
    assert again.status is Status.DUPLICATE
    assert compact(database, folder=folder, until=90).decisions == 0
    assert compact(database, folder=folder, until=2 * N).decisions == N - 45
    shrink(database)
    assert whole(lived) == before


@pytest.mark.parametrize("step", ["archive.put", "archive.written", "compaction._let_go", "archive.sync_directory"])
def test_a_run_that_dies_anywhere_loses_nothing_and_goes_on(
    database: Database, lived: EventLog, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = whole(lived)
    module, _, name = step.partition(".")
    real, calls = getattr({"archive": archive, "compaction": compaction}[module], name), [0]

    def dies(*given: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            raise ZeroDivisionError
        return real(*given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(f"recsys.{step}", dies)
        with pytest.raises(ZeroDivisionError):
            compact(database, folder=folder, until=2 * N)
    assert whole(lived) == before
    swept(database, folder=folder)
    assert whole(lived) == before
    compact(database, folder=folder, until=2 * N)
    assert (whole(lived), in_database(database)) == (before, 0)
    held = [position for each in archive.segments(folder) for position in each.rows()["position"]]
    assert sorted(held) == sorted(set(held))
    assert len(held) == N


_KILLED = """
import os, sys
from pathlib import Path
from recsys import archive, compaction
from recsys.database import Database
compaction._EACH, left, real = {size}, [{time}], {module}.{name}
def killed(*given, **more):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), 9)
    return real(*given, **more)
{module}.{name} = killed
compaction.compact(Database("{url}"), folder=Path("{folder}"), until={until})
"""


def test_killed_for_good_while_it_writes_it_is_carried_on(tmp_path: Path, clock: FixedClock, folder: Path) -> None:
    url = sqlite_url(tmp_path / "house" / "recsys.db")
    database = Database(url).create()
    log = EventLog(database, clock=clock, archive=folder)
    fill(log)
    before = whole(log)
    for module, name, time in (
        ("archive", "sync_directory", 2),
        ("compaction", "_let_go", 2),
        ("compaction", "update", 1),
    ):
        script = _KILLED.format(size=SIZE, time=time, module=module, name=name, url=url, folder=folder, until=2 * N)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
        assert done.returncode == -9, done.stderr
        assert whole(log) == before
    compact(database, folder=folder, until=2 * N)
    assert (whole(log), in_database(database)) == (before, 0)
    database.close()


def test_ers_1_who_is_forgotten_leaves_the_archive_and_the_rest_stays(
    database: Database, lived: EventLog, folder: Path, clock: FixedClock
) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO tokens VALUES ('cleo', 't-2')")
    compact(database, folder=folder, until=2 * N)
    before = {position: told for position, *told in whole(lived)}
    erasures = Erasures(database, log=lived, clock=clock)
    erasures.begin(CustomerId("cleo"), erasure_id="e-1")
    between = whole(lived)  # the files still hold them, and nobody reads that
    assert swept(database, folder=folder) > 0
    assert swept(database, folder=folder) == 0
    assert whole(lived) == between
    for event in lived.read(until=2 * N):
        its = isinstance(event.body, Decision) and event.body.token == "t-2"
        assert its == (isinstance(event.body, Decision) and event.body.erased)
        if getattr(event.body, "token", "") != "t-2":
            assert _text(event.body) == tuple(before[event.position])
    rows = pl.concat([each.rows() for each in archive.segments(folder)])
    assert "t-2" not in rows["token"]
    assert rows.height == N - N // 6
    compact(database, folder=folder, until=2 * N)  # nothing of them is archived again
    assert pl.concat([each.rows() for each in archive.segments(folder)]).height == N - N // 6


def test_ers_4_somebody_forgotten_while_a_file_is_written_is_not_in_it(
    database: Database, lived: EventLog, folder: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO tokens VALUES ('cleo', 't-2')")
    real, times = compaction._let_go, [0]

    def meanwhile(*given: Any) -> bool:
        times[0] += 1
        if times[0] == 2:
            Erasures(database, log=lived, clock=clock).begin(CustomerId("cleo"), erasure_id="e-1")
        return real(*given)

    monkeypatch.setattr(compaction, "_let_go", meanwhile)
    compact(database, folder=folder, until=2 * N)
    swept(database, folder=folder)
    told = [e.body for e in lived.read() if isinstance(e.body, Decision) and e.body.token == Token("t-2")]
    assert len(told) == N // 6
    assert all(each.erased and not each.facts for each in told)
    for each in archive.segments(folder):
        for text in each.rows().filter(pl.col("token") == "t-2")["text"]:
            assert '"personal":null' in text


def test_ret_1_what_was_kept_long_enough_leaves_the_archive_too(
    database: Database, lived: EventLog, folder: Path, clock: FixedClock
) -> None:
    compact(database, folder=folder, until=2 * N)
    clock.set(START + 365 * 4 * DAY)
    lived.append([Entry(builders.decision("d-last"))])
    expire(database, log=lived, terms=terms.load(), now=clock.now())
    assert swept(database, folder=folder) == len(range(0, N, SIZE))
    assert archive.segments(folder) == []
    assert [event.position for event in lived.read()] == [2 * N + 1]


def test_trn_2_a_damaged_or_missing_file_is_said_and_not_guessed(
    database: Database, lived: EventLog, folder: Path
) -> None:
    compact(database, folder=folder, until=2 * N)
    first, second, *_ = archive.segments(folder)
    first.path.unlink()
    rows = second.rows()
    rows.with_columns(text=pl.lit("{}")).write_parquet(second.path)
    for decision_id in ("d-0", f"d-{SIZE}"):
        with pytest.raises(Corrupt, match="does not hold it as it was written"):
            lived.decision(decision_id)
    assert lived.decision(f"d-{2 * SIZE}").body
    with pytest.raises(Corrupt, match="nobody said where"):
        EventLog(database, clock=FixedClock(START)).decision("d-0")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with running(tmp_path / "house") as running_app:
        yield running_app


def test_trn_2_trn_3_receipts_exports_and_verify_log_work_over_both(app: App, recsys: Recsys, tmp_path: Path) -> None:
    home = app.service.home
    app.tell()
    old = app.recommend(surface="savings", request_id="r-1")["decision_id"]
    receipt, held = app.receipt(old), app.get("/v1/customers/ann/export", key="auditor").json()
    app.clock.set(START + 100 * DAY)
    new = app.recommend("ben", surface="savings")["decision_id"]
    found = verify_log(home).to_json()
    export(home.log, out=tmp_path / "before", rewards=home.rewards)
    until = home.log.position_before(app.clock.now() - 90 * DAY)
    assert compact(home.database, folder=home.settings.archive, until=until).decisions == 1
    assert app.receipt(old) == receipt
    assert app.receipt(new)["decision_id"] == new
    held_now = app.get("/v1/customers/ann/export", key="auditor").json()
    assert held_now | {"exported_at": ""} == held | {"exported_at": ""}
    assert verify_log(home).to_json() == found
    assert found["decisions"] == 2
    export(home.log, out=tmp_path / "after", rewards=home.rewards)
    for path in (tmp_path / "before").rglob("*.parquet"):
        assert path.read_bytes() == (tmp_path / "after" / path.relative_to(tmp_path / "before")).read_bytes()
    outcome = {"outcome_id": "late", "decision_id": old, "product_id": receipt["slate"][0]["product_id"]}
    sent = {"outcomes": [outcome | {"kind": "seen", "happened_at": app.clock.now().isoformat()}]}
    assert app.post("/v1/outcomes", sent).json()["accepted"] == 1
    app.ask("PUT", "/v1/customers/ann", json={"as_of": app.clock.now().isoformat(), "facts": {}})
    soon(lambda: keep_house(home))  # the service keeps house by itself, too


def test_the_command_says_what_it_moved_and_refuses_what_is_too_young(recsys: Recsys, home: Path) -> None:
    with running(home) as app:
        app.tell()
        app.recommend(surface="savings")
    done = recsys("compact", "--older-than", "30", "--shrink")
    assert done.code == 0, done.err
    assert "1 decisions in 1 files" in done.out
    assert "no decision older than 30 days" in recsys("compact", "--older-than", "30").out
    assert recsys("verify-log").code == 0
    assert recsys("compact", "--older-than", "3").code == 2
