"""Readers for public data: logged bandit feedback, and labelled tables that stand in for it.

Every reader checks the whole file before it answers and refuses it with the row numbers (1-based, as
a person counts them, header not included) and the reason. Parquet and CSV are read alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.errors import InvalidTable
from recsys.vocabulary import Bools, Candidate, Context, Floats

_ROW = "__row"
_MOST_CATEGORIES = 200
_SPREADS = 4.0  # numbers are standardised and cut here
_OPEN_BANDIT = ("campaign", "behavior_policy", "item_id", "position", "click", "propensity_score", "n_actions")
_USER = ("user_feature_0", "user_feature_1", "user_feature_2", "user_feature_3")


@dataclass(frozen=True, slots=True, eq=False)
class LoggedBandit:
    """One slot a row: what was known, what was drawn with what propensity, what came of it."""

    name: str
    behaviour: str  # name of the logging policy
    names: tuple[str, ...]  # of the context
    contexts: Floats  # (n, d)
    products: tuple[str, ...]  # (k,)
    rows: NDArray[np.int64]  # (n,) which product was shown
    rewards: Floats  # (n,) 0 or 1
    propensities: Floats  # (n,) in (0, 1]
    open_: Bools | None = None  # (n, k) what could be drawn in each row, None for everything

    def __len__(self) -> int:
        return self.rows.size

    @property
    def uniform(self) -> bool:
        """Whether all that could be drawn had the same chance in every row: what replay by matching needs."""
        choices = len(self.products) if self.open_ is None else self.open_.sum(axis=1)
        return bool(np.allclose(self.propensities * choices, 1.0, rtol=0.0, atol=1e-6))

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The products as candidates."""
        return tuple(Candidate(product) for product in self.products)

    def context(self, row: int) -> Context:
        """What was known in one row."""
        return Context(self.names, tuple(self.contexts[row].tolist()))


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A labelled table as a bandit: each label is a product, and only the right one pays 1."""

    name: str
    names: tuple[str, ...]
    contexts: Floats  # (n, d)
    products: tuple[str, ...]  # (k,) the labels
    labels: NDArray[np.int64]  # (n,) row of the right one

    def __len__(self) -> int:
        return self.labels.size

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The labels as candidates."""
        return tuple(Candidate(product) for product in self.products)

    def context(self, row: int) -> Context:
        """The features of one row."""
        return Context(self.names, tuple(self.contexts[row].tolist()))


def open_bandit(path: Path, *, campaign: str = "all", behaviour_policy: str = "random") -> LoggedBandit:
    """Read Open Bandit Dataset feedback (Saito et al. 2021): one campaign of one logging policy.

    Needs the columns campaign, behavior_policy, item_id, position, click, propensity_score, n_actions
    and user_feature_0 to 3. Position enters the context, because clicks fall with it. Raises
    `InvalidTable` with rows and reason.
    """
    table = _read(path)
    _need(table, (*_OPEN_BANDIT, *_USER), where=path.name)
    _check_feedback(table, where=path.name)
    chosen = table.filter(
        (pl.col("campaign").cast(pl.String) == campaign)
        & (pl.col("behavior_policy").cast(pl.String) == behaviour_policy)
    )
    if chosen.is_empty():
        there = ", ".join(sorted(" / ".join(map(str, row)) for row in table[:, list(_OPEN_BANDIT[:2])].unique().rows()))
        raise InvalidTable(f"no row of {campaign} / {behaviour_policy}; there are {there}", where=path.name)
    k = int(chosen["n_actions"][0])
    if chosen["n_actions"].n_unique() > 1:
        _refuse(chosen, chosen["n_actions"] != k, f"n_actions must be the same in one campaign ({k})", where=path.name)
    names, contexts = _features(chosen.select(*_USER, pl.col("position").cast(pl.String)), where=path.name)
    return LoggedBandit(
        f"{path.stem}/{campaign}",
        behaviour_policy,
        names,
        contexts,
        tuple(f"item-{i}" for i in range(k)),
        chosen["item_id"].cast(pl.Int64).to_numpy(),
        chosen["click"].cast(pl.Float64).to_numpy(),
        chosen["propensity_score"].to_numpy(),
    )


def classification(path: Path, *, label: str = "label") -> Labelled:
    """Read a labelled table: the column `label` (and perhaps its `…_name`), every other column a feature.

    Numbers are standardised, texts become one column a value. Raises `InvalidTable`.
    """
    table = _read(path)
    _need(table, (label,), where=path.name)
    _refuse(table, table[label].is_null(), f"{label} is missing", where=path.name)
    labels = table[label].cast(pl.String)
    features = table.drop(label, f"{label}_name", _ROW, strict=False)
    if features.is_empty():
        raise InvalidTable("no feature column beside the label, or no row", where=path.name)
    products = tuple(sorted(set(labels.to_list()), key=_natural))
    if not 2 <= len(products) <= _MOST_CATEGORIES:
        raise InvalidTable(f"expected 2 to {_MOST_CATEGORIES} labels, got {len(products)}", where=path.name)
    row_of = {product: row for row, product in enumerate(products)}
    names, contexts = _features(features, where=path.name)
    rows = np.array([row_of[label] for label in labels.to_list()], dtype=np.int64)
    return Labelled(path.stem, names, contexts, tuple(f"label-{product}" for product in products), rows)


