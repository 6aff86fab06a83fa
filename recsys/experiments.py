"""Experiments as records: who owns one, what it should show, how units are split, when it ends.

A record that cannot be read honestly (no owner, no stop rule, shares that do not add up) is refused
with the sentence to mend it. Which variant a unit is in is not stored: it is a pure function
(recsys/assignment.py); which experiments may meet is recsys/layers.py.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from recsys.assignment import assign, in_holdout, unit_of
from recsys.errors import InvalidConfiguration

__all__ = [
    "STATES",
    "UNITS",
    "Experiment",
    "Variant",
    "assign",
    "complaints",
    "from_json",
    "in_holdout",
    "parse",
    "ramped",
    "served_of",
    "to_json",
    "unit_of",
    "variant_of",
]

STATES = ("draft", "running", "stopped", "decided")
UNITS = ("customer", "household")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # it is part of a page's address


@dataclass(frozen=True, slots=True)
class Variant:
    """One arm: the recipe that chooses for its units, or a configuration that the app reads, and its share.

    Where `recipe` is "", whoever serves by default chooses, and only the configuration differs.
    """

    name: str
    recipe: str
    share: float
    configuration: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Experiment:
    """A test with an owner, a hypothesis and a stop rule; raises `InvalidConfiguration` if it cannot be run.

    `primary` and `guardrails` are names of metrics (recsys/metrics.py). `planned_units` is how many
    units of all variants it was sized for.
    """

    experiment_id: str
    owner: str
    hypothesis: str
    primary: str
    unit: str  # customer | household
    surfaces: tuple[str, ...]
    variants: tuple[Variant, ...]
    control: str
    salt: str
    starts_at: datetime
    ends_at: datetime
    stop_rule: str
    state: str = "draft"  # draft | running | stopped | decided
    guardrails: tuple[str, ...] = ("dismissals", "opted_out")
    planned_units: int = 5_000
    looks: str = "planned"  # planned: read as it goes up to planned_units (group sequential) | open: for ever
    layer: str = "main"  # two experiments of one layer never have a unit in common at a time
    layer_from: float = 0.0  # the part of the layer's units that it may take
    layer_to: float = 1.0
    ramp: tuple[tuple[datetime, float], ...] = ()  # (from when, share of its units); before the first, none
    sharing: str = "own"  # own: each arm learns from its own traffic | shared: declared, and flagged on the page
    stopped_arms: tuple[str, ...] = ()  # whose units get what the control gets, and count where they were assigned
    smallest_effect: float = 0.15  # relative lift of the primary that it was sized to find

    def __post_init__(self) -> None:
        for _, broken, sentence in _rules(self):
            if broken:
                raise InvalidConfiguration(f"experiment {self.experiment_id or '(without an id)'}: {sentence}")

    @property
    def shares(self) -> tuple[float, ...]:
        """The variants' shares, in order; they sum to 1."""
        return tuple(variant.share for variant in self.variants)

    @property
    def treatments(self) -> tuple[Variant, ...]:
        """Every variant but the control."""
        return tuple(variant for variant in self.variants if variant.name != self.control)

    @property
    def chooses(self) -> bool:
        """Whether its variants choose the policy; else only configurations differ."""
        return any(variant.recipe for variant in self.variants)

    def admitted(self, at: datetime) -> float:
        """The share of its units that the ramp lets in at this moment; 1 without a ramp."""
        return max((share for since, share in self.ramp if since <= at), default=0.0) if self.ramp else 1.0

    def live(self, at: datetime) -> bool:
        """Whether it assigns units at this moment."""
        return self.state == "running" and self.starts_at <= at < self.ends_at


def ramped(experiment: Experiment, *, share: float, at: datetime) -> Experiment:
    """The same experiment, from `at` on letting in `share` of its units. Raises `InvalidConfiguration` for fewer.

    Steps of its ramp that would come later and let in no more are dropped.
    """
    now = experiment.admitted(at)
    if not now < share <= 1.0:
        raise InvalidConfiguration(
            f"experiment {experiment.experiment_id} lets in {now:.0%} of its units: a ramp only grows, so give more "
            "than that and at most 1"
        )
    before = tuple(step for step in experiment.ramp if step[0] < at)
    later = tuple(step for step in experiment.ramp if step[0] > at and step[1] > share)
    return replace(experiment, ramp=(*before, (at, share), *later))


