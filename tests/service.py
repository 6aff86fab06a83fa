"""The service in a test: an app over a home of its own in this process, and real processes for what needs them.

`App` is asked synchronously, so that a test reads from top to bottom; its event loop runs only while
something is asked, and nothing ever sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from recsys.clocks import FixedClock
from recsys.keys import Keys, Scope
from recsys.vocabulary import Decision
from serving.app import create_app
from serving.bootstrap import Service, compose, serve
from serving.offer import apply_catalogue
from serving.settings import Settings
from tests.builders import START

CATALOGUE = Path(__file__).parent.parent / "recsys" / "bank" / "catalogue.toml"
ADULT: Mapping[str, Any] = {
    "date_of_birth": "1990-05-01",
    "age_verified": True,
    "residence": "GB",
    "status": "active",
    "joined_on": "2022-01-01",
    "arrears_days": 0,
    "forbearance": False,
    "breathing_space": False,
    "insolvent": False,
    "persistent_debt": False,
    "at_risk_of_difficulty": False,
    "credit_declined_on": None,
    "limit_increase_opt_out": False,
    "pre_eligible": [],
    "treatment_flags": [],
    "balance_pence": 150_000,
    "savings_pence": 400_000,
    "monthly_income_pence": 250_000,
    "monthly_spend_pence": 150_000,
    "last_paid_on": "2026-02-27",
    "next_payday_on": "2026-03-27",
    "isa_subscribed_pence": 0,
    "held": [],
    "signals": ["saver"],
    "emergency_months": 4.0,
    "has_defined_benefit_pension": False,
    "direct_debit_failed_on": None,
    "repeat_overdraft_use": False,
    "gambling_block": False,
    "gambling_spike": False,
}
NOW = START.isoformat().replace("+00:00", "Z")
IN_APP: Mapping[str, Any] = {"in_app": True, "push": True}


def stamp(at: datetime) -> str:
    """A time as callers send it."""
    return at.isoformat().replace("+00:00", "Z")


def apply_products(home: Path) -> None:
    """Publish the bank's catalogue in a home."""
    apply_catalogue(Settings(home=home).artefacts, text=CATALOGUE.read_text(), where=CATALOGUE.name)


