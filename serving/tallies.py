"""What became of every lesson, recipe by recipe: received = learned + waiting + quarantined + superseded.

A decision promises a lesson for each slot it shows and each stage of the reward. *Received* counts
the promises read so far; a lesson is *learned*, *quarantined*, or *waiting* while its decision is
open; *superseded* is what closes without one: the slot was not seen or not shown as decided, the stage
before never happened, or the lesson is nobody's to learn, or another recipe's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

STATES = ("received", "learned", "waiting", "quarantined", "superseded")


class Tally:
    """The counts of one recipe. `waiting` is counted by itself, so that a lesson lost or told twice shows."""

    __slots__ = STATES

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self.received, self.learned, self.waiting, self.quarantined, self.superseded = (
            (counts or {}).get(state, 0) for state in STATES
        )

    def promise(self, n: int) -> None:
        """A decision that may tell `n` lessons."""
        self.received += n
        self.waiting += n

    def end(self, state: str, n: int = 1) -> None:
        """`n` of the waiting come to an end."""
        self.waiting -= n
        setattr(self, state, getattr(self, state) + n)

    def release(self) -> None:
        """One comes out of quarantine and is learned."""
        self.quarantined -= 1
        self.learned += 1

    def plain(self) -> dict[str, int]:
        """state → count."""
        return {state: getattr(self, state) for state in STATES}


def reconciles(counts: Mapping[str, int]) -> bool:
    """Whether every lesson received is accounted for, and none twice.

    >>> reconciles({"received": 6, "learned": 1, "waiting": 3, "quarantined": 0, "superseded": 2})
    True
    """
    return counts["waiting"] >= 0 and counts["received"] == sum(counts[state] for state in STATES[1:])


def named(tallies: Mapping[str, Tally]) -> dict[str, int]:
    """As flat counts, for a read mark."""
    return {f"{state}_{recipe}": n for recipe, tally in tallies.items() for state, n in tally.plain().items()}


def read(counts: Mapping[str, int], recipes: Iterable[str]) -> dict[str, dict[str, int]]:
    """recipe → its counts, of those recipes that a read mark names."""
    return {
        recipe: {state: counts[f"{state}_{recipe}"] for state in STATES}
        for recipe in recipes
        if all(f"{state}_{recipe}" in counts for state in STATES)
    }
