"""What the dashboard reads: experiments rolled up from the log, and the state of the installation.

A roll-up goes on where it stopped, so a page costs what happened since the last look. Everything
here is for people and runs in a thread, never on the way of a recommendation.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from recsys import artefacts
from recsys.counting import Counting
from recsys.errors import ArtefactMissing, Conflict, Corrupt
from recsys.experiments import Experiment, to_json
from recsys.records import moment
from recsys.scorecards import Scorecard, reads_from, scorecard_of
from serving.bootstrap import Service
from serving.curriculum import STILL
from serving.dashboard import Serving, Status
from serving.learning import learning
from serving.live_policy import policy_name
from serving.policies import policies_told
from serving.reading_out import ReadOut, read_out
from serving.receipts import receipt_of
from serving.system import counters_of, system_told
from serving.telling import read_story

KEEP_EVERY = 20_000
"""Events between two writings of a roll-up's state: what a restart counts again at most."""


class Readings:
    """The dashboard's source over a running service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._rolled: dict[str, Counting] = {}
        self._kept: dict[str, int] = {}

    def experiments(self) -> Sequence[Experiment]:
        """Every experiment, newest first."""
        return sorted(self._service.home.register.experiments(), key=lambda each: each.starts_at, reverse=True)

    def listed(self) -> list[dict[str, Any]]:
        """Every experiment as JSON, newest first."""
        return [to_json(experiment) for experiment in self.experiments()]

    def scorecard(self, experiment_id: str) -> Scorecard:
        """One experiment in numbers; raises `UnknownExperiment`."""
        experiment = self._service.home.register.experiment(experiment_id)
        with self._lock:
            return scorecard_of(self._counting(experiment))

    def status(self) -> Status:
        """The installation now."""
        service = self._service
        offer = service.offers.current
        missing, notes = service.readiness()
        learned = learning(service.home.database, service.live.recipes)
        return Status(
            policies=[self._serving(name) for name in service.live.recipes],
            versions={
                "catalogue": f"{offer.catalogue.version or 'none'} ({len(offer.catalogue.products)} products)",
                "rules": offer.rules.version,
                "rewards": offer.rewards.version,
                "bundle": "none" if offer.retriever is None else offer.retriever.digest[:12],
            },
            counters=counters_of(service.home),
            lessons=learned.lessons,
            switches=service.home.orders.current.off(service.clock.now()),
            attention=[*learned.attention, *missing, *notes],
        )

    def policies(self) -> dict[str, Any]:
        """Who serves what share, what is left to chance, and how learning goes."""
        return policies_told(self._service.home)

    def system(self) -> dict[str, Any]:
        """Health, counters, rules and quarantine."""
        missing, notes = self._service.readiness()
        return system_told(self._service.home) | {"missing": missing, "notes": notes}

    def receipt(self, decision_id: str) -> ReadOut:
        """One decision in plain sentences, and recomputed; raises `UnknownDecision`."""
        service, explainer = self._service, self._service.home.explainer
        story = read_story(service.log, decision_id)
        technical = receipt_of(story, explainer=explainer, live=service.live)
        catalogue = service.offers.current.catalogue
        return read_out(story, vocabulary=explainer.vocabulary, catalogue=catalogue, technical=technical)

    def guard(self) -> list[str]:
        """Stop every arm that a live guardrail shows to do harm (OPS-4); sentences of what was done.

        Every worker looks; the register's lock lets one of them act.
        """
        register, done = self._service.home.register, []
        for experiment in register.experiments():
            if experiment.state != "running":
                continue
            for arm, why in self.scorecard(experiment.experiment_id).harmed:
                if arm not in experiment.stopped_arms:
                    with suppress(Conflict):  # another worker was faster
                        register.stop_arm(
                            experiment.experiment_id, arm=arm, by="recsys", why=why, at=self._service.clock.now()
                        )
                        done.append(f"{experiment.experiment_id}: {arm} was stopped: {why}")
        return done

    def told(self, experiment_id: str) -> dict[str, Any]:
        """One experiment's scorecard as JSON."""
        return self.scorecard(experiment_id).to_json()

    def history(self, experiment_id: str) -> list[dict[str, Any]]:
        """Who changed an experiment, when and why; raises `UnknownExperiment`."""
        self._service.home.register.experiment(experiment_id)
        return [change.to_json() for change in self._service.home.register.history(experiment_id)]

    def _counting(self, experiment: Experiment) -> Counting:
        """The roll-up, brought up to date: from memory, else from where a file says it stopped, else from the log."""
        metrics, log = self._service.home.metrics(), self._service.log
        counting = self._rolled.get(experiment.experiment_id)
        if counting is None or not counting.goes_on(experiment, metrics=metrics):
            counting = Counting(experiment, metrics=metrics)
            file = self._file(experiment.experiment_id)
            try:
                counting.resume(file.read_bytes())
            except (OSError, Corrupt):  # none yet, or of another kind: the log has everything
                counting = Counting(experiment, metrics=metrics)
                counting.position = log.position_before(reads_from(experiment, metrics=metrics))
            self._rolled[experiment.experiment_id] = counting
            self._kept[experiment.experiment_id] = counting.position
        counting.experiment = experiment  # its state may have moved
        for event in log.glance(after=counting.position):
            counting.feed(event)
        if counting.position - self._kept[experiment.experiment_id] >= KEEP_EVERY:
            self._keep(experiment.experiment_id, state=counting.state())
            self._kept[experiment.experiment_id] = counting.position
        return counting

    def _file(self, experiment_id: str) -> Path:
        name = hashlib.sha256(experiment_id.encode()).hexdigest()[:24]
        return self._service.home.settings.folder / "roll-ups" / f"{name}.bin"

    def _keep(self, experiment_id: str, *, state: bytes) -> None:
        """Write where the roll-up stands; the log stays the truth, so a disk that is full costs time only."""
        file = self._file(experiment_id)
        with suppress(OSError):
            file.parent.mkdir(mode=0o700, exist_ok=True)
            with NamedTemporaryFile(dir=file.parent, delete=False) as new:
                new.write(state)
            Path(new.name).replace(file)

    def _serving(self, recipe: str) -> Serving:
        live = self._service.live.policy(recipe)
        try:
            published = artefacts.current(self._service.home.settings.artefacts, policy_name(recipe))
        except ArtefactMissing:
            return Serving(recipe=recipe, policy="no snapshot yet", published_at="", lessons=0)
        name = published.manifest["policy"] if live is None else live.policy.name
        learns = self._service.live.recipes[recipe].learner not in STILL
        watermark = published.manifest["watermark"]
        at = moment(watermark).isoformat() if learns and watermark is not None else ""
        return Serving(recipe=recipe, policy=name, published_at=at, lessons=int(published.manifest["lessons"]))
