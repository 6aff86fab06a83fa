"""Choices that encoders are judged by: public sets, a stand-in of MovieLens-1M's shape, and the synthetic bank's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from embeddings.histories import Histories
from embeddings.interactions import TrainingSet
from embeddings.product_facts import ProductFacts
from embeddings.ranking import Wanted
from embeddings.textfiles import Split
from recsys.bank.logs import log_of
from recsys.bank.offers import articles_of, offers_of
from recsys.bank.slates import ArrayPolicy
from recsys.bank.truth import TRUTHS
from recsys.bank.wording import catalogue_text
from recsys.bank.world import Bank
from recsys.catalogue import parse

SHARED = Path(os.environ.get("RECSYS_SHARED", Path(__file__).parents[3] / "shared" / "data"))
START = datetime(2026, 1, 5, tzinfo=UTC)
BANK, SLICE = 8_000, 4_000  # customers


def retail() -> Histories:
    """Online retail, cleaned as its README says."""
    table = pl.read_parquet(SHARED / "online_retail_2010_2011.parquet").filter(
        pl.col("customer_id").is_not_null() & (pl.col("quantity") > 0) & (pl.col("unit_price") > 0)
    )
    table = table.sort("invoice_ts", maintain_order=True)
    return Histories.of(table["customer_id"].cast(pl.String).to_list(), subjects=table["stock_code"].to_list())


def known_half(visits: pl.DataFrame) -> Split:
    """Training visitors whole, half of each test visitor's areas; the other half is wanted."""
    dice = np.random.default_rng(0)
    who = (visits["split"] + "-" + visits["user_id"].cast(pl.String)).to_list()
    what = visits["area_id"].cast(pl.String).to_list()
    data = Histories.of(who, subjects=what)
    test = np.array([each.startswith("test") for each in data.customers.ids])
    order = np.lexsort((dice.random(data.n_events), data.customer_rows))
    place = np.empty(data.n_events, dtype=np.int64)
    place[order] = np.arange(data.n_events) - np.repeat(data.starts[:-1], data.lengths)
    held = np.repeat(test & (data.lengths > 1), data.lengths) & (
        place < np.repeat((data.lengths + 1) // 2, data.lengths)
    )
    later = data.kept(held)
    return Split(data.kept(~held), Wanted(later.starts, later.subject_rows.astype(np.int64)))


def stand_in(*, customers: int, products: int, events: int) -> Histories:
    """Popularity like Zipf's, lengths like MovieLens', and neighbours in taste that follow each other."""
    dice = np.random.default_rng(0)
    lengths = np.maximum(20, dice.lognormal(np.log(96), 1.0, size=customers)).astype(np.int64)
    lengths = np.maximum(20, (lengths * events / lengths.sum()).astype(np.int64))
    who = np.repeat(np.arange(customers), lengths)
    groups = dice.integers(0, 40, size=products)
    members = [np.flatnonzero(groups == group) for group in range(40)]
    weights = 1.0 / (np.arange(products) + 10.0)
    what = np.empty(len(who), dtype=np.int64)
    taste = dice.integers(0, 40, size=(customers, 4))
    start = 0
    for customer, length in enumerate(lengths.tolist()):
        group = taste[customer][np.cumsum(dice.random(length) < 0.15) % 4]  # stays with a taste for about seven events
        for each in np.unique(group):
            mine = np.flatnonzero(group == each)
            among = members[each]
            chance = weights[among] / weights[among].sum()
            what[start + mine] = dice.choice(among, p=chance, size=len(mine))
        start += length
    return Histories.of([f"c{each}" for each in who.tolist()], subjects=[f"p{each}" for each in what.tolist()])


def bank_log(
    *, customers: int, days: int, offers: int = 120, seed: int = 1, first: int = 0, last: int | None = None
) -> tuple[Any, ProductFacts]:
    """A uniform log of a bank with offers and articles, of its customers [first, last), and its products."""
    catalogue = (
        *TRUTHS,
        *(e.product_id for e in offers_of(offers, seed=seed)),
        *(e.product_id for e in articles_of(24)),
    )
    bank = Bank.create(customers=customers, seed=seed, start=START, catalogue=catalogue, first=first, last=last)
    policy = ArrayPolicy("uniform@1", even, spread)
    log = log_of(bank, days=days, policy=policy)
    text = catalogue_text(catalogue)
    facts = ProductFacts.of_products(parse(text, where="bench").products)
    assert facts.ids.ids == tuple(log.products)
    return log, facts


def even(visible: np.ndarray, *, eligible: np.ndarray, surface: str) -> np.ndarray:
    return np.zeros(eligible.shape)


def spread(scores: np.ndarray, open_: np.ndarray) -> np.ndarray:
    return open_ / np.maximum(open_.sum(axis=1, keepdims=True), 1)


def bank_choices() -> Histories:
    """What the bank's customers tapped in ninety days; a slice of them is lived at a time, to spare memory."""
    who, what, when = list[str](), list[str](), list[np.ndarray]()
    for first in range(0, BANK, SLICE):
        log, _ = bank_log(customers=BANK, days=90, first=first, last=first + SLICE)
        chosen = np.argwhere(log.tapped)
        who += [f"c{first + each}" for each in log.rows[chosen[:, 0]].tolist()]
        what += [log.products[each] for each in log.columns[chosen[:, 0], chosen[:, 1]].tolist()]
        when.append(log.days[chosen[:, 0]] * 86_400 + log.seconds[chosen[:, 0]])
    return Histories.of(who, subjects=what, happened_at=(np.concatenate(when) * 1_000_000).astype(np.int64))


def positives(log: Any, decisions: np.ndarray, *, rows: np.ndarray, products: ProductFacts) -> TrainingSet:
    """Taps as the encoders of the bank learn from them; facts are what was visible, holdings of offers aside."""
    n_facts = log.visible.shape[1] - len(log.products)
    held = [n_facts + row for row, each in enumerate(log.products) if each in TRUTHS]
    visible = log.visible[:, [*range(n_facts), *held]]
    at = [START + timedelta(days=int(log.days[d]), seconds=int(log.seconds[d])) for d in decisions]
    return TrainingSet.from_columns(
        visible[decisions],
        histories=[()] * len(decisions),
        product_ids=[products.ids.ids[row] for row in rows],
        tokens=[f"t{log.rows[d]}" for d in decisions],
        happened_at=at,
        products=products.ids,
        fact_names=tuple(f"fact_{i}" for i in range(visible.shape[1])),
    )


def with_histories(data: TrainingSet, histories: Sequence[Sequence[str]]) -> TrainingSet:
    """The same rows with other histories."""
    return TrainingSet.from_columns(
        data.facts,
        histories=histories,
        product_ids=[data.products.ids[row] for row in data.product_rows],
        tokens=[str(row) for row in data.customer_rows],
        happened_at=[at.astype("datetime64[us]").item().replace(tzinfo=UTC) for at in data.happened_at],
        products=data.products,
        fact_names=data.fact_names,
    )
