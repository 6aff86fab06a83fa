"""A bank's own tables come in whole or not at all, whoever wrote them and however."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import create_engine

from recsys.tables import ACTIVITY
from recsys.tracking import MemoryTracker
from recsys.vocabulary import CustomerId, Outcome
from serving import importing, settings
from serving.bootstrap import Installation, compose
from serving.commands import evaluate
from serving.housekeeping import keep_house
from tests.conftest import Recsys
from tests.service import running

SHARED = Path(__file__).parents[2] / "shared" / "data"
POSTGRES = os.environ.get("RECSYS_TEST_POSTGRES", "postgresql+psycopg://root@127.0.0.1:5432/test")

PRODUCTS = {
    "sku": [1, 2],
    "title": ["A pot", "A budget"],
    "group": ["saving", "insight"],
    "points": [6.0, 1.0],
}
PEOPLE = {
    "id": ["ann", "bob", "cyd"],
    "balance": ["1,50", "2", ""],
    "opened": ["31/12/2020", "01/06/2021", "29/02/2024"],
    "consent": ["Y", "N", "Y"],
    "has": ["1;2", "", "2"],
}
MAP = """
zone = "Europe/London"

[[surface]]
name = "home"
null_allowed = false

[products]
from = "products.parquet"
[products.columns]
product_id = "sku"
name = "title"
text = "title"
family = "group"
value = "points"
communication_class = { always = "promo_personalised" }
surfaces = { always = ["home"] }

[customers]
from = "people.csv"
separator = "|"
[customers.columns]
customer_id = "id"
as_of = { always = 2026-01-01T00:00:00Z }
joined_on = { from = "opened", format = "%d/%m/%Y" }
balance_pence = { from = "balance", unit = "pounds" }
in_app = { from = "consent", true = ["Y"], false = ["N"] }
held = { from = "has", split = ";" }
residence = { always = "GB" }
status = { always = "active" }
treatment_flags = { always = [] }

[activity]
from = "days/*.parquet"
[activity.columns]
activity_id = { join = ["basket", "line"], by = "/" }
customer_id = "who"
kind = { always = "spending" }
subject = "shop"
happened_at = "at"
amount_pence = { from = "spent", unit = "pounds" }
"""


def written(folder: Path, *, text: str = MAP, people: Mapping[str, Any] = PEOPLE) -> Path:
    """A bank's files and the map of them."""
    folder.mkdir(exist_ok=True)
    pl.DataFrame(PRODUCTS).write_parquet(folder / "products.parquet")
    lines = ["|".join(people), *("|".join(row) for row in zip(*people.values(), strict=True))]
    (folder / "people.csv").write_text("\n".join(lines).replace("1,50", "1.50") + "\n", encoding="utf-8")
    (folder / "days").mkdir(exist_ok=True)
    for day in (1, 2):
        spending(folder, day=day)
    (folder / "bank.toml").write_text(text, encoding="utf-8")
    return folder / "bank.toml"


local = datetime.fromisoformat  # without a zone, as many a bank writes its times


def spending(folder: Path, *, day: int, **other: Any) -> None:
    """One day's Parquet file."""
    rows = {
        "basket": [day * 10, day * 10, day * 10 + 1],
        "line": [1, 2, 1],
        "who": ["ann", "ann", "bob"],
        "shop": ["groceries", "eating_out", "groceries"],
        "at": [local(f"2025-06-0{day} {hour}:00") for hour in (12, 13, 14)],
        "spent": [12.34, 5.0, 0.1],
    }
    pl.DataFrame(rows | other, strict=False).write_parquet(folder / "days" / f"{day}.parquet")


def state(home: Path) -> tuple[Any, ...]:
    """All that an import could have changed."""
    made = compose(settings.load(home=home))
    found = (made.customers.count(), made.log.last_position(), made.offers.current.catalogue.digest)
    made.database.close()
    return (*found, sorted(path.name for path in home.iterdir() if path.name.startswith(".import")))


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
    assert state(home) == before


