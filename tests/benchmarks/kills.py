"""kill -9 of the API, the learner, the encoder and the database's connections at random moments under load.

ROUNDS (100), half on SQLite and half on PostgreSQL (RECSYS_TEST_POSTGRES), on one home each that goes on living.
In a round callers ask and report with ids of their own, and ask again until they are answered; meanwhile one to three
of the parts are killed, and started again. After each round every acknowledged decision and outcome must be in the
log, once, under the id that was acknowledged; at the end `verify-log` must be clean, no lesson unaccounted for, and
what is asked again must be answered as before. SEED names other moments.
Run: python -m tests.benchmarks.kills
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx

from recsys.readmarks import ReadMark
from recsys.vocabulary import Decision, Display, Outcome
from serving.bootstrap import compose
from serving.commands.learn import learner_of
from serving.commands.verify_log import verify_log
from serving.learner_loop import LEASE
from serving.settings import Settings
from tests.benchmarks.rig import CALM, Home, home_of
from tests.databases import drop_databases, empty_database, end_sessions
from tests.service import Child, started

ROUNDS = int(os.environ.get("ROUNDS", "100"))
SEED = int(os.environ.get("SEED", "1"))
CALLERS, CUSTOMERS = 6, 500
BEFORE, AFTER = (0.3, 2.0), 2.0  # seconds of load before the kill, and after everything is up again
PARTS = ("serve", "learn", "encode", "database")


@dataclass
class Ledger:
    """What callers were told, kept outside everything that is killed."""

    decisions: dict[str, str] = field(default_factory=dict)  # request id → decision id
    outcomes: set[str] = field(default_factory=set)
    displays: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    url: str = ""
    stop: bool = False

    def call(self, home: Home, *, caller: int, number: int) -> None:
        """One caller of one round."""
        headers = {"Authorization": f"Bearer {home.key}"}
        with httpx.Client(headers=headers, timeout=10) as client:
            n = 0
            while not self.stop:
                n += 1
                self._visit(client, home, name=f"{number}-{caller}-{n}", customer=caller * 1_000 + n)

    def _visit(self, client: httpx.Client, home: Home, *, name: str, customer: int) -> None:
        asked = home.ask(customer, request_id=name)
        told = self._until(client, "/v1/recommendations", asked)
        if told is None:
            return
        self.decisions[name] = told["decision_id"]
        outcomes = [
            {"outcome_id": f"{name}-{slot['slot']}", "decision_id": told["decision_id"], "kind": "seen",
             "product_id": slot["product_id"], "happened_at": told["made_at"]}
            for slot in told["slate"]
        ]  # fmt: skip
        if (answer := self._until(client, "/v1/outcomes", {"outcomes": outcomes})) is not None:
            self.refused += [str(each) for each in answer["rejected"]]
            self.outcomes |= {str(each["outcome_id"]) for each in outcomes}
        shown = {"decision_id": told["decision_id"], "displayed_at": told["made_at"]}
        shown["product_ids"] = [slot["product_id"] for slot in told["slate"]]
        if self._until(client, "/v1/displays", {"displays": [shown]}) is not None:
            self.displays.add(told["decision_id"])

    def _until(self, client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Asked again until it is acknowledged; None where the round ends first."""
        while True:
            try:
                answer = client.post(f"{self.url}{path}", json=body)
                if answer.status_code < 300 and answer.json().get("decision_id", "none") is not None:
                    told: dict[str, Any] = answer.json()
                    return told
                if answer.status_code not in (200, 503):
                    self.refused.append(f"{path}: {answer.status_code} {answer.text[:200]}")
                    return None
            except httpx.TransportError:
                pass
            if self.stop:
                return None
            time.sleep(0.02)


class Installed:
    """The three processes over one home, and the database's connections."""

    def __init__(self, home: Home, *, url: str) -> None:
        self._home = home
        self._url = url
        self._stacks: dict[str, ExitStack] = {}
        self._children: dict[str, Child] = {}

    def start(self, name: str) -> None:
        """Start a process; the API is waited for."""
        arguments = (name, "--port", "0") if name == "serve" else (name,)
        more = {"RECSYS_DATABASE_URL": self._url} if self._url else {}
        cadence = {"RECSYS_PUBLISH_EVERY_LESSONS": "50", "RECSYS_PUBLISH_EVERY_MINUTES": "1"}
        stack = self._stacks[name] = ExitStack()
        self._children[name] = stack.enter_context(started(self._home.folder, *arguments, **CALM, **cadence, **more))

    def where(self) -> str:
        """The API's URL."""
        return self._children["serve"].wait_for_url(120)

    def kill(self, name: str) -> None:
        """kill -9 of a process, or of every connection to the database."""
        if name == "database":
            self._cut()
        else:
            self._stacks[name].close()  # kills the whole group

    def _cut(self) -> None:
        if not self._url:
            return
        end_sessions(self._url)

    def close(self) -> None:
        """Kill everything."""
        for stack in self._stacks.values():
            stack.close()


