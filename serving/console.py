"""Signing in to the dashboard, and the guard around its pages and its JSON.

The sign-in form takes a key, not a cookie, so that a foreign site has nothing to forge; what pages post
under a session is guarded by serving/forms.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from recsys.keys import Scope
from serving.bootstrap import Service
from serving.dashboard import page, pages
from serving.forms import visit
from serving.readings import Readings
from serving.routes import PROBLEMS
from serving.schemas import ExperimentsResponse, PoliciesOut, Problem, ScorecardOut, SystemOut
from serving.security import COOKIE, SESSION_SECONDS, Forbidden
from serving.steering_pages import steering_pages

_OPEN = ("/static/",)


def console(service: Service, *, readings: Readings) -> APIRouter:
    """Sign-in, the guarded pages and the experiments' JSON."""

    async def seen(request: Request) -> None:
        path = request.url.path
        if not path.startswith(_OPEN):  # a receipt tells of one person: it needs the scope that receipts need
            visit(service.gate, request, scope=Scope.AUDIT if path.startswith("/decisions") else Scope.ANALYSE)

    doors = APIRouter(include_in_schema=False)
    doors.add_api_route("/sign-in", _form, methods=["GET"])
    doors.add_api_route("/sign-in", _signing(service), methods=["POST"])
    doors.add_api_route("/sign-in/{token}", _link(service), methods=["GET"])
    doors.add_api_route("/sign-out", _sign_out, methods=["POST"])
    router = APIRouter()
    router.include_router(doors)
    router.include_router(steering_pages(service, readings=readings))  # first: /experiments/new is no experiment
    router.include_router(pages(readings), dependencies=[Depends(seen)])
    router.include_router(_json(service, readings))
    router.include_router(_told(service, readings))
    return router


def _analyses(service: Service) -> Callable[[Request], Awaitable[None]]:
    """Lets in who may analyse, by key or by session."""

    async def analyses(request: Request) -> None:
        service.gate.visitor(request.headers.get("authorization", ""), cookies=request.cookies, scope=Scope.ANALYSE)

    return analyses


def _told(service: Service, readings: Readings) -> APIRouter:
    """What the pages of policies and of the system show, as JSON."""
    router = APIRouter(prefix="/v1", tags=["experiments"], responses=PROBLEMS)
    analyses = _analyses(service)

    @router.get(
        "/policies", operation_id="get_policies", response_model=PoliciesOut, summary="Who serves what share",
        dependencies=[Depends(analyses)],
    )  # fmt: skip
    async def policies() -> Response:
        """Shares, chance, what is shown, how learning goes, promotions and what came of them."""
        return JSONResponse(await run_in_threadpool(readings.policies))

    @router.get(
        "/system", operation_id="get_system", response_model=SystemOut, summary="Counters, rules and quarantine",
        dependencies=[Depends(analyses)],
    )  # fmt: skip
    async def system() -> Response:
        """Counters that reconcile, what each rule refused, and what stands in quarantine."""
        return JSONResponse(await run_in_threadpool(readings.system))

    return router


def _json(service: Service, readings: Readings) -> APIRouter:
    router = APIRouter(prefix="/v1/experiments", tags=["experiments"], responses=PROBLEMS)
    analyses = _analyses(service)

    @router.get(
        "", operation_id="list_experiments", response_model=ExperimentsResponse, summary="Every experiment",
        dependencies=[Depends(analyses)],
    )  # fmt: skip
    async def listed() -> Response:
        """Every experiment as a record, newest first."""
        return JSONResponse({"experiments": await run_in_threadpool(readings.listed)})

    @router.get(
        "/{experiment_id}", operation_id="get_experiment", response_model=ScorecardOut,
        summary="One experiment in numbers",
        responses={404: {"model": Problem, "description": "no such experiment"}},
        dependencies=[Depends(analyses)],
    )  # fmt: skip
    async def one(experiment_id: str) -> Response:
        """The scorecard: the very numbers of the page."""
        scorecard = await run_in_threadpool(readings.scorecard, experiment_id)
        return JSONResponse(scorecard.to_json())

    return router


async def _form(request: Request) -> HTMLResponse:
    return page("sign_in.html", wrong=False)


def _signing(service: Service) -> Any:
    async def sign_in(request: Request) -> Response:
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        session = service.gate.session_of(form.get("key", [""])[0].strip())  # on the loop, like every look at a key
        if session is None:
            return page("sign_in.html", code=401, wrong=True)
        return _signed_in(session, request, service)

    return sign_in


def _link(service: Service) -> Any:
    async def follow(token: str, request: Request) -> Response:
        session = await run_in_threadpool(service.gate.session_of_link, token)
        if session is None:
            return page("sign_in.html", code=401, wrong=True)
        return _signed_in(session, request, service)

    return follow


async def _sign_out(request: Request) -> Response:
    answer = RedirectResponse("/sign-in", status_code=303)
    answer.delete_cookie(COOKIE)
    return answer


def _signed_in(session: str, request: Request, service: Service) -> Response:
    """Carry the session from here on, beginning with the first page that its key may see."""
    try:
        service.gate.visitor("", cookies={COOKIE: session}, scope=Scope.ANALYSE)
        first = "/"
    except Forbidden:
        first = "/decisions"
    answer = RedirectResponse(first, status_code=303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, session, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)
    return answer