def served_of(experiment: Experiment, *, variant: Variant) -> Variant:
    """What a variant's units get: their own, or the control's where the arm was stopped."""
    if variant.name not in experiment.stopped_arms:
        return variant
    return next(each for each in experiment.variants if each.name == experiment.control)


def variant_of(experiment: Experiment, *, unit: str) -> Variant:
    """The variant `unit` is in."""
    return experiment.variants[assign(unit, salt=experiment.salt, shares=experiment.shares)]


def parse(text: str, *, where: str = "experiments.toml") -> tuple[Experiment, ...]:
    """Read every `[[experiment]]` of a TOML text; raises `InvalidConfiguration` naming the file.

    >>> parse("")
    ()
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfiguration(f"{where}: {error}") from None
    rows = table.pop("experiment", [])
    if table or not isinstance(rows, list):
        raise InvalidConfiguration(f"{where}: expected only [[experiment]] tables, found {', '.join(table) or 'one'}")
    try:
        return tuple(from_json(row) for row in rows)
    except InvalidConfiguration as error:
        raise InvalidConfiguration(f"{where}: {error}") from None


def to_json(experiment: Experiment) -> dict[str, Any]:
    """The experiment as plain JSON values; `from_json` reads it back to an equal record."""
    table = asdict(experiment)
    for many in ("surfaces", "guardrails", "stopped_arms"):
        table[many] = list(getattr(experiment, many))
    table["variants"] = [v | {"configuration": dict(v["configuration"])} for v in table["variants"]]
    table["ramp"] = [{"from": since.isoformat(), "share": share} for since, share in experiment.ramp]
    table["starts_at"], table["ends_at"] = experiment.starts_at.isoformat(), experiment.ends_at.isoformat()
    return table


def from_json(table: Mapping[str, Any]) -> Experiment:
    """Read one experiment; times may be RFC 3339 text or datetimes, the salt defaults to the id.

    Raises `InvalidConfiguration` on missing, unknown or contradicting entries.
    """
    name = f"experiment {table.get('experiment_id', '(without an id)')}"
    row = {"salt": table.get("experiment_id", ""), **table}
    known = {field.name for field in fields(Experiment)}
    if unknown := sorted(set(row) - known):
        raise InvalidConfiguration(f"{name}: unknown entry {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    try:
        row["variants"] = tuple(_variant(entry) for entry in row.get("variants", ()))
        if "ramp" in row:
            row["ramp"] = tuple((_time(step["from"]), float(step["share"])) for step in row["ramp"])
        for many in ("surfaces", "guardrails", "stopped_arms"):
            if many in row:
                row[many] = _words(row[many], what=many)
        for time in ("starts_at", "ends_at"):
            row[time] = _time(row[time])
        return Experiment(**row)
    except KeyError as error:
        raise InvalidConfiguration(f"{name}: {error.args[0]} is missing") from None
    except (TypeError, ValueError) as error:
        raise InvalidConfiguration(f"{name}: {_plain(str(error))}") from None


def _variant(entry: Mapping[str, Any]) -> Variant:
    if unknown := sorted(set(entry) - {field.name for field in fields(Variant)}):
        raise ValueError(f"variant {entry.get('name', '(without a name)')} has an unknown entry {unknown[0]}")
    configuration = {str(name): str(value) for name, value in dict(entry.get("configuration", {})).items()}
    return Variant(str(entry["name"]), str(entry.get("recipe", "")), float(entry["share"]), configuration)


def _words(value: object, *, what: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f'{what} must be a list, such as ["home"]')
    return tuple(str(word) for word in value)


def _time(value: object) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))


def _plain(message: str) -> str:
    """Python's own sentence about missing arguments, without its beginning."""
    return message.removeprefix("Experiment.__init__() ")


