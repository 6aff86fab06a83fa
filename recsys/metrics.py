"""Metrics as data: which outcomes of a unit count, how much each is worth, and which way is better.

A metric is one number a unit over a fixed window from the unit's first exposure, counted from attributed
*and* organic outcomes: what the customer did, however it came about (EXP-3). The window is fixed because
totals that go on growing break every test that is looked at more than once (statistics.md 2).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recsys.errors import InvalidConfiguration, Misuse
from recsys.rewards import duration
from recsys.vocabulary import Outcome, ProductId

DEFAULT = Path(__file__).with_name("metrics.toml")
FORMS, WORTHS, WAYS = ("sum", "any", "ratio"), ("count", "points", "amount"), ("higher", "lower")


@dataclass(frozen=True, slots=True)
class Metric:
    """One number a unit: the worth of its outcomes of these kinds, whether there was any, or a ratio of two sums.

    `margin` is the harm we would accept, as a share of the control's mean (statistics.md 2, non-inferiority).
    `values` gives an outcome's worth by product; without it, and unless `worth` is amount, each counts 1.
    """

    name: str
    title: str  # as a person reads it: "Value"
    unit: str  # of the number: "points", "taps", "share"
    kinds: frozenset[str]  # outcome kinds that count
    form: str = "sum"  # sum | any | ratio
    better: str = "higher"  # higher | lower
    margin: float = 0.05
    values: Mapping[ProductId, float] | None = None
    worth: str = "count"  # count | points | amount
    per: frozenset[str] = frozenset()  # kinds that a ratio divides by
    window: timedelta = timedelta(days=14)  # from the first exposure
    before: timedelta = timedelta(days=28)  # whose number CUPED may explain with; 0 is none
    cap: float | None = None  # most that a unit counts, frozen with the experiment

    def __post_init__(self) -> None:
        for broken, sentence in (
            (self.form not in FORMS, f'form is "{self.form}", expected one of {", ".join(FORMS)}'),
            (self.better not in WAYS, f'better is "{self.better}", expected higher or lower'),
            (self.worth not in WORTHS, f'worth is "{self.worth}", expected one of {", ".join(WORTHS)}'),
            (not self.kinds, "name at least one outcome kind"),
            (not self.margin >= 0.0, "the margin must be 0 or more"),
            (self.window <= timedelta(0), "the window must be longer than nothing, such as 14d"),
            (self.before < timedelta(0), "before must be 0d or longer"),
            (self.cap is not None and not self.cap > 0.0, "the cap must be above 0"),
            ((self.form == "ratio") != bool(self.per), "a ratio, and only a ratio, names per: what it divides by"),
        ):
            if broken:
                raise InvalidConfiguration(f"metric {self.name}: {sentence}")

    @property
    def is_share(self) -> bool:
        """Whether a unit counts 0 or 1."""
        return self.form == "any"

    @property
    def explained(self) -> bool:
        """Whether the time before exposure may explain a part of it (CUPED)."""
        return self.form != "ratio" and self.before > timedelta(0)

    def title_for(self, unit: str) -> str:
        """The title over units of this kind: a rate stands alone, a sum is "per customer"."""
        return self.title if self.form != "sum" else f"{self.title} per {unit}"

    def after(self, outcome: Outcome, *, before: float) -> float:
        """The unit's number after an outcome, given its number before it; see `cap`."""
        if outcome.kind not in self.kinds:
            return before
        if self.is_share:
            return 1.0
        if self.worth == "amount":
            worth = float(outcome.amount_pence or 0)
        else:
            worth = 1.0 if self.values is None else self.values.get(outcome.product_id, 0.0)
        number = before + worth
        return number if self.cap is None else min(number, self.cap)


def frozen_cap(numbers: ArrayLike, *, percentile: float = 99.9) -> float | None:
    """The cap of a metric from (n,) units' numbers: a percentile of those that are not 0 (statistics.md 2).

    Over all units it would cut into ordinary conversions. Freeze it in the metric before the experiment starts.
    None where nobody has a number; raises `Misuse` for a percentile outside (0, 100].

    >>> frozen_cap([0.0] * 97 + [1.0, 2.0, 3.0], percentile=50)
    2.0
    """
    if not 0.0 < percentile <= 100.0:
        raise Misuse(f"a percentile lies above 0 and at most at 100, got {percentile:g}")
    found = np.asarray(numbers, dtype=np.float64)
    found = found[found != 0.0]
    return float(np.percentile(found, percentile)) if found.size else None


def parse(text: str, *, values: Mapping[ProductId, float], where: str = "metrics.toml") -> tuple[Metric, ...]:
    """Read every `[[metric]]` of a TOML text, with each product's points; raises `InvalidConfiguration`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfiguration(f"{where}: {error}") from None
    rows = table.pop("metric", [])
    if table or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidConfiguration(f"{where}: expected only [[metric]] tables")
    points = MappingProxyType(dict(values))
    try:
        found = tuple(_metric(row, points) for row in rows)
    except InvalidConfiguration as error:
        raise InvalidConfiguration(f"{where}: {error}") from None
    names = [metric.name for metric in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidConfiguration(f"{where}: two metrics are called {twice[0]}; give each a name of its own")
    return found


def load(path: Path = DEFAULT, *, values: Mapping[ProductId, float]) -> tuple[Metric, ...]:
    """The metrics of a file; raises `InvalidConfiguration`."""
    try:
        return parse(path.read_text(encoding="utf-8"), values=values, where=path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(f"{path}: cannot be read ({type(error).__name__})") from None


def default_metrics(values: Mapping[ProductId, float]) -> tuple[Metric, ...]:
    """The metrics of the house, with each product's points (catalogue or reward configuration).

    >>> [metric.name for metric in default_metrics({"pot": 2.0})]
    ['value', 'taps', 'tap_value', 'opened', 'dismissals', 'opted_out']
    """
    return load(values=values)


def _metric(row: Mapping[str, Any], points: Mapping[ProductId, float]) -> Metric:
    name = str(row.get("name", "(without a name)"))
    known = {field.name for field in fields(Metric)} - {"values"}
    if unknown := sorted(set(row) - known):
        raise InvalidConfiguration(f"metric {name}: unknown entry {unknown[0]}; known are {', '.join(sorted(known))}")
    given: dict[str, Any] = dict(row)
    for many in ("kinds", "per"):
        if many in given:
            if not isinstance(given[many], list):
                raise InvalidConfiguration(f'metric {name}: {many} must be a list, such as ["opened"]')
            given[many] = frozenset(map(str, given[many]))
    for span in ("window", "before"):
        if span in given:
            given[span] = timedelta(0) if given[span] == "0d" else duration(str(given[span]))
    if given.get("worth") == "points":
        given["values"] = points
    try:
        return Metric(**given)
    except TypeError as error:
        raise InvalidConfiguration(f"metric {name}: {str(error).removeprefix('Metric.__init__() ')}") from None
