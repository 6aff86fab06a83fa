"""How a stage is regressed: the options of a recipe, labels in, probabilities out. Names no engine.

`regression` says what a lesson of something rarely drawn counts for. "even": as much as any other, so that a learner
is best where its policy goes. "mtr": by how much rarer it was drawn than by an even draw, so that the fit is that of a
log drawn evenly (importance-weighted regression; Bietti, Agarwal and Langford 2021). "dr": the doubly robust target,
guess + importance x (label - guess), for what was drawn (Dudik, Langford and Li 2011); of what was not drawn the
target is the guess itself, which teaches nothing, so that one step is enough. Measured with the recipe of
tests/benchmarks/learners.py (one pass of digits, pendigits, nursery, segment and letter, at most 4,000 rows, one
seed): even .747, mtr .741, dr .285 on average; VW's step heeds weights but not targets out of range. So: even.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandits.crossing import Crossing
from bandits.forgetting import Forgetting
from bandits.recipe import Options, settings_of
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Floats

MOST_IMPORTANT = 10.0
"""No lesson counts for more than so many because it was rarely drawn."""
_EDGE = 0.01  # squared predictions bend smoothly inside (0, 1) from here on


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of a recipe; the defaults are by measurement."""

    learning_rate: float = 0.2
    loss: str = "logistic"  # logistic for rare outcomes; squared learns faster where outcomes are common
    regression: str = "even"  # every lesson counts alike, or by how much rarer than evenly it was drawn ("mtr", "dr")
    prior: float = 0.02  # probability of every stage before anything is learned
    knots: int = 0  # hats per context feature: 5 lets a linear learner bend, at six times the features
    scale: float = 0.5  # of context beside the product's own level, which is learned first
    bits: int = 18  # the weight table has 2 ** bits rows
    replays: int = 0  # lessons of before that every new one brings back (bandits/rehearsal.py)
    replayed: int = 2_000  # how many of the last lessons may come back
    keep: float = 1.0  # forgetting (bandits/forgetting.py)
    keep_per: str = "day"

    @classmethod
    def of(cls, options: Options) -> Settings:
        """Checked settings; raises `InvalidConfiguration`."""
        return settings_of(cls, options, learner="vowpal")

    def __post_init__(self) -> None:
        if self.loss not in ("logistic", "squared"):
            raise InvalidConfiguration(f'vowpal: loss is "logistic" or "squared", not "{self.loss}"')
        if self.regression not in ("even", "mtr", "dr"):
            raise InvalidConfiguration(f'vowpal: regression is "even", "mtr" or "dr", not "{self.regression}"')
        if self.regression == "dr" and self.loss != "squared":
            raise InvalidConfiguration("vowpal: dr teaches numbers that are no probabilities, so its loss is squared")
        if not (0.0 < self.learning_rate <= 100.0 and 0.0 < self.prior < 1.0):
            raise InvalidConfiguration("vowpal: learning_rate must be in (0, 100] and prior in (0, 1)")
        if not 0 <= self.replays <= 20 or not 1 <= self.replayed <= 100_000:
            raise InvalidConfiguration("vowpal: replays must be 0 to 20, and replayed 1 to 100,000")
        Forgetting(self.keep, self.keep_per)
        if not 0.0 < self.scale <= 10.0:
            raise InvalidConfiguration("vowpal: scale must be in (0, 10]")
        if not (self.knots == 0 or 2 <= self.knots <= 20) or not 10 <= self.bits <= 24:
            raise InvalidConfiguration("vowpal: knots must be 0 or 2 to 20, and bits 10 to 24")

    @property
    def forgetting(self) -> Forgetting:
        """How fast it forgets."""
        return Forgetting(self.keep, self.keep_per)

    @property
    def arguments(self) -> list[str]:
        """VW's command line."""
        edges = ["-50", "50"] if self.loss == "logistic" else ["0", "1"]
        return [
            "--quiet", "--noconstant", "--adaptive", "--invariant",
            "--loss_function", self.loss, "--learning_rate", repr(self.learning_rate),
            "--bit_precision", str(self.bits), "--min_prediction", edges[0], "--max_prediction", edges[1],
        ]  # fmt: skip

    @property
    def crossing(self) -> Crossing:
        """How features are made under these settings."""
        return Crossing(bits=self.bits, knots=self.knots, scale=self.scale)

    @property
    def start(self) -> float:
        """The prior on the scale of the regression: every prediction starts here."""
        return float(np.log(self.prior / (1.0 - self.prior))) if self.loss == "logistic" else self.prior

    def label(self, happened: float) -> tuple[tuple[float, float], ...]:
        """(label, weight) pairs that teach `happened` in [0, 1]."""
        if self.loss == "squared":
            return ((happened, 1.0),)
        return tuple((y, w) for y, w in ((1.0, happened), (-1.0, 1.0 - happened)) if w > 0.0)

    def probability(self, prediction: Floats) -> Floats:
        """Regression output → (0, 1), monotone, so that nothing ties at an edge."""
        if self.loss == "logistic":
            return np.asarray(1.0 / (1.0 + np.exp(-np.clip(prediction, -50.0, 50.0))))
        low = _EDGE * np.exp(np.clip(prediction / _EDGE - 1.0, -50.0, 0.0))
        high = 1.0 - _EDGE * np.exp(np.clip((1.0 - prediction) / _EDGE - 1.0, -50.0, 0.0))
        return np.where(prediction < _EDGE, low, np.where(prediction > 1.0 - _EDGE, high, prediction))
