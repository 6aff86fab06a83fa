"""The register of experiments: records in the database, each change checked before it is kept, and told why."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from recsys import database as db
from recsys.artefacts import canonical
from recsys.clocks import Clock
from recsys.database import Database
from recsys.errors import Conflict, UnknownExperiment
from recsys.experiments import Experiment, from_json, may_be_id, ramped, to_json
from recsys.layers import Layers
from recsys.records import micros, moment

MOVES = frozenset({("draft", "running"), ("running", "stopped"), ("stopped", "decided")})
"""How an experiment may go on; none starts again, as its units have seen what they have seen."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of an experiment's history; `by` is a key's name, a person at the machine, or "recsys" itself."""

    what: str  # created | running | stopped | decided | ramped to SHARE | stopped arm NAME | read out
    by: str
    why: str
    at: datetime
    link: str = ""  # the tracker's page of the read-out behind it

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"what": self.what, "by": self.by, "why": self.why, "at": self.at.isoformat(), "link": self.link}


class Register:
    """Experiments of one installation."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock  # of changes that do not say when they were made

    def experiments(self) -> tuple[Experiment, ...]:
        """All of them, by id."""
        with self._database.reading() as connection:
            return _all(connection)

    def experiment(self, experiment_id: str) -> Experiment:
        """One experiment; raises `UnknownExperiment`."""
        if not may_be_id(experiment_id):  # a database need not be able to hold it
            raise UnknownExperiment(experiment_id)
        query = select(db.experiments.c.text).where(db.experiments.c.experiment_id == experiment_id)
        with self._database.reading() as connection:
            text = connection.execute(query).scalar()
        if text is None:
            raise UnknownExperiment(experiment_id)
        return from_json(json.loads(text))

    def history(self, experiment_id: str) -> list[Change]:
        """Who changed it, when and why, oldest first; nothing for an id that no experiment can have."""
        if not may_be_id(experiment_id):
            return []
        table = db.experiment_changes
        query = select(table).where(table.c.experiment_id == experiment_id).order_by(table.c.number)
        with self._database.reading() as connection:
            return [Change(row.what, row.by, row.why, moment(row.at), row.link) for row in connection.execute(query)]

    def create(self, experiment: Experiment, *, by: str = "", why: str = "", at: datetime | None = None) -> None:
        """Keep a new experiment. Raises `Conflict` for an id in use, `InvalidConfiguration` where two would meet."""
        with self._database.writing() as connection:  # checked and kept under one lock
            known = _all(connection)
            if any(each.experiment_id == experiment.experiment_id for each in known):
                raise Conflict(f"an experiment {experiment.experiment_id} exists: choose another id")
            Layers((*known, experiment))
            connection.execute(insert(db.experiments), _row(experiment))
            _note(connection, experiment.experiment_id, what="created", by=by, why=why, at=at or self._clock.now())

    def move(
        self, experiment_id: str, *, state: str, by: str = "", why: str = "", link: str = "", at: datetime | None = None
    ) -> Experiment:
        """Move an experiment to another state; raises like `create`, or `UnknownExperiment`."""

        def moved(experiment: Experiment) -> Experiment:
            now = experiment.state
            if (now, state) not in MOVES:
                raise Conflict(f"experiment {experiment_id} is {now}: it cannot become {state}; create another one")
            return replace(experiment, state=state)

        return self._change(experiment_id, to=moved, what=state, by=by, why=why, link=link, at=at)

    def stop_arm(self, experiment_id: str, *, arm: str, by: str, why: str, at: datetime | None = None) -> Experiment:
        """Give an arm's units what the control gets; the last treatment's stop ends the experiment.

        Raises `Conflict` where it is not running or the arm was stopped before, and like `move`.
        """

        def stopped(experiment: Experiment) -> Experiment:
            if experiment.state != "running" or arm in experiment.stopped_arms:
                raise Conflict(f"experiment {experiment_id} is {experiment.state}, or {arm} was stopped before")
            arms = (*experiment.stopped_arms, arm)
            over = {variant.name for variant in experiment.treatments} <= set(arms)
            return replace(experiment, stopped_arms=arms, state="stopped" if over else "running")

        return self._change(experiment_id, to=stopped, what=f"stopped arm {arm}"[:40], by=by, why=why, link="", at=at)

    def ramp(self, experiment_id: str, *, share: float, by: str, why: str, at: datetime) -> Experiment:
        """Let more of a running experiment's units in from now on. Raises like `move`, or `InvalidConfiguration`."""

        def grown(experiment: Experiment) -> Experiment:
            if experiment.state != "running":
                raise Conflict(f"experiment {experiment_id} is {experiment.state}: only a running one lets in more")
            return ramped(experiment, share=share, at=at)

        return self._change(experiment_id, to=grown, what=f"ramped to {share:.0%}", by=by, why=why, link="", at=at)

    def note(
        self, experiment_id: str, *, what: str, by: str, why: str, link: str = "", at: datetime | None = None
    ) -> None:
        """Add a line to an experiment's history that changes nothing, such as a read-out."""
        with self._database.writing() as connection:
            _named(_all(connection), experiment_id=experiment_id)
            _note(connection, experiment_id, what=what, by=by, why=why, link=link, at=at or self._clock.now())

    def _change(
        self,
        experiment_id: str,
        *,
        to: Callable[[Experiment], Experiment],
        what: str,
        by: str,
        why: str,
        link: str,
        at: datetime | None,
    ) -> Experiment:
        table = db.experiments
        with self._database.writing() as connection:
            known = _all(connection)
            changed = to(_named(known, experiment_id=experiment_id))
            Layers(tuple(changed if each.experiment_id == experiment_id else each for each in known))
            connection.execute(update(table).where(table.c.experiment_id == experiment_id).values(_row(changed)))
            _note(connection, experiment_id, what=what, by=by, why=why, link=link, at=at or self._clock.now())
        return changed


def _note(
    connection: Connection, experiment_id: str, *, what: str, by: str, why: str, at: datetime, link: str = ""
) -> None:
    table = db.experiment_changes
    number = (connection.execute(select(func.max(table.c.number))).scalar() or 0) + 1
    row = {"number": number, "experiment_id": experiment_id, "what": what, "by": by, "why": why, "link": link}
    connection.execute(insert(table), row | {"at": micros(at)})


def _all(connection: Connection) -> tuple[Experiment, ...]:
    rows = connection.execute(select(db.experiments.c.text).order_by(db.experiments.c.experiment_id))
    return tuple(from_json(json.loads(row.text)) for row in rows)


def _named(experiments: Sequence[Experiment], *, experiment_id: str) -> Experiment:
    found = next((each for each in experiments if each.experiment_id == experiment_id), None)
    if found is None:
        raise UnknownExperiment(experiment_id)
    return found


def _row(experiment: Experiment) -> dict[str, str]:
    return {
        "experiment_id": experiment.experiment_id,
        "state": experiment.state,
        "text": canonical(to_json(experiment)),
    }
