"""The numbers behind the plot sheet: a bank's tables, looked at, beside what is expected of them.

Each function reads tables through `recsys.tables.scan` and gives rows for one picture; the drawing is
`serving.bank_sheet`'s. Expectations are those of the truth the bank lives by.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from recsys import tables
from recsys.bank.product import EXAMINATION
from recsys.bank.truth import TRUTHS
from recsys.errors import InvalidTable

Rows: TypeAlias = list[dict[str, Any]]

SAMPLE = 2_000  # customers whose balances are followed
FEWEST = 20  # openings that make a curve
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
POST_PAYDAY, FADES = 0.9, 2.5  # spending after payday, 1 + .9 exp(−days / 2.5) (domain 3.5)


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows for every picture; one that has nothing to show is empty."""

    customers: int
    days: int
    since_payday: Rows  # day, low, middle, high: pounds in the current account
    payments: Rows  # day, payments, expected: card payments a customer and day
    sessions: Rows  # weekday, hour, share
    places: Rows  # surface, place, taps, expected: per 1,000 cards shown
    delays: Rows  # family, hours, opened, expected: share of openings
    season: Rows  # date, need, relative: organic openings of some weeks around the date, over their mean


def sheet_of(folder: Path) -> Sheet:
    """Look at the tables below `folder`; raises `InvalidTable` where one that is needed is not there."""
    balances = tables.scan(folder, table=tables.BALANCES)
    size = balances.select(pl.col("customer_id").n_unique(), pl.col("date").n_unique()).collect()
    customers, days = size.row(0)
    if not customers:
        raise InvalidTable("there is nothing to look at: no balance at all", where=str(folder))
    closing, paid = _followed(folder)
    return Sheet(
        customers,
        days,
        since_payday=_quartiles(closing),
        payments=_payments(paid),
        sessions=_sessions(folder),
        places=_places(folder),
        delays=_delays(folder, days=days),
        season=_season(folder, days=days),
    )


