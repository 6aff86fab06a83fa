"""Judge a policy from a log: rounds in batches of any size → estimates, intervals, diagnostics, a sentence.

    panel = Panel("bandit@12", estimators=("dm", "ips", "snips", "dr", "sndr"))
    for batch in batches:
        panel.add(batch)
    for verdict in panel.verdicts():
        print(verdict)

Every number is a function of sums over rounds or units, so a log that is read in a thousand batches, or
by several processes whose panels are added, gives what one batch gives. Memory is one row a unit.
The sample is the unit that was assigned (customer or household), never the round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from bandits import diagnostics, estimators
from bandits.diagnostics import Diagnostics
from bandits.forms import MEAN, PLUS_RATIO, RATIO, Form
from bandits.intervals import Interval
from bandits.tally import Tally
from bandits.unit_sums import UnitKeys, UnitSums
from recsys.errors import Misuse
from recsys.vocabulary import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some rounds as columns: (n,) each, the pmfs (n, A). What an estimator needs and is None is refused."""

    unit: UnitKeys
    reward: Floats
    propensity: Floats
    target: Floats
    q_logged: Floats | None = None
    q_target: Floats | None = None
    logged_pmf: Floats | None = None
    target_pmf: Floats | None = None
    shown: Floats | None = None

    @property
    def weighing(self) -> dict[str, Floats]:
        """What importance weighing needs."""
        return {"reward": self.reward, "propensity": self.propensity, "target": self.target}

    @property
    def modelled(self) -> dict[str, Floats]:
        """The same with the reward model's columns; raises `Misuse` without."""
        if self.q_logged is None or self.q_target is None:
            raise Misuse("this estimator needs a reward model: give q_logged and q_target")
        return self.weighing | {"q_logged": self.q_logged, "q_target": self.q_target}


@dataclass(frozen=True, slots=True)
class Estimator:
    """A name, its form, and the (n, k) terms it takes from a batch."""

    form: Form
    terms: Callable[[Batch], Floats]


def _one(contributions: Callable[[Batch], Floats]) -> Estimator:
    return Estimator(MEAN, lambda batch: contributions(batch)[:, None])


CLIP, THRESHOLD, SHRINKAGE = 50.0, 50.0, 1_000.0
"""Dials of the estimators that have one; off by default, and never tuned on the log they judge."""

ESTIMATORS: Mapping[str, Estimator] = MappingProxyType(
    {
        "dm": _one(lambda b: estimators.dm(q_target=b.modelled["q_target"])),
        "ips": _one(lambda b: estimators.ips(**b.weighing)),
        "clipped_ips": _one(lambda b: estimators.clipped_ips(**b.weighing, clip=CLIP)),
        "snips": Estimator(RATIO, lambda b: estimators.snips_terms(**b.weighing).terms),
        "dr": _one(lambda b: estimators.dr(**b.modelled)),
        "sndr": Estimator(PLUS_RATIO, lambda b: estimators.sndr_terms(**b.modelled).terms),
        "switch_dr": _one(lambda b: estimators.switch_dr(**b.modelled, threshold=THRESHOLD)),
        "dros": _one(lambda b: estimators.dros(**b.modelled, shrinkage=SHRINKAGE)),
        "logged": _one(lambda b: b.reward),
        "uplift": _one(
            lambda b: (estimators.ips(**b.weighing) if b.q_logged is None else estimators.dr(**b.modelled)) - b.reward
        ),
    }
)
"""By name. "logged" is what the logging policy earned; "uplift" the target less that, on the same rows."""

HEADLINE = ("sndr", "snips", "dr", "ips", "dm")
"""Which estimate speaks for a policy: the first of these that was asked for (statistics.md 0)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Policy × estimator × estimate, with the diagnostics that say how far to believe it."""

    policy: str
    estimator: str
    interval: Interval
    diagnostics: Diagnostics

    @property
    def refused(self) -> bool:
        """Whether the data cannot say: there is an estimate, and no interval that may be shown."""
        weighs = self.estimator not in ("dm", "logged")
        return weighs and not self.diagnostics.interval_allowed

    def __str__(self) -> str:
        told = f"{self.interval.estimate:.5f} [not enough evidence]" if self.refused else str(self.interval)
        return f"{self.policy} {self.estimator} {told}"


