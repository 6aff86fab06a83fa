"""Skew: facts as decisions were served with them against the bank's own export of the same moment.

The export is a file of the bank's table of customers (`recsys bank --schema customers`). Each customer's latest row
is held against the first decision made for them within a day after it. A fact that somebody told us of since the
export is newer and is not compared; whatever else differs was lost, late or made in another way (MRM-5).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from recsys import tables
from recsys.errors import InvalidTable
from recsys.facts import FACTS, Kind
from recsys.features import USED_FACTS
from recsys.vocabulary import CustomerId, Decision, FactValue
from serving.bootstrap import Installation
from serving.watching import Reading, Thresholds

WITHIN = timedelta(days=1)


def read(path: Path) -> pl.DataFrame:
    """An export of customers; raises `InvalidTable` naming the rows that do not fit."""
    if not path.is_file():
        raise InvalidTable("no such file", where=str(path))
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidTable(f"cannot be read as a table ({type(error).__name__})", where=path.name) from None
    return tables.checked(frame, table=tables.CUSTOMERS, where=path.name)


def skewed(home: Installation, exported: pl.DataFrame, *, thresholds: Thresholds) -> list[Reading]:
    """One reading a fact: the share of customers whose decision used another value than the export holds."""
    latest = exported.sort("as_of").unique("customer_id", keep="last")
    tokens = home.customers.known_tokens([CustomerId(each) for each in latest["customer_id"]])
    rows = {tokens[row["customer_id"]]: row for row in latest.iter_rows(named=True) if row["customer_id"] in tokens}
    compared, different, day = Counter[str](), Counter[str](), date.min
    if rows:
        first = min(row["as_of"] for row in rows.values())
        for event in home.log.read(after=home.log.position_before(first), kinds=("decision",)):
            decision = event.body
            if not isinstance(decision, Decision) or (row := rows.get(decision.token)) is None or decision.erased:
                continue
            if row["as_of"] <= decision.made_at <= row["as_of"] + WITHIN:
                del rows[decision.token]
                day = max(day, row["as_of"].date())
                for name, differs in _compared(decision, row):
                    compared[name] += 1
                    different[name] += differs
    return [
        Reading(day, "skew", name, share, None, share, thresholds.light("skew", share))
        for name, n in sorted(compared.items())
        for share in (different[name] / n,)
    ]


def _compared(decision: Decision, row: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Each fact that can be compared, and whether it differs."""
    for name in sorted(USED_FACTS):
        known, none = row[name] is not None, name in (row["known_none"] or ())
        served = decision.facts.get(name)
        if served is not None and served.as_of > row["as_of"]:
            continue  # told since
        if not known and not none:
            if served is not None:
                yield name, True
        else:
            yield name, served is None or not _same(served.value, row[name], kind=FACTS[name].kind)


def _same(served: FactValue, exported: Any, *, kind: Kind) -> bool:
    if served is None or exported is None:
        return served is None and exported is None
    match kind:
        case Kind.NUMBER:
            return math.isclose(float(str(served)), float(exported), rel_tol=1e-9, abs_tol=1e-9)
        case Kind.TEXTS:
            return sorted(served if isinstance(served, tuple) else ()) == sorted(exported)
        case Kind.MOMENT:
            return bool(datetime.fromisoformat(str(served)) == exported)
        case Kind.DATE:
            return bool(str(served) == exported.isoformat())
    return bool(served == exported)
