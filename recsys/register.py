"""The register of experiments: records in the database, each change checked before it is kept."""

from __future__ import annotations

import json
from dataclasses import replace

from sqlalchemy import delete, insert, select

from recsys import database as db
from recsys.artefacts import canonical
from recsys.database import Database
from recsys.errors import Conflict, UnknownExperiment
from recsys.experiments import Experiment, from_json, to_json
from recsys.layers import Layers


class Register:
    """Experiments of one installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def experiments(self) -> tuple[Experiment, ...]:
        """All of them, by id."""
        with self._database.reading() as connection:
            rows = connection.execute(select(db.experiments.c.text).order_by(db.experiments.c.experiment_id))
            return tuple(from_json(json.loads(row.text)) for row in rows)

    def experiment(self, experiment_id: str) -> Experiment:
        """One experiment; raises `UnknownExperiment`."""
        found = next((each for each in self.experiments() if each.experiment_id == experiment_id), None)
        if found is None:
            raise UnknownExperiment(experiment_id)
        return found

    def create(self, experiment: Experiment) -> None:
        """Keep a new experiment. Raises `Conflict` for an id in use, `InvalidConfiguration` where two would meet."""
        if any(each.experiment_id == experiment.experiment_id for each in self.experiments()):
            raise Conflict(f"an experiment {experiment.experiment_id} exists: choose another id")
        Layers((*self.experiments(), experiment))
        self._write(experiment)

    def move(self, experiment_id: str, *, state: str) -> Experiment:
        """Move an experiment to another state; raises like `create`."""
        moved = replace(self.experiment(experiment_id), state=state)
        Layers(tuple(moved if each.experiment_id == experiment_id else each for each in self.experiments()))
        self._write(moved)
        return moved

    def _write(self, experiment: Experiment) -> None:
        row = {
            "experiment_id": experiment.experiment_id,
            "state": experiment.state,
            "text": canonical(to_json(experiment)),
        }
        table = db.experiments
        with self._database.writing() as connection:
            connection.execute(delete(table).where(table.c.experiment_id == experiment.experiment_id))
            connection.execute(insert(table), row)
