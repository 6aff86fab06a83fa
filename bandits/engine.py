"""VowpalWabbit's own contextual bandit at the table of a replay: any of its explorers, as its command line says.

    recsys replay --dataset classification digits.parquet --vw "--cover 3 --cb_type dr"

For comparison only. The engine scores, explores and keeps its state in one piece, which cannot be resumed to the
last bit (with `--cb_type mtr` only after its model was written and read once, with dr, ips or cover not at all), so
nothing of this serves: what serves is `bandits/vowpal.py`, whose table of weights is its whole state. Its chances
are the engine's own; the draw from them, like every draw here, is by our dice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from vowpal_wabbit_next import TextFormatParser, Workspace

from bandits.drawing import dice, draw
from bandits.policy import checked_pmf
from recsys.artefacts import digest_of
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Bools, Candidate, Context, Floats

_OURS = ("--cb_explore_adf", "--quiet", "--interactions", "sa")
"""Context enters only crossed with the action: by itself it tells no action from another."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What VW is asked to be: its arguments, beside those that make it a bandit over candidates.

    Raises `InvalidConfiguration` for arguments that VW refuses.
    """

    arguments: str = ""

    def __post_init__(self) -> None:
        self.workspace(seed=0)

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"vw {self.arguments}".strip()

    @property
    def digest(self) -> str:
        """Names it exactly."""
        return digest_of(self.name)

    def workspace(self, *, seed: int) -> Workspace[Any]:
        """A fresh one."""
        try:
            return Workspace([*_OURS, "--random_seed", str(seed), *self.arguments.split()])
        except RuntimeError as error:
            raise InvalidConfiguration(f"VW refuses {self.arguments!r}: {error}") from None


class EngineSeat:
    """VW at the table: draws one candidate from the engine's own chances, and teaches it what that earned."""

    def __init__(self, engine: Engine, candidates: Sequence[Candidate], *, run: str, seed: int) -> None:
        self._name = engine.name
        self._workspace = engine.workspace(seed=seed)
        self._parser = TextFormatParser(self._workspace)
        self._actions = [f"|a a{number}" for number in range(len(candidates))]
        self._run = run

    def draw(self, context: Context, *, number: int, open_: Bools | None = None) -> tuple[int, Floats]:
        """The row drawn in round `number`, and the (n,) pmf it was drawn from."""
        whole = np.ones(len(self._actions), dtype=np.bool_) if open_ is None else open_
        rows = np.flatnonzero(whole)
        pmf = np.zeros(len(self._actions))
        told: Any = self._workspace.predict_one(self._told(context, rows.tolist()))  # [(action, chance)]
        for action, chance in told:
            pmf[rows[action]] = chance
        pmf /= math.fsum(pmf.tolist())
        pmf = checked_pmf(pmf, open_=whole, where=self._name)
        return draw(pmf, u=dice(f"{self._run}:{number}", slot=1)), pmf

    def learn(self, context: Context, row: int, *, reward: float, pmf: Floats) -> None:
        """Teach what the row earned that was drawn from `pmf`."""
        rows = np.flatnonzero(pmf).tolist()
        label = f"0:{-float(reward)!r}:{float(pmf[row])!r} "
        self._workspace.learn_one(self._told(context, rows, labels={row: label}))

    def _told(self, context: Context, rows: Sequence[int], *, labels: dict[int, str] | None = None) -> list[Any]:
        shared = "shared |s " + " ".join(f"f{at}:{value!r}" for at, value in enumerate(context.values) if value)
        actions = [(labels or {}).get(row, "") + self._actions[row] for row in rows]
        return [self._parser.parse_line(line) for line in (shared, *actions)]
