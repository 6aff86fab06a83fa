"""A person's rights over HTTP: all that is held on them, being forgotten, and the receipt."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from recsys.keys import Scope
from recsys.vocabulary import CustomerId
from serving.erasure import erase, receipt_of
from serving.held import held_on
from serving.routes import PROBLEMS, Audits, Call, needs
from serving.schemas import ErasureOut, HeldOut, Id, Problem
from serving.traced import Traced

Erases = Annotated[Call, needs(Scope.ADMIN)]
rights = APIRouter(prefix="/v1", tags=["rights"], responses=PROBLEMS, route_class=Traced)
_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "nobody told us of it"}}


@rights.get(
    "/customers/{customer_id}/export", operation_id="export_customer", response_model=HeldOut, responses=_UNKNOWN,
    summary="All that is held on one person",
)  # fmt: skip
async def export_customer(customer_id: Id, call: Audits) -> Response:
    """Tell everything: facts, permissions, contact, activities, vector, decisions with reasons, outcomes."""
    return JSONResponse(await run_in_threadpool(held_on, call.service.home, CustomerId(customer_id)))


@rights.delete(
    "/customers/{customer_id}", operation_id="erase_customer", response_model=ErasureOut, summary="Forget a person",
)  # fmt: skip
async def erase_customer(customer_id: Id, call: Erases) -> Response:
    """Forget a person in every store; in force for the next request. The receipt names the stores, not the person."""
    return JSONResponse(receipt_of(await run_in_threadpool(erase, call.service.home, CustomerId(customer_id))))


@rights.get(
    "/erasures/{erasure_id}", operation_id="get_erasure", response_model=ErasureOut, responses=_UNKNOWN,
    summary="What became of an erasure",
)  # fmt: skip
async def get_erasure(erasure_id: Id, call: Erases) -> Response:
    """Tell what was done in each store, and whether all of it is."""
    return JSONResponse(receipt_of(await run_in_threadpool(call.service.home.erasures.get, erasure_id)))
