"""The shapes of steering experiments on the wire (HTTP version 1)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from serving.schemas import Name, Strict, example
from serving.steering_schemas import Why


class ExperimentIn(Strict):
    """A new experiment."""

    experiment: dict[str, Any] = Field(description="the record, as GET /v1/experiments/{id} tells it")
    why: Why


class WhyIn(Strict):
    """Why it is changed."""

    model_config = example(why="the checklist is answered")

    why: Why


class DecideIn(Strict):
    """Which variant it is decided for, and why."""

    model_config = example(variant="bandit", why="better, and no harm shown")

    variant: Name
    why: Why
