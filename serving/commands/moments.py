"""Moments on the command line: a day, or a time with its zone."""

from __future__ import annotations

from datetime import UTC, datetime

import click


class Moment(click.ParamType[datetime]):
    """`2026-03-02` (UTC midnight) or `2026-03-02T09:00:00Z`."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """An aware time, or a usage error."""
        try:
            at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f'"{value}" is no time: write 2026-03-02 or 2026-03-02T09:00:00Z', param, ctx)
        if at.tzinfo is None and (isinstance(value, datetime) or len(str(value)) > len("2026-03-02")):
            self.fail(f'"{value}" has no zone: write 2026-03-02T09:00:00Z', param, ctx)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at


MOMENT = Moment()
