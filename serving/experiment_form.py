"""The form that makes an experiment: what was typed → a record, or a sentence at each field that does not fit.

Nothing typed is lost: the page shows it again beside what is wrong with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from recsys.errors import Conflict, InvalidConfiguration, RecsysError
from recsys.experiments import Experiment, Variant, complaints
from recsys.layers import Layers
from serving import trials
from serving.bootstrap import Installation

ROWS = 4
"""Variants that the form has room for; the first is the control."""
_PLACES = {"control": "variants", "starts_at": "starts_on", "ends_at": "days", "layer_to": "layer_from",
           "salt": "experiment_id", "ramp": "ramp_share"}  # fmt: skip
_LISTS = ("surfaces", "guardrails")
RESERVED = frozenset({"new"})  # a page of its own


@dataclass(slots=True)
class Typed:
    """A form as it was filled: text by field, and what is wrong at each."""

    fields: Mapping[str, str]
    faults: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """What was typed into a field."""
        return self.fields.get(name, "")

    def chosen(self, name: str) -> list[str]:
        """What was ticked."""
        return [each.strip() for each in self.text(name).split(",") if each.strip()]

    def fault(self, name: str, sentence: str) -> None:
        """The first thing that is wrong at a field stands there."""
        self.faults.setdefault(_PLACES.get(name, name), sentence[:1].upper() + sentence[1:])


def blank(home: Installation, *, by: str) -> Typed:
    """The form before anything was typed, with what most experiments choose."""
    now = home.clock.now()
    catalogue, recipes = home.offers.current.catalogue, [recipe.name for recipe in home.recipes]
    champion = home.champion()
    other = next((each for each in recipes if each not in (champion, "uniform")), champion)
    metrics = [metric.name for metric in home.metrics()]
    guards = [each for each in ("dismissals", "opted_out") if each in metrics]
    fields = {
        "owner": by, "unit": "household", "surfaces": ",".join(list(catalogue.surfaces)[:1]),
        "primary": "value" if "value" in metrics else metrics[0], "guardrails": ",".join(guards),
        "name_1": champion, "recipe_1": champion, "share_1": "50", "name_2": other, "recipe_2": other, "share_2": "50",
        "starts_on": (now + timedelta(days=1)).date().isoformat(), "days": "28", "smallest_effect": "15",
        "planned_units": "5000", "looks": "planned", "sharing": "own", "layer": "main", "layer_from": "0",
        "layer_to": "100", "stop_rule": "after 28 days, or at once when a guardrail is worse",
    }  # fmt: skip
    return Typed(fields)


def read(home: Installation, fields: Mapping[str, str]) -> tuple[Typed, Experiment | None]:
    """The record that was typed, None where something stands against it; every fault at its field."""
    typed = Typed(fields)
    record = _record(typed)
    for entry, sentence in complaints(record):
        typed.fault(entry, sentence)
    if typed.text("experiment_id") in RESERVED:
        typed.fault("experiment_id", "this id is taken by a page: choose another")
    if len(typed.text("why")) < 3:
        typed.fault("why", "say why it is made: it is kept in its history")
    if typed.faults:
        return typed, None
    try:
        experiment = Experiment(**record)
    except InvalidConfiguration as error:
        typed.fault("experiment_id", _bare(error))
        return typed, None
    try:
        trials.check(home, experiment)
    except InvalidConfiguration as error:
        said = _bare(error)
        place = "sharing" if "learns from all traffic" in said else "primary" if "metric" in said else "variants"
        typed.fault(place, said)
    known = home.register.experiments()
    if any(each.experiment_id == experiment.experiment_id for each in known):
        typed.fault("experiment_id", "an experiment of this id exists: choose another")
    else:
        try:
            Layers((*known, replace(experiment, state="running")))  # as it will be once it is started
        except InvalidConfiguration as error:
            typed.fault("layer_from", str(error))
    return typed, None if typed.faults else experiment


def create(home: Installation, typed: Typed, experiment: Experiment, *, by: str) -> None:
    """Keep it as a draft; what came between the check and this is a fault of its field. Raises `Conflict`."""
    try:
        trials.create(home, [experiment], by=by, why=typed.text("why"), where="experiment")
    except RecsysError as error:
        typed.fault("layer_from" if isinstance(error, InvalidConfiguration) else "experiment_id", str(error))
        raise Conflict(str(error)) from None


def _record(typed: Typed) -> dict[str, Any]:
    starts = _day(typed, "starts_on")
    days = _number(typed, "days", least=1, what="whole days, such as 28")
    first = _share(typed, "ramp_share", empty=1.0)
    held = _number(typed, "ramp_days", least=0, what="whole days, such as 3", empty=0)
    ramp: tuple[tuple[datetime, float], ...] = ()
    if first < 1.0:
        if held < 1 and "ramp_days" not in typed.faults:
            typed.fault("ramp_days", "say for how many days only a part is let in")
        ramp = ((starts, first), (starts + timedelta(days=held or 1), 1.0))
    variants = _variants(typed)
    return {
        **{name: typed.text(name) for name in ("experiment_id", "owner", "hypothesis", "primary", "stop_rule")},
        **{name: typed.text(name) for name in ("unit", "looks", "sharing", "layer")},
        **{name: tuple(typed.chosen(name)) for name in _LISTS},
        "salt": typed.text("experiment_id"),
        "state": "draft",
        "variants": variants,
        "control": variants[0].name if variants else "",
        "starts_at": starts,
        "ends_at": starts + timedelta(days=days),
        "planned_units": _number(typed, "planned_units", least=2, what="a whole number, such as 5000"),
        "smallest_effect": _share(typed, "smallest_effect", most=math.inf),
        "layer_from": _share(typed, "layer_from", empty=0.0),
        "layer_to": _share(typed, "layer_to", empty=1.0),
        "ramp": ramp,
    }


def _variants(typed: Typed) -> tuple[Variant, ...]:
    found = []
    for row in range(1, ROWS + 1):
        name, recipe = typed.text(f"name_{row}"), typed.text(f"recipe_{row}")
        share, said = typed.text(f"share_{row}"), typed.text(f"configuration_{row}")
        if name or said or (share and share != "0"):
            if not name:
                typed.fault("variants", f"row {row} has no name")
            parts = [part.partition("=") for part in said.split(";") if part.strip()]
            if any(not key.strip() or not sign for key, sign, _ in parts):
                typed.fault("variants", f"row {row}: write a configuration as name=value; name=value")
            configuration = {key.strip(): value.strip() for key, _, value in parts}
            found.append(Variant(name, recipe, _share(typed, f"share_{row}", place="variants"), configuration))
    return tuple(found)


def _day(typed: Typed, name: str) -> datetime:
    try:
        return datetime.strptime(typed.text(name), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        typed.fault(name, "write a day, such as 2026-12-01")
        return datetime(2026, 1, 1, tzinfo=UTC)


def _number(typed: Typed, name: str, *, least: int, what: str, empty: int | None = None) -> int:
    said = typed.text(name).replace(",", "").replace(" ", "")
    if not said and empty is not None:
        return empty
    if said.isascii() and said.isdigit() and len(said) < 10 and int(said) >= least:
        return int(said)
    typed.fault(name, f"write {what}" + (f", at least {least}" if said.isdigit() else ""))
    return max(least, 2)


def _share(
    typed: Typed, name: str, *, empty: float | None = None, most: float = 100.0, place: str = ""
) -> float:  # fmt: skip
    """A percentage as a share."""
    said = typed.text(name).rstrip("% ").replace(",", ".")
    if not said and empty is not None:
        return empty
    try:
        value = float(said)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= most or not math.isfinite(value):
        span = " from 0 to 100" if most == 100.0 else ", such as 15"
        typed.fault(place or name, f"write a percentage{span}")
        return 0.5
    return value / 100.0


def _bare(error: RecsysError) -> str:
    """A record's complaint without the name it begins with."""
    said = str(error)
    return said.partition(": ")[2] if said.startswith("experiment ") else said
