"""Embeddings learn from a bank's own tables before we have decided anything, and from nothing that came after."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from embeddings.interactions import Interaction
from recsys import features
from recsys.tracking import MemoryTracker
from serving import settings
from serving.bootstrap import compose
from serving.commands import dataset, train
from tests.bank_files import MAP, local, spending, written
from tests.conftest import Recsys
from tests.service import running

pytestmark = pytest.mark.usefixtures("kept_for_ever")

SHARED = Path(__file__).parents[2] / "shared" / "data"
LONDON = ZoneInfo("Europe/London")
OPENED = datetime(2025, 6, 1, 13, 30, tzinfo=LONDON)
OUTCOMES = """
[outcomes]
from = "outcomes.parquet"
[outcomes.columns]
outcome_id = "n"
customer_id = "who"
product_id = "sku"
kind = "what"
happened_at = "at"
"""
GROCER = """
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
surfaces = { always = ["home"] }
communication_class = { always = "promo_personalised" }
[customers]
from = "demographics.parquet"
[customers.columns]
customer_id = "household_id"
as_of = { always = 2017-01-01T00:00:00Z }
in_app = { always = true }
residence = { always = "GB" }
status = { always = "active" }
treatment_flags = { always = [] }
held = { always = [] }
[activity]
from = "transactions.parquet"
[activity.columns]
activity_id = { join = ["basket_id", "product_id"] }
customer_id = "household_id"
kind = { always = "spending" }
subject = "store_id"
happened_at = { from = "transaction_timestamp", clock_change = "earliest" }
amount_pence = { from = "sales_value", unit = "pounds" }
[outcomes]
from = "coupon_redemptions.parquet"
[outcomes.columns]
outcome_id = { row = "redeemed-" }
customer_id = "household_id"
product_id = "campaign_id"
kind = { always = "opened" }
happened_at = "redemption_date"
"""


@pytest.fixture(autouse=True)
def tracker(monkeypatch: pytest.MonkeyPatch) -> MemoryTracker:
    kept = MemoryTracker()
    for module in (dataset, train):
        monkeypatch.setattr(module, "tracker_of", lambda _: kept)
    return kept


def told(path: Path, *, as_of: str) -> None:
    """The map with outcomes, and what happened: ann opened the pot, twice; bob only saw it."""
    path.write_text(MAP.replace("2026-01-01T00:00:00Z", as_of) + OUTCOMES)
    pl.DataFrame(
        {
            "n": ["1", "2", "3"], "who": ["ann", "ann", "bob"], "sku": ["1", "1", "1"],
            "what": ["opened", "opened", "seen"], "at": [OPENED, OPENED + timedelta(days=1), OPENED],
        }
    ).write_parquet(path.parent / "outcomes.parquet")  # fmt: skip


def learnt(home: Path) -> list[Interaction]:
    made = compose(settings.load(home=home))
    found = dataset.dataset(made.settings.artefacts, "own").interactions(among=made.offers.current.catalogue.ids)
    made.database.close()
    return found


def fact(each: Interaction, name: str) -> float:
    return each.facts[features.CUSTOMER_NAMES.index(name)]


def test_an_imported_opening_teaches_what_the_bank_knew_before_it(home: Path, tmp_path: Path, recsys: Recsys) -> None:
    path = written(tmp_path / "bank")
    told(path, as_of="2025-01-01T00:00:00Z")
    recsys("import", "--map", path)
    assert recsys("dataset", "create", "own").code == 0
    (each,) = learnt(home)  # the first of the two; what was only seen is no opening
    assert (each.product_id, each.happened_at) == ("1", OPENED)
    assert each.history == ("groceries", "eating_out")  # those of 12:00 and 13:00, not of the next day
    assert fact(each, "log_balance") > 0.0


def test_nothing_that_came_after_an_imported_opening_is_in_the_dataset(
    home: Path, tmp_path: Path, recsys: Recsys
) -> None:
    path = written(tmp_path / "bank")
    planted = [local("2025-06-01 13:30"), local("2025-06-01 13:31"), local("2025-05-01")]
    spending(path.parent, day=1, shop=["at_that_moment", "a_minute_later", "of_another"], at=planted)
    told(path, as_of="2025-06-01T12:30:01Z")  # a second after the opening
    recsys("import", "--map", path)
    recsys("dataset", "create", "own")
    (each,) = learnt(home)
    assert each.history == ()
    assert fact(each, "log_balance") == 0.0


def test_nothing_after_an_objection_teaches(home: Path, tmp_path: Path, recsys: Recsys) -> None:
    path = written(tmp_path / "bank")
    told(path, as_of="2025-06-02T00:00:00Z")
    objecting = "objected_at = { always = 2025-06-01T00:00:00Z }\nheld = {"
    path.write_text(path.read_text().replace("held = {", objecting))
    recsys("import", "--map", path)
    refused = recsys("dataset", "create", "own")
    assert refused.code == 2
    assert "neither a decision nor an imported opening" in refused.sentence


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not here")
def test_a_grocers_files_reach_a_trained_and_served_recommendation(
    home: Path, tmp_path: Path, recsys: Recsys, tracker: MemoryTracker
) -> None:
    for name in ("campaign_exposures", "coupon_redemptions", "demographics"):
        (tmp_path / f"{name}.parquet").symlink_to(SHARED / f"completejourney_{name}.parquet")
    pl.read_parquet(SHARED / "completejourney_transactions.parquet").head(10_000).write_parquet(
        tmp_path / "transactions.parquet"
    )
    offers = pl.read_parquet(tmp_path / "campaign_exposures.parquet").unique("campaign_id").sort("campaign_id")
    offers.with_columns(text=pl.format("Coupons of campaign {}.", "campaign_id")).write_parquet(
        tmp_path / "offers.parquet"
    )
    (tmp_path / "map.toml").write_text(GROCER)
    taken = json.loads(recsys("import", "--map", tmp_path / "map.toml", "--json").out)["taken"]
    assert taken["outcomes appended"] == 2_102
    created = json.loads(recsys("dataset", "create", "own", "--json").out)
    assert created["manifest"]["interactions"] == 792
    trained = recsys("train", "--dataset", "own", "--json")
    assert trained.code == 0, trained.err
    used = [each for run in tracker.runs for each in run.datasets]
    assert created["digest"] in {each.digest for each in used}
    with running(home, catalogue=False) as app:
        assert len(app.recommend("1")["slate"]) == 3
