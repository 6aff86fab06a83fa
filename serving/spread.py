"""Work in parts: one after another here, or on a Ray cluster (the setting `ray`), with the same result.

What is spread is a function of one part whose results add, or which may be done twice: sums of rounds, a page of
customers to encode, some days to export. A part is worked on until it is done, wherever; a process that dies takes
nothing with it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from recsys.errors import InvalidConfiguration
from serving.settings import Settings

Part = TypeVar("Part")
Done = TypeVar("Done")


class Spread(Protocol):
    """Works on parts; raises what the work raises."""

    def over(self, parts: Sequence[Part], work: Callable[[Part], Done]) -> Iterable[Done]:
        """The result of every part, in their order. Elsewhere `work` is a function of a module, or a partial of one."""


class Here:
    """One part after another, in this process; fulfils `Spread`."""

    def over(self, parts: Sequence[Part], work: Callable[[Part], Done]) -> Iterator[Done]:
        """The result of every part, in their order."""
        return map(work, parts)


HERE = Here()


def spread_of(settings: Settings) -> Spread:
    """As the settings say; raises `InvalidConfiguration` where Ray is asked for and not installed."""
    if not settings.ray:
        return HERE
    found: Spread = door("spread").RaySpread(settings.ray)
    return found


def door(name: str) -> Any:
    """A module that names Ray; raises `InvalidConfiguration` where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray tells its makers about clusters unless told not to
    try:
        return importlib.import_module(f"serving.ray_{name}")  # an extra: only where it is asked for
    except ImportError:
        raise InvalidConfiguration("ray: Ray is not installed: pip install 'recsys[ray]'") from None
