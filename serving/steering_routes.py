"""Kill switches and overrides over HTTP: who may order, what is asked, and what stands."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from recsys.keys import Scope
from recsys.vocabulary import Override, Switch
from serving.bootstrap import Service
from serving.formats import rfc3339
from serving.misfits import Misfit
from serving.routes import PROBLEMS, Call, needs
from serving.schemas import Id, Problem
from serving.steering_schemas import (
    OverrideIn,
    OverrideOut,
    OverridesResponse,
    SwitchesResponse,
    SwitchIn,
    SwitchOut,
    Why,
)
from serving.traced import Traced

Orders = Annotated[Call, needs(Scope.ADMIN)]
steering = APIRouter(prefix="/v1", tags=["steering"], responses=PROBLEMS, route_class=Traced)
_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "no such override"}}
_TAKEN: dict[int | str, dict[str, Any]] = {409: {"model": Problem, "description": "the id names another override"}}


@steering.get(
    "/switches", operation_id="list_switches", response_model=SwitchesResponse, summary="Every kill switch",
)  # fmt: skip
async def switches(call: Orders) -> Response:
    """Tell the last word on each switch, in the order in which they were given."""
    found, _ = await run_in_threadpool(call.service.home.orders.history)
    return JSONResponse({"switches": _switches(found, now=call.service.clock.now())})


@steering.put("/switches", operation_id="switch", response_model=SwitchOut, summary="Turn something off, or on again")
async def switch(body: SwitchIn, call: Orders) -> Response:
    """Take an order; it is durable on return and in force on every worker within five seconds."""
    service = call.service
    order = Switch(body.scope, body.subject, body.off, body.reason, call.caller.name, body.expires_at)
    known = service.home.subjects()
    done = await run_in_threadpool(service.home.orders.switch, order, known=known)
    return JSONResponse(_switches([done], now=service.clock.now())[0])


@steering.get(
    "/overrides", operation_id="list_overrides", response_model=OverridesResponse, summary="Every pin, ban and boost",
)  # fmt: skip
async def overrides(call: Orders) -> Response:
    """Tell every override, in the order in which they were given, withdrawn and expired ones too."""
    _, found = await run_in_threadpool(call.service.home.orders.history)
    return JSONResponse({"overrides": _overrides(found, now=call.service.clock.now())})


@steering.put(
    "/overrides/{override_id}", operation_id="put_override", response_model=OverrideOut, responses=_TAKEN,
    summary="Pin, ban or boost a product",
)  # fmt: skip
async def put_override(override_id: Id, body: OverrideIn, call: Orders) -> Response:
    """Take an override under an id of the caller's; the same again changes nothing."""
    if (body.strength is None) == (body.action == "boost"):
        raise Misfit("a boost says by how much, and nothing else does", at=("strength",))
    strength = {"pin": 1.0, "ban": 0.0}.get(body.action, body.strength or 0.0)
    order = Override(
        override_id, body.action, body.product_id, strength, body.reason, call.caller.name, body.expires_at,
        body.surface or "",
    )  # fmt: skip
    return await _answered(call.service, order)


@steering.delete(
    "/overrides/{override_id}", operation_id="withdraw_override", response_model=OverrideOut, responses=_UNKNOWN,
    summary="End an override now",
)  # fmt: skip
async def withdraw(override_id: Id, call: Orders, reason: Annotated[Why, Query(description="why it ends")]) -> Response:
    """End an override before its time and keep why."""
    service = call.service
    done = await run_in_threadpool(service.home.orders.withdraw, override_id, by=call.caller.name, reason=reason)
    return JSONResponse(_overrides([done], now=service.clock.now())[0])


async def _answered(service: Service, order: Override) -> Response:
    known = service.home.subjects()
    done = await run_in_threadpool(service.home.orders.override, order, known=known)
    return JSONResponse(_overrides([done], now=service.clock.now())[0])


def _switches(found: Iterable[Switch], *, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "scope": each.scope,
            "subject": each.subject,
            "off": each.off,
            "in_force": each.off and (each.expires_at is None or now < each.expires_at),
            "reason": each.reason,
            "by": each.by,
            "expires_at": None if each.expires_at is None else rfc3339(each.expires_at),
            "changed_at": None if each.changed_at is None else rfc3339(each.changed_at),
        }
        for each in found
    ]


def _overrides(found: Iterable[Override], *, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "override_id": each.override_id,
            "action": each.action,
            "product_id": each.product_id,
            "strength": each.strength,
            "surface": each.surface or None,
            "in_force": now < each.ends_at,
            "reason": each.reason,
            "by": each.by,
            "expires_at": rfc3339(each.expires_at),
            "withdrawn_at": None if each.withdrawn_at is None else rfc3339(each.withdrawn_at),
        }
        for each in found
    ]
