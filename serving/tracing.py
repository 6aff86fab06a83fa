"""Spans of a request and of its steps, where somebody collects them; without a collector they cost nothing.

OpenTelemetry is an extra (`recsys[otel]`) with one door, `serving/spans.py`.
"""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from recsys.errors import InvalidConfiguration

_NOTHING: AbstractContextManager[None] = nullcontext()


class Asked(Protocol):
    """A request while it is answered."""

    def answered(self, *, route: str, status: int) -> None:
        """Say what it came to, by its route's pattern."""


class Tracing(Protocol):
    """Where spans go."""

    def request(self, method: str, *, parent: str = "") -> AbstractContextManager[Asked]:
        """The span of a request, inside its caller's trace where `parent`, a traceparent header, names one."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """The span of one step of the request at hand."""

    def close(self) -> None:
        """Send what is left."""


class _Nobody:
    def answered(self, *, route: str, status: int) -> None:
        """Nobody asks."""


class Untraced:
    """Nobody collects spans."""

    _asked: AbstractContextManager[Asked] = nullcontext(_Nobody())

    def request(self, method: str, *, parent: str = "") -> AbstractContextManager[Asked]:
        """Nothing."""
        return self._asked

    def step(self, name: str) -> AbstractContextManager[None]:
        """Nothing."""
        return _NOTHING

    def close(self) -> None:
        """Nothing."""


def tracing_of(exporter: str, *, share: float) -> Tracing:
    """Spans to an exporter by its OpenTelemetry name, "" for none; raises `InvalidConfiguration`."""
    if not exporter:
        return Untraced()
    try:
        spans = importlib.import_module("serving.spans")  # an extra: only where it is asked for
    except ImportError:
        raise InvalidConfiguration(
            "setting tracing: OpenTelemetry is not installed: pip install 'recsys[otel]'"
        ) from None
    found: Tracing = spans.Spans.to(exporter, share=share)
    return found
