"""Real processes, killed and told to end: what was acknowledged is kept, what was learned is learned again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from recsys.bank.truth import TRUTHS
from recsys.bank.world import Bank
from recsys.clocks import FixedClock, WallClock
from recsys.database import Database
from recsys.eventlog import EventLog
from recsys.keys import Keys, Scope
from recsys.layers import Layers
from recsys.readmarks import ReadMark
from recsys.vocabulary import Decision, Outcome
from serving.bootstrap import compose, recommender_of
from serving.commands.learn import learner_of
from serving.doors import InProcess
from serving.learner_loop import LEASE
from serving.settings import Settings
from serving.traffic import Traffic
from tests.builders import START
from tests.databases import empty_database, gone
from tests.learner_kills import CADENCE, learn_killed, until
from tests.service import apply_products, copied, pointers, running, started

pytestmark = pytest.mark.processes

# -- the API --------------------------------------------------------------------------------------


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'recsys.db'}"


@pytest.fixture
def postgres() -> Iterator[str]:
    """A database of this test's own."""
    with empty_database() as url:
        yield url


@dataclass
class Load:
    """Callers at work, and what they were told before the service died."""

    url: str
    key: str
    answered: dict[str, str] = field(default_factory=dict)  # request id → decision id
    reported: set[str] = field(default_factory=set)  # outcome ids that were accepted
    sent: dict[str, dict[str, object]] = field(default_factory=dict)  # every outcome that was sent

    def run(self, caller: int) -> None:
        with httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=30) as client:
            for number in range(100_000):
                try:
                    self._visit(client, f"{caller}-{number}")
                except httpx.TransportError:
                    return

    def _visit(self, client: httpx.Client, name: str) -> None:
        body = {"request_id": name, "customer_id": f"c-{name[-1]}", "surface": "home", "slots": 3}
        told = client.post("/v1/recommendations", json=body).json()
        self.answered[name] = told["decision_id"]
        items = [
            {
                "outcome_id": f"{name}-{slot['slot']}",
                "decision_id": told["decision_id"],
                "product_id": slot["product_id"],
                "kind": "seen",
                "happened_at": told["made_at"],
            }
            for slot in told["slate"]
        ]
        self.sent |= {str(item["outcome_id"]): item for item in items}
        answer = client.post("/v1/outcomes", json={"outcomes": items}).json()
        assert answer["accepted"] == len(items), answer
        self.reported |= {str(item["outcome_id"]) for item in items}


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_after_kill_9_under_load_everything_acknowledged_is_in_the_log_once(
    tmp_path: Path, store: str, request: pytest.FixtureRequest
) -> None:
    database_url = request.getfixturevalue(store)
    apply_products(tmp_path)
    database = Database(database_url).create()
    key = Keys(database).create("backend", scopes=[Scope.RECOMMEND])
    with started(tmp_path, "serve", "--port", "0", RECSYS_DATABASE_URL=database_url) as child:
        load = Load(child.wait_for_url(), key)
        callers = [threading.Thread(target=load.run, args=(n,)) for n in range(6)]
        for caller in callers:
            caller.start()
        until(lambda: len(load.reported) > 300)
        child.kill()
        for caller in callers:
            caller.join(30)
    acknowledged, reported = dict(load.answered), set(load.reported)
    assert len(acknowledged) >= 100

    with started(tmp_path, "serve", "--port", "0", RECSYS_DATABASE_URL=database_url) as child:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=child.wait_for_url(), headers=headers, timeout=30) as client:
            name = next(iter(acknowledged))
            body = {"request_id": name, "customer_id": f"c-{name[-1]}", "surface": "home", "slots": 3}
            assert client.post("/v1/recommendations", json=body).json()["decision_id"] == acknowledged[name]
            items = list(load.sent.values())
            for at in range(0, len(items), 1_000):
                batch = items[at : at + 1_000]
                told = client.post("/v1/outcomes", json={"outcomes": batch}).json()
                assert told["rejected"] == []
                assert told["duplicates"] >= sum(item["outcome_id"] in reported for item in batch)

    log = EventLog(database, clock=WallClock())
    bodies = [event.body for event in log.read()]
    decisions = Counter(body.decision_id for body in bodies if isinstance(body, Decision))
    requests = Counter(body.request_id for body in bodies if isinstance(body, Decision))
    outcomes = Counter(body.outcome_id for body in bodies if isinstance(body, Outcome))
    assert all(decisions[decision_id] == 1 for decision_id in acknowledged.values())
    assert set(requests.values()) == {1}
    assert outcomes == dict.fromkeys(load.sent, 1)
    assert [event.position for event in log.read()] == list(range(1, len(bodies) + 1))
    database.close()


