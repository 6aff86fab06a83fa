"""What the exact linear learner believes before the first lesson: the options of its recipes."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from bandits.forgetting import Forgetting
from bandits.recipe import Options
from recsys.errors import InvalidConfiguration


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of a recipe: prior standard deviations of weights, on the scale of logits."""

    prior: float = 0.02  # probability of every stage before anything is learned
    level: float = 2.0  # of a product's own level; of the level that all share, half as much again
    context: float = 0.3  # of what context does to one product
    shared: float = 0.3  # of what context does to all, and of what a product is like
    later: float = 0.1  # of both in stages that follow another, of which few lessons come
    affinity: float = 0.5  # prior mean of what a unit of affinity adds to the first good stages
    knots: int = 0  # hats per context feature, which let a line bend
    waves: int = 0  # random Fourier features of the context; above 0, `context` and `shared` are of all of it together
    keep: float = 1.0  # forgetting (bandits/forgetting.py)
    keep_per: str = "day"

    @classmethod
    def of(cls, options: Options) -> Settings:
        """Checked settings; raises `InvalidConfiguration`."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(options) - known):
            raise InvalidConfiguration(f"linear has no option {unknown[0]}: use {', '.join(sorted(known))}")
        try:
            return cls(**{name: type(getattr(cls(), name))(value) for name, value in options.items()})
        except ValueError:
            raise InvalidConfiguration("linear: every option but keep_per is a number") from None

    def __post_init__(self) -> None:
        if not 0.0 < self.prior < 1.0:
            raise InvalidConfiguration("linear: prior must be in (0, 1)")
        if not all(0.0 < deviation <= 100.0 for deviation in (self.level, self.context, self.shared, self.later)):
            raise InvalidConfiguration("linear: level, context, shared and later must be in (0, 100]")
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

    def bends(self, parent: int) -> tuple[float, float]:
        """(context, shared) deviations of a stage that follows the stage in row `parent`, -1 for "seen"."""
        return (self.context, self.shared) if parent < 0 else (self.later, self.later)

    @property
    def start(self) -> float:
        """The prior as a logit: every prediction starts here."""
        return float(np.log(self.prior / (1.0 - self.prior)))
