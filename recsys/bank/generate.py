"""A bank of any size as Parquet tables, in flat memory.

The customers are lived in chunks: all days of one chunk, then the next, or several chunks at once in
processes of their own. A chunk is a slice of the bank whose bounds hang on `CHUNK` alone and which
writes parts of its own number, so a slice made alone gives the same files, byte for byte, wherever it
covers a chunk whole, and the same rows everywhere.

Of 100,000 customers and 365 days come 60 million transactions, not the 40 million of domain 3.5: 37
card payments a month lie inside its 25 to 45, and bills, transfers and savings come on top.

CUSTOMERS holds everybody on the first morning and on the first of each month, and whoever changed a
permission on the morning after. Outcomes told after the last day are not in the tables: on that day
nobody knows of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime, time, timedelta
from functools import partial
from pathlib import Path

import polars as pl

from recsys import tables
from recsys.bank.activity import activity_of
from recsys.bank.app import POLICIES, App, policy_of
from recsys.bank.customers import members
from recsys.bank.frames import Frames
from recsys.bank.offers import articles_of, offers_of
from recsys.bank.personas import mix_of
from recsys.bank.rates import rates_between
from recsys.bank.sharing import lived
from recsys.bank.switches import Switches
from recsys.bank.truth import NEWCOMERS, TRUTHS
from recsys.bank.visits import SURFACES
from recsys.bank.wording import catalogue_text
from recsys.bank.world import Bank
from recsys.bank.worlds import WORLDS
from recsys.catalogue import parse
from recsys.errors import InvalidConfiguration
from recsys.facts import nearest
from recsys.vocabulary import ProductId

CHUNK = 10_000
"""Customers lived at once: about 400,000 transactions are held at the end of a month."""

YEARS, MOST_CUSTOMERS, MOST_ITEMS = (1950, 2190), 100_000_000, 100_000
MANIFEST = "bank.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which bank to make, and which slice [first, last) of its customers. `InvalidConfiguration` in one sentence.

    `policy` is what the app showed: nothing; uniform over what each customer could open; or popular,
    one list for all by how often products are opened without any help. `offers` short-lived cashback
    offers and `articles` help articles join the catalogue. `personas` are shares in place of the usual ones.
    """

    customers: int
    days: int
    seed: int
    start: datetime
    world: str = "plain"
    switches: Switches = field(default_factory=Switches)
    first: int = 0
    last: int | None = None
    policy: str = "nothing"
    offers: int = 0
    articles: int = 0
    personas: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.customers < 1:
            raise InvalidConfiguration(f"a bank needs at least one customer, got {self.customers}")
        if self.seed < 0:
            raise InvalidConfiguration(f"the seed must not be negative, got {self.seed}")
        if self.start.utcoffset() != timedelta(0) or self.start.time() != time():
            raise InvalidConfiguration(f"the bank starts at midnight in UTC, got {self.start.isoformat()}")
        if not (YEARS[0] <= self.start.year and self.start.year + self.days / 365 < YEARS[1]):
            raise InvalidConfiguration(f"a bank lives between the years {YEARS[0]} and {YEARS[1]}")
        if max(self.offers, self.articles) > MOST_ITEMS:
            raise InvalidConfiguration(f"there are at most {MOST_ITEMS:,} offers and as many articles")
        if self.world not in WORLDS:
            hint = nearest(self.world, among=dict.fromkeys(WORLDS)) or f"; there are {', '.join(WORLDS)}"
            raise InvalidConfiguration(f"there is no world {self.world}{hint}")
        if self.days < 1:
            raise InvalidConfiguration(f"a bank lives at least one day, got {self.days}")
        if self.size > MOST_CUSTOMERS:
            raise InvalidConfiguration(f"a bank has at most {MOST_CUSTOMERS:,} customers, not {self.size:,}")
        if not 0 <= self.first < self.end <= self.size:
            raise InvalidConfiguration(
                f"a slice of {self.size:,} customers is 0 <= first < last <= {self.size}, "
                f"got first {self.first} and last {self.end}"
            )
        if min(self.offers, self.articles) < 0:
            raise InvalidConfiguration(f"there cannot be fewer than no {'offers' if self.offers < 0 else 'articles'}")
        mix_of(self.personas)
        if self.policy not in POLICIES:
            hint = nearest(self.policy, among=dict.fromkeys(POLICIES)) or f"; there are {', '.join(POLICIES)}"
            raise InvalidConfiguration(f"there is no policy {self.policy}{hint}")

    @property
    def size(self) -> int:
        """Customers in all: those of the first day, and in a growing bank those who join."""
        return members(self.customers, day=self.days - 1) if self.switches.growth else self.customers

    @property
    def end(self) -> int:
        """The number after the last customer of the slice."""
        return self.size if self.last is None else self.last

    @property
    def products(self) -> tuple[ProductId, ...]:
        """What is on offer at some time, the newcomers that the switches bring included."""
        switched = {"rainy-day": self.switches.new_product, "metal-card": self.switches.dud}
        fresh = [product for product in NEWCOMERS if switched[product]]
        more = (*offers_of(self.offers, seed=self.seed), *articles_of(self.articles))
        return (*TRUTHS, *fresh, *(truth.product_id for truth in more))

    def bank(self, *, first: int, last: int) -> Bank:
        """A slice of it on the evening before its first day."""
        return Bank.create(
            customers=self.customers,
            seed=self.seed,
            start=self.start,
            catalogue=self.products,
            world=self.world,
            switches=self.switches,
            first=first,
            last=last,
            days=self.days,
            surfaces=SURFACES,
            personas=self.personas,
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: customer-days lived, of how many, and rows written by table."""

    done: int
    total: int
    rows: Mapping[str, int]


def generate(order: Order, *, folder: Path, chunk: int = CHUNK, processes: int = 1) -> Iterator[Progress]:
    """Write the bank's tables below `folder` while the caller asks for progress, which comes after each day.

    With more than one of the `processes`, chunks are lived at once in processes of their own, each with
    the memory of one; a program that asks for them must be importable (`if __name__ == "__main__"`).
    At the end `bank.json` says how the tables were made. Raises `InvalidConfiguration` at once for a
    folder that holds something or for less than one process, and `RecsysError` where a process failed.
    """
    if processes < 1:
        raise InvalidConfiguration(f"a bank is made by at least one process, got {processes}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidConfiguration(f"{folder} is not an empty folder: the tables need one of their own")
    return _generated(order, folder=folder, chunk=chunk, processes=processes)


def _generated(order: Order, *, folder: Path, chunk: int, processes: int) -> Iterator[Progress]:
    folder.mkdir(parents=True, exist_ok=True)
    rows = dict.fromkeys(tables.TABLES, 0)
    for table, frame in still_tables(order).items():
        with tables.Writer(folder, table=tables.TABLES[table]) as writer:
            writer.add(frame)
        rows[table] = writer.rows
    parts = range(order.first // chunk, -(-order.end // chunk))
    chunks = [_Chunk(part, max(order.first, part * chunk), min(order.end, (part + 1) * chunk)) for part in parts]
    done, total = 0, (order.end - order.first) * order.days
    written: list[Mapping[str, int]] = [{} for _ in chunks]
    for place, told in lived(partial(_lived, order, folder), chunks, processes=processes):
        done += chunks[place].last - chunks[place].first
        rows |= {name: rows[name] + count - written[place].get(name, 0) for name, count in told.items()}
        written[place] = told
        yield Progress(done, total, rows)
    manifest = {**asdict(order), "start": order.start.isoformat(), "last": order.end, "chunk": chunk, "rows": rows}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The customers [first, last), and the number of the parts that hold them."""

    part: int
    first: int
    last: int


def _lived(order: Order, folder: Path, chunk: _Chunk) -> Iterator[dict[str, int]]:
    """Live a chunk into files of its own; rows written so far, by table, after each day."""
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(tables.Writer(folder, table=table, part=chunk.part))
            for name, table in tables.TABLES.items()
            if table.by_month
        }
        for _ in _days(order, chunk, writers=writers):
            yield {name: writer.rows for name, writer in writers.items()}


