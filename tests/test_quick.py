"""A quick route answers what a plain FastAPI route of the same function answers, whatever is sent."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from serving.quick import Quick

JSON = "application/json"
GOOD = {"name": "ann", "size": 3, "parts": [{"at": 1.5}]}


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    at: float


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(max_length=5)]
    size: int = 1
    parts: list[Part] = []


async def caller(request: Request) -> str:
    return request.headers.get("x-caller", "nobody")


Call = Annotated[str, Depends(caller)]


async def answer(body: Asked, call: Call) -> JSONResponse:
    return JSONResponse({"call": call} | body.model_dump())


async def faults(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return JSONResponse([[each["loc"], each["type"], each["msg"]] for each in error.errors()], 422)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    made = FastAPI(exception_handlers={RequestValidationError: faults})
    quick, plain = APIRouter(route_class=Quick), APIRouter()
    quick.post("/quick")(answer)
    plain.post("/plain")(answer)
    made.include_router(quick)
    made.include_router(plain)
    return made


async def both(app: FastAPI, *, kind: str | None, content: str | bytes) -> list[tuple[int, Any]]:
    headers = {"x-caller": "app"} | ({"content-type": kind} if kind else {})
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://bank") as client:
        answers = [await client.post(path, content=content, headers=headers) for path in ("/quick", "/plain")]
    return [(each.status_code, each.json()) for each in answers]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (JSON, json.dumps(GOOD)),
        (f"{JSON}; charset=utf-8", json.dumps(GOOD)),
        ("application/merge-patch+json", json.dumps(GOOD)),
        ("text/plain", json.dumps(GOOD)),
        (None, json.dumps(GOOD)),
        (JSON, ""),
        (None, ""),
        (JSON, "null"),
        (JSON, "[]"),
        (JSON, '"ann"'),
        (JSON, "{"),
        (JSON, "not json"),
        (JSON, json.dumps({"name": "much too long", "size": "x", "parts": [{"at": None}, {"at": 1, "of": 2}]})),
        (JSON, json.dumps(GOOD | {"unknown": 1})),
        (JSON, '{"name": "ann", "size": NaN}'),
        (JSON, '{"name": "ann", "size": ' + "9" * 5_000 + "}"),
        (JSON, b'{"name": "\xff"}'),
        (JSON, "[" * 100_000),
        (JSON, '{"name": "ann", "name": "bob"}'),
    ],
)
def test_a_quick_route_and_a_plain_one_answer_alike(app: FastAPI, kind: str | None, content: str | bytes) -> None:
    quick, plain = asyncio.run(both(app, kind=kind, content=content))
    assert quick == plain


def test_a_function_that_takes_more_is_refused_when_the_route_is_made() -> None:
    async def greedy(body: Asked, call: Call, page: int = 1) -> JSONResponse:
        return JSONResponse([])

    with pytest.raises(TypeError, match="greedy takes more than a body and a call"):
        APIRouter(route_class=Quick).post("/")(greedy)
