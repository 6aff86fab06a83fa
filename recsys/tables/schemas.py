"""Every table by its name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from recsys.tables.columns import Table
from recsys.tables.events import ACTIVITY, BALANCES, DECISIONS, OUTCOMES, SESSIONS, TRANSACTIONS
from recsys.tables.masters import CREATIVES, CUSTOMERS, PRODUCTS, RATES

TABLES: Mapping[str, Table] = MappingProxyType(
    {
        table.name: table
        for table in (
            CUSTOMERS, PRODUCTS, CREATIVES, RATES, TRANSACTIONS, BALANCES, ACTIVITY, SESSIONS, DECISIONS, OUTCOMES
        )
    }
)  # fmt: skip
