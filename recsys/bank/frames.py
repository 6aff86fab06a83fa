"""The bank's arrays as frames of the tables in `recsys.tables`, without an object for each row.

Ids are made of a customer's number, the day and the place, so a slice names things as the whole does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys import tables
from recsys.bank.activity import KINDS as ACTIVITY_KINDS
from recsys.bank.activity import SUBJECTS, Activities
from recsys.bank.dice import Ints
from recsys.bank.facts import FactColumn
from recsys.bank.merchants import ALL_NAMES, merchant_groups, merchant_names
from recsys.bank.outcomes import KINDS, Outcomes
from recsys.bank.product import EXAMINATION, TOPICS
from recsys.bank.standing import CHANNELS
from recsys.bank.transactions import Transactions
from recsys.bank.visits import SURFACES, Arrivals, Sessions
from recsys.facts import FACTS, Kind
from recsys.tables.columns import MOMENT, Table
from recsys.tables.events import DIRECTIONS, SCHEMES
from recsys.vocabulary import NOTHING, Bools, CustomerId, Floats, ProductId

_PLACES = max(map(len, EXAMINATION.values()))
_MICROS, _ORDINAL_OF_1970 = 1_000_000, 719_163


class Frames:
    """Makes the frames of one slice; `first` is the number of its first customer."""

    def __init__(
        self, ids: Sequence[CustomerId], *, first: int, products: Sequence[ProductId], start: datetime
    ) -> None:
        self._start = start
        self._customers = pl.Series(ids, dtype=pl.String)
        self._numbers = pl.Series([f"-{first + row}-" for row in range(len(ids))], dtype=pl.String)
        self._products = pl.Series([*products, NOTHING, None], dtype=pl.String)
        self._null = len(products) + 1
        self._surfaces = pl.Series(SURFACES)
        self._kinds = pl.Series(KINDS)
        self._categories = pl.Series(ALL_NAMES)
        self._merchants = pl.Series(merchant_names(), dtype=pl.String)
        self._groups = pl.Series(merchant_groups(), dtype=pl.String)
        self._subjects, self._sorts = pl.Series(SUBJECTS), pl.Series(ACTIVITY_KINDS)
        self._slots = pl.Series([f"{s}-{place}-{kind}" for s in SURFACES for place in range(_PLACES) for kind in KINDS])
        self._endings = pl.Series(["" if kind == "opened" else f"-{kind}" for kind in KINDS])
        self._counts = pl.Series([str(number) for number in range(10_000)])

    def customers(
        self,
        rows: Ints,
        *,
        known: Mapping[str, FactColumn],
        consents: tuple[Bools, NDArray[np.datetime64]],
        at: datetime,
    ) -> pl.DataFrame:
        """CUSTOMERS: facts and permissions as of `at`."""
        columns: dict[str, pl.Series] = {
            "customer_id": self._customers[rows],
            "as_of": pl.Series([at], dtype=MOMENT).new_from_index(0, len(rows)),
        }
        for name, fact in FACTS.items():
            dtype = tables.CUSTOMERS.schema[name]
            told = known.get(name)
            columns[name] = _nulls(dtype, len(rows)) if told is None else _fact(told, kind=fact.kind, dtype=dtype)
        none = [name for name, fact in FACTS.items() if fact.may_be_none and name in known]
        marks = np.stack([known[name].none(FACTS[name].kind) for name in none], axis=1)
        columns["known_none"] = _marked(marks, words=pl.Series(none))
        allows, objected_at = consents
        columns |= {channel: pl.Series(allowed) for channel, allowed in zip(CHANNELS, allows.T, strict=True)}
        columns["objected_at"] = pl.Series(objected_at).cast(MOMENT)
        return _framed(columns, table=tables.CUSTOMERS)

    def transactions(self, moved: Transactions, *, number: int) -> pl.DataFrame:
        """TRANSACTIONS of day `number`; `moved` is sorted by customer."""
        merchants = pl.Series(moved.merchant).replace(-1, None)
        return _framed(
            {
                "transaction_id": self._named("t", number, moved.rows) + self._counts.gather(moved.sequences),
                "customer_id": self._customers.gather(moved.rows),
                "happened_at": self._moments(number, moved.seconds),
                "amount_pence": pl.Series(moved.pence),
                "direction": _words(moved.direction, words=DIRECTIONS),
                "scheme": _words(moved.scheme, words=SCHEMES),
                "category": self._categories.gather(moved.category),
                "mcc": pl.Series(moved.mcc).replace(0, None),
                "merchant_id": self._merchants.gather(merchants),
                "merchant_group": self._groups.gather(merchants),
                "is_salary": pl.Series(moved.salary),
                "is_recurring": pl.Series(moved.recurring),
                "declined": pl.Series(moved.declined),
            },
            table=tables.TRANSACTIONS,
        )

    def balances(self, closing: Ints, lowest: Ints, *, number: int) -> pl.DataFrame:
        """BALANCES at the end of day `number`."""
        today = (self._start + timedelta(days=number)).date()
        columns = {
            "customer_id": self._customers,
            "date": pl.Series([today], dtype=pl.Date).new_from_index(0, len(closing)),
            "closing_pence": pl.Series(closing),
            "lowest_pence": pl.Series(lowest),
        }
        return _framed(columns, table=tables.BALANCES)

    def sessions(self, sessions: Sessions, *, number: int) -> pl.DataFrame:
        """SESSIONS of day `number`."""
        earlier = _place_among_equals(sessions.rows)
        columns = {
            "session_id": self._named("s", number, sessions.rows) + self._counts.gather(earlier),
            "customer_id": self._customers.gather(sessions.rows),
            "started_at": self._moments(number, sessions.seconds),
            "surfaces": _marked(sessions.surfaces, words=self._surfaces),
        }
        return _framed(columns, table=tables.SESSIONS)

    def activity(self, told: Activities, *, number: int) -> pl.DataFrame:
        """ACTIVITY of day `number`."""
        columns = {
            "activity_id": self._named("a", number, told.rows) + self._counts.gather(told.sequences),
            "customer_id": self._customers.gather(told.rows),
            "kind": self._sorts.gather(told.kinds),
            "subject": self._subjects.gather(told.subjects),
            "happened_at": self._moments(number, told.seconds),
            "amount_pence": pl.Series(told.pence),
        }
        return _framed(columns, table=tables.ACTIVITY)

    def views(self, rows: Ints, topics: Ints, seconds: Ints, *, number: int) -> pl.DataFrame:
        """ACTIVITY of day `number`: topics looked at in the app, in the order of customers and topics."""
        topic = pl.Series(TOPICS).gather(topics)
        nothing = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(rows))
        columns = {
            "activity_id": self._named("v", number, rows) + topic,
            "customer_id": self._customers.gather(rows),
            "kind": pl.Series(["viewed"]).new_from_index(0, len(rows)),
            "subject": topic,
            "happened_at": self._moments(number, seconds),
            "amount_pence": nothing,
        }
        return _framed(columns, table=tables.ACTIVITY)

    def decisions(
        self,
        arrivals: Arrivals,
        *,
        columns: Ints,
        propensities: Floats,
        candidates: Bools,
        places: Ints,
        policy: str,
        number: int,
    ) -> pl.DataFrame:
        """DECISIONS: columns (v, K) drawn among the candidates (v, P + 1), −1 where none; places (v,) asked for."""
        drawn = np.where(columns >= 0, columns, self._null)
        chances = pl.Series(np.where(columns >= 0, propensities, np.nan).ravel()).fill_nan(None)
        framed = {
            "decision_id": self._decisions(arrivals, number=number),
            "customer_id": self._customers.gather(arrivals.rows),
            "made_at": self._moments(number, arrivals.seconds),
            "surface": self._surfaces.gather(arrivals.surfaces),
            "policy": pl.Series([policy]).new_from_index(0, len(arrivals)),
            "n_slots": pl.Series(places),
            "candidates": _marked(candidates, words=self._products[: self._null]),
            "slots": _lists(drawn, words=self._products),
            "propensities": chances.reshape(columns.shape).arr.to_list().list.filter(pl.element().is_not_null()),
        }
        return _framed(framed, table=tables.DECISIONS)

    def outcomes(self, told: Outcomes) -> pl.DataFrame:
        """OUTCOMES, of decisions or organic; they are named after the slot or the product that brought them."""
        products, numbers = self._products[told.columns], self._numbers[told.rows]
        organic = pl.Series(told.surfaces < 0)
        surfaces, places = np.maximum(told.surfaces, 0), np.maximum(told.places, 0)
        made = pl.Series([f"-{day}" for day in range(int(told.days.max(initial=0)) + 1)])[told.days] + numbers
        slots = "o" + made + self._slots[(surfaces * _PLACES + places) * len(KINDS) + told.kinds]
        others = "g" + made + products + self._endings[told.kinds]
        nobody = _nulls(pl.String(), len(told))
        columns = {
            "outcome_id": others.zip_with(organic, slots),
            "decision_id": nobody.zip_with(organic, "d" + made + self._surfaces[surfaces]),
            "customer_id": self._customers[told.rows].zip_with(organic, nobody),
            "product_id": products,
            "kind": self._kinds[told.kinds],
            "happened_at": self._since_start(told.seconds),
            "amount_pence": pl.Series(told.pence).replace(0, None),
            "reported_at": self._since_start(told.reported),
        }
        return _framed(columns, table=tables.OUTCOMES)

    def _decisions(self, arrivals: Arrivals, *, number: int) -> pl.Series:
        return self._named("d", number, arrivals.rows) + self._surfaces.gather(arrivals.surfaces)

    def _named(self, letter: str, number: int, rows: Ints) -> pl.Series:
        return (f"{letter}-{number}" + self._numbers)[rows]

    def _moments(self, number: int, seconds: Ints) -> pl.Series:
        return self._since_start(seconds + 86_400 * number)

    def _since_start(self, seconds: Ints | Floats) -> pl.Series:
        micros = np.round(seconds * 1_000.0).astype(np.int64) * 1_000 + round(self._start.timestamp()) * _MICROS
        return pl.Series(micros).cast(MOMENT)


def _framed(columns: Mapping[str, pl.Series], *, table: Table) -> pl.DataFrame:
    return pl.DataFrame([columns[column.name].alias(column.name) for column in table])


def _words(codes: Ints, *, words: Sequence[str]) -> pl.Series:
    return pl.Series(codes.astype(np.uint8)).cat.to(pl.Enum(words))


def _lists(places: Ints, *, words: pl.Series) -> pl.Series:
    """(v, w) places in `words` → a list of texts for each row; places of a null are left out."""
    return words.gather(places.ravel()).reshape(places.shape).arr.to_list().list.filter(pl.element().is_not_null())


def _place_among_equals(rows: Ints) -> Ints:
    """(n,) how many earlier elements are the same: 0 for the first of each."""
    order = np.argsort(rows, kind="stable")
    ranked = rows[order]
    places = np.empty(len(rows), dtype=np.int64)
    places[order] = np.arange(len(rows)) - np.searchsorted(ranked, ranked, side="left")
    return places


def _fact(column: FactColumn, *, kind: Kind, dtype: pl.DataType) -> pl.Series:
    """One fact as the table has it: null for who has none, and for those of whom it is not known."""
    values, words = column.values, column.words
    match kind:
        case Kind.DATE:
            told = pl.Series(values - _ORDINAL_OF_1970).cast(pl.Int32).cast(pl.Date)
        case Kind.MOMENT:
            told = pl.Series((values - _ORDINAL_OF_1970) * (86_400 * _MICROS)).cast(MOMENT)
        case Kind.TEXT:
            told = pl.Series([*words, None], dtype=dtype)[values]
        case Kind.TEXTS:
            told = _marked(values, words=pl.Series(words))
        case _:
            told = pl.Series(values)
    gone = column.none(kind) if column.known is None else column.none(kind) | ~column.known
    return told.zip_with(pl.Series(~gone), _nulls(dtype, len(told))) if gone.any() else told


def _nulls(dtype: pl.DataType, length: int) -> pl.Series:
    return pl.Series([None], dtype=dtype).new_from_index(0, length)


def _marked(marks: Bools, *, words: pl.Series) -> pl.Series:
    """(v, w) marks → the marked words of each row. Few rows differ: each different list is built once."""
    packed = np.packbits(marks, axis=1)
    packed = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    rows = packed.view(np.uint64 if packed.shape[1] == 8 else f"V{packed.shape[1]}").ravel()
    _, first, which = np.unique(rows, return_index=True, return_inverse=True)
    places = np.where(marks[first], np.arange(len(words)), len(words))
    return _lists(places, words=pl.concat([words, _nulls(words.dtype, 1)]))[which]
