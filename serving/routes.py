"""HTTP version 1: what the app backend calls. Each route reads, asks one function, and answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from recsys.artefacts import digest_of
from recsys.entries import REFUSALS, Entry, Receipt, Status
from recsys.entries import Request as Asked
from recsys.errors import Conflict, StoreUnavailable
from recsys.keys import Scope
from recsys.vocabulary import CustomerId, Decision
from serving import intake
from serving.answers import answer_of, unlogged_answer
from serving.bootstrap import Service
from serving.finding import SURFACE, engine_of
from serving.misfits import Misfit
from serving.quick import Answer, Quick
from serving.receipts import receipt_of
from serving.schemas import (
    ActivityRequest,
    BatchResponse,
    CustomerIn,
    CustomersRequest,
    CustomersResponse,
    DisplaysRequest,
    Health,
    Id,
    OutcomesRequest,
    OutcomesResponse,
    Problem,
    Readiness,
    ReceiptOut,
    RecommendationRequest,
    RecommendationResponse,
    SearchRequest,
)
from serving.security import Caller, Unauthorised
from serving.settings import LOOPBACK
from serving.slates import Ask
from serving.telling import RulesTold, read_story
from serving.traced import Traced, note_caller

PATIENCE_SECONDS = 5.0  # how long an answer without a deadline waits to become durable
_WAITING_SHARE = 0.6  # of a deadline: what is left is for the rung below, and for the way back
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {"application/problem+json": {}}, "description": what}
    for status, what in {
        400: "a body that cannot be read",
        401: "no key in force",
        403: "the key lacks the scope",
        413: "a body over 1 MiB",
        422: "the request does not fit",
        503: "a part is not available",
    }.items()
}


def service_of(request: Request) -> Service:
    """The service behind the app."""
    service: Service = request.app.state.service
    return service


@dataclass(frozen=True, slots=True)
class Call:
    """A caller who was let in, and the service that answers."""

    caller: Caller
    service: Service
    began: float  # machine time


def needs(scope: Scope) -> Any:
    """A dependency that admits callers whose key has `scope`: the only one of a route, as each costs time."""

    async def admitted(request: Request) -> Call:  # on the loop: a thread would cost more than the short look-up
        service, began = service_of(request), time.monotonic()
        caller = service.gate.caller_at_once(request.headers.get("authorization", ""), scope=scope)
        note_caller(request, caller)
        return Call(caller, service, began)

    return Depends(admitted)


Recommends = Annotated[Call, needs(Scope.RECOMMEND)]
Audits = Annotated[Call, needs(Scope.AUDIT)]

api = APIRouter(prefix="/v1", tags=["engine"], responses=PROBLEMS)
quick = APIRouter(prefix="/v1", tags=["engine"], responses=PROBLEMS, route_class=Quick)
personal = APIRouter(prefix="/v1", tags=["engine"], responses=PROBLEMS, route_class=Traced)  # one person's record
open_routes = APIRouter(tags=["health"])
HEALTH, READY = "/healthz", "/readyz"  # asked by GET, or by HEAD, which the description leaves out


@quick.post(
    "/recommendations",
    operation_id="recommend",
    summary="What to show a customer on a surface",
    response_model=RecommendationResponse,
    responses={409: {"model": Problem, "description": "the same request id with another body"}},
)
async def recommend(body: RecommendationRequest, call: Recommends) -> Response:
    """Answer with a slate; the decision is durable before the answer leaves."""
    return await _answered(body, call, _asked(body, call.service))


@quick.post(
    "/search",
    operation_id="search",
    summary="What a customer searches for",
    response_model=RecommendationResponse,
    responses={409: {"model": Problem, "description": "the same request id with another body"}},
)
async def search(body: SearchRequest, call: Recommends) -> Response:
    """Answer with what fits the words best, within the rules; logged as a recommendation is, without the words."""
    catalogue = call.service.offers.current.catalogue
    model = call.service.home.settings.search_model
    await run_in_threadpool(engine_of, catalogue, model=model)  # at hand, but for the first search of a new catalogue
    ask = Ask(CustomerId(body.customer_id), SURFACE, body.slots, request_id=body.request_id, query=body.query)
    return await _answered(body, call, ask)


async def _answered(body: RecommendationRequest | SearchRequest, call: Call, ask: Ask) -> Response:
    service = call.service
    request = None if body.request_id is None else Asked(call.caller.name, body.request_id, _digest(body))
    if body.deadline_ms is not None and service.patience.spent():
        return Answer(unlogged_answer(service, ask))
    patience = PATIENCE_SECONDS if body.deadline_ms is None else body.deadline_ms / 1000 * _WAITING_SHARE
    try:
        async with asyncio.timeout(patience - (time.monotonic() - call.began)):
            decision, receipt = await _decided(service, ask, request, patience=patience)
            if receipt.status is Status.DUPLICATE and receipt.decision_id is not None:
                event = await run_in_threadpool(service.log.decision, receipt.decision_id)
                decision = event.body if isinstance(event.body, Decision) else decision
    except (StoreUnavailable, TimeoutError):
        service.patience.give_up()
        return Answer(unlogged_answer(service, ask))
    if receipt.status is Status.CONFLICT:
        raise Conflict("this request id came before with another body; use a new id")
    service.intake.remember(decision)
    if receipt.status is Status.DUPLICATE:
        decision = service.recommender.repeated(
            decision, profile=await service.looking_up.profile(ask.customer_id, patience=patience)
        )
    else:
        service.telemetry.decided(decision.surface, decision.mode)
    return Answer(answer_of(decision))


@quick.post(
    "/displays", operation_id="report_displays", status_code=202, response_model=BatchResponse,
    summary="What was really shown",
)  # fmt: skip
async def displays(body: DisplaysRequest, call: Recommends) -> Response:
    """Take in what was shown for each decision, in order."""
    service = call.service
    taken = await run_in_threadpool(service.intake.displays, body.displays)
    return await _batch_answer(service, taken, name="id")


@quick.post(
    "/outcomes", operation_id="report_outcomes", status_code=202, response_model=OutcomesResponse,
    summary="What came of it",
)  # fmt: skip
async def outcomes(body: OutcomesRequest, call: Recommends) -> Response:
    """Take in outcomes, attributed to a decision or organic; accepted means durable."""
    service = call.service
    offer = service.offers.current
    checked = partial(
        service.intake.outcomes,
        body.outcomes,
        rewards=offer.rewards,
        catalogue=frozenset(offer.catalogue.ids),
        source=call.caller.name,
    )
    taken = checked() if service.intake.at_hand(body.outcomes) else await run_in_threadpool(checked)
    return await _batch_answer(service, taken, name="outcome_id")


@quick.post(
    "/activity", operation_id="report_activity", status_code=202, response_model=BatchResponse,
    summary="What customers do in the app and with money",
)  # fmt: skip
async def activity(body: ActivityRequest, call: Recommends) -> Response:
    """Take in activities: the live feed of histories. The same id and body again changes nothing."""
    service = call.service
    now = service.clock.now()
    latest = now + intake.SKEW
    late = [
        (item.activity_id, "happened_at lies in the future") for item in body.activities if item.happened_at > latest
    ]
    items = [intake.activity_of(item) for item in body.activities if item.happened_at <= latest]
    verdicts = await run_in_threadpool(service.customers.add_activities, items, told_at=now)
    why = {"conflict": intake.CONFLICT, "erased": intake.ERASED}
    refused = [(item.activity_id, why[said]) for item, said in zip(items, verdicts, strict=True) if said in why]
    return _told(verdicts.count("accepted"), verdicts.count("duplicate"), late + refused, name="id")


@api.put(
    "/customers/{customer_id}", operation_id="put_customer", response_model=CustomersResponse,
    summary="Facts and permissions of one customer",
)  # fmt: skip
async def put_customer(customer_id: Id, body: CustomerIn, call: Recommends) -> Response:
    """Take in facts and permissions, in force on the next request; older never overwrites newer."""
    service = call.service
    return await _tell(service, [(customer_id, body, ())])


@quick.post(
    "/customers/batch", operation_id="put_customers", response_model=CustomersResponse,
    summary="Facts and permissions of many customers",
)  # fmt: skip
async def put_customers(body: CustomersRequest, call: Recommends) -> Response:
    """Take in many customers in one transaction: all of them, or none and the reason."""
    service = call.service
    return await _tell(
        service, [(item.customer_id, item, ("customers", number)) for number, item in enumerate(body.customers)]
    )


@personal.get(
    "/decisions/{decision_id}", operation_id="get_decision", response_model=ReceiptOut,
    summary="The whole record of one decision",
    responses={404: {"model": Problem, "description": "no such decision"}},
)  # fmt: skip
async def get_decision(
    decision_id: Id,
    call: Audits,
    rules: Annotated[RulesTold, Query(description="refusals and a count, or every verdict")] = "refused",
    verify: Annotated[bool, Query(description="recompute draws and probabilities and say what was equal")] = False,  # noqa: FBT002  # a query parameter has a name
) -> Response:
    """Tell what made the decision and what came of it: verdicts, probabilities, reasons, versions, outcomes."""
    service = call.service

    def told() -> dict[str, Any]:
        story = read_story(service.log, decision_id)
        live = service.live if verify else None
        return receipt_of(story, explainer=service.home.explainer, rules=rules, live=live)

    return JSONResponse(await run_in_threadpool(told))


@open_routes.get(HEALTH, operation_id="health", response_model=Health, summary="Alive")
async def health() -> Response:
    """Answer while the process runs."""
    return JSONResponse({"status": "alive"})


@open_routes.get(
    READY, operation_id="ready", response_model=Readiness, summary="Ready, or what is missing",
    responses={503: {"model": Readiness, "description": "what is missing"}},
)  # fmt: skip
async def ready(request: Request) -> Response:
    """Say whether requests can be answered and logged."""
    missing, notes = await run_in_threadpool(service_of(request).readiness)
    body = {"ready": not missing, "missing": missing, "notes": notes}
    return JSONResponse(body, status_code=503 if missing else 200)


@open_routes.head(HEALTH, include_in_schema=False)
async def health_alone() -> Response:
    """What GET answers without its body, as load balancers ask."""
    return _bare(await health())


@open_routes.head(READY, include_in_schema=False)
async def ready_alone(request: Request) -> Response:
    """What GET answers without its body, as load balancers ask."""
    return _bare(await ready(request))


def _bare(answer: Response) -> Response:
    """An answer without its body; its headers still tell of it (RFC 9110, 9.3.2)."""
    return Response(status_code=answer.status_code, headers=answer.headers)


@open_routes.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Prometheus metrics, for loopback or a key that may analyse."""
    service = service_of(request)
    if request.client is None or request.client.host not in LOOPBACK:
        try:
            service.gate.caller(request.headers.get("authorization", ""), scope=Scope.ANALYSE)
        except Unauthorised:
            raise Unauthorised("metrics are for loopback, or a key with the scope analyse") from None
    return Response(service.metrics_text(), media_type="text/plain; version=0.0.4")


