"""The tracker of a home, apart from bootstrap so that the API never imports MLflow."""

from __future__ import annotations

from recsys.tracking import MlflowTracker, Tracker
from serving.settings import Settings


def tracker_of(settings: Settings) -> Tracker:
    """Where this home's runs are written."""
    return MlflowTracker(settings.tracking, artefacts=settings.folder / "mlflow-files", page=settings.mlflow_page)
