"""A small bank's own files, the map of them, and all that an import of them could have changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from serving import settings
from serving.bootstrap import compose

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
