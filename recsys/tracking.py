"""The door to MLflow: where every training run, evaluation, promotion and read-out is written.

Two trackers share one shape: `MlflowTracker` (a `sqlite:///` file by default, any server by URI) and
`MemoryTracker`, which ships so that users test as we do. Nothing here runs in the request path, and
nothing personal may be written: parameters and metrics describe models, never people (OPS-8).
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported; nothing leaves this machine
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

from mlflow.client import MlflowClient
from mlflow.entities import Dataset as MlflowDataset
from mlflow.entities import DatasetInput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

Parameter = str | int | float | bool


REGISTERED = "recsys"
"""The registered model whose versions are recipes with their evidence."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a run learned from or judged by: named, versioned, and where it lies."""

    name: str
    digest: str
    source: str
    profile: Mapping[str, int | str]  # its size and span


class Run(Protocol):
    """One entry in the tracker."""

    @property
    def run_id(self) -> str:
        """Names it in its store."""

    @property
    def url(self) -> str:
        """Where a person can open it; "" where there is no page."""

    def record(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Add numbers, in one batch."""

    def file(self, name: str, content: str | bytes) -> None:
        """Add a table, a plot or a report."""

    def learned_from(self, dataset: Dataset) -> None:
        """Name a dataset that the run used."""


class Tracker(Protocol):
    """Opens runs, and mirrors who is champion and challenger."""

    def mirror(self, role: str, *, name: str, evidence: str, tags: Mapping[str, str]) -> None:
        """Let the alias `role` name a version made from the run `evidence`. The pointer elsewhere is the truth."""

    def mirrored(self, role: str) -> Mapping[str, str]:
        """The tags of the version that the alias `role` names, its recipe among them; empty where there is none."""

    def register(self, model: str, *, run_id: str, tags: Mapping[str, str]) -> None:
        """Make what a run left a new version of a registered model."""

    def run(
        self, name: str, *, experiment: str, parameters: Mapping[str, Parameter], tags: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Run]:
        """A run that ends as finished, or as failed where its body raises."""


@dataclass
class MemoryRun:
    """A run kept in memory."""

    name: str
    experiment: str
    parameters: dict[str, Parameter]
    tags: dict[str, str]
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    files: dict[str, str | bytes] = field(default_factory=dict)
    datasets: list[Dataset] = field(default_factory=list)
    status: str = "running"
    url: str = ""
    run_id: str = ""

    def record(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Add numbers."""
        for name, value in metrics.items():
            self.metrics[name] = float(value)
            self.curves.setdefault(name, []).append((step, float(value)))

    def file(self, name: str, content: str | bytes) -> None:
        """Add a file."""
        self.files[name] = content

    def learned_from(self, dataset: Dataset) -> None:
        """Kept in `datasets`."""
        self.datasets.append(dataset)


class MemoryTracker:
    """A tracker for tests and for those who want none.

    >>> tracker = MemoryTracker()
    >>> with tracker.run("a run", experiment="examples", parameters={"seed": 1}) as run:
    ...     run.record({"recall": 0.5}, step=1)
    >>> tracker.runs[0].metrics, tracker.runs[0].status
    ({'recall': 0.5}, 'finished')
    """

    def __init__(self) -> None:
        self.runs: list[MemoryRun] = []
        self.aliases: dict[str, tuple[str, str]] = {}  # role → recipe, run
        self.tags: dict[str, dict[str, str]] = {}  # role → of its version
        self.registered: list[tuple[str, str, dict[str, str]]] = []  # model, run, tags

    def mirror(self, role: str, *, name: str, evidence: str, tags: Mapping[str, str]) -> None:
        """An alias kept in `aliases`."""
        self.aliases[role] = (name, evidence)
        self.tags[role] = {"recipe": name, **tags}

    def mirrored(self, role: str) -> Mapping[str, str]:
        """What `mirror` was told last."""
        return self.tags.get(role, {})

    def register(self, model: str, *, run_id: str, tags: Mapping[str, str]) -> None:
        """A version kept in `registered`."""
        self.registered.append((model, run_id, dict(tags)))

    @contextmanager
    def run(
        self, name: str, *, experiment: str, parameters: Mapping[str, Parameter], tags: Mapping[str, str] | None = None
    ) -> Iterator[MemoryRun]:
        """A run kept in `runs`."""
        run = MemoryRun(name, experiment, dict(parameters), dict(tags or {}), run_id=f"run-{len(self.runs) + 1}")
        self.runs.append(run)
        try:
            yield run
        except BaseException:
            run.status = "failed"
            raise
        run.status = "finished"


class MlflowRun:
    """A run in MLflow, written in batches through the client (no global state, no autologging)."""

    def __init__(self, client: MlflowClient, *, run_id: str, url: str) -> None:
        self._client = client
        self.run_id = run_id
        self.url = url

    def record(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Add numbers, in one batch."""
        now = time.time_ns() // 1_000_000
        self._client.log_batch(self.run_id, metrics=[Metric(k, float(v), now, step) for k, v in metrics.items()])

    def file(self, name: str, content: str | bytes) -> None:
        """Add a file under its name (folders allowed)."""
        if isinstance(content, str):
            self._client.log_text(self.run_id, content, name)
            return
        folder, _, leaf = name.rpartition("/")
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / leaf
            path.write_bytes(content)
            self._client.log_artifact(self.run_id, str(path), artifact_path=folder or None)

    def learned_from(self, dataset: Dataset) -> None:
        """An input of the run, as MLflow shows datasets."""
        known = MlflowDataset(
            dataset.name,
            dataset.digest,
            source_type="recsys",
            source=json.dumps({"uri": dataset.source}),
            profile=json.dumps(dict(dataset.profile)),
        )
        self._client.log_inputs(self.run_id, datasets=[DatasetInput(known)])


class MlflowTracker:
    """Runs in an MLflow store: `uri` is `sqlite:///…` or a server; files go to `artefacts` (local stores)."""

    def __init__(self, uri: str, *, artefacts: Path, page: str = "") -> None:
        self._client = MlflowClient(tracking_uri=uri)
        self._artefacts = artefacts
        self._uri = uri
        self._page = page or (uri if uri.startswith("http") else "")

    @contextmanager
    def run(
        self, name: str, *, experiment: str, parameters: Mapping[str, Parameter], tags: Mapping[str, str] | None = None
    ) -> Iterator[MlflowRun]:
        """A run in the named MLflow experiment, made when missing."""
        experiment_id = self._experiment_id(experiment)
        run_id = self._client.create_run(experiment_id, run_name=name).info.run_id
        self._client.log_batch(
            run_id,
            params=[Param(key, str(value)) for key, value in parameters.items()],
            tags=[RunTag(key, value) for key, value in (tags or {}).items()],
        )
        url = f"{self._page}/#/experiments/{experiment_id}/runs/{run_id}" if self._page else ""
        try:
            yield MlflowRun(self._client, run_id=run_id, url=url)
        except BaseException:
            self._client.set_terminated(run_id, status="FAILED")
            raise
        self._client.set_terminated(run_id)

    def mirror(self, role: str, *, name: str, evidence: str, tags: Mapping[str, str]) -> None:
        """An alias of the registered model `REGISTERED`, on a version that the run `evidence` stands behind."""
        known = f"name = '{REGISTERED}'"
        if not self._client.search_registered_models(known):
            self._client.create_registered_model(REGISTERED, description="Recipes that passed the gate, by role")
        source = self._client.get_run(evidence).info.artifact_uri
        version = self._client.create_model_version(
            REGISTERED,
            source=str(source),
            run_id=evidence,
            tags={"recipe": name, **tags},
            description=f"{role}: {name}",
        )
        self._client.set_registered_model_alias(REGISTERED, role, str(version.version))

    def mirrored(self, role: str) -> Mapping[str, str]:
        """The tags of the version under an alias."""
        try:
            return dict(self._client.get_model_version_by_alias(REGISTERED, role).tags)
        except MlflowException:
            return {}

    def register(self, model: str, *, run_id: str, tags: Mapping[str, str]) -> None:
        """A new version of `model` made from the artefacts of a run; the model is made when missing."""
        if not self._client.search_registered_models(f"name = '{model}'"):
            self._client.create_registered_model(model)
        source = self._client.get_run(run_id).info.artifact_uri
        self._client.create_model_version(model, source=str(source), run_id=run_id, tags=dict(tags))

    def _experiment_id(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = None if self._uri.startswith("http") else (self._artefacts.resolve() / name).as_uri()
        try:
            return str(self._client.create_experiment(name, artifact_location=location))
        except MlflowException:
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)  # another process made it first


@dataclass(frozen=True, slots=True)
class UsingDataset:
    """A tracker whose every run names the dataset that it used."""

    tracker: Tracker
    dataset: Dataset

    def mirror(self, role: str, *, name: str, evidence: str, tags: Mapping[str, str]) -> None:
        """As the tracker underneath."""
        self.tracker.mirror(role, name=name, evidence=evidence, tags=tags)

    def mirrored(self, role: str) -> Mapping[str, str]:
        """As the tracker underneath."""
        return self.tracker.mirrored(role)

    def register(self, model: str, *, run_id: str, tags: Mapping[str, str]) -> None:
        """As the tracker underneath."""
        self.tracker.register(model, run_id=run_id, tags=tags)

    @contextmanager
    def run(
        self, name: str, *, experiment: str, parameters: Mapping[str, Parameter], tags: Mapping[str, str] | None = None
    ) -> Iterator[Run]:
        """A run of the tracker underneath."""
        with self.tracker.run(name, experiment=experiment, parameters=parameters, tags=tags) as run:
            run.learned_from(self.dataset)
            yield run
