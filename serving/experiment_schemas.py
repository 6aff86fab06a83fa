"""The shapes of steering experiments on the wire (HTTP version 1)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from serving.schemas import Name, Strict, example
from serving.steering_schemas import Why


class ExperimentIn(Strict):
    """A new experiment."""

    model_config = example(
        experiment={
            "experiment_id": "home-bandit", "owner": "growth team", "primary": "value", "unit": "household",
            "hypothesis": "Ordering by what suits each customer brings more value than by what is popular",
            "surfaces": ["home"], "control": "popularity", "starts_at": "2026-12-01T00:00:00Z",
            "ends_at": "2026-12-29T00:00:00Z", "stop_rule": "after 28 days, or at once when a guardrail is worse",
            "variants": [{"name": "popularity", "recipe": "popularity", "share": 0.5},
                         {"name": "bandit", "recipe": "bandit", "share": 0.5}],
        },
        why="the first trial of the bandit",
    )  # fmt: skip

    experiment: dict[str, Any] = Field(description="the record, as GET /v1/experiments/{id} tells it")
    why: Why


class WhyIn(Strict):
    """Why it is changed."""

    model_config = example(why="the checklist is answered")

    why: Why


class RampIn(Strict):
    """Which share of its units it lets in from now on, and why."""

    model_config = example(share=0.5, why="no harm in the first three days")

    share: Annotated[float, Field(gt=0.0, le=1.0, strict=True)]
    why: Why


class DecideIn(Strict):
    """Which variant it is decided for, and why."""

    model_config = example(variant="bandit", why="better, and no harm shown")

    variant: Name
    why: Why


class ExperimentOut(BaseModel):
    """An experiment as a record; entries are added, none is taken away."""

    model_config = ConfigDict(extra="allow")

    experiment_id: str
    state: str


class ChecklistOut(BaseModel):
    """What is answered before a start, what is not, and the power at the planned size."""

    model_config = ConfigDict(extra="allow")


class HistoryOut(BaseModel):
    """Every change and every recorded read-out, oldest first."""

    history: list[dict[str, Any]]