def _read(path: Path) -> pl.DataFrame:
    """The file with its row numbers."""
    if not path.is_file():
        raise InvalidTable("no such file", where=str(path))
    try:
        table = pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidTable(f"cannot be read as a table ({type(error).__name__})", where=path.name) from None
    if table.is_empty():
        raise InvalidTable("the table has no rows", where=path.name)
    return table.with_row_index(_ROW, offset=1)


def _need(table: pl.DataFrame, columns: Iterable[str], *, where: str) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        there = ", ".join(column for column in table.columns if column != _ROW)
        raise InvalidTable(f"the column {', '.join(missing)} is missing; it has {there}", where=where)


def _check_feedback(table: pl.DataFrame, *, where: str) -> None:
    whole = ("item_id", "position", "n_actions")
    for column in (*whole, "click", "propensity_score"):
        kind = table[column].dtype
        fits = kind.is_integer() if column in whole else kind.is_numeric()
        if not fits:
            raise InvalidTable(
                f"{column} must be {'whole ' if column in whole else ''}numbers, not {kind}", where=where
            )
        _refuse(table, table[column].is_null(), f"{column} is missing", where=where)
    for column in _USER:
        _refuse(table, table[column].is_null(), f"{column} is missing", where=where)
    propensity, click = table["propensity_score"].cast(pl.Float64), table["click"].cast(pl.Float64)
    fair = propensity.is_finite() & (propensity > 0.0) & (propensity <= 1.0)
    _refuse(table, ~fair, "propensity_score must be in (0, 1]", where=where)
    _refuse(table, ~click.is_finite(), "click must be finite", where=where)
    _refuse(table, ~click.is_in([0.0, 1.0]), "click must be 0 or 1", where=where)
    inside = (table["item_id"] >= 0) & (table["item_id"] < table["n_actions"])
    _refuse(table, ~inside, "item_id must be from 0 to n_actions - 1", where=where)
    _refuse(table, table["position"] < 1, "position counts from 1", where=where)


def _refuse(table: pl.DataFrame, bad: pl.Series, why: str, *, where: str) -> None:
    if bad.any():
        raise InvalidTable(why, where=where, rows=table.filter(bad)[_ROW].to_list())


def _features(table: pl.DataFrame, *, where: str) -> tuple[tuple[str, ...], Floats]:
    """Names and (n, d) values of a table's columns."""
    columns: dict[str, Floats] = {}
    for name in table.columns:
        columns |= _encoded(table[name], where=where)
    if not columns:
        raise InvalidTable("no feature varies between rows", where=where)
    return tuple(columns), np.stack(list(columns.values()), axis=1)


def _encoded(column: pl.Series, *, where: str) -> Mapping[str, Floats]:
    """One standardised column of numbers, or one column of 0 and 1 a value; none where all are equal."""
    if column.is_null().any():
        raise InvalidTable(f"{column.name} is missing", where=where, rows=_numbers(column.is_null().to_numpy()))
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        return _standardised(column.cast(pl.Float64), where=where)
    if column.dtype not in (pl.String, pl.Categorical):
        raise InvalidTable(f"{column.name} must be numbers or texts, not {column.dtype}", where=where)
    values = sorted(set(column.cast(pl.String).to_list()))
    if len(values) > _MOST_CATEGORIES:
        raise InvalidTable(f"{column.name} has {len(values)} values, more than {_MOST_CATEGORIES}", where=where)
    texts = column.cast(pl.String).to_numpy()
    return {f"{column.name}={value}": (texts == value).astype(np.float64) for value in values}


def _standardised(column: pl.Series, *, where: str) -> Mapping[str, Floats]:
    values = column.to_numpy()
    if not np.isfinite(values).all():
        raise InvalidTable(f"{column.name} must be finite", where=where, rows=_numbers(~np.isfinite(values)))
    spread = float(values.std())
    if not spread > 0.0:
        return {}
    return {column.name: np.clip((values - values.mean()) / spread, -_SPREADS, _SPREADS)}


def _numbers(bad: Bools) -> list[int]:
    return [int(row) + 1 for row in np.flatnonzero(bad)]


def _natural(label: str) -> tuple[int, str]:
    """Numbers in their own order, then texts."""
    return (int(label), "") if label.isdecimal() else (1 << 62, label)
