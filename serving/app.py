"""The HTTP application: routes, pages, and what surrounds every request."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from recsys.errors import RecsysError
from serving.around import Admitted, Bounded, Measured, problem_answer
from serving.bootstrap import Service
from serving.console import console
from serving.dashboard import page
from serving.experiment_routes import trial_routes
from serving.forms import SignInFirst
from serving.housekeeping import keep_house
from serving.misfits import Misfit
from serving.openapi import complete
from serving.problems import pointer, status_of
from serving.quick import Direct
from serving.readings import Readings
from serving.rights_routes import rights
from serving.routes import HEALTH, READY, api, open_routes, personal, quick
from serving.security import Forbidden
from serving.steering_routes import steering

TIDY_SECONDS = 3600.0
_SOON_SECONDS = 30.0  # where another process was at it, or the database away
T = TypeVar("T")
GUARD_SECONDS = 30.0  # between two looks at what live guardrails say (OPS-4)
logger = logging.getLogger(__name__)

DESCRIPTION = """What to show a bank's customer, decided within hard rules, with known and logged probabilities.

Ask `POST /v1/recommendations`, report `POST /v1/displays` and `POST /v1/outcomes`, and tell facts with
`PUT /v1/customers/{id}`. Times are RFC 3339 with a zone, money is integer pence."""


def create_app(service: Service) -> FastAPI:
    """The application over a composed service."""
    app = FastAPI(
        title="recsys",
        version="1",
        description=DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # to where the Host header says: 404 is safer
        separate_input_output_schemas=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},  # ours is enough
    )
    app.state.service = service
    app.add_middleware(Direct, routes=quick.routes, told=_told)  # the inner one
    app.add_middleware(Bounded)
    app.add_middleware(Admitted, most=service.home.settings.most_in_flight)
    app.add_middleware(Measured, service=service)  # the outer one: what is refused is counted too
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, _told_accident)
    app.include_router(quick)
    app.include_router(api)
    app.include_router(personal)
    app.include_router(steering)
    app.include_router(rights)
    app.include_router(open_routes)
    app.state.readings = Readings(service)
    app.include_router(trial_routes)
    app.include_router(console(service, readings=app.state.readings))
    app.mount("/docs/assets", StaticFiles(directory=_swagger()))
    app.add_api_route("/docs", _docs, include_in_schema=False)
    complete(app)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    await run_in_threadpool(lambda: None)  # loads what handing work to threads needs, before a request waits for it
    task = asyncio.create_task(_refreshing(service, readings=app.state.readings))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.to_thread(service.close)


async def _refreshing(service: Service, *, readings: Readings) -> None:
    """Look for new artefacts and experiments, off the request path, for as long as the server runs."""
    tidy_at, guarded = 0.0, time.monotonic()
    while True:
        await asyncio.sleep(service.home.settings.poll_seconds)
        try:
            await _whole(service.refresh)
            if time.monotonic() > tidy_at:
                tidy_at = time.monotonic() + _SOON_SECONDS
                if await _whole(lambda: keep_house(service.home)):
                    tidy_at = time.monotonic() + TIDY_SECONDS
            if time.monotonic() - guarded > GUARD_SECONDS:
                guarded = time.monotonic()
                for sentence in await _whole(readings.guard):
                    logger.warning("a guardrail stopped an arm: %s", sentence)
        except Exception as error:  # whatever it was, the next look must come
            logger.warning("could not refresh: %s", type(error).__name__)


async def _whole(work: Callable[[], T]) -> T:
    """Work in a thread; where we are told to end meanwhile, only after it: the database is let go next."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await running
        raise


def _swagger() -> Path:
    """The scripts inside swagger-ui-py, found without importing it, which would load a YAML parser and more."""
    found = importlib.util.find_spec("swagger_ui")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "static"


async def _docs() -> HTMLResponse:
    """The API's description for a person, from this machine alone."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="recsys API",
        swagger_js_url="/docs/assets/swagger-ui-bundle.js",
        swagger_css_url="/docs/assets/swagger-ui.css",
        swagger_favicon_url="/docs/assets/favicon-32x32.png",
    )


# -- errors: problem documents, never a value a caller sent -------------------------------------


async def _told_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RecsysError)
    status = status_of(error)
    if isinstance(error, Forbidden) and _for_a_person(request):
        return page("missing.html", code=403, title="Not with this key", sentence=str(error))
    if status == 500:
        logger.error("%s: %s", request.url.path.split("/")[1:3], type(error).__name__)
        return problem_answer(500, "this request met a fault of ours; it was counted")
    errors = [{"pointer": pointer(error.at), "detail": str(error)}] if isinstance(error, Misfit) else []
    return problem_answer(status, str(error), errors=errors)


async def _told_misfit(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [{"pointer": pointer(fault["loc"]), "detail": str(fault["msg"])} for fault in error.errors()[:20]]
    first = f"{faults[0]['pointer'] or 'the body'}: {faults[0]['detail']}"
    return problem_answer(422, first, errors=faults)


async def _told_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = problem_answer(error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    if error.status_code == 405:  # a route knows its own method only, the description those of its path
        path = getattr(request.scope.get("route"), "path", "")
        allowed = {*map(str.upper, request.app.openapi()["paths"].get(path, ()))}
        if path in (HEALTH, READY):
            allowed.add("HEAD")
        answer.headers["Allow"] = ", ".join(sorted(allowed)) or answer.headers.get("Allow", "")
    return answer


def _for_a_person(request: Request) -> bool:
    """Whether a page was asked for, and not the API."""
    return not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")


async def _to_sign_in(request: Request, error: Exception) -> Response:
    return RedirectResponse("/sign-in", status_code=303)


async def _told_accident(request: Request, error: Exception) -> Response:
    logger.error("unexpected %s", type(error).__name__)
    return problem_answer(500, "this request met a fault of ours; it was counted")


async def _told_nobody(request: Request, error: Exception) -> Response:
    return problem_answer(400, "the caller left before the request was whole")


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    RecsysError: _told_error,
    RequestValidationError: _told_misfit,
    HTTPException: _told_http,
    SignInFirst: _to_sign_in,
    ClientDisconnect: _told_nobody,
}


async def _told(request: Request, error: Exception) -> Response | None:
    """The answer to what went wrong in a route; None for an accident, which is told further out."""
    handler = next((_HANDLERS[kind] for kind in type(error).__mro__ if kind in _HANDLERS), None)
    return None if handler is None else await handler(request, error)
