"""A table of logged rounds, of any length, as batches: from Parquet, Arrow or a frame in memory (polars).

One row a round, one slot each:

| column | what it holds |
|---|---|
| reward | what the round earned |
| propensity | the logged probability of what was shown, in (0, 1] |
| unit | who was assigned: text or a whole number |
| decision_id | optional; rows that repeat one are left out and counted |
| made_at | optional; rows made at or after `ripe_before` are left out and counted |
| shown, logged_pmf | optional, together: the column that was drawn, and the distribution it was drawn from |
| context | optional list of numbers: what a reward model may go by |
| a policy's name | its probability of what was shown, or its distribution over the columns of `logged_pmf` |

Only one batch is in memory, eight bytes a decision where ids are given, and one row a unit in whatever adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from bandits.batches import Batch
from bandits.once import Once
from bandits.reward_model import RewardModel, Shape, Shown
from bandits.tabled import checked, checked_columns, checked_pmfs, refuse
from bandits.unit_sums import UnitKeys, keys_of
from recsys.errors import InvalidTable
from recsys.vocabulary import Floats

AS_LOGGED, UNIFORM = "as-logged", "uniform"
"""Policies that a table with `logged_pmf` always has: the one that drew, and an even choice of what it could draw."""

SIZE = 200_000
_WHERE = "table of rounds"
_MIXES = np.uint64(11_400_714_819_323_198_485)  # odd, so no two numbers become one; and their remainders are spread


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Some rounds, as one batch for each policy; `context` (n, F) and `at` (n,) seconds serve a reward model."""

    batches: tuple[Batch, ...]
    context: Floats
    at: Floats

    @property
    def shown_how(self) -> Shown:
        """As a reward model asks, before time is cut into blocks."""
        first = self.batches[0]
        return Shown(self.context, np.zeros(first.reward.size), first.unit, self.at)