@dataclass
class App:
    """One app over one home, asked synchronously."""

    service: Service
    clock: FixedClock
    keys: dict[str, str]
    loop: asyncio.Runner
    client: httpx.AsyncClient
    key: str = field(default="backend")

    def ask(self, method: str, path: str, *, key: str | None = "", **given: Any) -> httpx.Response:
        """One request; `key` names a key, "" is the backend's, None sends none."""
        return self.loop.run(self.asking(method, path, key=key, **given))

    async def asking(self, method: str, path: str, *, key: str | None = "", **given: Any) -> httpx.Response:
        """One request, for several at once."""
        headers = dict(given.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {self.keys[key or self.key]}"
        return await self.client.request(method, path, headers=headers, **given)

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.ask("GET", path, **given)

    def post(self, path: str, body: object, **given: Any) -> httpx.Response:
        return self.ask("POST", path, json=body, **given)

    def put(self, path: str, body: object, **given: Any) -> httpx.Response:
        return self.ask("PUT", path, json=body, **given)

    def raw(self, path: str, content: bytes, **given: Any) -> httpx.Response:
        """A body just as it is, said to be JSON."""
        return self.ask("POST", path, content=content, headers={"Content-Type": "application/json"}, **given)

    def together(self, bodies: Sequence[tuple[str, object]]) -> list[httpx.Response]:
        """Many POSTs at once."""

        async def all_() -> list[httpx.Response]:
            return await asyncio.gather(*(self.asking("POST", path, json=body) for path, body in bodies))

        return self.loop.run(all_())

    # -- what tests say most -------------------------------------------------------------------

    def recommend(self, customer: str = "ann", surface: str = "home", slots: int = 3, **more: Any) -> dict[str, Any]:
        """A recommendation that must succeed."""
        body = {"customer_id": customer, "surface": surface, "slots": slots} | more
        answer = self.post("/v1/recommendations", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def tell(self, customer: str = "ann", at: datetime | None = None, **more: Any) -> dict[str, Any]:
        """Facts and permissions that must be taken; facts default to an ordinary adult's."""
        body = {"as_of": stamp(at or self.clock.now()), "facts": dict(ADULT), "permissions": dict(IN_APP)} | more
        answer = self.put(f"/v1/customers/{customer}", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def receipt(self, decision_id: str, *, verify: bool = True, rules: str = "refused") -> dict[str, Any]:
        """The record of a decision, verified."""
        asked = {"verify": verify, "rules": rules}
        answer = self.get(f"/v1/decisions/{decision_id}", key="auditor", params=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def decisions(self) -> list[Decision]:
        """Every decision in the log, in order."""
        return [event.body for event in self.service.log.read() if isinstance(event.body, Decision)]

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.get("/metrics", key=None).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}(\{{|\s)", line))


@contextlib.contextmanager
def running(
    home: Path,
    *,
    catalogue: bool = True,
    client: tuple[str, int] = ("127.0.0.1", 5),
    at: datetime = START,
    raising: bool = True,
    **settings: Any,
) -> Iterator[App]:
    """An app over `home`, with keys "backend", "analyst", "auditor" and "nobody" (scope steer)."""
    if catalogue:
        apply_products(home)
    chosen = Settings(home=home, **({"holdout_share": 0.0, "uniform_share": 0.0} | settings))
    clock = FixedClock(at)
    service = serve(compose(chosen, clock=clock))
    with serving(service, keys=_keys(service), client=client, raising=raising) as app:
        yield app


@contextlib.contextmanager
def serving(
    service: Service, *, keys: dict[str, str], client: tuple[str, int] = ("127.0.0.1", 5), raising: bool = True
) -> Iterator[App]:
    """An app over a service that was composed already."""
    clock = service.clock
    assert isinstance(clock, FixedClock)
    app = create_app(service)
    transport = httpx.ASGITransport(app=app, client=client, raise_app_exceptions=raising)
    with asyncio.Runner() as loop:
        http = httpx.AsyncClient(transport=transport, base_url="http://bank")
        lifespan = app.router.lifespan_context(app)
        loop.run(lifespan.__aenter__())
        try:
            yield App(service, clock, keys, loop, http)
        finally:
            loop.run(http.aclose())
            loop.run(lifespan.__aexit__(None, None, None))


def _keys(service: Service) -> dict[str, str]:
    keys = Keys(service.home.database)
    scopes = {"backend": Scope.RECOMMEND, "analyst": Scope.ANALYSE, "auditor": Scope.AUDIT, "nobody": Scope.STEER}
    known = {key.name for key in keys.all()}
    tag = f"-{len(known)}" if known else ""
    return {name: keys.create(f"{name}{tag}", scopes=[scope]) for name, scope in scopes.items()}


# -- bodies and answers -------------------------------------------------------------------------


def asked(**more: Any) -> dict[str, Any]:
    return {"customer_id": "c-1", "surface": "savings", "slots": 1} | more


def outcome_in(outcome_id: str, **more: Any) -> dict[str, Any]:
    return {"outcome_id": outcome_id, "product_id": "pot", "kind": "tapped", "happened_at": NOW} | more


def assert_problem(answer: httpx.Response, status: int, *pointers: str) -> dict[str, Any]:
    """A problem document as RFC 9457 writes it, with these JSON pointers."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert told["type"]
    assert told["title"]
    assert told["detail"]
    assert {fault["pointer"] for fault in told.get("errors", [])} >= set(pointers), told
    return told


BODIES: dict[str, dict[str, Any]] = {
    "/v1/recommendations": asked(request_id="s-1", context={"payday_in_days": 1, "x": "y"}, candidates=["pot"]),
    "/v1/outcomes": {"outcomes": [outcome_in("s-o", customer_id="s-c")]},
    "/v1/displays": {"displays": [{"decision_id": "s-d", "displayed_at": NOW, "product_ids": ["pot"]}]},
    "/v1/activity": {
        "activities": [
            {"activity_id": "s-a", "customer_id": "s-c", "kind": "opened_app", "subject": "home", "happened_at": NOW}
        ]
    },
    "/v1/customers/batch": {
        "customers": [
            {
                "customer_id": "s-c",
                "as_of": NOW,
                "facts": {"residence": "GB", "held": ["pot"], "household_id": "h", "date_of_birth": "1990-05-01"},
            }
        ]
    },
}


# -- real processes ------------------------------------------------------------------------------


@dataclass
class Child:
    """One `recsys …` process in a group of its own; its stderr is read by a thread."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    url: str = ""
    _heard: threading.Event = field(default_factory=threading.Event)
    _reader: threading.Thread | None = None

    def listen(self) -> Child:
        """Begin to read what the process says."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def wait_for_url(self, seconds: float = 60) -> str:
        """The URL that the process serves."""
        assert self._heard.wait(seconds), "".join(self.said)
        assert self.url, "".join(self.said)
        return self.url

    def kill(self) -> None:
        """`kill -9` of the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.finish()

    def stop(self, number: int = signal.SIGTERM, seconds: float = 30) -> int:
        """Ask the process to end, and wait; its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(seconds)
        self.finish()
        return code

    def finish(self) -> None:
        """Wait, and let go of the pipe."""
        self.process.wait(30)
        if self._reader is not None:
            self._reader.join(30)
        if self.process.stderr is not None:
            self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if (found := re.search(r"recsys serves (http://\S+)", line)) is not None:
                self.url = found[1]
                self._heard.set()
        self._heard.set()


@contextlib.contextmanager
def started(home: Path, *arguments: str, **environment: str) -> Iterator[Child]:
    """A real `recsys` process over `home`; whatever happens, its whole group is gone afterwards."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RECSYS_")}
    child = Child(
        subprocess.Popen(
            [sys.executable, "-m", "serving.cli", *arguments],
            env=plain | {"RECSYS_HOME": str(home)} | environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
    ).listen()
    try:
        yield child
    finally:
        child.kill()


def pointers(home: Path) -> dict[str, str]:
    """recipe → digest of its snapshot in force."""
    root = Settings(home=home).artefacts / "policies"
    return {path.parent.name: path.read_text().strip() for path in sorted(root.glob("*/current"))}


def copied(home: Path, *, to: Path) -> Path:
    """Another home with the same content."""
    shutil.copytree(home, to)
    return to


def text_of(answer: httpx.Response) -> str:
    """An answer's JSON as one line, to look for what must not be in it."""
    return json.dumps(answer.json())