def _followed(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Balances, and card payments, of some monthly paid customers by the days since they were last paid."""
    transactions = tables.scan(folder, table=tables.TRANSACTIONS).with_columns(date=pl.col("happened_at").dt.date())
    balances = tables.scan(folder, table=tables.BALANCES)
    some = balances.select(pl.col("customer_id").unique().sort().head(SAMPLE)).collect().to_series().implode()
    salaries = transactions.filter(pl.col("is_salary") & pl.col("customer_id").is_in(some))
    salaries = salaries.select("customer_id", "date", paid_on="date").unique().sort("date").collect().lazy()
    monthly = salaries.group_by("customer_id").len().filter(pl.col("len") <= _most_months(folder))
    cards = transactions.filter((pl.col("scheme") == "card") & pl.col("customer_id").is_in(some))
    daily = (
        balances.filter(pl.col("customer_id").is_in(some))
        .join(cards.group_by("customer_id", "date").len("payments"), on=["customer_id", "date"], how="left")
        .join(monthly, on="customer_id", how="semi")
        .sort("date")
        .join_asof(salaries, on="date", by="customer_id", check_sortedness=False)
        .with_columns(
            day=(pl.col("date") - pl.col("paid_on")).dt.total_days(), payments=pl.col("payments").fill_null(0)
        )
        .filter(pl.col("day") <= 28)
        .collect()
    )
    return daily.select("day", "closing_pence"), daily.select("day", "payments")


def _most_months(folder: Path) -> int:
    """Salaries that a monthly paid customer can have had; the weekly paid have more."""
    span = tables.scan(folder, table=tables.BALANCES).select(pl.col("date").max() - pl.col("date").min()).collect()
    return int(span.item().days // 28 + 1)


def _quartiles(closing: pl.DataFrame) -> Rows:
    pounds = pl.col("closing_pence") / 100
    bands = {name: pounds.quantile(share) for name, share in (("low", 0.25), ("middle", 0.5), ("high", 0.75))}
    return closing.group_by("day").agg(**bands).sort("day").to_dicts()


def _payments(paid: pl.DataFrame) -> Rows:
    """Beside the curve of domain 3.5, at the level of the whole month."""
    if paid.is_empty():
        return []
    curve = 1.0 + POST_PAYDAY * (-pl.col("day") / FADES).exp()
    level = paid.select(pl.col("payments").sum() / curve.sum()).item()
    by_day = paid.group_by("day").agg(pl.col("payments").mean()).sort("day")
    return by_day.with_columns(expected=level * curve).to_dicts()


def _sessions(folder: Path) -> Rows:
    at = pl.col("started_at")
    counted = (
        tables.scan(folder, table=tables.SESSIONS)
        .group_by(weekday=at.dt.weekday(), hour=at.dt.hour())
        .len()
        .with_columns(share=pl.col("len") / pl.col("len").sum())
        .sort("weekday", "hour")
        .collect()
    )
    return [
        {"weekday": WEEKDAYS[row["weekday"] - 1], "hour": row["hour"], "share": row["share"]}
        for row in counted.iter_rows(named=True)
    ]


def _places(folder: Path) -> Rows:
    """Taps by place, beside the chance of being seen at the level of all places together."""
    slots = (
        tables.scan(folder, table=tables.DECISIONS)
        .select("decision_id", "surface", "slots", place=pl.int_ranges(1, pl.col("slots").list.len() + 1))
        .explode("slots", "place")
        .rename({"slots": "product_id"})
        .drop_nulls("product_id")
    )
    taps = _of_decisions(folder, kind="tapped").select("decision_id", "product_id", tapped=pl.lit(1))
    counted = (
        slots.filter(pl.col("product_id") != "nothing")
        .join(taps, on=["decision_id", "product_id"], how="left")
        .group_by("surface", "place")
        .agg(shown=pl.len(), tapped=pl.col("tapped").sum())
        .sort("surface", "place")
        .collect()
    )
    rows: Rows = []
    for (surface,), group in counted.group_by("surface", maintain_order=True):
        chances = EXAMINATION[str(surface)]
        seen = sum(row["shown"] * chances[row["place"] - 1] for row in group.iter_rows(named=True))
        rate = 1_000 * group["tapped"].sum() / seen
        rows += [
            {
                "surface": surface,
                "place": row["place"],
                "taps": 1_000 * row["tapped"] / row["shown"],
                "expected": rate * chances[row["place"] - 1],
            }
            for row in group.iter_rows(named=True)
        ]
    return rows


def _delays(folder: Path, *, days: int) -> Rows:
    """How long openings took, of taps early enough for all of a span to be known; beside the truth's curve."""
    span = 30 if days >= 45 else 7 if days >= 14 else 1
    taps = _of_decisions(folder, kind="tapped").select("decision_id", "product_id", tapped_at="happened_at")
    opened = _of_decisions(folder, kind="opened").select("decision_id", "product_id", opened_at="happened_at")
    last = tables.scan(folder, table=tables.BALANCES).select(pl.col("date").max()).collect().item()
    families = pl.DataFrame({"product_id": list(TRUTHS), "family": [_curve(each) for each in TRUTHS]})
    waited = (
        taps.filter(pl.col("tapped_at").dt.date() <= pl.lit(last) - pl.duration(days=span))
        .join(opened, on=["decision_id", "product_id"])
        .join(families.lazy(), on="product_id")
        .select("family", hours=(pl.col("opened_at") - pl.col("tapped_at")).dt.total_seconds() / 3_600)
        .filter(pl.col("hours") <= 24 * span)
        .collect()
    )
    rows: Rows = []
    for family in dict.fromkeys(families["family"]):
        hours = waited.filter(pl.col("family") == family)["hours"]
        delay = next(truth.delay for name, truth in TRUTHS.items() if _curve(name) == family)
        whole = float(delay.shares(np.array(86_400.0 * span)))
        for step in range(41):
            at = 0.1 * (24 * span / 0.1) ** (step / 40)
            share = float((hours <= at).mean() or 0.0) if len(hours) >= FEWEST else None
            expected = float(delay.shares(np.array(3_600.0 * at))) / whole
            rows.append({"family": family, "hours": at, "opened": share, "expected": expected, "n": len(hours)})
    return rows


def _curve(product: str) -> str:
    """Products that open alike, named after the first of them."""
    alike = [name for name, truth in TRUTHS.items() if truth.delay == TRUTHS[product].delay]
    return ", ".join(alike[:3]) + (" …" if len(alike) > 3 else "")


def _season(folder: Path, *, days: int) -> Rows:
    """Organic openings of ISAs, the January challenge and all the rest; whole spans of weeks only."""
    if days < 14:
        return []
    needs = dict.fromkeys(TRUTHS, "everything else")
    needs |= {"cash-isa": "ISAs", "ss-isa": "ISAs", "penny-challenge": "1p challenge"}
    first = tables.scan(folder, table=tables.BALANCES).select(pl.col("date").min()).collect().item()
    number = (pl.col("happened_at").dt.date() - pl.lit(first)).dt.total_days() // 7
    counted = (
        tables.scan(folder, table=tables.OUTCOMES)
        .filter(pl.col("decision_id").is_null() & (pl.col("kind") == "opened"))
        .select(number=number, need=pl.col("product_id").replace_strict(needs, default="everything else"))
        .filter(pl.col("number") < days // 7)
        .collect()
    )
    rows: Rows = []
    for (need,), openings in sorted(counted.group_by("need"), key=lambda each: str(each[0])):
        weeks = _weeks_a_point(openings.height, weeks=days // 7)
        points = days // 7 // weeks
        counts = np.bincount(openings["number"].to_numpy() // weeks, minlength=points)[:points]
        for point, relative in enumerate((counts / max(counts.mean(), 1e-9)).tolist()):
            middle = first + timedelta(days=(7 * weeks * (2 * point + 1)) // 2)
            rows.append({"date": middle.isoformat(), "need": need, "relative": relative})
    return rows


def _weeks_a_point(openings: int, *, weeks: int) -> int:
    """The shortest of one, two or four weeks in which enough is opened on average; at least two points are left."""
    return next((span for span in (1, 2, 4) if openings * span >= FEWEST * weeks or weeks < 4 * span), 4)


def _of_decisions(folder: Path, *, kind: str) -> pl.LazyFrame:
    """Outcomes of one kind that came of a decision, each once."""
    outcomes = tables.scan(folder, table=tables.OUTCOMES)
    return outcomes.filter((pl.col("kind") == kind) & pl.col("decision_id").is_not_null()).unique("outcome_id")