class RoundTable:
    """A table and the policies to judge by it; `read` it as often as needed. Raises `InvalidTable` for columns.

    >>> frame = pl.DataFrame({"reward": [1.0, 0.0], "propensity": [0.5, 0.5], "unit": ["a", "b"], "new": [1.0, 0.0]})
    >>> [rows] = RoundTable(frame.lazy(), policies=["new"]).read()
    >>> rows.batches[0].weighing["target"]
    array([1., 0.])
    """

    def __init__(
        self,
        table: pl.LazyFrame,
        *,
        policies: Sequence[str],
        ripe_before: datetime | None = None,
        size: int = SIZE,
        before: int = 0,
        told_before: UnitKeys | None = None,
        span: tuple[float, float] | None = None,
    ) -> None:
        """`before`, `told_before` and `span` are of the whole, where `table` is a part of it: the rows before the
        first, the decisions (`keys`) that earlier parts tell, and the time from first to last.
        """
        self._table, self.policies, self._ripe, self._size = table, tuple(policies), ripe_before, size
        self._before, self._told_before, self._span = before, told_before, span
        self.left_out: Counter[str] = Counter()
        self._kinds = table.collect_schema()
        self._needs("reward", "propensity", "unit")
        self.full = "logged_pmf" in self._kinds
        if self.full:
            self._needs("shown")
        if ripe_before is not None:
            self._needs("made_at")
        for name in self.policies:
            if name not in self._kinds and not (self.full and name in (AS_LOGGED, UNIFORM)):
                raise InvalidTable(f"it has no column {name}, which is to be judged", where=_WHERE)

    @property
    def timed(self) -> bool:
        """Whether it says when its rounds were made."""
        return "made_at" in self._kinds

    @property
    def modelled(self) -> bool:
        """Whether a reward model can be learned and asked: full distributions of everybody, and times."""
        given = (name for name in self.policies if name in self._kinds)
        return self.full and self.timed and all(self._kinds[name].is_nested() for name in given)

    def read(self) -> Iterator[Rows]:
        """The rounds in batches; wrong values are refused with their rows, counted from 1 over the whole table."""
        once, before = Once(), self._before
        if self._told_before is not None:
            once.first(self._told_before)
        self.left_out = Counter()
        wanted = ["reward", "propensity", "unit", *self.policies]
        wanted += [name for name in ("decision_id", "made_at", "shown", "logged_pmf", "context") if name in self._kinds]
        asked = self._table.select([name for name in dict.fromkeys(wanted) if name in self._kinds])
        for frame in asked.collect_batches(chunk_size=self._size, maintain_order=True):
            for start in range(0, frame.height, self._size):
                part = frame.slice(start, self._size)
                rows = self._rows(part, before=before, once=once)
                before += part.height
                if rows is not None:
                    yield rows

    @property
    def named(self) -> bool:
        """Whether decisions have ids, so that one that is told again is left out."""
        return "decision_id" in self._kinds

    def keys(self) -> UnitKeys:
        """(k,) which decisions it tells, ascending, of those that are ripe."""
        ripe = self._table if self._ripe is None else self._table.filter(pl.col("made_at") < self._ripe)
        found = [
            _keys(each["decision_id"]) for each in ripe.select("decision_id").collect_batches(chunk_size=self._size)
        ]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.uint64)

    def span(self) -> tuple[float, float]:
        """From the first round to just after the last, in seconds since 1970."""
        if self._span is not None:
            return self._span
        column = pl.col("made_at").dt.epoch("us")
        low, high = self._table.select(low=column.min(), high=column.max()).collect(engine="streaming").row(0)
        return (low or 0) / 1e6, (high or 0) / 1e6 + 1.0

    def model(self, *, told: Callable[[int], None] = lambda rounds: None) -> RewardModel:
        """A reward model learned from all of it, cross-fitted by unit and forward in time."""
        found = self.learned(told=told)
        if found is None:
            raise InvalidTable("no rounds: an estimate needs at least one", where=_WHERE)
        return found

    def learned(self, *, told: Callable[[int], None] = lambda rounds: None) -> RewardModel | None:
        """What it teaches, to be merged with what other parts teach; None where it has no round."""
        start, end = self.span()
        found: RewardModel | None = None
        rounds = 0
        for rows in self.read():
            batch = rows.batches[0]
            assert batch.logged_pmf is not None
            assert batch.shown is not None
            if found is None:
                products = tuple(str(column) for column in range(batch.logged_pmf.shape[1]))
                found = RewardModel(Shape(products, places=1, features=rows.context.shape[1]))
            found.learn(_blocked(rows, found, start=start, end=end), product=batch.shown, reward=batch.reward)
            rounds += batch.reward.size
            told(rounds)
        return found

    def expecting(self, model: RewardModel) -> Iterator[Rows]:
        """`read`, with what the model expects beside each round."""
        start, end = self.span()
        for rows in self.read():
            q = model.expected(_blocked(rows, model, start=start, end=end))
            yield Rows(tuple(_modelled(batch, q) for batch in rows.batches), rows.context, rows.at)

    def _needs(self, *names: str) -> None:
        if missing := [name for name in names if name not in self._kinds]:
            raise InvalidTable(f"it has no column {missing[0]}; there are {', '.join(self._kinds)}", where=_WHERE)

    def _rows(self, frame: pl.DataFrame, *, before: int, once: Once) -> Rows | None:
        self._refuse_nulls(frame, before=before)
        kept = np.ones(frame.height, dtype=np.bool_)
        if self._ripe is not None:
            ripe = (frame["made_at"] < self._ripe).to_numpy()
            self.left_out["not ripe yet"] += int((~ripe).sum())
            kept &= ripe
        if "decision_id" in frame.columns:
            again = once.again
            first = np.zeros(frame.height, dtype=np.bool_)
            first[kept] = once.first(_keys(frame["decision_id"].filter(pl.Series(kept))))
            self.left_out["told twice"] += once.again - again
            kept &= first
        self.left_out += Counter()  # drops what never happened
        logged, shown = self._distribution(frame, before=before)
        targets = [self._target(name, frame, logged=logged, shown=shown, before=before) for name in self.policies]
        reward, propensity = (frame[name].to_numpy() for name in ("reward", "propensity"))
        for name, (target, _) in zip(self.policies, targets, strict=True):
            checked(f"{_WHERE}, {name}", before=before, reward=reward, propensity=propensity, target=target)
        if not kept.any():
            return None
        common = {"reward": reward.astype(np.float64)[kept], "propensity": propensity.astype(np.float64)[kept]}
        more = {} if logged is None or shown is None else {"logged_pmf": logged[kept], "shown": shown[kept]}
        unit = _keys(frame["unit"])[kept]
        batches = tuple(
            Batch(unit=unit, target=target[kept], target_pmf=None if pmf is None else pmf[kept], **common, **more)
            for target, pmf in targets
        )
        return Rows(batches, self._context(frame, before=before)[kept], _seconds(frame)[kept])

    def _refuse_nulls(self, frame: pl.DataFrame, *, before: int) -> None:
        for name in frame.columns:
            why = ": leave such rounds out, no weight can judge them" if name == "propensity" else ""
            refuse(frame[name].is_null().to_numpy(), f"{name} is empty{why}", where=_WHERE, before=before)

    def _distribution(self, frame: pl.DataFrame, *, before: int) -> tuple[Floats | None, Floats | None]:
        if not self.full:
            return None, None
        pmf = _matrix(frame["logged_pmf"], before=before)
        shown = frame["shown"].to_numpy().astype(np.float64)
        checked_columns("shown", shown, below=pmf.shape[1], where=_WHERE, before=before)
        return pmf, shown

    def _target(
        self, name: str, frame: pl.DataFrame, *, logged: Floats | None, shown: Floats | None, before: int
    ) -> tuple[Floats, Floats | None]:
        if name in frame.columns and not self._kinds[name].is_nested():
            return frame[name].to_numpy().astype(np.float64), None
        if name in frame.columns:
            pmf = _matrix(frame[name], before=before)
        else:
            assert logged is not None
            pmf = logged if name == AS_LOGGED else (logged > 0.0) / (logged > 0.0).sum(axis=1, keepdims=True)
        if logged is None or shown is None or pmf.shape != logged.shape:
            raise InvalidTable(f"{name} is a distribution, so logged_pmf must be one over as many", where=_WHERE)
        return pmf[np.arange(len(pmf)), shown.astype(np.int64)], pmf

    def _context(self, frame: pl.DataFrame, *, before: int) -> Floats:
        if "context" not in frame.columns:
            return np.zeros((frame.height, 0))
        found = _numbers(frame["context"], before=before)
        refuse(~np.isfinite(found), "context must be finite", where=_WHERE, before=before)
        return found


