"""The tables a bank brings: what stands in each column, how it is checked, written and read.

    from recsys import tables

    print(tables.described(tables.TRANSACTIONS))              # for whoever writes the export
    frame = tables.checked(frame, table=tables.OUTCOMES, where="outcomes.parquet")
    with tables.Writer(folder, table=tables.OUTCOMES) as writer:
        writer.add(frame)
    tables.scan(folder, table=tables.OUTCOMES)                # a polars LazyFrame

A bank's own files and the synthetic bank's come in through the same schemas.
"""

from __future__ import annotations

from recsys.tables.checking import Fault, checked, fitted, fitting, refuse
from recsys.tables.columns import Column, Rule, Table
from recsys.tables.describing import described
from recsys.tables.events import ACTIVITY, BALANCES, DECISIONS, OUTCOMES, SESSIONS, TRANSACTIONS
from recsys.tables.files import Writer, scan
from recsys.tables.masters import CREATIVES, CUSTOMERS, PRODUCTS, RATES
from recsys.tables.schemas import TABLES

__all__ = [
    "ACTIVITY",
    "BALANCES",
    "CREATIVES",
    "CUSTOMERS",
    "DECISIONS",
    "OUTCOMES",
    "PRODUCTS",
    "RATES",
    "SESSIONS",
    "TABLES",
    "TRANSACTIONS",
    "Column",
    "Fault",
    "Rule",
    "Table",
    "Writer",
    "checked",
    "described",
    "fitted",
    "fitting",
    "refuse",
    "scan",
]
