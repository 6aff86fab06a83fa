"""The door to Ray Data: parts of work on a cluster, each done again elsewhere where its process or machine dies.

Ray is an extra (`recsys[ray]`). Only sums, counts and names of parts travel, never a customer.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray
from ray.data import DataContext, from_items

from recsys.errors import RecsysError, StoreUnavailable

Part = TypeVar("Part")
Done = TypeVar("Done")


class RaySpread:
    """A Ray cluster by its address ("auto" is the one this machine is part of); fulfils `Spread`."""

    def __init__(self, address: str) -> None:
        """Join it. Raises `StoreUnavailable` where it does not answer."""
        joined(address)

    def over(self, parts: Sequence[Part], work: Callable[[Part], Done]) -> Iterator[Done]:
        """The result of every part, in their order; as many at once as the cluster has CPUs."""
        if not parts:
            return
        whole = ray.put((list(parts), work))

        def done(row: dict[str, Any]) -> dict[str, Any]:
            asked, function = ray.get(whole)
            return {"done": _pickled(function, asked[row["part"]])}

        logging.getLogger("ray.data").setLevel(logging.ERROR)  # it tells of each execution, on stderr
        context = DataContext.get_current()
        context.enable_progress_bars, context.execution_options.preserve_order = False, True
        rows = from_items([{"part": n} for n in range(len(parts))], override_num_blocks=len(parts))
        for row in rows.map(done, num_cpus=1).iter_rows():
            found = pickle.loads(row["done"])
            if isinstance(found, Failed):
                raise found.error()
            yield found


class Failed:
    """A refusal on its way home: its kind and its sentence."""

    def __init__(self, error: RecsysError) -> None:
        self._kind, self._sentence = type(error), str(error)

    def error(self) -> RecsysError:
        """The error again."""
        found = self._kind.__new__(self._kind)
        found.args = (self._sentence,)
        return found


def joined(address: str) -> None:
    """Join a cluster, once; raises `StoreUnavailable` where it does not answer."""
    if ray.is_initialized():
        return
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise StoreUnavailable(f"ray: no cluster answers at {address} ({type(error).__name__})") from None


def _pickled(work: Callable[[Any], Any], part: Any) -> bytes:
    try:
        return pickle.dumps(work(part), protocol=5)
    except RecsysError as error:
        return pickle.dumps(Failed(error))
