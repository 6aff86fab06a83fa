"""A bank's own tables come in whole or not at all, whoever wrote them and however."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import create_engine

from recsys.imports import staging
from recsys.tables import ACTIVITY
from recsys.tracking import MemoryTracker
from recsys.vocabulary import CustomerId, Outcome
from serving import importing, settings
from serving.bootstrap import Installation, compose
from serving.commands import evaluate
from serving.housekeeping import keep_house
from serving.import_notes import HISTORY
from tests.bank_files import MAP, local, spending, state, written
from tests.conftest import Recsys
from tests.service import running

SHARED = Path(__file__).parents[2] / "shared" / "data"
POSTGRES = os.environ.get("RECSYS_TEST_POSTGRES", "postgresql+psycopg://root@127.0.0.1:5432/test")


pytestmark = pytest.mark.usefixtures("kept_for_ever")


def installed(home: Path) -> Installation:
    return compose(settings.load(home=home))


def test_three_files_reach_a_served_recommendation(home: Path, tmp_path: Path, recsys: Recsys) -> None:
    path = written(tmp_path / "bank")
    told = json.loads(recsys("import", "--map", path, "--json").out)
    assert told["rows"] == {"products": 2, "customers": 3, "activity": 6}
    assert told["taken"] == {"products": 2, "customers changed": 3, "activities accepted": 6}
    made = installed(home)
    ann = made.customers.profile(CustomerId("ann"))
    assert ann is not None
    assert ann.value("balance_pence") == 150
    assert ann.value("held") == ("1", "2")
    assert str(ann.value("joined_on")) == "2020-12-31"
    first = made.customers.activities_of(ann.token)[0]
    assert first["amount_pence"] == 1234
    assert first["happened_at"] == int(
        datetime(2025, 6, 1, 11, tzinfo=UTC).timestamp() * 1e6
    )  # noon in London's summer
    bob, cyd = (made.customers.profile(CustomerId(each)) for each in ("bob", "cyd"))
    assert bob is not None
    assert cyd is not None
    assert not bob.permissions.in_app
    assert cyd.value("balance_pence") is None  # an empty field is not told, not nought
    made.database.close()
    with running(home, catalogue=False) as app:
        assert [slot["product_id"] for slot in app.recommend("cyd")["slate"]] == ["1"]  # 2 is held already (DUT-1)


def test_an_import_run_again_adds_nothing(home: Path, tmp_path: Path, recsys: Recsys) -> None:
    path = written(tmp_path / "bank")
    recsys("import", "--map", path)
    before = state(home)
    again = json.loads(recsys("import", "--map", path, "--json").out)
    assert again["taken"] == {"products": 2, "customers changed": 0, "activities duplicate": 6}
    assert state(home) == before


def test_an_import_stopped_half_way_is_carried_on(
    home: Path, tmp_path: Path, recsys: Recsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "bank")

    def broken(*_: object, **__: object) -> None:
        raise OSError("the machine stops here")

    with monkeypatch.context() as stopped:
        stopped.setattr(importing, "_latest", broken)
        assert recsys("import", "--map", path).code == 1
    assert state(home)[0] == 3  # the customers are there, the activity is not
    told = json.loads(recsys("import", "--map", path, "--json").out)
    assert told["taken"] == {"products": 2, "customers changed": 0, "activities accepted": 6}


def test_check_says_what_is_missing_and_what_that_costs_and_changes_nothing(
    home: Path, tmp_path: Path, recsys: Recsys
) -> None:
    path = written(tmp_path / "bank", text=MAP.replace("treatment_flags = { always = [] }\n", ""))
    before = state(home)
    told = recsys("import", "--map", path, "--check").out
    assert "0% could be shown something today" in told
    assert "those rules refuse for want of facts that nobody mapped: treatment_flags" in told
    assert "nothing was changed" in told
    path.write_text(MAP.replace('in_app = { from = "consent", true = ["Y"], false = ["N"] }\n', ""))
    told = recsys("import", "--map", path, "--check").out
    assert "customers: no in_app: nobody allows marketing in the app: everybody gets the broadcast path" in told
    path.write_text(MAP.replace('value = "points"', "value = { always = 0.5 }"))
    told = recsys("import", "--map", path, "--check").out
    assert "the greatest value is 0.5 points, usual are 3 to 12" in told
    assert state(home) == before


@pytest.mark.parametrize("together", [staging.TOGETHER, 2], ids=["at once", "in shares"])
def test_the_second_file_counts_its_own_rows_and_ids_are_compared_across_files(
    home: Path, tmp_path: Path, recsys: Recsys, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(staging, "TOGETHER", together)
    path = written(tmp_path / "bank")
    spending(path.parent, day=2, spent=[1.0, 2.0, 3.001])
    assert (
        "2.parquet: amount_pence (their spent) is no whole number of pence (row 3)"
        in recsys("import", "--map", path).err
    )
    spending(path.parent, day=2, basket=[10, 20, 21])
    told = recsys("import", "--map", path).sentence
    assert told.endswith(
        "the same activity_id (their basket and line) comes again with another content: "
        "row 1 of 1.parquet and row 1 of 2.parquet"
    )
    spending(path.parent, day=2, basket=[10, 10, 21], line=[1, 2, 1])
    told = recsys("import", "--map", path).sentence
    assert "comes again with another content (this is one such key of 2): row " in told
    assert state(home)[0] == 0


def test_times_carry_their_zone_or_the_map_names_it(home: Path, tmp_path: Path, recsys: Recsys) -> None:
    path = written(tmp_path / "bank", text=MAP.replace('zone = "Europe/London"', ""))
    assert "happened_at (their at) has no time zone; give zone in the map" in recsys("import", "--map", path).err
    spending(
        path.parent, day=1, at=["2025-06-01T12:00:00+02:00", "2025-06-01 11:00:00Z", "2025-06-01T10:00:00.5+00:00"]
    )
    spending(path.parent, day=2, at=["2025-06-02T00:00:00Z"] * 3)
    recsys("import", "--map", path)
    made = installed(home)
    ann = made.customers.profile(CustomerId("ann"))
    assert ann is not None
    hours = [
        datetime.fromtimestamp(each["happened_at"] / 1e6, tz=UTC).hour
        for each in made.customers.activities_of(ann.token)
    ]  # type: ignore[operator]
    assert hours == [10, 11, 0, 0]
    made.database.close()


def test_the_hour_of_a_clock_change_is_refused_until_the_map_says_which(
    home: Path, tmp_path: Path, recsys: Recsys
) -> None:
    path = written(tmp_path / "bank")
    spending(path.parent, day=2, at=[local("2025-10-26 01:30"), local("2025-03-30 01:30"), local("2025-06-02")])
    assert "comes twice or never" in (told := recsys("import", "--map", path).err)
    assert "(rows 1, 2)" in told
    text = MAP.replace('happened_at = "at"', 'happened_at = { from = "at", clock_change = "latest" }')
    path.write_text(text)
    recsys("import", "--map", path)
    made = installed(home)
    ann = made.customers.profile(CustomerId("ann"))
    assert ann is not None
    latest = made.customers.activities_of(ann.token)
    told_at = [datetime.fromtimestamp(each["happened_at"] / 1e6, tz=UTC) for each in latest]  # type: ignore[operator]
    assert datetime(2025, 10, 26, 1, 30, tzinfo=UTC) in told_at
    assert datetime(2025, 3, 30, 1, 30, tzinfo=UTC) in told_at  # half past two in London's summer
    made.database.close()


def test_a_map_says_what_stands_where_a_value_is_missing(home: Path, tmp_path: Path, recsys: Recsys) -> None:
    balance = 'balance_pence = { from = "balance", unit = "pounds" }'
    assert balance in MAP
    path = written(tmp_path / "bank", text=MAP.replace(balance, balance.replace(" }", ", missing = 700 }")))
    recsys("import", "--map", path)
    made = installed(home)
    known = [made.customers.profile(CustomerId(each)) for each in ("ann", "cyd")]
    assert [None if each is None else each.value("balance_pence") for each in known] == [150, 700]  # pence, as ours are
    made.database.close()
    for wrong, why in (
        ('"none"', "must be whole numbers, not texts"),
        ("1.5", "must be whole pence (row 3)"),
        ("true", "cannot be True, as the map has it; recsys import --describe says what it must be"),
        ("2026-01-01", "cannot be 2026-01-01, as the map has it"),
        ('["a"]', "cannot be ['a'], as the map has it"),
    ):
        path.write_text(MAP.replace(balance, balance.replace(" }", f", missing = {wrong} }}")))
        told = recsys("import", "--map", path)
        assert told.code == 2
        assert "people.csv: balance_pence" in told.err
        assert why in told.err


BAD_MAPS: dict[str, tuple[str, str, str]] = {
    "a table of no sort": ("[activity", "[activities", "there is no table activities; did you mean activity?"),
    "a column of no sort": ("subject =", "subjects =", "activity has no column subjects; did you mean subject?"),
    "a column that is not there": ('"shop"', '"shops"', "1.parquet: has no column shops; it has basket, line, who"),
    "no such file": ("people.csv", "persons.csv", "there is no file persons.csv"),
    "no such zone": ("Europe/London", "Europe/Londinium", "there is no time zone Europe/Londinium"),
    "no such unit": ('unit = "pounds"', 'unit = "euros"', "unit is 'euros'; choose pence, pounds"),
    "products without a surface": (
        '[[surface]]\nname = "home"\nnull_allowed = false',
        "",
        "describes no surface they may appear on",
    ),
    "a surface of no sort": (
        '["home"]',
        '["hall"]',
        "names a surface that bank.toml has no [[surface]] for; it has home",
    ),
    "a needed column": ('family = "group"\n', "", "products: the map names no column for family"),
    "texts for a list": (', split = ";"', "", "must be a list, not texts; say what parts them"),
    "two forms at once": ('from = "has", split', 'from = "has", always = "x", split', "needs one of from, always"),
}


@pytest.mark.parametrize("what", BAD_MAPS)
def test_a_map_that_does_not_fit_is_refused(home: Path, tmp_path: Path, recsys: Recsys, what: str) -> None:
    old, new, sentence = BAD_MAPS[what]
    path = written(tmp_path / "bank", text=MAP.replace(old, new))
    before = state(home)
    told = recsys("import", "--map", path)
    assert told.code == 2
    assert sentence in told.err
    assert state(home) == before


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_tables_come_from_a_database_too(home: Path, tmp_path: Path, recsys: Recsys, kind: str) -> None:
    if kind == "postgres" and not _postgres():
        pytest.skip("no PostgreSQL answers at RECSYS_TEST_POSTGRES")
    url = f"sqlite:///{tmp_path}/theirs.db" if kind == "sqlite" else POSTGRES
    path = written(tmp_path / "bank")
    frame = pl.concat([pl.read_parquet(each) for each in sorted((path.parent / "days").glob("*.parquet"))])
    table = f"spending_{os.getpid()}"
    frame.write_database(table, url, if_table_exists="replace")
    query = f'sql = "select * from {table} order by basket, line"\nurl_from = "WAREHOUSE"'
    path.write_text(MAP.replace('from = "days/*.parquet"', query))
    assert "holds no WAREHOUSE" in recsys("import", "--map", path).err
    os.environ["WAREHOUSE"] = url
    try:
        told = json.loads(recsys("import", "--map", path, "--json").out)
    finally:
        del os.environ["WAREHOUSE"]
        _dropped(url, table)
    assert told["taken"]["activities accepted"] == 6


def _postgres() -> bool:
    try:
        create_engine(POSTGRES).connect().close()
    except Exception:  # whatever is wrong, there is none
        if "postgres" in os.environ.get("RECSYS_TEST_REQUIRE", ""):
            raise
        return False
    return True


def _dropped(url: str, table: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {table}")
    engine.dispose()


PAST = (
    MAP
    + """
