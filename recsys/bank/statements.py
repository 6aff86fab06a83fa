"""A day's transactions as a table: one row for each, in the columns a bank would export."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl

from recsys.bank.dice import Ints
from recsys.bank.merchants import ALL_NAMES, SCHEMES, merchant_groups, merchant_names
from recsys.bank.transactions import DIRECTIONS, Transactions

_NAMES, _GROUPS = pl.Series(merchant_names()), pl.Series(merchant_groups())
_CATEGORIES, _SCHEMES, _DIRECTIONS = (pl.Series(each) for each in (ALL_NAMES, SCHEMES, DIRECTIONS))


def statement_of(transactions: Transactions, *, numbers: Ints, number: int, midnight: datetime) -> pl.DataFrame:
    """Domain 3.1's `transaction`: (t, 15), sorted by (customer, happened_at).

    `numbers` (n,) are the customers', day `number` begins at `midnight` (aware UTC). Money is whole pence,
    `direction` gives its sign; `mcc`, `merchant_id` and `merchant_group` are null where there is no merchant.
    """
    merchant = pl.Series(np.where(transactions.merchant >= 0, transactions.merchant, 0))
    known = pl.Series(transactions.merchant >= 0)
    seconds = pl.Series(transactions.seconds * 1_000_000).cast(pl.Duration("us"))
    frame = pl.DataFrame(
        {
            "number": numbers[transactions.rows],
            "sequence": transactions.sequences,
            "happened_at": seconds + midnight,
            "amount_pence": transactions.pence,
            "direction": _DIRECTIONS.gather(transactions.direction),
            "scheme": _SCHEMES.gather(transactions.scheme),
            "category": _CATEGORIES.gather(transactions.category),
            "mcc": pl.Series(transactions.mcc),
            "merchant_id": _NAMES.gather(merchant),
            "merchant_group": _GROUPS.gather(merchant),
            "is_salary": transactions.salary,
            "is_recurring": transactions.recurring,
            "declined": transactions.declined,
        }
    )
    padded = pl.col("number").cast(pl.String).str.zfill(6)
    return frame.select(
        transaction_id=pl.format("t-{}-{}-{}", padded, pl.lit(number), pl.col("sequence")),
        customer_id=pl.format("c-{}", padded),
        account_id=pl.format("c-{}-current", padded),
        happened_at="happened_at",
        amount_pence="amount_pence",
        currency=pl.lit("GBP"),
        direction="direction",
        scheme="scheme",
        category="category",
        mcc=pl.when(known).then("mcc"),
        merchant_id=pl.when(known).then("merchant_id"),
        merchant_group=pl.when(known).then("merchant_group"),
        is_salary="is_salary",
        is_recurring="is_recurring",
        declined="declined",
    )