def main() -> None:
    """Print each round's kills and what was found; exit 1 where anything was lost or doubled."""
    print(f"{ROUNDS} rounds, seed {SEED}")
    wrong = 0
    for store, rounds in (("sqlite", ROUNDS - ROUNDS // 2), ("postgresql", ROUNDS // 2)):
        if rounds:
            wrong += lived(store, rounds=rounds)
    if wrong:
        sys.exit(f"{wrong} things went wrong")


def lived(store: str, *, rounds: int) -> int:
    """All rounds on one store; how much went wrong."""
    dice = Random(f"{SEED}-{store}")
    with tempfile.TemporaryDirectory() as name, _database(store) as url:
        home = home_of(Path(name) / "home", customers=CUSTOMERS, database_url=url)
        settings = Settings(home=home.folder, database_url=url, holdout_share=0.0, uniform_share=0.0)
        ledger, wrong, killed = Ledger(), 0, Counter[str]()
        installed, parts = Installed(home, url=url), PARTS if url else PARTS[:3]
        try:
            for name_ in PARTS[:3]:
                installed.start(name_)
            for number in range(rounds):
                chosen = sorted(dice.sample(parts, k=dice.choice((1, 1, 2, 3))), key=PARTS.index)
                killed.update(chosen)
                _round(ledger, installed, home, number=number, chosen=chosen, dice=dice)
                found = _found(settings, ledger)
                wrong += sum(found.values())
                print(f"{store} {number + 1:>3}: killed {', '.join(chosen):28} {len(ledger.decisions):>6,} decisions, "
                      f"{len(ledger.outcomes):>6,} outcomes acknowledged; {_told(found)}", flush=True)  # fmt: skip
            wrong += _again(ledger, home)
        finally:
            installed.close()
        wrong += _ended(settings, ledger)
        print(f"{store}: killed {dict(killed)}; {wrong} things went wrong", flush=True)
    return wrong


def _round(ledger: Ledger, installed: Installed, home: Home, *, number: int, chosen: list[str], dice: Random) -> None:
    ledger.url, ledger.stop = installed.where(), False
    callers = [
        threading.Thread(target=ledger.call, args=(home,), kwargs={"caller": n, "number": number})
        for n in range(CALLERS)
    ]
    for caller in callers:
        caller.start()
    time.sleep(dice.uniform(*BEFORE))
    for name in dice.sample(chosen, k=len(chosen)):
        installed.kill(name)
        time.sleep(dice.random() * 0.3)
    for name in chosen:
        if name != "database":
            installed.start(name)
    ledger.url = installed.where()
    time.sleep(AFTER)
    ledger.stop = True
    for caller in callers:
        caller.join(60)


def _found(settings: Settings, ledger: Ledger) -> dict[str, int]:
    """What is lost, doubled or under another id, against what callers were told."""
    home = compose(settings)
    decisions, requests, outcomes, shown = Counter[str](), dict[str, list[str]](), Counter[str](), Counter[str]()
    positions = []
    for event in home.log.read():
        positions.append(event.position)
        match event.body:
            case Decision() as body:
                decisions[body.decision_id] += 1
                requests.setdefault(body.request_id or "", []).append(body.decision_id)
            case Outcome() as body:
                outcomes[body.outcome_id] += 1
            case Display() as body:
                shown[body.decision_id] += 1
    home.database.close()
    return {
        "decisions lost": sum(decisions[each] == 0 for each in ledger.decisions.values()),
        "decisions doubled": sum(n > 1 for n in decisions.values()),
        "requests answered twice": sum(len(ids) > 1 for ids in requests.values()),
        "answered under another id": sum(requests.get(r) != [d] for r, d in ledger.decisions.items()),
        "outcomes lost": sum(outcomes[each] == 0 for each in ledger.outcomes),
        "outcomes doubled": sum(n > 1 for n in outcomes.values()),
        "displays lost": sum(shown[each] == 0 for each in ledger.displays),
        "positions missing": int(positions != list(range(1, len(positions) + 1))),
        "refused": len(ledger.refused),
    }


def _told(found: dict[str, int]) -> str:
    return ", ".join(f"{n} {what}" for what, n in found.items() if n) or "0 lost, 0 doubled"


def _again(ledger: Ledger, home: Home) -> int:
    """Requests asked again: how many are answered under another id."""
    wrong, names = 0, sorted(ledger.decisions)[:: max(1, len(ledger.decisions) // 200)]
    with httpx.Client(headers={"Authorization": f"Bearer {home.key}"}, timeout=30) as client:
        for name in names:
            _, caller, n = map(int, name.split("-"))
            body = home.ask(caller * 1_000 + n, request_id=name)
            told = client.post(f"{ledger.url}/v1/recommendations", json=body).json()
            wrong += told.get("decision_id") != ledger.decisions[name]
    print(f"{len(names)} requests asked again, {wrong} answered under another id")
    return wrong


def _ended(settings: Settings, ledger: Ledger) -> int:
    """`verify-log`, and the learner's account of what it read."""
    home = compose(settings)
    home.live.refresh()
    found = verify_log(home).to_json()
    learner_of(home).catch_up()  # what was left where the learner died last
    position, counts = ReadMark(home.database, name=LEASE).read()
    reconciles = _reconciles(counts)
    last = home.log.last_position()
    told = (
        f"{found['decisions']:,} decisions, {found['verified']:,} in both tiers, {found['draws_only']:,} in the first"
    )
    print(f"verify-log: {told}, {found['mismatched']} mismatches")
    told = "accounts for all of them" if reconciles else "does NOT account for all of them"
    print(f"the learner read {position:,} of {last:,} events and {told}", flush=True)
    for refused in ledger.refused[:5]:
        print("  refused:", refused)
    home.database.close()
    return int(found["mismatched"]) + (not reconciles)


def _reconciles(counts: Any) -> bool:
    n = {name: counts.get(name, 0) for name in ("outcomes", "joined", "organic", "late", "quarantined", "decisions",
                                                "waiting", "closed")}  # fmt: skip
    outcomes = n["joined"] + n["organic"] + n["late"] + n["quarantined"]
    return bool(n["outcomes"] == outcomes and n["decisions"] == n["waiting"] + n["closed"] > 0)


@contextlib.contextmanager
def _database(store: str) -> Iterator[str]:
    """ "" for SQLite in the home, else a fresh PostgreSQL database."""
    if store == "sqlite":
        yield ""
        return
    try:
        with empty_database() as url:
            yield url
    finally:
        drop_databases()


if __name__ == "__main__":
    main()
