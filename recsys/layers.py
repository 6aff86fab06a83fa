"""Layers: the always-on hold-out first, then experiments among the rest, none in another's way.

Experiments of one layer that share a surface and a time take disjoint parts of the layer's units, so
that they never meet. Layers are independent: a unit may be in one experiment of each, but at most one of
them chooses the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from recsys.assignment import dice, in_holdout, unit_of
from recsys.errors import InvalidConfiguration
from recsys.experiments import Experiment, served_of, variant_of
from recsys.vocabulary import Assigned, Token


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a unit stands: in the hold-out, or in at most one variant a layer; one may name the recipe."""

    held_out: bool
    assigned: tuple[Assigned, ...] = ()
    recipe: str | None = None


@dataclass(frozen=True, slots=True)
class Layers:
    """The hold-out and every experiment of an installation, checked against each other.

    Two running experiments of one layer may not have units in common, nor any two choose the policy of the
    same units: that is refused here, with the sentence to mend it.
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
        assigned: list[Assigned] = []
        recipe = None
        for experiment in self.experiments:
            if surface in experiment.surfaces and experiment.live(at):
                unit = unit_of(token, unit=experiment.unit, household=household, salt=self.holdout_salt)
                if _takes(experiment, unit=unit, at=at):
                    variant = variant_of(experiment, unit=unit)
                    assigned.append(Assigned(experiment.experiment_id, variant.name))
                    recipe = served_of(experiment, variant=variant).recipe or recipe
        return Placement(held_out=False, assigned=tuple(assigned), recipe=recipe)


def _takes(experiment: Experiment, *, unit: str, at: datetime) -> bool:
    """Whether the unit lies in the experiment's part of its layer, and the ramp has reached it."""
    whole = experiment.layer_from == 0.0 and experiment.layer_to == 1.0
    place = 0.0 if whole else dice(unit, salt=f"layer:{experiment.layer}")
    inside = experiment.layer_from <= place < experiment.layer_to
    return inside and (not experiment.ramp or dice(unit, salt=f"ramp:{experiment.salt}") < experiment.admitted(at))


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
    if not shared or one.starts_at >= other.ends_at or other.starts_at >= one.ends_at:
        return
    who, where = f"experiments {one.experiment_id} and {other.experiment_id}", ", ".join(shared)
    same_layer = one.layer == other.layer
    if same_layer and one.unit != other.unit:
        raise InvalidConfiguration(
            f"{who} are both in layer {one.layer} on {where} but split by {one.unit} and {other.unit}, so they would "
            "meet; let both split by the same unit, or give them different surfaces or dates"
        )
    apart = one.layer_to <= other.layer_from or other.layer_to <= one.layer_from
    if same_layer and apart:
        return
    if one.chooses and other.chooses:
        raise InvalidConfiguration(
            f"{who} would both choose the policy of {where} at the same time; stop one, give them different surfaces "
            "or dates, or disjoint parts of one layer (layer_from, layer_to)"
        )
    if same_layer:
        raise InvalidConfiguration(
            f"{who} would meet in layer {one.layer} on {where}; give them disjoint parts of it (layer_from, "
            "layer_to), or different layers"
        )
