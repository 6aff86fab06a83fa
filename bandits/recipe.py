"""What is approved and promoted: a recipe (learner, options, exploration), never a bare snapshot.

[[recipe]]
name = "bandit"
learner = "vowpal"
[recipe.options]
learning_rate = 0.5
[recipe.exploration]
kind = "epsilon_greedy"
epsilon = 0.05
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bandits.envelope import Envelope
from bandits.exploration import Exploration
from bandits.policy import Policy
from recsys.artefacts import canonical, digest_of
from recsys.errors import InvalidConfiguration
from recsys.rewards import FORMS
from recsys.vocabulary import Candidate, Context, Lesson

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LEARNERS = ("linear", "vowpal", "popularity", "uniform", "static")
Options = Mapping[str, float | str]
_Settings = TypeVar("_Settings", bound="DataclassInstance")


def settings_of(kind: type[_Settings], options: Options, *, learner: str) -> _Settings:
    """A learner's settings, which are a dataclass of defaults, with a recipe's options in place of some.

    Raises `InvalidConfiguration` for an option that it does not have, or a word where a number belongs.
    """
    defaults: dict[str, float | str] = asdict(kind())
    if unknown := sorted(set(options) - set(defaults)):
        raise InvalidConfiguration(f"{learner} has no option {unknown[0]}: use {', '.join(sorted(defaults))}")
    try:
        return kind(**{name: type(defaults[name])(value) for name, value in options.items()})
    except ValueError:
        words = " and ".join(name for name, value in defaults.items() if isinstance(value, str))
        raise InvalidConfiguration(f"{learner}: every option but {words} is a number") from None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a policy is made and how it explores; `digest` names it exactly."""

    name: str
    learner: str = "vowpal"
    options: Options = field(default_factory=lambda: MappingProxyType({}))
    exploration: Exploration = field(default_factory=Exploration)
    shares_traffic: bool = False  # learn from all traffic, or (by default) only from one's own
    envelope: Envelope = field(default_factory=Envelope)
    reward: str = "attributed"  # the form of the reward it is taught, one of recsys.rewards.FORMS

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", self.name):
            raise InvalidConfiguration(f'recipe "{self.name}": a name is lower-case letters, digits, "-" and "_"')
        if self.learner not in LEARNERS:
            raise InvalidConfiguration(
                f'recipe {self.name}: "{self.learner}" is no learner: use one of {", ".join(LEARNERS)}'
            )

        if self.reward not in FORMS:
            raise InvalidConfiguration(
                f'recipe {self.name}: "{self.reward}" is no form of reward: use one of {", ".join(FORMS)}'
            )

    @property
    def digest(self) -> str:
        """A digest of everything that is approved with the recipe."""
        return digest_of(canonical(self.plain))

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        plain = {
            "name": self.name,
            "learner": self.learner,
            "options": dict(self.options),
            "exploration": self.exploration.plain,
            "shares_traffic": self.shares_traffic,
            **({} if self.reward == "attributed" else {"reward": self.reward}),
        }
        if self.envelope != Envelope():  # left out at its defaults, under which every older recipe was approved
            plain["envelope"] = asdict(self.envelope)
        return plain


class Learner(Protocol):
    """Turns lessons into snapshots; mutable, one owner, its whole state is bytes.

    Laws (tests/laws): a snapshot does not change when its learner goes on; learning, saving, loading
    and learning on equals learning undisturbed, to the last byte of `state`; a batch with one bad
    lesson teaches nothing; a lesson of weight 2 is the lesson twice to a counting learner and at
    least as strong as once to every learner, one of weight 0 moves nothing.
    """

    @property
    def kind(self) -> str:
        """One of `LEARNERS`."""

    @property
    def taught(self) -> int:
        """Lessons learned from so far."""

    def learn(self, lessons: Sequence[Lesson]) -> int:
        """Learn from lessons in their order; how many taught. Raises `Misuse` before learning any."""

    def teach(
        self,
        context: Context,
        candidate: Candidate,
        *,
        stage: str,
        label: float,
        weight: float = 1.0,
        importance: float = 1.0,
        day: int | None = None,
    ) -> None:
        """One lesson without its decision: `stage` given the one before came out as `label` in [0, 1].

        `weight` says how many lessons it counts for, from 0 (it only counts as taught) to `teaching.HEAVIEST`, and
        `importance` how much rarer than by an even draw the candidate was drawn (`teaching.importance_of`). `day` is
        when it was known (`date.toordinal`): a learner that forgets by the day forgets nothing without it.
        """

    def snapshot(self, version: int) -> Policy:
        """An immutable policy named `recipe@version`."""

    def live(self) -> Policy:
        """The policy of this very moment, without a copy; void after the next lesson. For replay, never to serve."""

    def state(self) -> bytes:
        """Everything the learner is; equal states have equal bytes."""


def parse_recipes(text: str, *, where: str = "recipes") -> tuple[Recipe, ...]:
    """Read recipes from TOML; raises `InvalidConfiguration` saying which recipe and what to mend.

    >>> parse_recipes('[[recipe]]\\nname = "fair"\\nlearner = "uniform"')[0].learner
    'uniform'
    """
    try:
        rows = tomllib.loads(text).get("recipe", [])
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfiguration(f"{where}: {error}") from None
    recipes = tuple(_recipe(row, where=where) for row in rows)
    names = [recipe.name for recipe in recipes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidConfiguration(f"{where}: recipe {twice[0]} stands twice")
    return recipes


def _recipe(row: Mapping[str, Any], *, where: str) -> Recipe:
    name = str(row.get("name", ""))
    _known(row, [f.name for f in fields(Recipe)], where=f"{where}: recipe {name}")
    exploration = row.get("exploration", {})
    _known(exploration, [f.name for f in fields(Exploration)], where=f"{where}: recipe {name}: exploration")
    envelope = row.get("envelope", {})
    _known(envelope, [f.name for f in fields(Envelope)], where=f"{where}: recipe {name}: envelope")
    options = row.get("options", {})
    if wrong := sorted(k for k, v in options.items() if isinstance(v, bool) or not isinstance(v, int | float | str)):
        raise InvalidConfiguration(f"{where}: recipe {name}: option {wrong[0]} must be a number or a text")
    try:
        return Recipe(
            name,
            str(row.get("learner", "vowpal")),
            MappingProxyType(dict(options)),
            Exploration(**exploration),
            bool(row.get("shares_traffic", False)),
            Envelope(**envelope),
            str(row.get("reward", "attributed")),
        )
    except TypeError as error:
        raise InvalidConfiguration(f"{where}: recipe {name}: {error}") from None


def _known(row: Mapping[str, Any], known: Sequence[str], *, where: str) -> None:
    if unknown := sorted(set(row) - set(known)):
        raise InvalidConfiguration(f"{where} has the unknown key {unknown[0]}: use {', '.join(known)}")
