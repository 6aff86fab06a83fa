"""What judging is given and cannot use is refused in a sentence, with its rows where it has any; never a bare crash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bandits import diagnostics, estimators, forms, intervals, sequences
from bandits.batches import Batch
from bandits.evaluation import ESTIMATORS, Panel, chosen, conclusion
from recsys.errors import Misuse
from recsys.vocabulary import Floats

HALF = np.full((3, 2), 0.5)
WEIGHING: dict[str, Any] = {"reward": [0.0, 1.0, 0.0], "propensity": [0.5] * 3, "target": [0.5] * 3}
BATCH = Batch(unit=np.arange(3, dtype=np.uint64), **{name: np.array(column) for name, column in WEIGHING.items()})
THREE = np.array([1.0, 0.0, 1.0])


def with_row(row: list[float]) -> Floats:
    return np.array([HALF[0], row, HALF[2]])


def mips(**change: Any) -> object:
    given = {"reward": [0.0, 1.0, 0.0], "logged": HALF, "target": HALF, "shown": [0, 1, 0], "embedding": np.eye(2)}
    return estimators.mips(**(given | {"eligible": np.ones((3, 2), dtype=bool)} | change))  # type: ignore[arg-type]


def diagnosed(**change: Any) -> object:
    return diagnostics.diagnose(
        **(WEIGHING | {"logged_pmf": HALF, "target_pmf": HALF, "shown": [0, 1, 0]} | change)  # type: ignore[arg-type]
    )


def judged(*batches: Batch, level: float = 0.95) -> Panel[Batch]:
    panel = Panel("x", chosen(ESTIMATORS, names=("ips", "snips")), level=level)
    for batch in batches:
        panel.add(batch)
    return panel


CASES: dict[str, tuple[Callable[[], object], str]] = {
    "mips: a NaN in a pmf": (lambda: mips(logged=with_row([np.nan, 1.0])), r"logged must be finite .* \(row 2\)"),
    "mips: below 0": (lambda: mips(target=with_row([-0.5, 1.5])), r"target must be finite and from 0 \(row 2\)"),
    "mips: no such embedding": (lambda: mips(shown=[0, 1, 5]), r"shown is no column of the 2 there are \(row 3\)"),
    "mips: half a column": (lambda: mips(shown=[0.5, 1, 0]), r"shown is no column .* \(row 1\)"),
    "mips: NaN embedding": (lambda: mips(embedding=np.array([[np.nan, 0], [0, 1]])), r"embedding holds .* \(row 1\)"),
    "mips: nothing eligible": (lambda: mips(eligible=np.zeros((3, 2), dtype=bool)), r"no mass .* \(rows 1, 2, 3\)"),
    "mips: other lengths": (lambda: mips(reward=[0.0]), "3 shown for 1 rewards"),
    "counting: no such product": (
        lambda: estimators.counted_embedding(products=[0, 9], columns=[0, 0], shape=(2, 2)),
        r"products is no column of the 2 there are \(row 2\)",
    ),
    "a NaN in the logged pmf": (lambda: diagnosed(logged_pmf=with_row([np.nan, 1])), r"logged_pmf .* \(row 2\)"),
    "a target that sums to 2": (lambda: diagnosed(target_pmf=with_row([1, 1])), r"target_pmf is no .* \(row 2\)"),
    "shown beyond the pmf": (lambda: diagnosed(shown=[0, 1, 7]), r"shown is no column .* \(row 3\)"),
    "shown before it": (lambda: diagnosed(shown=[0, -1, 0]), r"shown is no column .* \(row 2\)"),
    "shown not a number": (lambda: diagnosed(shown=[0, np.nan, 0]), r"shown is no column .* \(row 2\)"),
    "units and rounds": (lambda: judged(replace(BATCH, unit=BATCH.unit[:2])), "2 units for 3 rounds"),
    "a level in percent": (lambda: judged(level=95.0), r"a level lies in \(0, 1\)"),
    "other products later": (
        lambda: judged(
            *(replace(BATCH, logged_pmf=p, target_pmf=p, shown=np.zeros(3)) for p in (HALF, np.full((3, 4), 0.25)))
        ),
        "batches over 2 and 4 product columns do not add",
    ),
    "an interval of a table": (lambda: intervals.normal(np.zeros((3, 2))), "a row of at least one contribution"),
    "a bootstrap of units": (
        lambda: intervals.bootstrap(np.zeros((3, 1)), form=forms.MEAN, unit=["a"], replications=5),
        "1 units for 3 contributions",
    ),
    "a sequence at 200 %": (lambda: sequences.empirical_bernstein(**WEIGHING, level=2.0), "a level lies in"),
    "a sequence without end": (lambda: sequences.asymptotic(THREE, planned=0), "planned is a number of rows"),
    "a sequence at 0": (lambda: sequences.asymptotic(THREE, planned=10, level=0.0), "a level lies in"),
    "a sequence of NaN": (lambda: sequences.asymptotic(THREE * np.nan, planned=9), r"finite \(rows 1, 2, 3\)"),
    "a bound at 0": (lambda: sequences.lower_bound(THREE, alpha=0.0), r"alpha lies in \(0, 1\)"),
}


@pytest.mark.parametrize("name", list(CASES))
def test_it_is_refused_in_a_sentence(name: str) -> None:
    work, why = CASES[name]
    with pytest.raises(Misuse, match=why):
        work()


def test_a_target_that_never_draws_what_was_logged_is_undefined_and_said_to_be() -> None:
    verdicts = judged(replace(BATCH, target=np.zeros(3))).verdicts()
    assert str(verdicts[1]) == "x snips undefined [not enough evidence]"
    assert conclusion(verdicts, logged=1.0).startswith("The log cannot say what x would have earned")
