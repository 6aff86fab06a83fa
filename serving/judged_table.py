"""Judge policies from Parquet files of logged rounds, however many: what `recsys evaluate --log` does.

The form of the files stands in `bandits.tables`. One batch is in memory at a time; where the files hold full
distributions and times a reward model is learned first, in a pass of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from bandits.tables import SIZE, RoundTable
from recsys.errors import InvalidTable, Misuse
from serving.judged_log import Scope
from serving.judged_parts import Count, Counted, counted_in_parts
from serving.judging import Judged
from serving.spread import Spread

_PIECE = 1 << 22  # bytes of a file hashed at a time


def files_in(log: Path) -> list[Path]:
    """The Parquet files of a log: one file, or all below a folder, in order. Raises `Misuse` where there is none."""
    found = sorted(log.rglob("*.parquet")) if log.is_dir() else [log]
    if not found or not found[0].is_file():
        raise Misuse(f"{log}: there is no Parquet file")
    return found


def judge_table(
    files: Sequence[Path],
    *,
    policies: Sequence[str],
    estimators: Sequence[str] = (),
    level: float = 0.95,
    ripe_before: datetime | None = None,
    size: int = SIZE,
    spread: Spread | None = None,
    told: Callable[[str, int], None] = lambda step, rounds: None,
) -> Judged:
    """Judge `policies`, each after the first also compared with the first on the same rows.

    Rounds made at or after `ripe_before` are left out and counted. With a `spread` the files are judged in parts,
    wherever it says, and the sums added: the same numbers, up to the order of additions. Raises `InvalidTable` with
    the rows that are wrong, `Misuse` for an unknown estimator.
    """
    if len(set(policies)) < len(policies):
        raise Misuse(f"{policies[0]} would be compared with itself: name another policy")
    with _readable(files):
        table = RoundTable(pl.scan_parquet(list(files)), policies=policies, ripe_before=ripe_before, size=size)
        count = Count(table.modelled, tuple(policies), tuple(estimators), level)
        if spread is None:
            model = table.model(told=lambda rounds: told("learning what to expect", rounds)) if table.modelled else None
            counted = count.of(table, model=model, told=lambda rounds: told("judging", rounds))
        else:
            counted = counted_in_parts(
                table, count=count, files=files, ripe_before=ripe_before, spread=spread, told=told
            )
        return _judged(table, counted, digest=digest_of_files(files))


def digest_of_files(files: Sequence[Path]) -> str:
    """Names the content of some files, in order."""
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                found.update(piece)
    return found.hexdigest()[:32]


@contextmanager
def _readable(files: Sequence[Path]) -> Iterator[None]:
    """Says which files are damaged."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        named = files[0].name + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        raise InvalidTable(f"cannot be read as rounds: {str(error).splitlines()[0]}", where=named) from None


def _judged(table: RoundTable, counted: Counted, *, digest: str) -> Judged:
    for each in counted.panels:
        each.excluded = counted.left_out.total()
    verdicts = tuple(verdict for panel in counted.panels for verdict in panel.verdicts())
    earned = [v.interval.estimate for v in verdicts if v.estimator == "logged"]
    timed = table.timed and counted.rounds
    return Judged(
        scope=Scope(),
        verdicts=verdicts,
        differences=tuple(verdict for pair in counted.pairs for verdict in pair.verdicts()),
        logged=earned[0] if earned else float("nan"),
        rounds=counted.rounds,
        left_out=dict(counted.left_out),
        findings=(),
        loggers=(),
        notes=() if table.modelled else ("dm, dr and sndr are left out: they need made_at and full distributions",),
        position=0,
        digest=digest,
        first_at=datetime.fromtimestamp(counted.first, tz=UTC) if timed else None,
        last_at=datetime.fromtimestamp(counted.last, tz=UTC) if timed else None,
    )