@pytest.mark.postgres
def test_with_postgresql_gone_the_static_list_answers_and_when_it_is_back_decisions_are_logged_again(
    tmp_path: Path, postgres: str
) -> None:
    with running(tmp_path, database_url=postgres) as app:
        app.tell("ann")
        assert app.recommend("ann")["decision_id"]
        with gone(postgres):
            unlogged = [app.recommend(customer) for customer in ("ann", "ann", "nobody")]
        assert {(each["decision_id"], each["mode"]) for each in unlogged} == {(None, "fallback:unlogged")}
        assert app.metric("recsys_unlogged_total") == 3
        until(lambda: app.recommend("ann")["mode"] == "fallback:uniform")  # known again, within a moment
        assert {each.mode for each in app.decisions()} <= {"fallback:uniform", "fallback:static"}


@pytest.mark.postgres
@pytest.mark.parametrize("path", ["/v1/decisions/%00", "/v1/experiments/%00", "/v1/decisions/%ed%a0%80"])
def test_postgresql_is_not_asked_for_what_it_cannot_hold(tmp_path: Path, postgres: str, path: str) -> None:
    with running(tmp_path, database_url=postgres) as app:
        key = "auditor" if "decisions" in path else "analyst"
        assert app.get(path, key=key).status_code in (404, 422)
        token = app.get("/sign-in/%00", key=None)
        assert token.status_code == 401


HOSTILE_REQUESTS = {
    "a negative length": b"Content-Length: -1\r\n\r\n{}",
    "a length that is a word": b"Content-Length: many\r\n\r\n{}",
    "a length beyond every limit": b"Content-Length: 99999999999999999999999999\r\n\r\n{}",
    "chunks beyond a mebibyte": b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 20,
    "a chunk size that is none": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    "both a length and chunks": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a header of a mebibyte": b"X-Long: " + b"a" * (1 << 20) + b"\r\nContent-Length: 2\r\n\r\n{}",
    "half a request": b"Content-Length: 500\r\n\r\n{",
}  # fmt: skip


