"""The policies in force: one immutable reference a recipe, swapped when its pointer moves.

`refresh` reads one small pointer file a recipe; only when it moved does it load a snapshot and check
it, and only then does it swap. A snapshot names the bundle it was published with, and the two swap as
one: no request sees either without the other (architecture.md, "Vectors"). A damaged snapshot leaves
the last good one in force, is counted, and is tried again after a while, as files come back. Beside
the policy in force stands the newest older snapshot on disk that still loads: the next rung of the
ladder, at hand before it is needed.
Requests read `policy(...)` and `earlier(...)` and never wait.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bandits.baselines import UniformPolicy
from bandits.learner import load_policy
from bandits.policy import Policy
from bandits.recipe import Recipe
from embeddings.retrieval import Retriever
from recsys import artefacts
from recsys.artefacts import Artefact
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Decision
from serving.retrievers import Retrievers

STATE = "state.bin"
_RETRY_SECONDS = 5.0  # machine time, before damage is looked at again
logger = logging.getLogger(__name__)


def policy_name(recipe: str) -> str:
    """The artefact under which a recipe's snapshots are published."""
    return f"policies/{recipe}"


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy with the digests a decision logs."""

    policy: Policy
    recipe: str  # digest
    snapshot: str  # digest, "" for a policy without state
    retriever: Retriever | None = None  # over the bundle it is paired with; None: from before there were pairs


class LivePolicies:
    """Every recipe's policy in force, if one was published."""

    def __init__(self, root: Path, *, recipes: Sequence[Recipe], retrievers: Retrievers) -> None:
        self._root = root
        self._retrievers = retrievers
        self.recipes: Mapping[str, Recipe] = {recipe.name: recipe for recipe in recipes}
        self._live: dict[str, InForce] = {}
        self._earlier: dict[str, InForce] = {}
        self._published: set[str] = set()
        self._broken: dict[str, tuple[str, float]] = {}  # recipe → digest, when to try again
        self.swaps = 0
        self.refusals = 0

    def policy(self, recipe: str) -> InForce | None:
        """The recipe's policy in force, None before its first snapshot."""
        return self._live.get(recipe)

    def earlier(self, recipe: str) -> InForce | None:
        """The newest snapshot before the one in force that still loads, None where there is none."""
        return self._earlier.get(recipe)

    def published(self, recipe: str) -> bool:
        """Whether the recipe ever published anything, sound or not."""
        return recipe in self._published

    def policy_of(self, decision: Decision) -> Policy | None:
        """The policy that made a decision, from its snapshot; None where that is gone or was damaged.

        Policies without state are made again by name.
        """
        recipe = self.recipes.get(decision.policy.partition("@")[0])
        if not decision.versions.snapshot:
            return UniformPolicy() if decision.policy == UniformPolicy().name else None
        if recipe is None or recipe.digest != decision.versions.recipe:
            return None
        try:
            return self._policy(recipe, self._snapshot(recipe, decision.versions.snapshot))
        except Exception:  # pruned, or damaged in whatever way: not comparable
            return None

    def refresh(self) -> None:
        """Swap in whatever was published since the last look."""
        for name, recipe in self.recipes.items():
            if not (self._root / policy_name(name)).exists():
                continue
            digest = artefacts.pointed(self._root, policy_name(name)) or ""  # "" where the pointer itself is gone
            live = self._live.get(name)
            if (live is not None and live.snapshot == digest) or self._resting(name, digest):
                continue
            self._published.add(name)
            try:
                self._live[name] = self._load(recipe, digest)
                self._broken.pop(name, None)
                self.swaps += 1
            except Exception as error:  # whatever is wrong with it, the last good one stays in force
                if self._broken.get(name, (None,))[0] != digest:
                    self.refusals += 1
                if not isinstance(error, OSError):  # a disk that stumbles is asked again at once, damage is not
                    self._broken[name] = (digest, time.monotonic() + _RETRY_SECONDS)
                logger.error("snapshot %s of %s refused: %s", digest, name, type(error).__name__)
            found = self._before(recipe, digest)
            if found is not None:
                self._earlier[name] = found

    def _resting(self, name: str, digest: str) -> bool:
        broken, until = self._broken.get(name, (None, 0.0))
        return broken == digest and time.monotonic() < until

    def _before(self, recipe: Recipe, digest: str) -> InForce | None:
        """The newest older snapshot of a recipe that still loads; one already at hand is not loaded again."""
        live, earlier = self._live.get(recipe.name), self._earlier.get(recipe.name)
        version = _version(live.policy) if live is not None and live.snapshot == digest else None
        for each in self._newest_first(recipe):
            if each == digest or (live is not None and each == live.snapshot):
                continue
            if earlier is not None and earlier.snapshot == each:
                return earlier
            try:
                found = self._load(recipe, each)
            except Exception:  # the one before it, then
                continue
            if version is None or _version(found.policy) < version:
                return found
        return None

    def _newest_first(self, recipe: Recipe) -> Iterator[str]:
        """Digests of a recipe's snapshots on disk, by the time they were written."""
        home = self._root / policy_name(recipe.name)
        folders = [path for path in home.iterdir() if path.is_dir() and not path.name.startswith(".")]
        yield from (path.name for path in sorted(folders, key=lambda path: path.stat().st_mtime_ns, reverse=True))

    def _load(self, recipe: Recipe, digest: str) -> InForce:
        published = self._snapshot(recipe, digest)
        bundle = published.manifest.get("bundle")
        retriever = None if bundle is None else self._retrievers.of(bundle)
        return InForce(self._policy(recipe, published), recipe.digest, digest, retriever)

    def _snapshot(self, recipe: Recipe, digest: str) -> Artefact:
        published = artefacts.read(self._root, policy_name(recipe.name), digest)
        if published.manifest["recipe_digest"] != recipe.digest:
            raise InvalidConfiguration(
                f"a snapshot of another recipe {recipe.name}: the learner will publish a new one"
            )
        return published

    def _policy(self, recipe: Recipe, published: Artefact) -> Policy:
        return load_policy(recipe, published.file(STATE), int(published.manifest["version"]))


def _version(policy: Policy) -> int:
    return int(policy.name.partition("@")[2])
