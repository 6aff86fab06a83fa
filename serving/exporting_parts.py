"""The log as Parquet, some days at a time, anywhere: the same bytes as all days in turn.

A worker opens the installation by its settings, reads the log from as long before its days as windows are open, and
writes its own days' files, whole or not at all.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from pathlib import Path

from serving.bootstrap import Installation, compose
from serving.exporting import Written, export
from serving.settings import Settings
from serving.spread import Spread


def export_all(
    home: Installation, *, out: Path, spread: Spread, since: date | None = None, until: date | None = None
) -> Written:
    """As `export`; `out` must be a folder that every worker reaches."""
    last = home.log.last_position()
    if not last:
        return Written()
    first = next(home.log.read(until=last)).recorded_at.date() if since is None else since
    end = home.log.recorded_at(last).date() if until is None else until
    days = max(2 * home.rewards.longest.days, 7)  # each part reads the days of the windows before it again
    cuts = [first + timedelta(days=n) for n in range(days, (end - first).days, days)]
    parts = list(zip((since, *cuts), (*cuts, until), strict=True))
    written = Written()
    for found in spread.over(parts, partial(_exported, home.settings, out)):
        written.add(found)
    return written


def _exported(settings: Settings, out: Path, part: tuple[date | None, date | None]) -> Written:
    home = compose(settings)
    try:
        return export(home.log, out=out, rewards=home.rewards, since=part[0], until=part[1])
    finally:
        home.database.close()
