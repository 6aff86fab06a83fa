"""What pages change: every form of the dashboard, each behind its scope, its token and the trail.

A form that cannot be done comes back with what was typed and the sentence that mends it; nothing needs a script.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from recsys.errors import Misuse, NotFound, RecsysError
from recsys.keys import Scope
from serving import experiment_form, trials
from serving.bootstrap import Service
from serving.dashboard import experiment_page, page, system_page
from serving.deciding import decided, read_out
from serving.experiment_form import Typed
from serving.forms import posted, visit, visitor_of
from serving.problems import status_of
from serving.readings import Readings
from serving.settling import dropped, released
from serving.steering_schemas import LONGEST_WHY, SHORTEST_WHY


def steering_pages(service: Service, *, readings: Readings) -> APIRouter:
    """Every form's target over one service."""
    router = APIRouter(include_in_schema=False)
    home = service.home

    def noted(by: str, *, action: str, subject: str, status: int) -> None:
        service.trail.note(by=by, action=action, subject=subject, status=status)

    # -- making an experiment ------------------------------------------------------------------

    def new_page(request: Request, typed: Typed, *, checklist: object = None, code: int = 200) -> HTMLResponse:
        metrics = [(each.name, each.title) for each in home.metrics()]
        surfaces = [(each, each) for each in home.offers.current.catalogue.surfaces]
        recipes = [recipe.name for recipe in home.recipes]
        return page(
            "experiment_new.html", code=code, typed=typed, checklist=checklist, metrics=metrics, surfaces=surfaces,
            recipes=recipes, visitor=visitor_of(request),
        )  # fmt: skip

    @router.get("/experiments/new")
    async def blank(request: Request) -> Response:
        visit(service.gate, request, scope=Scope.STEER)
        return await run_in_threadpool(
            lambda: new_page(request, experiment_form.blank(home, by=visitor_of(request).name))
        )

    @router.post("/experiments/new")
    async def make(request: Request) -> Response:
        caller, fields = await posted(service.gate, request, scope=Scope.STEER)

        def made() -> Response:
            typed, experiment = experiment_form.read(home, fields)
            if experiment is None:
                return new_page(request, typed, code=422)
            if fields.get("action") != "create":
                return new_page(request, typed, checklist=trials.checklist_for(home, experiment).to_json())
            name = experiment.experiment_id
            try:
                experiment_form.create(home, typed, experiment, by=caller.name)
            except RecsysError as error:
                noted(caller.name, action="create_experiment", subject=name, status=status_of(error))
                return new_page(request, typed, code=409)
            noted(caller.name, action="create_experiment", subject=name, status=201)
            return _to(name)

        return await run_in_threadpool(made)

    # -- steering one --------------------------------------------------------------------------

    @router.get("/experiments/{experiment_id}/checklist")
    async def checklist(experiment_id: str, request: Request) -> Response:
        visit(service.gate, request, scope=Scope.ANALYSE)

        def told() -> Response:
            try:
                found = trials.checklist(home, experiment_id).to_json()
            except NotFound as error:
                return page("missing.html", code=404, title="Not found", sentence=str(error))
            return experiment_page(readings, request, experiment_id, checklist=found)

        return await run_in_threadpool(told)

    async def done(
        request: Request, experiment_id: str, *, scope: Scope, action: str, what: str,
        act: Callable[[str, str, Mapping[str, str]], Any],
    ) -> Response:  # fmt: skip
        """Do what a form asks, note it, and go back to the page; or show the page with why it was not done."""
        caller, fields = await posted(service.gate, request, scope=scope)

        def tried() -> Response:
            try:
                act(caller.name, _why(fields), fields)
            except RecsysError as error:
                noted(caller.name, action=action, subject=experiment_id, status=status_of(error))
                if isinstance(error, NotFound):
                    return page("missing.html", code=404, title="Not found", sentence=str(error))
                trouble = {"form": what, "sentence": str(error)}
                return experiment_page(
                    readings, request, experiment_id, trouble=trouble, typed=fields, code=status_of(error)
                )
            noted(caller.name, action=action, subject=experiment_id, status=200)
            return _to(experiment_id)

        return await run_in_threadpool(tried)

    @router.post("/experiments/{experiment_id}/start")
    async def start(experiment_id: str, request: Request) -> Response:
        def act(by: str, why: str, fields: Mapping[str, str]) -> None:
            trials.start(home, experiment_id, by=by, why=why)

        return await done(
            request, experiment_id, scope=Scope.STEER, action="start_experiment", what="start", act=act
        )  # fmt: skip

    @router.post("/experiments/{experiment_id}/ramp")
    async def ramp(experiment_id: str, request: Request) -> Response:
        def act(by: str, why: str, fields: Mapping[str, str]) -> None:
            try:
                share = float(fields.get("share", "").rstrip("% ")) / 100.0
            except ValueError:
                raise Misuse("write a percentage above what is let in now, up to 100") from None
            trials.ramp(home, experiment_id, share=share, by=by, why=why)

        return await done(request, experiment_id, scope=Scope.STEER, action="ramp_experiment", what="ramp", act=act)

    @router.post("/experiments/{experiment_id}/stop")
    async def stop(experiment_id: str, request: Request) -> Response:
        def act(by: str, why: str, fields: Mapping[str, str]) -> None:
            trials.stop(home, experiment_id, by=by, why=why)

        return await done(request, experiment_id, scope=Scope.STEER, action="stop_experiment", what="stop", act=act)

    @router.post("/experiments/{experiment_id}/decide")
    async def decide(experiment_id: str, request: Request) -> Response:
        def act(by: str, why: str, fields: Mapping[str, str]) -> None:
            if not (variant := fields.get("variant", "")):
                raise Misuse("choose the variant that it is decided for")
            decided(home, readings, experiment_id=experiment_id, variant=variant, by=by, why=why)

        return await done(
            request, experiment_id, scope=Scope.APPROVE, action="decide_experiment", what="decide", act=act
        )  # fmt: skip

    @router.post("/experiments/{experiment_id}/read-out")
    async def record(experiment_id: str, request: Request) -> Response:
        def act(by: str, why: str, fields: Mapping[str, str]) -> None:
            read_out(home, readings, experiment_id=experiment_id, by=by)

        return await done(
            request, experiment_id, scope=Scope.STEER, action="record_read_out", what="read-out", act=act
        )  # fmt: skip

    # -- the quarantine ------------------------------------------------------------------------

    @router.post("/system/quarantine")
    async def quarantine(request: Request) -> Response:
        caller, fields = await posted(service.gate, request, scope=Scope.ADMIN)

        def settle() -> Response:
            release = fields.get("what") == "release"
            try:
                item = home.quarantine.one(fields.get("key", ""))
                (released if release else dropped)(home, [item], by=caller.name, why=_why(fields))
            except RecsysError as error:
                return system_page(readings.system(), request, trouble=str(error))
            name = "released" if release else "dropped"
            return RedirectResponse(f"/system?done={name}#quarantine", status_code=303)

        return await run_in_threadpool(settle)

    return router


def _to(experiment_id: str) -> Response:
    return RedirectResponse(f"/experiments/{quote(experiment_id, safe='')}", status_code=303)


def _why(fields: Mapping[str, str]) -> str:
    """Why it is done, as one line; a form without a field for it needs none."""
    why = " ".join(fields.get("why", "").split())
    if "why" in fields and len(why) < SHORTEST_WHY:
        raise Misuse("say why: it is kept in the history with your key's name")
    return why[:LONGEST_WHY]
