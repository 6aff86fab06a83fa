"""What the dashboard reads: experiments rolled up from the log, and the state of the installation.

A roll-up goes on where it stopped, so a page costs what happened since the last look. Everything
here is for people and runs in a thread, never on the way of a recommendation.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from recsys import artefacts
from recsys.counting import Counting
from recsys.errors import ArtefactMissing
from recsys.experiments import Experiment, to_json
from recsys.metrics import default_metrics
from recsys.readmarks import ReadMark
from recsys.records import moment
from recsys.scorecards import Scorecard, scorecard_of
from serving.bootstrap import Service
from serving.curriculum import STILL
from serving.dashboard import Serving, Status
from serving.learner_loop import LEASE
from serving.learning import learning
from serving.live_policy import policy_name
from serving.reading_out import ReadOut, read_out
from serving.receipts import receipt_of
from serving.telling import read_story


class Readings:
    """The dashboard's source over a running service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._rolled: dict[str, tuple[Experiment, Counting, int]] = {}

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
        counts = service.log.counts()
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
            counters=self._counters(counts.get("outcome", 0)),
            lessons=learned.lessons,
            switches=service.home.orders.current.off(service.clock.now()),
            attention=[*learned.attention, *missing, *notes],
        )

    def _counters(self, received: int) -> dict[str, int]:
        """Outcomes received = joined + waiting to be read + quarantined; and what came of them."""
        _, counted = ReadMark(self._service.home.database, name=LEASE).read()
        joined = sum(counted.get(name, 0) for name in ("joined", "organic", "late"))
        quarantined = counted.get("quarantined", 0)
        lessons = sum(n for name, n in counted.items() if name.startswith("lessons_"))
        return {
            "received": received,
            "joined": joined,
            "waiting": received - joined - quarantined,
            "quarantined": quarantined,
            "lessons learned by all recipes": lessons,
        }

    def receipt(self, decision_id: str) -> ReadOut:
        """One decision in plain sentences, and recomputed; raises `UnknownDecision`."""
        service, explainer = self._service, self._service.home.explainer
        story = read_story(service.log, decision_id)
        technical = receipt_of(story, explainer=explainer, live=service.live)
        catalogue = service.offers.current.catalogue
        return read_out(story, vocabulary=explainer.vocabulary, catalogue=catalogue, technical=technical)

    def _counting(self, experiment: Experiment) -> Counting:
        values = {product.product_id: product.value for product in self._service.offers.current.catalogue.products}
        known, counting, position = self._rolled.get(experiment.experiment_id, (None, None, 0))
        if known != experiment or counting is None:
            counting = Counting(experiment, metrics=default_metrics(values))
            position = self._service.log.position_before(experiment.starts_at)
        for event in self._service.log.glance(after=position):
            counting.feed(event)
            position = event.position
        self._rolled[experiment.experiment_id] = (experiment, counting, position)
        return counting

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