@dataclass(slots=True, eq=False)
class Panel:
    """One policy's estimates while rounds come in; panels over parts of a log add."""

    policy: str
    names: Sequence[str] = HEADLINE
    level: float = 0.95
    products: Sequence[str] = ()
    excluded: int = 0
    _sums: dict[str, UnitSums] = field(default_factory=dict)
    _tally: Tally | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in ESTIMATORS]
        if unknown:
            raise Misuse(f"there is no estimator {unknown[0]}; there are {', '.join(ESTIMATORS)}")

    def add(self, batch: Batch) -> None:
        """Take in some rounds. Raises `InvalidTable` with their rows, or `Misuse`."""
        tally = Tally.of(**batch.weighing, logged_pmf=batch.logged_pmf, target_pmf=batch.target_pmf, shown=batch.shown)
        fresh = {name: UnitSums.of(ESTIMATORS[name].terms(batch), unit=batch.unit) for name in self.names}
        self._tally = tally if self._tally is None else self._tally + tally
        self._sums = {name: self._sums[name] + sums if name in self._sums else sums for name, sums in fresh.items()}

    def merge(self, other: Panel) -> None:
        """Take in what another panel of the same policy and estimators has counted."""
        if (other.policy, tuple(other.names)) != (self.policy, tuple(self.names)):
            raise Misuse("panels of different policies or estimators do not add")
        if other._tally is not None:
            self._tally = other._tally if self._tally is None else self._tally + other._tally
            self._sums = {
                name: self._sums[name] + sums if name in self._sums else sums for name, sums in other._sums.items()
            }
        self.excluded += other.excluded

    def verdicts(self) -> tuple[Verdict, ...]:
        """One for each estimator, in the order asked for; none before the first round."""
        if self._tally is None:
            return ()
        told = diagnostics.told(self._tally, products=self.products, excluded=self.excluded)
        return tuple(
            Verdict(self.policy, name, self._sums[name].interval(ESTIMATORS[name].form, level=self.level), told)
            for name in self.names
        )


def headline(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict that speaks for a policy; raises `Misuse` when there is none."""
    for name in HEADLINE:
        for verdict in verdicts:
            if verdict.estimator == name:
                return verdict
    raise Misuse(f"none of {', '.join(HEADLINE)} was asked for")


def conclusion(verdicts: Sequence[Verdict], *, logged: float) -> str:
    """One sentence in plain words: what the policy would have earned against what was earned."""
    best = headline(verdicts)
    found, told = best.interval, best.diagnostics
    if best.refused:
        reason = next((f.sentence for f in told.findings if f.colour == "red"), "too little evidence")
        return f"The log cannot say what {best.policy} would have earned: {reason}."
    between = f"between {found.low:.4g} and {found.high:.4g} ({found.level:.0%} sure)"
    against = f"the policy that ran earned {logged:.4g}"
    if found.low > logged:
        said = f"{best.policy} would have earned more: {found.estimate:.4g}, {between}; {against}"
    elif found.high < logged:
        said = f"{best.policy} would have earned less: {found.estimate:.4g}, {between}; {against}"
    else:
        said = f"no difference is shown: {best.policy} would have earned {found.estimate:.4g}, {between}; {against}"
    warnings = [f.sentence for f in told.findings]
    return said + (f". But {'; '.join(warnings)}." if warnings else ".")


def batches_of(batch: Batch, *, size: int) -> list[Batch]:
    """The same rounds in batches of at most `size`."""
    columns = {name: column for name in Batch.__slots__ if (column := getattr(batch, name)) is not None}
    starts = range(0, batch.reward.size, size)
    return [Batch(**{name: column[start : start + size] for name, column in columns.items()}) for start in starts]
