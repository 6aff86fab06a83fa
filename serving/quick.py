"""Routes of many calls a second: one JSON body, one key, nothing else.

FastAPI describes them and their bodies' models check what comes in, as on any route. What is left out is
its solving of dependencies around each call, which took longer than deciding, and its search for the route.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

_NOTHING = object()  # no body at all; JSON's null is a body
Told = Callable[[Request, Exception], Awaitable[Response | None]]
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))


class Answer(Response):
    """JSON as `JSONResponse` writes it, by an encoder that is made once; `content` holds no circle."""

    media_type = "application/json"

    def __init__(self, content: Any) -> None:
        self.status_code, self.background = 200, None
        self.body = _encoder.encode(content).encode()
        length = str(len(self.body)).encode()
        self.raw_headers = [(b"content-length", length), (b"content-type", b"application/json")]


class Quick(APIRoute):
    """A route whose function takes `body`, a model, and `call`, a dependency on the request alone.

    Raises `TypeError` at import for any other function.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **settings: Any) -> None:
        super().__init__(path, endpoint, **settings)
        names = endpoint.__code__.co_varnames[: endpoint.__code__.co_argcount]
        needed = [each.call for each in self.dependant.dependencies]
        if names != ("body", "call") or self.body_field is None or len(needed) != 1 or needed[0] is None:
            raise TypeError(f"{endpoint.__name__} takes more than a body and a call: it is no quick route")
        self._body: type[BaseModel] = self.body_field.field_info.annotation  # type: ignore[assignment]
        self._admit: Callable[[Request], Awaitable[Any]] = needed[0]

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a method that is not ours is refused as everywhere."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive, send)
        call = await self._admit(request)
        answer: Response = await self.endpoint(body=_checked(self._body, await _json(request)), call=call)
        await answer(scope, receive, send)


class Direct:
    """Hands a request for a quick route to it at once; any other goes on to the router, which tries one by one.

    What goes wrong in such a route is answered by `told`, None for what is not its to tell.
    """

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute], told: Told) -> None:
        self._app = app
        found = [route for route in routes if isinstance(route, Quick)]
        self._routes = {(method, route.path): route for route in found for method in route.methods or ()}
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through."""
        route = None if scope["type"] != "http" else self._routes.get((scope["method"], scope["path"]))
        if route is None or scope.get("root_path"):
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        try:
            await route.handle(scope, receive, send)
        except Exception as error:
            answer = await self._told(Request(scope, receive, send), error)
            if answer is None:
                raise
            await answer(scope, receive, send)


async def _json(request: Request) -> Any:
    """The body as JSON, or its bytes where it says that it is something else."""
    try:
        content = await request.body()
    except ClientDisconnect as error:
        raise HTTPException(400, "the caller left before the body was whole") from error
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not content or not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
        return content or _NOTHING
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        fault = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
        raise RequestValidationError([fault]) from error
    except (ValueError, RecursionError) as error:  # bytes that are no text, numbers of a mile, brackets of a mile
        raise HTTPException(400, "There was an error parsing the body") from error


def _checked(model: type[BaseModel], content: Any) -> BaseModel:
    if content is _NOTHING:
        raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}])
    try:
        return model.model_validate(content, from_attributes=True)  # as FastAPI does, so that faults read alike
    except ValidationError as error:
        faults = [
            {**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False, include_input=False)
        ]
        raise RequestValidationError(faults) from None
