"""What the exact linear learner believes before the first lesson: the options of its recipes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandits.forgetting import Forgetting
from bandits.recipe import Options, settings_of
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Candidate, Floats

HEAD = ("level", "affinity", "seen_lately")
"""The first columns of every belief: what is not of the context."""

FAMILY = "family_"
"""How the feature of a product begins that names its family, whose products pool what context does to them."""


_POOLED = 0.01  # what context does to one product's chance of coming anyway: next to nothing that it does not do to all


def family_of(candidate: Candidate) -> str:
    """The feature that names a product's family; "" where none does.

    >>> family_of(Candidate("pot", "", ("class_service", "family_credit", "family_savings"), (1.0, 0.0, 1.0)))
    'family_savings'
    """
    features = zip(candidate.names, candidate.values, strict=True)
    return next((name for name, value in features if value and name.startswith(FAMILY)), "")


@dataclass(frozen=True, slots=True)
class Deviations:
    """Prior standard deviations of the weights of a stage; a family's are those of one of its products."""

    rate: float  # of the level that all products share
    level: float  # of a product's own level
    own: float  # of all else about one product
    near: float  # of what affinity and having seen it lately do to every product
    shared: float  # of what context does to every product, and of what a product is like

    def of_one(self, columns: int) -> Floats:
        """(columns,) of what is one product's own."""
        return np.array([self.level, *[self.own] * (columns - 1)])

    def of_all(self, columns: int) -> Floats:
        """(columns,) of what all products share."""
        return np.array([self.rate, *[self.near] * (len(HEAD) - 1), *[self.shared] * (columns - len(HEAD))])


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of a recipe: prior standard deviations of weights, on the scale of logits."""

    prior: float = 0.02  # probability of every stage before anything is learned
    rate: float = 3.0  # of the level that all products share, which may lie wherever the log puts it
    level: float = 1.0  # of a product's own level beside that
    context: float = 0.15  # of what context does to one product, and to a family of them
    shared: float = 0.3  # of what context does to all, and of what a product is like
    later: float = 0.03  # of both in stages that follow another, of which few lessons come
    later_level: float = 0.7  # of a product's own level in those
    affinity: float = 0.5  # prior mean of what a unit of affinity adds to the first good stages
    knots: int = 0  # hats per context feature, which let a line bend
    waves: int = 0  # random Fourier features of the context; above 0, `context` and `shared` are of all of it together
    drift: float = 0.07  # how far a product's own level moves in a day, in stages straight from "seen"
    keep: float = 1.0  # forgetting (bandits/forgetting.py)
    keep_per: str = "day"

    @classmethod
    def of(cls, options: Options) -> Settings:
        """Checked settings; raises `InvalidConfiguration`."""
        return settings_of(cls, options, learner="linear")

    def __post_init__(self) -> None:
        if not 0.0 < self.prior < 1.0:
            raise InvalidConfiguration("linear: prior must be in (0, 1)")
        for name in ("rate", "level", "context", "shared", "later", "later_level"):
            if not 0.0 < getattr(self, name) <= 100.0:
                raise InvalidConfiguration(f"linear: {name} must be in (0, 100]")
        if not 0.0 <= self.drift <= 1.0:
            raise InvalidConfiguration("linear: drift must be in [0, 1]")
        if not -10.0 <= self.affinity <= 10.0:
            raise InvalidConfiguration("linear: affinity must be in [-10, 10]")
        if not (self.knots == 0 or 2 <= self.knots <= 20):
            raise InvalidConfiguration("linear: knots must be 0 or 2 to 20")
        if not 0 <= self.waves <= 256:
            raise InvalidConfiguration("linear: waves must be 0 to 256")
        Forgetting(self.keep, self.keep_per)

    @property
    def forgetting(self) -> Forgetting:
        """How fast it forgets."""
        return Forgetting(self.keep, self.keep_per)

    def of_stage(self, *, follows: bool, anyway: bool) -> Deviations:
        """Prior deviations of a stage: one that follows another, or the chance of coming anyway, has few lessons."""
        level = self.later_level if follows else self.level
        if anyway:
            return Deviations(self.rate, level, own=_POOLED, near=self.shared, shared=self.later)
        if follows:
            return Deviations(self.rate, level, own=self.later, near=self.shared, shared=self.later)
        return Deviations(self.rate, level, own=self.context, near=self.shared, shared=self.shared)

    @property
    def start(self) -> float:
        """The prior as a logit: every prediction starts here."""
        return float(np.log(self.prior / (1.0 - self.prior)))
