"""The ladder (OPS-2): who draws when a part is broken, from the live policy down to an empty slate.

live → the last good snapshot before it → popularity within the rules → the approved static list →
nothing. Each rung is a policy with true probabilities over the same candidates, so it obeys every
rule, and each is logged under its own name with the mode `fallback:<rung>`. A rung that fails, or
that a switch takes out of service (OPS-1), is passed over; the next request tries it again, so a
part that is mended is back by itself.

A recipe that never published anything is not broken but new: it begins with uniform choice
(`fallback:uniform`), which is what it then learns from.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from bandits.baselines import StaticPolicy, UniformPolicy
from bandits.drawing import Drawn
from bandits.policy import Policy
from embeddings.retrieval import Retriever
from recsys.vocabulary import ProductId
from serving.inventory import Entry
from serving.live_policy import InForce, LivePolicies

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rung:
    """A policy that may draw, the mode under which it is logged, and its digests."""

    policy: Policy
    mode: str
    recipe: str = ""
    snapshot: str = ""
    adjustable: bool = False  # whether pins and boosts may move it


@dataclass(frozen=True, slots=True)
class Standing:
    """A recipe's policy in force and the one before it, taken together, so that a swap meanwhile changes neither."""

    live: InForce | None
    earlier: InForce | None

    @property
    def retriever(self) -> Retriever | None:
        """Over the bundle that the recipe is paired with; None where its snapshot, if any, names none."""
        first = self.live or self.earlier
        return None if first is None else first.retriever


EMPTY = Rung(StaticPolicy((), name="empty@0"), "fallback:empty")
"""The last rung: it draws nothing, and says so."""

UNIFORM = Rung(UniformPolicy(), "live")
"""The slice of traffic that keeps evaluation possible; nothing moves it."""


class Ladder:
    """The rungs over the policies in force and an approved order of products."""

    def __init__(
        self, live: LivePolicies, *, approved: Sequence[ProductId] = (), inventory: Mapping[str, Entry] | None = None
    ) -> None:
        self._live = live
        self._inventory = inventory or {}
        self._denied: set[tuple[str, str]] = set()
        self._approved = tuple(approved)
        self._popular = next((name for name, recipe in live.recipes.items() if recipe.learner == "popularity"), None)

    def static(self, order: Sequence[ProductId], *, mode: str) -> Rung:
        """The approved list, or the catalogue's order where none was approved."""
        return Rung(StaticPolicy(self._approved or order), mode)

    def standing(self, recipe: str) -> Standing:
        """What stands for a recipe at this moment. A snapshot of another bundle is no rung beneath the one in force."""
        live, earlier = self._live.policy(recipe), self._live.earlier(recipe)
        paired = live is None or earlier is None or live.retriever is earlier.retriever
        return Standing(live, earlier if paired else None)

    def rungs(self, recipe: str, *, order: Sequence[ProductId], standing: Standing | None = None) -> Iterator[Rung]:
        """The rungs of a recipe, best first; each is made only when the one before failed."""
        standing = standing or self.standing(recipe)
        yield from self._of(standing.live, "live")
        yield from self._of(standing.earlier, "fallback:snapshot")
        if not self._live.published(recipe):
            yield Rung(UniformPolicy(), "fallback:uniform", adjustable=True)
        if self._popular is not None and self._popular != recipe:
            yield from self._of(self._live.policy(self._popular), "fallback:popularity")
            yield from self._of(self._live.earlier(self._popular), "fallback:popularity")
        static = self.static(order, mode="fallback:static")
        yield Rung(static.policy, static.mode, adjustable=True)

    def permits(self, rung: Rung, *, surface: str, classes: Callable[[], Set[str]]) -> bool:
        """Whether a recipe may be used here, by its entry in the inventory (MRM-2); `classes` are the candidates'.

        What is denied is told once in the process's log, and each decision says which rung answered.
        """
        entry = self._inventory.get(rung.policy.name.partition("@")[0]) if rung.recipe else None
        if entry is None:  # no recipe at all, or one without an entry, which the gate refuses
            return True
        where = surface if surface not in entry.surfaces else ""
        what = "" if entry.covers_all_classes else ", ".join(sorted(classes() - set(entry.product_classes)))
        if not where and not what:
            return True
        if (entry.recipe, where + what) not in self._denied:
            self._denied.add((entry.recipe, where + what))
            logger.error("%s is not meant for %s: the next rung answers", entry.recipe, where or f"class {what}")
        return False

    def beside(self, recipe: str, *, retriever: Retriever | None) -> Rung | None:
        """A recipe that decides in the shadow of another, None before its first snapshot or with another bundle."""
        found = self._live.policy(recipe)
        paired = found is None or found.retriever in (None, retriever)
        return next(self._of(found, "shadow"), None) if paired else None

    def _of(self, found: InForce | None, mode: str) -> Iterator[Rung]:
        if found is not None:
            yield Rung(found.policy, mode, found.recipe, found.snapshot, adjustable=True)


def climbed(
    rungs: Iterable[Rung], *, permits: Callable[[Rung], bool], draw: Callable[[Rung], Drawn]
) -> tuple[Rung, Drawn]:
    """The first rung that may draw and does, with its slate; `EMPTY` where none does."""
    for rung in rungs:
        if not permits(rung):
            continue
        try:
            return rung, draw(rung)
        except Exception as error:  # whatever it was: the next rung answers, and the log says who drew
            logger.error("policy %s failed (%s): the next rung answers", rung.policy.name, type(error).__name__)
    return EMPTY, draw(EMPTY)