def complaints(table: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """(entry, sentence) of everything that keeps a record from being run, for a form: all at once, each at its place.

    `table` has every entry of the right type; what cannot be read at all is for the caller to say.
    """
    e = object.__new__(Experiment)  # not checked: the rules are asked one by one below
    for each in fields(Experiment):
        given = each.default if each.default is not MISSING else ""
        object.__setattr__(e, each.name, table.get(each.name, given))
    return tuple((entry, sentence) for entry, broken, sentence in _rules(e) if broken)


_Rules = Iterable[tuple[str, bool, str]]


def _rules(e: Experiment) -> _Rules:
    """What would make an experiment impossible to read: the entry, whether, and the sentence to mend it."""
    names = [variant.name for variant in e.variants]
    whole = math.fsum(e.shares)
    known = ", ".join(names)
    bad_id = not _ID.fullmatch(e.experiment_id)
    yield "experiment_id", bad_id, "give it an id of letters, digits, dots and dashes, such as home-bandit"
    yield "owner", not e.owner.strip(), "name an owner: the person who will decide it"
    yield "hypothesis", not e.hypothesis.strip(), "write the hypothesis: what should happen, and why"
    yield "stop_rule", not e.stop_rule.strip(), "write the stop rule: when it ends, whatever the numbers say"
    yield "primary", not e.primary, "name one primary metric"
    yield "salt", not e.salt, "give it a salt of its own, or its split will repeat another's"
    yield "unit", e.unit not in UNITS, f'unit is "{e.unit}", expected customer or household'
    yield "state", e.state not in STATES, f'state is "{e.state}", expected one of {", ".join(STATES)}'
    yield "surfaces", not e.surfaces, "name at least one surface"
    yield "variants", len(e.variants) < 2, "an experiment needs at least two variants"
    yield "variants", len(set(names)) < len(names), "two variants have the same name"
    yield "control", e.control not in names, f'control is "{e.control}", expected one of its variants: {known}'
    yield "variants", any(not 0.0 < share < 1.0 for share in e.shares), "every share must be above 0 and below 1"
    yield "variants", abs(whole - 1.0) > 1e-9, f"shares add up to {whole:g}; change them to add up to 1"
    naive = any(at.tzinfo is None for at in (e.starts_at, e.ends_at))
    yield "starts_at", naive, "times need a zone, such as 2026-03-02T00:00:00Z"
    backwards = e.starts_at.timestamp() >= e.ends_at.timestamp()
    yield "ends_at", backwards, "it ends before it starts; move ends_at after starts_at"
    yield from _rules_of_arms(e)
    yield from _rules_of_time(e)
    yield "looks", e.looks not in ("planned", "open"), f'looks is "{e.looks}", expected planned or open'
    yield "sharing", e.sharing not in ("own", "shared"), f'sharing is "{e.sharing}", expected own or shared'
    smallest = not e.smallest_effect > 0.0
    yield "smallest_effect", smallest, "smallest_effect is the relative lift it should find, such as 0.15"
    yield "guardrails", not e.guardrails, "name at least one guardrail: what must not get worse"
    yield "guardrails", e.primary in e.guardrails, f"{e.primary} is primary and guardrail; choose one"
    yield "planned_units", e.planned_units < 2, f"planned_units is {e.planned_units}; plan at least two"


def _rules_of_arms(e: Experiment) -> _Rules:
    recipes = [bool(variant.recipe) for variant in e.variants]
    bare = [v.name for v in e.variants if not v.recipe and not v.configuration and v.name != e.control]
    yield "variants", any(recipes) and not all(recipes), "give every variant a recipe, or none of them"
    nothing = f"{', '.join(bare)} has neither a recipe nor a configuration: nothing would differ"
    yield "variants", bool(bare), nothing
    unknown = [name for name in e.stopped_arms if name not in {v.name for v in e.treatments}]
    yield "stopped_arms", bool(unknown), f"{', '.join(unknown)} is no treatment that could be stopped"
    bad_layer = not _ID.fullmatch(e.layer)
    yield "layer", bad_layer, "a layer's name is letters, digits, dots and dashes, such as main"
    yield (
        "layer_from",
        not 0.0 <= e.layer_from < e.layer_to <= 1.0,
        f"it takes the part {e.layer_from:g} to {e.layer_to:g} of its layer; give two numbers from 0 to 1 that grow",
    )


def _rules_of_time(e: Experiment) -> _Rules:
    times, shares = [since for since, _ in e.ramp], [share for _, share in e.ramp]
    naive = any(since.tzinfo is None for since in times)
    yield "ramp", naive, "the ramp's times need a zone, such as 2026-03-02T00:00:00Z"
    bad_share = any(not 0.0 < share <= 1.0 for share in shares)
    yield "ramp", bad_share, "every share of the ramp must be above 0 and at most 1"
    grows = naive or (times == sorted(set(times)) and shares == sorted(set(shares)))
    yield "ramp", not grows, "the ramp must grow in time and in share: units that have seen a variant keep it"


def may_be_id(text: str) -> bool:
    """Whether an experiment can have this id at all.

    >>> may_be_id("home-bandit"), may_be_id("a b")
    (True, False)
    """
    return _ID.fullmatch(text) is not None
