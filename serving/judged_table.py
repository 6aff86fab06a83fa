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

from bandits.batches import Pair
from bandits.evaluation import ESTIMATORS, ROUND_PAIRS, Panel, chosen
from bandits.panels import ONE_SLOT
from bandits.tables import SIZE, RoundTable, Rows
from recsys.errors import InvalidTable, Misuse
from serving.judged_log import Scope
from serving.judging import Judged

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
    told: Callable[[str, int], None] = lambda step, rounds: None,
) -> Judged:
    """Judge `policies`, each after the first also compared with the first on the same rows.

    Rounds made at or after `ripe_before` are left out and counted. Raises `InvalidTable` with the rows that
    are wrong, `Misuse` for an unknown estimator.
    """
    if len(set(policies)) < len(policies):
        raise Misuse(f"{policies[0]} would be compared with itself: name another policy")
    with _readable(files):
        table = RoundTable(pl.scan_parquet(list(files)), policies=policies, ripe_before=ripe_before, size=size)
        return _judged(table, estimators=estimators, level=level, told=told, digest=digest_of_files(files))


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


def _judged(
    table: RoundTable,
    *,
    estimators: Sequence[str],
    level: float,
    told: Callable[[str, int], None],
    digest: str,
) -> Judged:
    suited = ONE_SLOT if table.modelled else ("ips", "snips", "logged", "uplift")
    asked = chosen(ESTIMATORS, names=tuple(dict.fromkeys((*(estimators or suited), "logged", "uplift"))))
    panels = [Panel(name, asked, level=level) for name in table.policies]
    way = chosen(ROUND_PAIRS, names=("dr",) if table.modelled else ("ips",))
    pairs = [Panel(f"{table.policies[0]} − {other}", way, level=level, paired=True) for other in table.policies[1:]]
    rounds, times = 0, list[float]()
    for rows in _rows(table, told=told):
        for panel, batch in zip(panels, rows.batches, strict=True):
            panel.add(batch)
        for pair, other in zip(pairs, rows.batches[1:], strict=True):
            pair.add(Pair(rows.batches[0], other))
        rounds += len(rows.at)
        times = [min([*times[:1], float(rows.at.min())]), max([*times[1:], float(rows.at.max())])]
        told("judging", rounds)
    for each in panels:
        each.excluded = table.left_out.total()
    verdicts = tuple(verdict for panel in panels for verdict in panel.verdicts())
    earned = [v.interval.estimate for v in verdicts if v.estimator == "logged"]
    known = [datetime.fromtimestamp(at, tz=UTC) for at in times] if table.timed and times else [None, None]
    return Judged(
        scope=Scope(),
        verdicts=verdicts,
        differences=tuple(verdict for pair in pairs for verdict in pair.verdicts()),
        logged=earned[0] if earned else float("nan"),
        rounds=rounds,
        left_out=dict(table.left_out),
        findings=(),
        loggers=(),
        notes=() if table.modelled else ("dm, dr and sndr are left out: they need made_at and full distributions",),
        position=0,
        digest=digest,
        first_at=known[0],
        last_at=known[1],
    )


def _rows(table: RoundTable, *, told: Callable[[str, int], None]) -> Iterator[Rows]:
    if not table.modelled:
        return table.read()
    return table.expecting(table.model(told=lambda rounds: told("learning what to expect", rounds)))
