"""What judging a table of rounds counts: sums, so that parts of it may be counted anywhere and added.

Only sums travel: a part's panels hold one row a unit, whatever the number of its rounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from bandits.batches import Batch, Pair
from bandits.evaluation import ESTIMATORS, ROUND_PAIRS, Panel, chosen
from bandits.once import Once
from bandits.panels import ONE_SLOT
from bandits.reward_model import RewardModel
from bandits.tables import RoundTable
from bandits.tally import Tally
from bandits.unit_sums import UnitKeys, UnitSums
from serving.spread import Spread

ROWS = 1_000_000  # of a part: large beside what a part costs to begin, small enough that one done again is cheap


@dataclass(frozen=True, slots=True)
class Count:
    """What is counted: the policies, and how they are judged."""

    modelled: bool
    policies: tuple[str, ...]
    estimators: tuple[str, ...]
    level: float

    def empty(self) -> Counted:
        """Nothing counted yet. Raises `Misuse` for an estimator that is none."""
        suited = ONE_SLOT if self.modelled else ("ips", "snips", "logged", "uplift")
        asked = chosen(ESTIMATORS, names=tuple(dict.fromkeys((*(self.estimators or suited), "logged", "uplift"))))
        way = chosen(ROUND_PAIRS, names=("dr",) if self.modelled else ("ips",))
        first, *others = self.policies
        return Counted(
            [Panel(name, asked, level=self.level) for name in self.policies],
            [Panel(f"{first} − {other}", way, level=self.level, paired=True) for other in others],
        )

    def of(
        self, table: RoundTable, *, model: RewardModel | None, told: Callable[[int], None] = lambda rounds: None
    ) -> Counted:
        """All of a table, with what a model expects where there is one."""
        found = self.empty()
        for rows in table.read() if model is None else table.expecting(model):
            for panel, batch in zip(found.panels, rows.batches, strict=True):
                panel.add(batch)
            for pair, other in zip(found.pairs, rows.batches[1:], strict=True):
                pair.add(Pair(rows.batches[0], other))
            found.rounds += len(rows.at)
            found.first, found.last = min(found.first, float(rows.at.min())), max(found.last, float(rows.at.max()))
            told(found.rounds)
        found.left_out = table.left_out
        return found


@dataclass(slots=True)
class Counted:
    """Panels of each policy, and of each compared with the first; how many rounds, made when, and what was left out."""

    panels: list[Panel[Batch]]
    pairs: list[Panel[Pair[Batch]]]
    rounds: int = 0
    first: float = float("inf")
    last: float = float("-inf")
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, sums: Sums) -> None:
        """Take in what was counted of another part."""
        panels: list[Any] = [*self.panels, *self.pairs]
        for panel, counted in zip(panels, sums.panels, strict=True):
            panel.take(counted)
        self.rounds += sums.rounds
        self.first, self.last = min(self.first, sums.first), max(self.last, sums.last)
        self.left_out += sums.left_out


@dataclass(frozen=True, slots=True)
class Sums:
    """The same as it travels."""

    panels: list[tuple[UnitSums, Tally] | None]
    rounds: int
    first: float
    last: float
    left_out: Counter[str]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one file, and what the whole says of them."""

    path: Path
    start: int
    before: int  # rows of the whole in front of it
    told_before: UnitKeys | None = None  # decisions that earlier parts tell, too
    rows: int = ROWS

    def table(
        self, *, policies: Sequence[str], ripe_before: datetime | None, span: tuple[float, float] | None = None
    ) -> RoundTable:
        """These rows."""
        part = pl.scan_parquet(self.path).slice(self.start, self.rows)
        return RoundTable(
            part,
            policies=policies,
            ripe_before=ripe_before,
            before=self.before,
            told_before=self.told_before,
            span=span,
        )


def counted_in_parts(
    table: RoundTable,
    *,
    count: Count,
    files: Sequence[Path],
    ripe_before: datetime | None,
    spread: Spread,
    told: Callable[[str, int], None],
) -> Counted:
    """As `count.of` the whole table; a model, where there is one, is learned in a first pass over all parts."""
    found, parts = count.empty(), list(_parts(files))
    open_ = partial(Part.table, policies=count.policies, ripe_before=ripe_before)
    if table.named:
        parts = _once(parts, keys=spread.over(parts, partial(_keys_of, open_)))
    model = None
    if table.modelled:
        open_ = partial(open_, span=table.span())
        for n, learned in enumerate(spread.over(parts, partial(_learned, open_))):
            model = _merged(model, learned)
            told("learning what to expect", min((n + 1) * ROWS, parts[-1].before + parts[-1].rows))
    for sums in spread.over(parts, partial(_sums_of, open_, count, model)):
        found.add(sums)
        told("judging", found.rounds)
    return found


def _parts(files: Sequence[Path]) -> Iterator[Part]:
    before = 0
    for path in files:
        n = pl.scan_parquet(path).select(pl.len()).collect().item()
        for start in range(0, n, ROWS):
            yield Part(path, start, before + start, rows=min(ROWS, n - start))
        before += n


def _once(parts: Sequence[Part], *, keys: Iterable[UnitKeys]) -> list[Part]:
    """The parts, each knowing which of its decisions an earlier one tells."""
    once = Once()
    return [
        Part(part.path, part.start, part.before, each[~once.first(each)], part.rows)
        for part, each in zip(parts, keys, strict=True)
    ]


def _keys_of(open_: Callable[[Part], RoundTable], part: Part) -> UnitKeys:
    return open_(part).keys()


def _learned(open_: Callable[[Part], RoundTable], part: Part) -> RewardModel | None:
    return open_(part).learned()


def _merged(one: RewardModel | None, other: RewardModel | None) -> RewardModel | None:
    if one is None or other is None:
        return one or other
    one.merge(other)
    return one


def _sums_of(open_: Callable[[Part], RoundTable], count: Count, model: RewardModel | None, part: Part) -> Sums:
    found = count.of(open_(part), model=model)
    counted = [panel.counted for panel in found.panels] + [pair.counted for pair in found.pairs]
    return Sums(counted, found.rounds, found.first, found.last, found.left_out)