def _days(order: Order, chunk: _Chunk, *, writers: Mapping[str, tables.Writer]) -> Iterator[None]:
    """Live every day of one chunk into the writers."""
    bank = order.bank(first=chunk.first, last=chunk.last)
    frames = Frames(bank.customers.ids, first=chunk.first, products=bank.truths.ids, start=order.start)
    app = None if order.policy == "nothing" else App(bank, frames=frames, policy=policy_of(order.policy, bank=bank))
    end = order.start + timedelta(days=order.days)
    everyone = range(len(bank))
    for number in range(order.days):
        day = bank.begin_day()
        if day.starts_at.day == 1:
            for writer in writers.values():
                writer.turn(day.starts_at.strftime("%Y-%m"))
        who = bank.joined(everyone if number == 0 or day.starts_at.day == 1 else bank.changed_permissions())
        if len(who):
            known, consents = bank.columns(who), bank.consents(who)
            writers["customers"].add(frames.customers(who, known=known, consents=consents, at=day.starts_at))
        moved = bank.transactions()
        writers["transactions"].add(frames.transactions(moved, number=number))
        writers["balances"].add(frames.balances(*bank.balances(), number=number))
        writers["sessions"].add(frames.sessions(day.sessions, number=number))
        writers["activity"].add(frames.activity(activity_of(moved), number=number))
        writers["activity"].add(frames.views(*bank.views(), number=number))
        if app is not None:
            decisions, outcomes = app.shown(day.arrivals, number=number)
            writers["decisions"].add(decisions)
            writers["outcomes"].add(_known(outcomes, by=end))
        for told in (bank.organic_at(), bank.later()):
            writers["outcomes"].add(_known(frames.outcomes(told), by=end))
        yield