def _asked(body: RecommendationRequest, service: Service) -> Ask:
    given, wrong, unknown = intake.given_of(body.context)
    if wrong:
        raise Misfit(
            f"context {', '.join(wrong)}: not of the type that the feature definitions name", at=("context", wrong[0])
        )
    if unknown:
        service.telemetry.ignored.inc(unknown)
    return Ask(
        CustomerId(body.customer_id),
        body.surface,
        body.slots,
        given,
        body.request_id,
        None if body.candidates is None else tuple(body.candidates),
        tuple(body.exclude),
    )


async def _decided(service: Service, ask: Ask, request: Asked | None, *, patience: float) -> tuple[Decision, Receipt]:
    """A decision and what its append came to; durable on return.

    Where facts, permissions or caps changed before it was written, nothing was, and it is decided anew.
    """
    recommender, decision_id, redraws = service.recommender, "", 0
    while True:  # the recommender's last redraw reserves nothing, so it is written
        with service.tracing.step("profile"):
            profile = await service.looking_up.profile(ask.customer_id, patience=patience)
        with service.tracing.step("decide"):
            decision = recommender.decide(ask, profile=profile, decision_id=decision_id, redraws=redraws)
        entry = Entry(decision, request, recommender.reservation(decision, profile=profile))
        [receipt] = await _committed(service, [entry])
        if receipt.status not in REFUSALS:
            return decision, receipt
        decision_id, redraws = decision.decision_id, redraws + 1
        service.telemetry.redraws.labels(receipt.status.value).inc()


