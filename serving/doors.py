"""Two doors into the engine for a synthetic bank: in process, and through the real HTTP API."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from recsys.bank.visits import Visit
from recsys.customers import Told
from recsys.entries import REFUSALS, Entry, Status
from recsys.errors import Conflict, RecsysError
from recsys.vocabulary import Activity, Decision, Outcome
from serving.bootstrap import Installation
from serving.recommender import Recommender
from serving.second_decider import Made, SecondDecider, Wish, made
from serving.traffic import Answer, Report

_AT_ONCE = 32
_WORTH_SHARING = 8  # visitors: handing over fewer costs more than deciding
_OWN_SHARE = 0.46  # a little less than half: this process also reads, and writes for both


class InProcess:
    """The engine without HTTP: the same recommender, the same log, one commit an hour."""

    def __init__(
        self,
        home: Installation,
        *,
        recommender: Recommender,
        slots: Mapping[str, int],
        second: SecondDecider | None = None,
    ) -> None:
        self._home = home
        self._recommender = recommender
        self._slots = slots
        self._second = second

    async def tell(self, told: Sequence[Told]) -> None:
        """Facts and permissions."""
        self._home.customers.tell(told, log=self._home.log)

    async def record(self, activities: Sequence[Activity]) -> None:
        """Activities."""
        self._home.customers.add_activities(activities, told_at=self._home.clock.now())

    async def ask(self, visits: Sequence[Visit]) -> list[Answer]:
        """A slate for each visitor, all made durable together; those that could not be written are decided anew."""
        decisions: dict[int, Decision] = {}  # by the visit's place
        waiting, redraws = list(range(len(visits))), 0
        while waiting:  # the recommender's last redraw reserves nothing, so it is written
            wishes = [self._wish(visits[place], earlier=decisions.get(place), redraws=redraws) for place in waiting]
            found = self._made(wishes)
            decisions |= dict(zip(waiting, (each.decision for each in found), strict=True))
            appended = self._home.log.append_encoded([each.pair(self._recommender) for each in found])
            receipts = zip(waiting, appended, strict=True)
            waiting, redraws = [place for place, receipt in receipts if receipt.status in REFUSALS], redraws + 1
        return [
            Answer(
                each.decision_id,
                each.mode,
                {assigned.experiment_id: assigned.variant for assigned in each.experiments},
                tuple(slot.product_id for slot in each.shown),
            )
            for each in (decisions[place] for place in range(len(visits)))
        ]

    async def report(self, reports: Sequence[Report]) -> tuple[int, int, int]:
        """Outcomes; (accepted, duplicates, rejected)."""
        customers = sorted({report.outcome.customer_id for report in reports})
        tokens = self._home.customers.tokens(customers)
        receipts = self._home.log.append(
            [
                Entry(
                    Outcome(
                        report.outcome.outcome_id,
                        tokens[report.outcome.customer_id],
                        report.outcome.product_id,
                        report.outcome.kind,
                        report.outcome.happened_at,
                        report.decision_id,
                        report.outcome.amount_pence,
                    )
                )
                for report in reports
            ]
        )
        kinds = [receipt.status for receipt in receipts]
        return kinds.count(Status.APPENDED), kinds.count(Status.DUPLICATE), kinds.count(Status.CONFLICT)

    def _wish(self, visit: Visit, *, earlier: Decision | None, redraws: int) -> Wish:
        decision_id = self._recommender.new_id() if earlier is None else earlier.decision_id
        return Wish(visit.customer_id, visit.surface, self._slots[visit.surface], decision_id, redraws)

    def _made(self, wishes: Sequence[Wish]) -> list[Made]:
        """Decisions for all of them, in order; about half of many by the second process."""
        known = self._home.customers.known_tokens([wish.customer_id for wish in wishes])
        for wish in wishes:
            if wish.customer_id not in known:
                self._home.customers.introduce(wish.customer_id)
        shared = self._second is not None and len(wishes) >= _WORTH_SHARING
        here = round(len(wishes) * _OWN_SHARE) if shared else len(wishes)
        if self._second is not None and here < len(wishes):
            self._second.begin(wishes[here:])
        profiles = self._home.customers.profiles([wish.customer_id for wish in wishes[:here]])
        found = [made(self._recommender, wish, profile=profiles[wish.customer_id]) for wish in wishes[:here]]
        return found + (self._second.end() if self._second is not None and here < len(wishes) else [])


class OverHttp:
    """The engine behind its HTTP API, asked by many visitors at once."""

    def __init__(self, client: aiohttp.ClientSession, *, slots: Mapping[str, int]) -> None:
        self._client = client
        self._slots = slots
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._requests = itertools.count()
        self.seconds: list[float] = []  # each recommendation, with many in flight

    async def tell(self, told: Sequence[Told]) -> None:
        """Facts and permissions, as a bank's backend sends them."""
        body = {"customers": [_customer_json(each) for each in told]}
        await self._post("/v1/customers/batch", body)

    async def record(self, activities: Sequence[Activity]) -> None:
        """Activities."""
        items = [
            {
                "activity_id": each.activity_id,
                "customer_id": each.customer_id,
                "kind": each.kind,
                "subject": each.subject,
                "happened_at": each.happened_at.isoformat(),
                "amount_pence": each.amount_pence,
            }
            for each in activities
        ]
        answer = await self._post("/v1/activity", {"activities": items})
        if answer["rejected"]:
            raise Conflict(f"an activity was refused: {answer['rejected'][0]['reason']}")

    async def ask(self, visits: Sequence[Visit]) -> list[Answer]:
        """A slate for each visitor, asked at once."""
        return list(await asyncio.gather(*(self._one(visit) for visit in visits)))

    async def report(self, reports: Sequence[Report]) -> tuple[int, int, int]:
        """Outcomes; (accepted, duplicates, rejected)."""
        answer = await self._post("/v1/outcomes", {"outcomes": [_outcome_json(report) for report in reports]})
        return answer["accepted"], answer["duplicates"], len(answer["rejected"])

    async def _one(self, visit: Visit) -> Answer:
        body = {
            "request_id": f"{visit.surface}-{next(self._requests)}-{visit.row}",
            "customer_id": visit.customer_id,
            "surface": visit.surface,
            "slots": self._slots[visit.surface],
        }
        async with self._places:
            started = time.perf_counter()
            answer = await self._post("/v1/recommendations", body)
            self.seconds.append(time.perf_counter() - started)
        return Answer(
            answer["decision_id"],
            answer["mode"],
            {each["id"]: each["variant"] for each in answer["experiments"]},
            tuple(slot["product_id"] for slot in answer["slate"]),
        )

    async def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        async with self._client.post(path, json=body) as answer:
            if answer.status >= 300:
                raise RecsysError(f"POST {path} answered {answer.status}: {(await answer.text())[:300]}")
            return await answer.json()


def _customer_json(told: Told) -> dict[str, Any]:
    allowed = told.permissions
    return {
        "customer_id": told.customer_id,
        "as_of": told.as_of.isoformat(),
        "facts": {name: list(value) if isinstance(value, tuple) else value for name, value in told.facts.items()},
        "permissions": None
        if allowed is None
        else {
            "in_app": allowed.in_app,
            "push": allowed.push,
            "email": allowed.email,
            "targeted_support": allowed.targeted_support,
            "objected_at": None if allowed.objected_at is None else allowed.objected_at.isoformat(),
        },
    }


def _outcome_json(report: Report) -> dict[str, Any]:
    outcome = report.outcome
    names = {"decision_id": report.decision_id} if report.decision_id else {"customer_id": outcome.customer_id}
    return {
        "outcome_id": outcome.outcome_id,
        "product_id": outcome.product_id,
        "kind": outcome.kind,
        "happened_at": outcome.happened_at.isoformat(),
        "amount_pence": outcome.amount_pence,
    } | names