def test_a_hostile_request_on_the_wire_is_refused_and_the_service_lives(tmp_path: Path) -> None:
    apply_products(tmp_path)
    database = Database(f"sqlite:///{tmp_path / 'recsys.db'}").create()
    key = Keys(database).create("backend", scopes=[Scope.RECOMMEND])
    database.close()
    head = (
        f"POST /v1/outcomes HTTP/1.1\r\nHost: bank\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    )
    with started(tmp_path, "serve", "--port", "0") as child:
        url = httpx.URL(child.wait_for_url())
        for name, rest in HOSTILE_REQUESTS.items():
            with socket.create_connection((url.host, url.port or 0), timeout=10) as caller:
                caller.settimeout(1.0 if name == "half a request" else 10.0)
                with contextlib.suppress(ConnectionError, TimeoutError):
                    caller.sendall(head.encode() + rest)
                    said = caller.recv(64)
                    assert not said or said.split()[1] in (b"400", b"413", b"422", b"431"), (name, said)
        asks_for_more = {"Connection": "Upgrade", "Upgrade": "websocket"}  # there is none: answered as by plain HTTP
        told = httpx.post(f"{url}/v1/recommendations", headers=asks_for_more, json={}, timeout=10)
        assert told.status_code == 401
        assert httpx.get(f"{url}/healthz").json() == {"status": "alive"}
        assert 'status="500"' not in httpx.get(f"{url}/metrics").text


def test_sigterm_drains_requests_in_flight_are_answered(tmp_path: Path) -> None:
    apply_products(tmp_path)
    database = Database(f"sqlite:///{tmp_path / 'recsys.db'}").create()
    key = Keys(database).create("backend", scopes=[Scope.RECOMMEND])
    database.close()
    with started(tmp_path, "serve", "--port", "0") as child:
        url, headers = child.wait_for_url(), {"Authorization": f"Bearer {key}"}
        for name in ("known-0", "known-1", "known-2"):
            httpx.post(f"{url}/v1/recommendations", json=_body(name), headers=headers).raise_for_status()
        lock = sqlite3.connect(tmp_path / "recsys.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")  # answers wait for their commit
        answers: list[httpx.Response] = []
        callers = [
            threading.Thread(
                target=lambda name=name: answers.append(
                    httpx.post(f"{url}/v1/recommendations", json=_body(name), headers=headers, timeout=30)
                )
            )
            for name in ("known-0", "known-1", "known-2")
        ]
        for caller in callers:
            caller.start()
        time.sleep(0.5)  # they are on their way
        assert answers == []
        child.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        lock.execute("ROLLBACK")
        lock.close()
        for caller in callers:
            caller.join(30)
        assert child.process.wait(30) in (0, -signal.SIGTERM)
        assert [answer.status_code for answer in answers] == [200] * 3
        assert all(answer.json()["decision_id"] for answer in answers)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/healthz")


def _body(customer: str) -> dict[str, object]:
    return {"customer_id": customer, "surface": "home", "slots": 3, "deadline_ms": 20_000}


# -- the learner ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a log: a tiny bank that has lived 14 days under the fallback."""
    folder = tmp_path_factory.mktemp("lived") / "home"
    apply_products(folder)
    clock = FixedClock(START)
    home = compose(Settings(home=folder, holdout_share=0.0), clock=clock)
    midnight = START.replace(hour=0)
    slots = {name: min(3, surface.max_slots) for name, surface in home.offers.current.catalogue.surfaces.items()}
    bank = Bank.create(customers=200, seed=5, start=midnight, catalogue=tuple(TRUTHS))
    dice = random.Random(5)  # the ids decide what is drawn
    recommender = recommender_of(
        home, layers=lambda: Layers(holdout_share=0.0), new_id=lambda: f"{dice.getrandbits(128):032x}"
    )
    door = InProcess(home, recommender=recommender, slots=slots)

    async def live() -> None:
        async for _ in Traffic(bank, door, clock, slots).days(14):
            pass

    asyncio.run(live())
    home.database.close()
    return folder


def test_a_learner_killed_again_and_again_publishes_the_snapshots_of_an_undisturbed_one(
    lived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CADENCE.items():
        monkeypatch.setenv(name, value)
    undisturbed = compose(Settings(home=copied(lived, to=tmp_path / "undisturbed")), clock=FixedClock(START))
    progress = learner_of(undisturbed).catch_up()
    assert min(progress.published.values()) >= 1
    assert progress.published["bandit"] >= 8
    last = undisturbed.log.last_position()
    counts = ReadMark(undisturbed.database, name=LEASE).read()[1]
    undisturbed.database.close()

    home = copied(lived, to=tmp_path / "killed")
    assert learn_killed(home, times=4, published=progress.published["bandit"], last=last) >= 2

    assert pointers(home) == pointers(tmp_path / "undisturbed")
    database = Database(f"sqlite:///{home / 'recsys.db'}")
    assert ReadMark(database, name=LEASE).read()[1] == counts
    database.close()


# -- all three ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["Ctrl-C", "the supervisor alone is killed"])
def test_serve_all_runs_three_processes_and_leaves_none_behind(tmp_path: Path, ending: str) -> None:
    with started(tmp_path, "serve", "--all", "--port", "0") as child:
        url = child.wait_for_url()
        until(lambda: len(_alive(child.process.pid)) == 4)
        assert httpx.get(f"{url}/healthz").json() == {"status": "alive"}
        lines = [Path(f"/proc/{pid}/cmdline").read_text().split("\x00") for pid in _alive(child.process.pid)]
        commands = sorted(line[line.index("serving.cli") + 1] for line in lines)
        assert commands == ["encode", "learn", "serve", "serve"]
        if ending == "Ctrl-C":
            os.killpg(child.process.pid, signal.SIGINT)
        else:
            child.process.kill()
        child.process.wait(30)
        until(lambda: not _alive(child.process.pid))


def _alive(group: int) -> list[int]:
    """Processes of a group that are not yet dead."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, pgrp = path.read_text().rpartition(")")[2].split()[:3]
            if int(pgrp) == group and state != "Z":
                found.append(int(path.parent.name))
    return found


def test_nothing_but_loopback_is_served_before_a_key_exists(tmp_path: Path) -> None:
    with started(tmp_path, "serve", "--host", "0.0.0.0", "--port", "0") as child:
        assert child.process.wait(60) == 2
        child.finish()
        assert "before a key exists" in "".join(child.said)


def test_workers_share_a_port_add_up_what_they_count_and_are_started_again(tmp_path: Path) -> None:
    apply_products(tmp_path)
    database = Database(f"sqlite:///{tmp_path / 'recsys.db'}").create()
    key = Keys(database).create("backend", scopes=[Scope.RECOMMEND])
    database.close()
    with started(tmp_path, "serve", "--workers", "2", "--port", "0") as child:
        url = child.wait_for_url()
        until(lambda: len(_alive(child.process.pid)) == 3)
        headers = {"Authorization": f"Bearer {key}"}

        def decide(n: int) -> None:
            with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
                for turn in range(20):
                    client.post("/v1/recommendations", json=_body(f"c-{n}-{turn}")).raise_for_status()

        callers = [threading.Thread(target=decide, args=(n,)) for n in range(6)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        told = [_counted(httpx.get(f"{url}/metrics").text) for _ in range(4)]
        assert told == [120.0] * 4  # whichever worker answers
        before = set(_alive(child.process.pid))
        time.sleep(3.5)  # a worker that ends at once would end everything
        os.kill(max(before), signal.SIGKILL)
        until(lambda: len(_alive(child.process.pid)) == 3 and set(_alive(child.process.pid)) != before)
        decide(9)
        assert _counted(httpx.get(f"{url}/metrics").text) == 140.0
        assert child.stop(signal.SIGTERM) == 0
        assert not _alive(child.process.pid)


def _counted(exposition: str) -> float:
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in exposition.splitlines() if line[:23] == "recsys_decisions_total{"
    )