def _digest(body: RecommendationRequest | SearchRequest) -> str:
    """Equal for equal bodies, however their keys were ordered."""
    try:
        return digest_of(json.dumps(body.model_dump(), sort_keys=True, default=str))
    except (RecursionError, TypeError, ValueError):
        raise Misfit("context is nested too deeply", at=("context",)) from None


# -- answers -----------------------------------------------------------------------------------


async def _committed(service: Service, entries: Sequence[Entry]) -> list[Receipt]:
    """Durable, in a commit shared with whatever else arrived."""
    with service.tracing.step("commit"):
        return await service.commit.durable(entries)


async def _batch_answer(service: Service, taken: intake.Taken, *, name: str) -> Response:
    receipts = await _committed(service, taken.entries) if taken.entries else []
    accepted, duplicates, rejected = taken.result(receipts)
    service.telemetry.outcomes.labels("accepted").inc(accepted)
    service.telemetry.outcomes.labels("duplicate").inc(duplicates)
    service.telemetry.outcomes.labels("rejected").inc(len(rejected))
    return _told(accepted, duplicates, rejected, name=name)


def _told(accepted: int, duplicates: int, rejected: Sequence[tuple[str, str]], *, name: str) -> Response:
    refused = [{name: id_, "reason": reason} for id_, reason in rejected]
    return JSONResponse({"accepted": accepted, "duplicates": duplicates, "rejected": refused}, status_code=202)


async def _tell(service: Service, items: Sequence[tuple[str, CustomerIn, tuple[str | int, ...]]]) -> Response:
    told, latest = [], service.clock.now() + intake.SKEW
    for customer_id, item, where in items:
        try:
            told.append(intake.told_of(customer_id, item))
        except Misfit as misfit:
            raise Misfit(str(misfit), at=(*where, *misfit.at)) from None
        if item.as_of > latest:
            raise Misfit("as_of lies in the future", at=(*where, "as_of"))
    changed = await run_in_threadpool(service.customers.tell, told, log=service.log)
    return JSONResponse({"accepted": len(told), "changed": changed})
