"""Every error of the house as one family tree; each carries what it knows.

RecsysError
├── Misuse                    the caller's input is wrong: say what, where, and how to mend it
│   ├── InvalidPropensity     a probability outside (0, 1]
│   ├── InvalidPmf            a distribution that is none
│   ├── InvalidTable          rows or columns that do not fit, row-precise
│   ├── InvalidCatalogue      a product file that cannot be published
│   ├── InvalidRulePack       a rule pack that cannot be enforced
│   ├── InvalidReasons        a vocabulary of reasons that may not be said
│   ├── InvalidConfiguration  settings, rewards, recipes, experiments
│   └── InvalidFact           a fact of the wrong type or unit
├── NotFound
│   ├── UnknownDecision
│   └── UnknownExperiment
├── Conflict                  the same id with another content
├── Unavailable               a part is broken or absent; another rung must answer
│   ├── StoreUnavailable
│   └── ArtefactMissing
└── Corrupt                   a digest, a position or a record does not add up
"""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from typing import Any


class RecsysError(Exception):
    """Root of the tree; the message is one sentence fit for a person.

    Between processes an error goes with its sentence and all that it knows: it is not made anew from its arguments.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__ or None  # type: ignore[attr-defined]


class Misuse(RecsysError):
    """The caller's input is wrong."""


class InvalidPropensity(Misuse):
    """A probability outside (0, 1]."""

    def __init__(self, value: object, *, where: str) -> None:
        super().__init__(f"{where}: expected a probability in (0, 1], got {value}")


class InvalidPmf(Misuse):
    """A distribution over candidates that is negative, not finite, empty, or does not sum to one."""

    def __init__(self, why: str, *, where: str) -> None:
        super().__init__(f"{where}: not a probability distribution: {why}")


class InvalidTable(Misuse):
    """Rows or columns that do not fit; names the first rows, 1-based as a person counts them.

    `n_rows` are all of them, where `rows` are only the first.
    """

    NAMED = 5  # rows
    TOLD = 30  # faults of one error

    def __init__(self, why: str, *, where: str, rows: Sequence[int] = (), n_rows: int = 0) -> None:
        self.why, self.where, self.rows, self.n_rows = why, where, tuple(rows), max(n_rows, len(rows))
        self._several: tuple[InvalidTable, ...] = ()
        shown = ", ".join(str(row) for row in self.rows[: self.NAMED])
        more = f" and {self.n_rows - self.NAMED:,} more" if self.n_rows > self.NAMED else ""
        at = f" (row{'s' if self.n_rows > 1 else ''} {shown}{more})" if self.rows else ""
        super().__init__(f"{where}: {why}{at}")

    @classmethod
    def together(cls, told: Sequence[InvalidTable], *, where: str) -> InvalidTable:
        """One error of several, each on its own line below what `where` names; the only one as it is."""
        faults = tuple(fault for each in told for fault in each.faults)
        if len(faults) == 1:
            return faults[0]
        more = [f"and {len(faults) - cls.TOLD} more"] if len(faults) > cls.TOLD else []
        lines = [f"{len(faults)} faults:", *(str(each) for each in faults[: cls.TOLD]), *more]
        whole = cls("\n  ".join(lines), where=where)
        whole._several = faults
        return whole

    @property
    def faults(self) -> tuple[InvalidTable, ...]:
        """What it tells, one by one."""
        return self._several or (self,)


class InvalidCatalogue(Misuse):
    """A product file that cannot be published."""


class InvalidRulePack(Misuse):
    """A rule pack that cannot be enforced."""


class InvalidReasons(Misuse):
    """A vocabulary of reasons that may not be said."""


class InvalidConfiguration(Misuse):
    """Settings, rewards, recipes or experiments that contradict themselves."""


class InvalidFact(Misuse):
    """A fact of the wrong type or unit."""


class NotFound(RecsysError):
    """What was named does not exist."""


class UnknownDecision(NotFound):
    """No decision has this id."""

    def __init__(self, decision_id: str) -> None:
        super().__init__(f"no decision has the id {decision_id}")


class UnknownExperiment(NotFound):
    """No experiment has this id."""

    def __init__(self, experiment_id: str) -> None:
        super().__init__(f"no experiment has the id {experiment_id}")


class Conflict(RecsysError):
    """The same id came with another content."""


class Unavailable(RecsysError):
    """A part is broken or absent; another rung must answer."""


class StoreUnavailable(Unavailable):
    """The database does not answer."""


class ArtefactMissing(Unavailable):
    """Nothing has been published under this name yet."""

    def __init__(self, name: str) -> None:
        super().__init__(f"nothing has been published as {name} yet")


class Corrupt(RecsysError):
    """A digest, a position or a record does not add up."""
