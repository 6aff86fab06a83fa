"""Row numbers and ids: networks and indexes count rows, everybody else speaks ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recsys.artefacts import canonical, digest_of
from recsys.errors import InvalidTable


@dataclass(frozen=True, slots=True)
class IdMap:
    """Row ↔ id. Ids are appended, never moved, so that an old row number keeps its meaning.

    Raises `InvalidTable` when an id comes twice.

    >>> products = IdMap(("pot", "loan")).appended(["pot", "card"])
    >>> products.ids, products.row("card"), products.row("gone")
    (('pot', 'loan', 'card'), 2, None)
    """

    ids: tuple[str, ...] = ()
    _rows: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows = {id_: row for row, id_ in enumerate(self.ids)}
        if len(rows) != len(self.ids):
            twice = [row + 1 for row, id_ in enumerate(self.ids) if rows[id_] != row]
            raise InvalidTable("an id comes twice", where="ids", rows=twice)
        object.__setattr__(self, "_rows", rows)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id_: object) -> bool:
        return id_ in self._rows

    def row(self, id_: str) -> int | None:
        """The row of an id, None when there is none."""
        return self._rows.get(id_)

    def rows(self, ids: Sequence[str], *, where: str) -> NDArray[np.int64]:
        """(n,) rows of known ids; `InvalidTable` names the places of unknown ones (never the ids)."""
        rows = np.fromiter((self._rows.get(id_, -1) for id_ in ids), dtype=np.int64, count=len(ids))
        if (rows < 0).any():
            raise InvalidTable("an id is not known", where=where, rows=(np.flatnonzero(rows < 0) + 1).tolist())
        return rows

    def appended(self, ids: Iterable[str]) -> IdMap:
        """This map with the ids that are new to it at its end, in the order given."""
        return IdMap(self.ids + tuple(dict.fromkeys(id_ for id_ in ids if id_ not in self._rows)))

    @property
    def digest(self) -> str:
        """Digest of the ids in row order."""
        return digest_of(canonical(self.ids))