def _known(outcomes: pl.DataFrame, *, by: datetime) -> pl.DataFrame:
    in_time = outcomes["reported_at"] < by
    return outcomes if in_time.all() else outcomes.filter(in_time)


def still_tables(order: Order) -> dict[str, pl.DataFrame]:
    """The tables that no day changes: PRODUCTS, CREATIVES, RATES."""
    catalogue = parse(catalogue_text(order.products, start=order.start), where="the bank's catalogue")
    products = [
        {
            "product_id": each.product_id,
            "name": each.name,
            "family": each.family,
            "communication_class": each.communication_class.value,
            "regulated_class": each.regulated_class,
            "surfaces": sorted(each.surfaces),
            "text": each.text,
            "tags": list(each.tags),
            "value": each.value,
            "min_age": each.min_age,
            "countries": list(each.countries),
            "launched_at": each.launched_at,
            "retired_at": each.retired_at,
            "dominated_by": list(each.dominated_by),
        }
        for each in catalogue.products
    ]
    creatives = [
        {
            "creative_id": creative.creative_id,
            "product_id": product.product_id,
            "text": creative.text,
            "communication_class": creative.communication_class.value,
            "template": creative.template or None,
            "apr_block": creative.apr_block or None,
        }
        for product in catalogue.products
        for creative in product.creatives
    ]
    first = order.start.toordinal()
    cut_on = order.switches.rate_cut_on(first)
    known = rates_between(order.products, first=first, last=first + order.days - 1, cut_on=cut_on)
    rates = [(product, day, round(aer / 100, 4)) for product, day, aer in known]
    return {
        "products": pl.DataFrame(products, schema=tables.PRODUCTS.schema),
        "creatives": pl.DataFrame(creatives, schema=tables.CREATIVES.schema),
        "rates": pl.DataFrame(rates, schema=tables.RATES.schema, orient="row"),
    }