def _matrix(column: pl.Series, *, before: int) -> Floats:
    """(n, A) of a column of distributions, each checked to be one."""
    return checked_pmfs(column.name, _numbers(column, before=before), where=_WHERE, before=before)


def _numbers(column: pl.Series, *, before: int) -> Floats:
    """(n, k) of a column of lists as long as the first."""
    if not column.dtype.is_nested():
        raise InvalidTable(f"{column.name} must be a list of numbers", where=_WHERE)
    lists = column.arr.to_list() if isinstance(column.dtype, pl.Array) else column
    lengths = lists.list.len().to_numpy()
    width = int(lengths[0]) if len(lengths) else 0
    refuse(lengths != width, f"{column.name} is not as long as in the other rows", where=_WHERE, before=before)
    flat = lists.explode(empty_as_null=False) if width else pl.Series([], dtype=pl.Float64)
    refuse(
        flat.is_null().to_numpy().reshape(len(lengths), width),
        f"{column.name} holds nulls",
        where=_WHERE,
        before=before,
    )
    return flat.cast(pl.Float64).to_numpy().reshape(len(lengths), width)


def _keys(column: pl.Series) -> UnitKeys:
    """(n,) whole numbers mixed, text by its hash."""
    if column.dtype.is_integer():
        return column.to_numpy().astype(np.uint64) * _MIXES
    words = column.cast(pl.String)
    different = words.unique(maintain_order=True)
    numbers = pl.Series(keys_of(different.to_list()))
    return np.asarray(words.replace_strict(different, numbers, return_dtype=pl.UInt64).to_numpy(), dtype=np.uint64)


def _seconds(frame: pl.DataFrame) -> Floats:
    if "made_at" not in frame.columns:
        return np.zeros(frame.height)
    return np.asarray(frame["made_at"].dt.epoch("us").to_numpy() / 1e6, dtype=np.float64)


def _blocked(rows: Rows, model: RewardModel, *, start: float, end: float) -> Shown:
    how = rows.shown_how
    block = np.floor((rows.at - start) / max(end - start, 1e-9) * model.shape.blocks)
    return Shown(how.x, how.place, how.unit, np.clip(block, 0, model.shape.blocks - 1))


def _modelled(batch: Batch, q: Floats) -> Batch:
    assert batch.shown is not None
    assert batch.target_pmf is not None
    return Batch(
        unit=batch.unit,
        reward=batch.reward,
        propensity=batch.propensity,
        target=batch.target,
        q_logged=q[np.arange(len(q)), batch.shown.astype(np.int64)],
        q_target=(batch.target_pmf * q).sum(axis=1),
        logged_pmf=batch.logged_pmf,
        target_pmf=batch.target_pmf,
        shown=batch.shown,
    )
