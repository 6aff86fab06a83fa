"""The policies in force: one immutable reference a recipe, swapped when its pointer moves.

`refresh` reads one small pointer file a recipe; only when it moved does it load a snapshot and check
it, and only then does it swap. A damaged snapshot leaves the last good one in force and is counted.
Requests read `policy(...)` and never wait.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bandits.baselines import UniformPolicy
from bandits.learner import load_policy
from bandits.policy import Policy
from bandits.recipe import Recipe
from recsys import artefacts
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Decision

STATE = "state.bin"
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


class LivePolicies:
    """Every recipe's policy in force, if one was published."""

    def __init__(self, root: Path, *, recipes: Sequence[Recipe]) -> None:
        self._root = root
        self.recipes: Mapping[str, Recipe] = {recipe.name: recipe for recipe in recipes}
        self._live: dict[str, InForce] = {}
        self._broken: dict[str, str] = {}
        self.swaps = 0
        self.refusals = 0

    def policy(self, recipe: str) -> InForce | None:
        """The recipe's policy in force, None before its first snapshot."""
        return self._live.get(recipe)

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
            return self._load(recipe, decision.versions.snapshot).policy
        except Exception:  # pruned, or damaged in whatever way: not comparable
            return None

    def refresh(self) -> None:
        """Swap in whatever was published since the last look."""
        for name, recipe in self.recipes.items():
            digest = artefacts.pointed(self._root, policy_name(name))
            live = self._live.get(name)
            if digest is None or (live is not None and live.snapshot == digest) or self._broken.get(name) == digest:
                continue
            try:
                self._live[name] = self._load(recipe, digest)
                self.swaps += 1
            except Exception as error:  # whatever is wrong with it, the last good one stays in force
                self.refusals += 1
                if not isinstance(error, OSError):  # a disk that stumbles is asked again, damage is not
                    self._broken[name] = digest
                logger.error("snapshot %s of %s refused: %s", digest, name, type(error).__name__)

    def _load(self, recipe: Recipe, digest: str) -> InForce:
        published = artefacts.read(self._root, policy_name(recipe.name), digest)
        if published.manifest["recipe_digest"] != recipe.digest:
            raise InvalidConfiguration(
                f"a snapshot of another recipe {recipe.name}: the learner will publish a new one"
            )
        policy = load_policy(recipe, published.file(STATE), int(published.manifest["version"]))
        return InForce(policy, recipe.digest, digest)
