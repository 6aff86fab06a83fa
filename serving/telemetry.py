"""What Grafana sees: counters, latencies and the state of the parts. No label ever names a person (OPS-8)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from serving.learning import Learning

_ALONE = values.ValueClass is values.MutexValue
"""Whether the client counts for this process alone: settled as it was imported, whatever becomes of its variable (Feast
sets it for itself)."""
_KEPT = 1_000  # children of a metric at hand
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)


class Telemetry:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter(
            "recsys_requests", "Requests answered", ["route", "status"], registry=registry
        )  # fmt: skip
        self.latency = Histogram(
            "recsys_request_seconds", "Time to answer", ["route"], buckets=_BUCKETS, registry=registry
        )
        self.decisions = Counter(
            "recsys_decisions", "Decisions by surface and mode", ["surface", "mode"], registry=registry
        )
        self.redraws = Counter(
            "recsys_redraws", "Slates decided anew because what may be shown had changed", ["why"], registry=registry
        )
        self.unlogged = Counter("recsys_unlogged", "Answers from the approved static list", registry=registry)
        self.outcomes = Counter("recsys_outcomes", "Outcomes taken in", ["status"], registry=registry)
        self.ignored = Counter(
            "recsys_context_keys_ignored", "Keys inside context that are not known", registry=registry
        )
        self.swaps = _summed("recsys_policy_swaps", "Snapshots swapped in since the start", registry)
        self.refusals = _summed("recsys_artefact_refusals", "Damaged artefacts refused since the start", registry)
        self.lessons = _told("recsys_lessons", "What became of the lessons", ["recipe", "state"], registry)
        self.frozen = _told("recsys_recipe_frozen", "1 while the learner holds snapshots back", ["recipe"], registry)
        self.quarantine = _told("recsys_quarantine", "Things in quarantine that nobody has settled", [], registry)
        self.commits = _summed("recsys_log_commits", "Durable commits since the start", registry)

        self._requests = lru_cache(_KEPT)(self.requests.labels)  # looking a child up costs more than counting in it
        self._latency = lru_cache(_KEPT)(self.latency.labels)
        self._decisions = lru_cache(_KEPT)(self.decisions.labels)

    def answered(self, route: str, status: int, *, seconds: float) -> None:
        """Count and time a request."""
        self._requests(route, status).inc()
        self._latency(route).observe(seconds)

    def decided(self, surface: str, mode: str) -> None:
        """Count a decision."""
        self._decisions(surface, mode).inc()

    def tell_learning(self, state: Learning) -> None:
        """Take over how learning stands."""
        for recipe, counts in state.lessons.items():
            for name, n in counts.items():
                self.lessons.labels(recipe, name).set(n)
            self.frozen.labels(recipe).set(int(recipe in state.frozen))
        self.quarantine.set(state.quarantined)

    def text(self) -> bytes:
        """The Prometheus exposition: of this process, or of all workers of its port together."""
        if _ALONE:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def _told(name: str, what: str, labels: Sequence[str], registry: CollectorRegistry) -> Gauge:
    """What every worker reads from the database alike."""
    return Gauge(name, what, labels, registry=registry, multiprocess_mode="livemostrecent")


def _summed(name: str, what: str, registry: CollectorRegistry) -> Gauge:
    return Gauge(name, what, registry=registry, multiprocess_mode="livesum")