WRONG: dict[str, tuple[str, str, str]] = {
    "a date in another form": ("opened", "2020-12-31", "joined_on (their opened) is not written as %d/%m/%Y (row 2)"),
    "a fraction of a penny": ("balance", "1.005", "balance_pence (their balance) is no whole number of pence (row 2)"),
    "a word for a number": ("balance", "lots", "balance_pence (their balance) is no number (row 2)"),
    "an answer unheard of": ("consent", "maybe", "in_app (their consent) must be one of Y, N (row 2)"),
    "nobody": ("id", "", "customer_id is missing (row 2)"),
    "somebody twice": ("id", "ann", "the same customer_id and as_of comes more than once (rows 1, 2)"),
    "a control character": ("id", "b\x07b", "customer_id holds a control character (row 2)"),
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


def test_the_second_file_counts_its_own_rows_and_ids_are_compared_across_files(
    home: Path, tmp_path: Path, recsys: Recsys
) -> None:
    path = written(tmp_path / "bank")
    spending(path.parent, day=2, spent=[1.0, 2.0, 3.001])
    assert (
        "2.parquet: amount_pence (their spent) is no whole number of pence (row 3)"
        in recsys("import", "--map", path).err
    )
    spending(path.parent, day=2, basket=[10, 20, 21])
    told = recsys("import", "--map", path).sentence
    assert told.endswith(
        "the same activity_id comes again with another content: row 1 of 1.parquet and row 1 of 2.parquet"
    )
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
    "a surface of no sort": ('["home"]', '["hall"]', "names the surface hall, which this file does not describe"),
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
    assert [(each.outcome_id, each.decision_id) for each in organic if isinstance(each, Outcome)] == [("o3", None)]
    made.database.close()


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
    recsys("import", "--map", path)
    made = installed(home)
    ann = made.customers.profile(CustomerId("ann"))
    assert ann is not None
    kept = made.customers.activities_of(ann.token)
    assert len(kept) == importing.HISTORY
    wanted = rows.sort("at")["shop"].to_list()[
        4 - importing.HISTORY :
    ]  # ann's four later ones stand in the other files
    assert [each["subject"] for each in kept][:-4] == wanted
    made.database.close()


def test_every_table_of_ours_is_described_for_whoever_writes_a_map(recsys: Recsys) -> None:
    told = recsys("import", "--describe", "activity").out
    assert all(column.name in told for column in ACTIVITY)
    assert "say --map FILE" in recsys("import").err


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not here")
def test_a_grocers_households_products_and_redemptions_come_in(home: Path, tmp_path: Path, recsys: Recsys) -> None:
    exposures = pl.read_parquet(SHARED / "completejourney_campaign_exposures.parquet")
    offers = exposures.unique("campaign_id").sort("campaign_id")
    offers.with_columns(text=pl.format("Coupons of campaign {}.", "campaign_id")).write_parquet(
        tmp_path / "offers.parquet"
    )
    redeemed = pl.read_parquet(SHARED / "completejourney_coupon_redemptions.parquet").with_row_index("n")
    redeemed.write_parquet(tmp_path / "redeemed.parquet")
    (tmp_path / "map.toml").write_text(f"""
zone = "America/New_York"
[[surface]]
name = "home"
null_allowed = false
[products]
from = "offers.parquet"
[products.columns]
product_id = "campaign_id"
name = "text"
text = "text"
family = "campaign_type"
surfaces = {{ always = ["home"] }}
communication_class = {{ always = "promo_personalised" }}
[customers]
from = "{SHARED}/completejourney_demographics.parquet"
[customers.columns]
customer_id = "household_id"
as_of = {{ always = 2017-01-01T00:00:00Z }}
in_app = {{ always = true }}
residence = {{ always = "GB" }}
status = {{ always = "active" }}
treatment_flags = {{ always = [] }}
held = {{ always = [] }}
[outcomes]
from = "redeemed.parquet"
[outcomes.columns]
outcome_id = "n"
customer_id = "household_id"
product_id = "campaign_id"
kind = {{ always = "opened" }}
happened_at = "redemption_date"
""")
    told = json.loads(recsys("import", "--map", tmp_path / "map.toml", "--json").out)
    assert told["taken"] == {"products": 27, "customers changed": 801, "outcomes appended": 2_102}
    assert "customers: of 500 asked, 100% could be shown something today" in told["notes"]
    with running(home, catalogue=False) as app:
        assert len(app.recommend("1")["slate"]) == 3


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
