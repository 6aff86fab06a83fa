"""Metrics as data: which outcomes of a unit count, how much each is worth, and which way is better.

A metric is one number a unit, counted from the unit's first exposure on, over attributed *and*
organic outcomes: what the customer did, however it came about (EXP-3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Outcome, ProductId


@dataclass(frozen=True, slots=True)
class Metric:
    """One number a unit: the worth of its outcomes of these kinds, added up, or whether there was any.

    `margin` is the harm we would accept, as a share of the control's mean (statistics.md 2,
    non-inferiority). `values` gives an outcome's worth by product; without it, each counts 1.
    """

    name: str
    title: str  # as a person reads it: "Value"
    unit: str  # of the number: "points", "taps", "share"
    kinds: frozenset[str]  # outcome kinds that count
    form: str = "sum"  # sum | any
    better: str = "higher"  # higher | lower
    margin: float = 0.05
    values: Mapping[ProductId, float] | None = None

    def __post_init__(self) -> None:
        if self.form not in ("sum", "any") or self.better not in ("higher", "lower"):
            raise InvalidConfiguration(f"metric {self.name}: form is sum or any, better is higher or lower")
        if not self.kinds or self.margin < 0.0:
            raise InvalidConfiguration(f"metric {self.name}: needs at least one outcome kind and a margin of 0 or more")

    @property
    def is_share(self) -> bool:
        """Whether a unit counts 0 or 1."""
        return self.form == "any"

    def title_for(self, unit: str) -> str:
        """The title over units of this kind: a rate stands alone, a sum is "per customer"."""
        return self.title if self.is_share else f"{self.title} per {unit}"

    def after(self, outcome: Outcome, *, before: float) -> float:
        """The unit's number after an outcome, given its number before it.

        A product that `values` does not name is worth 0.
        """
        if outcome.kind not in self.kinds:
            return before
        if self.is_share:
            return 1.0
        return before + (1.0 if self.values is None else self.values.get(outcome.product_id, 0.0))


def default_metrics(values: Mapping[ProductId, float]) -> tuple[Metric, ...]:
    """The metrics of the house, with each product's points (catalogue or reward configuration).

    >>> [metric.name for metric in default_metrics({"pot": 2.0})]
    ['value', 'taps', 'opened', 'dismissals', 'opted_out']
    """
    opened = frozenset({"opened"})
    points = MappingProxyType(dict(values))
    return (
        Metric("value", "Value", "points", opened, values=points),
        Metric("taps", "Taps", "taps", frozenset({"tapped"})),
        Metric("opened", "Opening rate", "share", opened, form="any"),
        Metric("dismissals", "Dismissals", "dismissals", frozenset({"dismissed"}), better="lower", margin=0.1),
        Metric(
            "opted_out",
            "Opt-out rate",
            "share",
            frozenset({"opted_out"}),
            form="any",
            better="lower",
            margin=0.1,
        ),
    )