[decisions]
from = "decisions.parquet"
[decisions.columns]
decision_id = "id"
customer_id = "who"
made_at = "at"
surface = { always = "home" }
policy = { always = "theirs@1" }
n_slots = { always = 1 }
candidates = "could"
slots = "did"
propensities = "p"

[outcomes]
from = "outcomes.parquet"
[outcomes.columns]
outcome_id = "id"
decision_id = "decision"
customer_id = "who"
product_id = "what"
kind = "kind"
happened_at = "at"
"""
)


def past(folder: Path) -> None:
    """Four past decisions, one of them without a propensity, and what came of them."""
    at = datetime(2025, 6, 1, 12, tzinfo=UTC)
    pl.DataFrame(
        {
            "id": ["d1", "d2", "d3", "d4"], "who": ["ann", "bob", "ann", "cyd"], "at": [at] * 4,
            "could": [["1", "2"]] * 4, "did": [["1"], ["2"], ["1"], ["2"]], "p": [[0.5], [0.5], [0.8], [None]],
        }
    ).write_parquet(folder / "decisions.parquet")  # fmt: skip
    pl.DataFrame(
        {
            "id": ["o1", "o2", "o3"], "decision": ["d1", "d1", None], "who": [None, None, "bob"],
            "what": ["1", "1", "2"], "kind": ["tapped", "opened", "opened"], "at": [at.replace(hour=13)] * 3,
        }
    ).write_parquet(folder / "outcomes.parquet")  # fmt: skip


def test_past_decisions_become_rounds_and_those_without_propensities_are_kept_apart(
    home: Path, tmp_path: Path, recsys: Recsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "tracker_of", lambda _: MemoryTracker())
    path = written(tmp_path / "bank", text=PAST)
    past(path.parent)
    assert "say --rounds FOLDER" in recsys("import", "--map", path).err
    told = recsys("import", "--map", path, "--rounds", tmp_path / "rounds").out
    assert "1 of 4 have no propensities: kept, and no use to importance weights" in told
    known = pl.read_parquet(tmp_path / "rounds" / "known.parquet")
    assert known["reward"].to_list() == [6.0, 0.0, 0.0]  # the opened pot is worth its points, once
    assert not any(name in known.write_json() for name in ("ann", "bob", "cyd"))
    judged = recsys("evaluate", "--log", tmp_path / "rounds" / "known.parquet", "--policy", "uniform", "--json")
    assert json.loads(judged.out)["rounds"] == 3
    refused = recsys("evaluate", "--log", tmp_path / "rounds" / "unknown.parquet", "--policy", "uniform")
    assert refused.code == 2
    assert "propensity" in refused.err
    made = installed(home)
    organic = [event.body for event in made.log.read(kinds=("outcome",))]
    assert [(each.outcome_id, each.decision_id) for each in organic if isinstance(each, Outcome)] == [
        ("o3", None), ("o1", None), ("o2", None),
    ]  # fmt: skip
    made.database.close()


def test_propensities_may_come_as_texts_and_outcomes_that_cannot_earn_are_said(
    home: Path, tmp_path: Path, recsys: Recsys
) -> None:
    path = written(
        tmp_path / "bank", text=PAST.replace('propensities = "p"', 'propensities = { from = "p", split = ";" }')
    )
    past(path.parent)
    kept = pl.read_parquet(path.parent / "decisions.parquet")
    texts = [";".join("" if each is None else str(each) for each in row) for row in kept["p"].to_list()]
    kept.with_columns(p=pl.Series(texts)).write_parquet(path.parent / "decisions.parquet")
    told = recsys("import", "--map", path, "--rounds", tmp_path / "rounds").out
    assert "1 of 4 have no propensities" in told
    assert "counts only after" not in told
    assert pl.read_parquet(tmp_path / "rounds" / "known.parquet")["reward"].to_list() == [6.0, 0.0, 0.0]
    came = pl.read_parquet(path.parent / "outcomes.parquet")
    came.filter(pl.col("kind") != "tapped").write_parquet(path.parent / "outcomes.parquet")
    told = recsys("import", "--map", path, "--check").out
    assert (
        "1 are opened, which counts only after tapped, and none of them is tapped: decisions earn nothing by it" in told
    )
    kept.with_columns(p=pl.Series(["some", *texts[1:]])).write_parquet(path.parent / "decisions.parquet")
    assert "propensities (their p) holds what is no number (row 1)" in recsys("import", "--map", path, "--check").err


def test_products_that_new_files_lack_and_activities_that_differ_are_said(
    home: Path, tmp_path: Path, recsys: Recsys
) -> None:
    path = written(tmp_path / "bank")
    recsys("import", "--map", path)
    products = pl.read_parquet(path.parent / "products.parquet")
    products.head(1).write_parquet(path.parent / "products.parquet")
    spending(path.parent, day=1, spent=[99.0, 98.0, 97.0])
    told = recsys("import", "--map", path).out
    assert "products: 1 of the catalogue in force are not in these files and leave it (2)" in told
    assert "activities conflict: held under their ids with another content, which stays" in told


def test_of_a_long_history_the_latest_is_kept_for_each_customer(home: Path, tmp_path: Path, recsys: Recsys) -> None:
    path = written(tmp_path / "bank")
    n = 500
    rows = pl.DataFrame(
        {
            "basket": range(n), "line": [9] * n, "who": ["ann"] * n, "shop": [f"shop-{i}" for i in range(n)],
            "at": [local("2024-01-01") + timedelta(hours=i) for i in range(n)], "spent": [1.0] * n,
        }
    )  # fmt: skip
    rows.write_parquet(path.parent / "days" / "0.parquet", row_group_size=n)
    told = recsys("import", "--map", path)
    assert f"{n + 4 - HISTORY} of {n + 6} lie beyond a customer's latest {HISTORY}: not taken in" in told.out
    made = installed(home)
    ann = made.customers.profile(CustomerId("ann"))
    assert ann is not None
    kept = made.customers.activities_of(ann.token)
    assert len(kept) == HISTORY
    wanted = rows.sort("at")["shop"].to_list()[4 - HISTORY :]  # ann's four later ones stand in the other files
    assert [each["subject"] for each in kept][:-4] == wanted
    made.database.close()


def test_ret_1_what_may_not_be_kept_is_not_taken_in_and_that_is_said(
    home: Path, tmp_path: Path, recsys: Recsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RECSYS_RETENTION")
    path = written(tmp_path / "bank")
    days = [local("2019-06-01"), local("2019-06-01 11:00"), datetime.now(UTC).replace(tzinfo=None) - timedelta(days=9)]
    spending(path.parent, day=1, at=days)
    spending(path.parent, day=2, at=days)
    told = recsys("import", "--map", path)
    assert "4 of 6 are older than such records are kept: not taken in (RET-1; from 20" in told.out
    assert "on they are, by default_retention.toml, activities)" in told.out
    made = installed(home)
    profiles = made.customers.profiles([CustomerId("ann"), CustomerId("bob")])
    assert [len(made.customers.activities_of(each.token)) for each in profiles.values()] == [0, 2]
    made.database.close()


def test_every_table_of_ours_is_described_for_whoever_writes_a_map(recsys: Recsys) -> None:
    told = recsys("import", "--describe", "activity").out
    assert all(column.name in told for column in ACTIVITY)
    assert "say --map FILE" in recsys("import").err


def test_ret_2_what_a_killed_import_staged_goes_with_the_next_one_and_with_housekeeping(
    home: Path, tmp_path: Path, recsys: Recsys
) -> None:
    path = written(tmp_path / "bank")
    recsys("import", "--map", path)
    for clean in (lambda: recsys("import", "--map", path), lambda: keep_house(installed(home))):
        dead, alive = home / ".import-dead", home / ".import-alive"
        for each in (dead, alive):
            (each / "customers").mkdir(parents=True, exist_ok=True)
            (each / "customers" / "part-000.parquet").write_bytes(b"ann")
        for each in (dead, *dead.rglob("*")):
            os.utime(each, (1, 1))
        clean()
        assert not dead.exists()
        assert alive.exists()  # another import is at it


def test_mrm_2_a_surface_that_the_champion_is_not_meant_for_is_said(home: Path, tmp_path: Path, recsys: Recsys) -> None:
    path = written(tmp_path / "bank", text=MAP.replace('"home"', '"offers"'))
    told = recsys("import", "--map", path, "--check").out
    assert "inventory.toml does not mean bandit for offers: there the approved list answers (MRM-2)" in told


def test_what_follows_a_stage_earns_only_where_that_came(home: Path, tmp_path: Path, recsys: Recsys) -> None:
    path = written(tmp_path / "bank", text=PAST)
    past(path.parent)
    outcomes = pl.read_parquet(path.parent / "outcomes.parquet")
    outcomes.filter(pl.col("kind") != "tapped").write_parquet(path.parent / "outcomes.parquet")
    recsys("import", "--map", path, "--rounds", tmp_path / "rounds")
    known = pl.read_parquet(tmp_path / "rounds" / "known.parquet")
    assert known["reward"].to_list() == [0.0, 0.0, 0.0]  # opened without a tap: no card brought it


def test_a_banks_own_creatives_are_what_its_customers_read(home: Path, tmp_path: Path, recsys: Recsys) -> None:
    text = MAP.replace("[customers]", """[creatives]
from = "words.csv"
[creatives.columns]
creative_id = "wording"
product_id = "sku"
text = "says"
communication_class = { always = "promo_personalised" }

[customers]""", 1)  # fmt: skip
    path = written(tmp_path / "bank", text=text)
    (path.parent / "words.csv").write_text("wording,sku,says\nw-1,1,Save a little\n", encoding="utf-8")
    told = recsys("import", "--map", path)
    assert told.code == 0, told.err
    product = installed(home).offers.current.catalogue.product("1")
    assert [each.text for each in product.creatives] == ["Save a little"]
