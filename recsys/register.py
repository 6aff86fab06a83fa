"""The register of experiments: records in the database, each change checked before it is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, insert, select, update

from recsys import database as db
from recsys.artefacts import canonical
from recsys.database import Database
from recsys.errors import Conflict, UnknownExperiment
from recsys.experiments import Experiment, from_json, to_json
from recsys.layers import Layers

MOVES = frozenset({("draft", "running"), ("running", "stopped"), ("stopped", "decided")})
"""How an experiment may go on; none starts again, as its units have seen what they have seen."""


class Register:
    """Experiments of one installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def experiments(self) -> tuple[Experiment, ...]:
        """All of them, by id."""
        with self._database.reading() as connection:
            return _all(connection)

    def experiment(self, experiment_id: str) -> Experiment:
        """One experiment; raises `UnknownExperiment`."""
        return _named(self.experiments(), experiment_id=experiment_id)

    def create(self, experiment: Experiment) -> None:
        """Keep a new experiment. Raises `Conflict` for an id in use, `InvalidConfiguration` where two would meet."""
        with self._database.writing() as connection:  # checked and kept under one lock
            known = _all(connection)
            if any(each.experiment_id == experiment.experiment_id for each in known):
                raise Conflict(f"an experiment {experiment.experiment_id} exists: choose another id")
            Layers((*known, experiment))
            connection.execute(insert(db.experiments), _row(experiment))

    def move(self, experiment_id: str, *, state: str) -> Experiment:
        """Move an experiment to another state; raises like `create`, or `UnknownExperiment`."""
        table = db.experiments
        with self._database.writing() as connection:
            known = _all(connection)
            now = _named(known, experiment_id=experiment_id).state
            if (now, state) not in MOVES:
                raise Conflict(f"experiment {experiment_id} is {now}: it cannot become {state}; create another one")
            moved = replace(_named(known, experiment_id=experiment_id), state=state)
            Layers(tuple(moved if each.experiment_id == experiment_id else each for each in known))
            connection.execute(update(table).where(table.c.experiment_id == experiment_id).values(_row(moved)))
        return moved


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
