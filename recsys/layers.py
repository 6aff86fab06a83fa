"""Layers: the always-on hold-out first, then experiments among the rest, none in another's way.

One surface has one experiment at a time; a later issue may let independent layers overlap, which
`Placement.assigned` already has room for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from recsys.assignment import in_holdout, unit_of
from recsys.errors import InvalidConfiguration
from recsys.experiments import Experiment, variant_of
from recsys.vocabulary import Assigned, Token


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a unit stands: in the hold-out, or in at most one variant that names the recipe."""

    held_out: bool
    assigned: tuple[Assigned, ...] = ()
    recipe: str | None = None


@dataclass(frozen=True, slots=True)
class Layers:
    """The hold-out and every experiment of an installation, checked against each other.

    Two running experiments may not choose the policy of the same surface at the same time: that is
    refused here, with the sentence to mend it.
    """

    experiments: tuple[Experiment, ...] = ()
    holdout_salt: str = "hold-out"
    holdout_share: float = 0.02

    def __post_init__(self) -> None:
        if not 0.0 <= self.holdout_share < 1.0:
            raise InvalidConfiguration(f"hold-out: the share must be in [0, 1), got {self.holdout_share:g}")
        _check_ids(self.experiments)
        for one, two in combinations((e for e in self.experiments if e.state == "running"), 2):
            _check_apart(one, other=two)

    def placed(self, token: Token, *, surface: str, at: datetime, household: str | None = None) -> Placement:
        """Where a customer stands on a surface at a moment. The hold-out goes by household where linked."""
        whole = unit_of(token, unit="household", household=household, salt=self.holdout_salt)
        if in_holdout(whole, salt=self.holdout_salt, share=self.holdout_share):
            return Placement(held_out=True)
        for experiment in self.experiments:
            if surface in experiment.surfaces and experiment.live(at):
                unit = unit_of(token, unit=experiment.unit, household=household, salt=self.holdout_salt)
                variant = variant_of(experiment, unit=unit)
                assigned = Assigned(experiment.experiment_id, variant.name)
                return Placement(held_out=False, assigned=(assigned,), recipe=variant.recipe)
        return Placement(held_out=False)


def _check_ids(experiments: Sequence[Experiment]) -> None:
    for field in ("experiment_id", "salt"):
        seen: dict[str, str] = {}
        for experiment in experiments:
            value = str(getattr(experiment, field))
            if value in seen:
                what = "id" if field == "experiment_id" else "salt"
                who = f"experiments {seen[value]} and {experiment.experiment_id}"
                raise InvalidConfiguration(f'{who}: both have the {what} "{value}"; give each its own')
            seen[value] = experiment.experiment_id


def _check_apart(one: Experiment, *, other: Experiment) -> None:
    shared = sorted(set(one.surfaces) & set(other.surfaces))
    if shared and one.starts_at < other.ends_at and other.starts_at < one.ends_at:
        raise InvalidConfiguration(
            f"experiments {one.experiment_id} and {other.experiment_id} would both choose the policy of "
            f"{', '.join(shared)} at the same time; stop one, or give them different surfaces or dates"
        )
