"""A dashboard source that holds everything in memory: for tests, notebooks and trying a page out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from recsys import reasonfile
from recsys.catalogue import Catalogue
from recsys.errors import UnknownDecision, UnknownExperiment
from recsys.experiments import Experiment
from recsys.metrics import Metric
from recsys.scorecards import Scorecard, roll_up
from recsys.vocabulary import Decision, Event
from serving.dashboard import Status
from serving.reading_out import ReadOut, read_out
from serving.telling import story_of, told_in_full


def quiet_status() -> Status:
    """A status with nothing to tell: an empty home."""
    return Status(policies=(), versions={}, counters={}, lessons={}, switches=(), attention=())


def quiet_policies() -> dict[str, Any]:
    """What the page of policies tells of an empty home."""
    lag = {"read": 0, "last": 0, "events": 0, "minutes": None, "summed": 0, "as_of": None}
    return {
        "from": "2026-01-01", "recent_from": "2026-01-01", "to": None, "lag": lag, "serving": [], "modes": [],
        "exploration": {"cards": 0, "share": None, "uniform_share": None, "against_share": None},
        "products": {"now": [], "by_day": []}, "curve": {"stage": "tapped", "rates": [], "values": []},
        "learning": {"lessons": {}, "frozen": {}, "reconciles": True, "quarantined": 0, "position": 0},
        "history": [], "overrides": [], "predictions": [],
    }  # fmt: skip


def quiet_system() -> dict[str, Any]:
    """What the page of the system tells of an empty home."""
    return {
        "missing": [], "notes": [], "lag": quiet_policies()["lag"], "counters": {}, "rules": [],
        "quarantine": {"kept": 0, "items": [], "settled": []},
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class MemorySource:
    """Real records in, real scorecards out; fulfils `DashboardSource`."""

    known: Sequence[Experiment] = ()
    log: Sequence[Event] = ()
    metrics: Sequence[Metric] = ()
    now: Status = field(default_factory=quiet_status)
    catalogue: Catalogue = field(default_factory=Catalogue.empty)
    as_of: datetime | None = None  # for scorecards; without it, the last event's

    def experiments(self) -> Sequence[Experiment]:
        """Every experiment, as given."""
        return self.known

    def scorecard(self, experiment_id: str) -> Scorecard:
        """Rolled up anew from the log at each call."""
        for experiment in self.known:
            if experiment.experiment_id == experiment_id:
                return roll_up(self.log, experiment=experiment, metrics=self.metrics, as_of=self.as_of)
        raise UnknownExperiment(experiment_id)

    def status(self) -> Status:
        """The status as given."""
        return self.now

    def history(self, experiment_id: str) -> Sequence[Mapping[str, Any]]:
        """None is kept."""
        return []

    def policies(self) -> Mapping[str, Any]:
        """Of an empty home: policies need a database."""
        return quiet_policies()

    def system(self) -> Mapping[str, Any]:
        """Of an empty home."""
        return quiet_system()

    def receipt(self, decision_id: str) -> ReadOut:
        """The first decision of this id in the log, read out under the vocabulary of the house."""
        for event in self.log:
            if isinstance(event.body, Decision) and event.body.decision_id == decision_id:
                vocabulary, story = reasonfile.load(), story_of(event, self.log)
                technical = told_in_full(story, vocabulary=vocabulary)
                return read_out(story, vocabulary=vocabulary, catalogue=self.catalogue, technical=technical)
        raise UnknownDecision(decision_id)
