"""Experiments over HTTP: made and steered with the scope steer, decided with approve, read with analyse."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from recsys.experiments import Experiment, from_json, to_json
from recsys.keys import Scope
from serving import trials
from serving.deciding import decided, read_out
from serving.experiment_schemas import ChecklistOut, DecideIn, ExperimentIn, ExperimentOut, HistoryOut, RampIn, WhyIn
from serving.routes import PROBLEMS, Call, needs
from serving.schemas import Id, Problem
from serving.traced import Traced

Steers = Annotated[Call, needs(Scope.STEER)]
Approves = Annotated[Call, needs(Scope.APPROVE)]
Analyses = Annotated[Call, needs(Scope.ANALYSE)]
trial_routes = APIRouter(prefix="/v1/experiments", tags=["experiments"], responses=PROBLEMS, route_class=Traced)
_NOT: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "no such experiment"},
    409: {"model": Problem, "description": "not possible as things stand; the detail says why"},
}


@trial_routes.post(
    "", operation_id="create_experiment", response_model=ExperimentOut,
    status_code=201, responses=_NOT, summary="Make an experiment, as a draft",
)  # fmt: skip
async def create(body: ExperimentIn, call: Steers) -> Response:
    """Check the record and keep it; what cannot be read honestly is refused with the sentence to mend it."""
    experiment = from_json({**body.experiment, "state": "draft"})
    home = call.service.home
    await run_in_threadpool(trials.create, home, [experiment], by=call.caller.name, why=body.why, where="experiment")
    return JSONResponse(to_json(experiment), status_code=201)


@trial_routes.get(
    "/{experiment_id}/checklist", operation_id="get_checklist", response_model=ChecklistOut,
    responses=_NOT, summary="What to know before the start",
)  # fmt: skip
async def checklist(experiment_id: Id, call: Analyses) -> Response:
    """Tell what is answered and what is not, and the power at the planned size."""
    found = await run_in_threadpool(trials.checklist, call.service.home, experiment_id)
    return JSONResponse(found.to_json())


@trial_routes.get(
    "/{experiment_id}/history", operation_id="get_history", response_model=HistoryOut,
    responses=_NOT, summary="Who changed it, when and why",
)  # fmt: skip
async def history(experiment_id: Id, call: Analyses) -> Response:
    """Tell every change and every recorded read-out, oldest first."""
    register = call.service.home.register
    await run_in_threadpool(register.experiment, experiment_id)
    changes = await run_in_threadpool(register.history, experiment_id)
    return JSONResponse({"history": [change.to_json() for change in changes]})


@trial_routes.post(
    "/{experiment_id}/start", operation_id="start_experiment", response_model=ExperimentOut,
    responses=_NOT, summary="Let it assign units",
)  # fmt: skip
async def start(experiment_id: Id, body: WhyIn, call: Steers) -> Response:
    """Start it where its checklist has no objection."""
    home, by = call.service.home, call.caller.name
    return _told(await run_in_threadpool(trials.start, home, experiment_id, by=by, why=body.why))


@trial_routes.post(
    "/{experiment_id}/ramp", operation_id="ramp_experiment", response_model=ExperimentOut,
    responses=_NOT, summary="Let more of its units in",
)  # fmt: skip
async def ramp(experiment_id: Id, body: RampIn, call: Steers) -> Response:
    """Let a larger share of a running experiment's units in from now on; who is in stays in."""
    home, by = call.service.home, call.caller.name
    done = await run_in_threadpool(trials.ramp, home, experiment_id, share=body.share, by=by, why=body.why)
    return _told(done)


@trial_routes.post(
    "/{experiment_id}/read-out", operation_id="record_read_out", response_model=ExperimentOut,
    responses=_NOT, summary="Write down what it shows now",
)  # fmt: skip
async def record(experiment_id: Id, request: Request, call: Steers) -> Response:
    """Write the read-out down in MLflow, linked from the experiment's history."""
    home, by, readings = call.service.home, call.caller.name, request.app.state.readings
    await run_in_threadpool(read_out, home, readings, experiment_id=experiment_id, by=by)
    return _told(home.register.experiment(experiment_id))


@trial_routes.post(
    "/{experiment_id}/stop", operation_id="stop_experiment", response_model=ExperimentOut,
    responses=_NOT, summary="End its assignment",
)  # fmt: skip
async def stop(experiment_id: Id, body: WhyIn, call: Steers) -> Response:
    """Stop it; what it showed stays readable, and it does not start again."""
    home, by = call.service.home, call.caller.name
    return _told(await run_in_threadpool(trials.stop, home, experiment_id, by=by, why=body.why))


@trial_routes.post(
    "/{experiment_id}/decide", operation_id="decide_experiment", response_model=ExperimentOut,
    responses=_NOT, summary="Decide it for a variant",
)  # fmt: skip
async def decide(experiment_id: Id, body: DecideIn, request: Request, call: Approves) -> Response:
    """Decide a stopped experiment; its read-out is written down, and a better variant's recipe becomes champion."""
    home, by, readings = call.service.home, call.caller.name, request.app.state.readings
    given = {"experiment_id": experiment_id, "variant": body.variant, "by": by, "why": body.why}
    await run_in_threadpool(decided, home, readings, **given)
    return _told(home.register.experiment(experiment_id))


def _told(experiment: Experiment) -> Response:
    return JSONResponse(to_json(experiment))
