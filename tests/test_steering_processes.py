"""The ladder and the switches over real processes and PostgreSQL: stalls, silence, load, and two workers."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from recsys.database import Database
from recsys.keys import Keys, Scope
from serving.curriculum import teaches
from tests.api.test_ladder import DEADLINE, published, rung
from tests.service import apply_products, running, started
from tests.steered import products_of, soon
from tests.test_processes import postgres, sqlite

__all__ = ["postgres", "sqlite"]
pytestmark = pytest.mark.processes
WITHIN = 10.0  # seconds: nobody waits for what stalled; `make bench ARGS=ladder` holds 0.05 on a machine of one's own


@dataclass
class Wire:
    """A line to PostgreSQL that can fall silent: nothing is refused, nothing arrives."""

    to: tuple[str, int]
    silent: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Wire:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._ended = False
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._listening.close()

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                threading.Thread(target=self._carry, args=(caller,), daemon=True).start()

    def _carry(self, caller: socket.socket) -> None:
        with contextlib.suppress(OSError), caller, socket.create_connection(self.to) as server:
            other = {caller: server, server: caller}
            while not self._ended:
                if self.silent.is_set():
                    time.sleep(0.01)
                    continue
                for end in select.select(list(other), [], [], 0.05)[0]:
                    content = end.recv(65_536)
                    if not content:
                        return
                    other[end].sendall(content)


@pytest.mark.postgres
def test_ops_2_with_the_profiles_stalled_everybody_gets_the_list_for_everybody_and_it_is_logged(
    tmp_path: Path, postgres: str
) -> None:
    published(tmp_path, "bandit", "popularity")
    with running(tmp_path, database_url=postgres) as app:
        app.tell()
        everybody = products_of(app.recommend("stranger", surface="savings"))
        assert rung(app.recommend(surface="savings")) == ("live", "bandit")
        with psycopg.connect(postgres) as other:
            other.execute("LOCK TABLE profiles IN ACCESS EXCLUSIVE MODE")
            for _ in range(5):
                began = time.perf_counter()
                told = app.recommend(surface="savings", deadline_ms=2_000)
                assert time.perf_counter() - began < WITHIN
                assert rung(told) == ("fallback:static", "static")
                assert products_of(told) == [each for each in everybody if each in ("help", "debt-help")]
                receipt = app.receipt(told["decision_id"])
                assert not teaches(app.decisions()[-1])
                assert (receipt["facts_used"], receipt["experiments"], receipt["unit"]) == ([], [], "")
            other.rollback()
        soon(lambda: app.recommend(surface="savings")["mode"] == "live")


@pytest.mark.postgres
def test_ops_2_with_a_silent_database_every_answer_comes_in_time_and_it_recovers_by_itself(
    tmp_path: Path, postgres: str
) -> None:
    published(tmp_path, "bandit", "popularity")
    server = httpx.URL(postgres)
    with Wire((server.host, server.port or 5432)) as wire:
        url = postgres.replace(f"{server.host}:{server.port}", f"127.0.0.1:{wire.port}")
        assert str(wire.port) in url
        with running(tmp_path, database_url=url) as app:
            app.tell()
            assert rung(app.recommend(surface="savings")) == ("live", "bandit")
            wire.silent.set()
            for n in range(30):
                began = time.perf_counter()
                told = app.recommend("ann" if n % 2 else f"new-{n}", surface="savings", **DEADLINE)
                assert time.perf_counter() - began < WITHIN
                assert told["mode"] == "fallback:unlogged"
                assert told["slate"]
            wire.silent.clear()
            soon(lambda: app.recommend(surface="savings")["mode"] == "live", seconds=20)
            wire.silent.clear()


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_ops_1_a_switch_under_load_holds_on_two_workers_within_five_seconds_and_breaks_no_answer(
    tmp_path: Path, store: str, request: pytest.FixtureRequest
) -> None:
    database_url = request.getfixturevalue(store)
    apply_products(tmp_path)
    database = Database(database_url).create()
    keys = Keys(database)
    caller, admin = keys.create("app", scopes=[Scope.RECOMMEND]), keys.create("grace", scopes=[Scope.ADMIN])
    database.close()
    with (
        started(tmp_path, "serve", "--port", "0", RECSYS_DATABASE_URL=database_url) as one,
        started(tmp_path, "serve", "--port", "0", RECSYS_DATABASE_URL=database_url) as two,
    ):
        urls = [one.wait_for_url(), two.wait_for_url()]
        answers: list[tuple[float, int, dict[str, Any]]] = []
        ended = threading.Event()

        def load(url: str, name: str) -> None:
            with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {caller}"}, timeout=30) as client:
                while not ended.is_set():
                    body = {"customer_id": f"c-{name}", "surface": "home", "slots": 3}
                    asked = time.monotonic()
                    answer = client.post("/v1/recommendations", json=body)
                    answers.append((asked, answer.status_code, answer.json()))

        callers = [threading.Thread(target=load, args=(url, f"{n}{url[-1]}")) for url in urls for n in range(2)]
        for each in callers:
            each.start()
        soon(lambda: len(answers) > 60, seconds=60)
        before = [told for _, _, told in answers]
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        headers = {"Authorization": f"Bearer {admin}"}
        body = {"scope": "everything", "off": True, "reason": "a drill under load", "expires_at": until}
        soon(
            lambda: httpx.put(f"{urls[0]}/v1/switches", json=body, headers=headers, timeout=30).is_success
        )  # 503: ask again
        switched = time.monotonic()
        time.sleep(6)
        body = {"scope": "everything", "off": False, "reason": "the drill is over"}
        soon(lambda: httpx.put(f"{urls[1]}/v1/switches", json=body, headers=headers, timeout=30).is_success)
        again = time.monotonic()
        time.sleep(6)
        ended.set()
        for each in callers:
            each.join(30)
    assert {status for _, status, _ in answers} == {200}
    off = [told for asked, _, told in answers if switched + 5 < asked < again - 0.5]
    after = [told for asked, _, told in answers if asked > again + 5]
    assert all(told["slate"] for told in before)
    assert off
    assert all(told["slate"] == [] and told["mode"] == "fallback:empty" for told in off)
    assert after
    assert all(told["slate"] for told in after)


def test_ops_1_a_switch_on_the_command_line_reaches_a_running_service(tmp_path: Path) -> None:
    apply_products(tmp_path)
    database = Database(f"sqlite:///{tmp_path / 'recsys.db'}").create()
    key = Keys(database).create("app", scopes=[Scope.RECOMMEND])
    database.close()
    with started(tmp_path, "serve", "--port", "0") as child:
        url, headers = child.wait_for_url(), {"Authorization": f"Bearer {key}"}
        body = {"customer_id": "c", "surface": "home", "slots": 3}

        def slate() -> list[str]:
            return products_of(httpx.post(f"{url}/v1/recommendations", json=body, headers=headers).json())

        first = slate()[0]
        arguments = ("switches", "off", "product", first, "--reason", "a drill", "--for", "2h")
        with started(tmp_path, *arguments) as order:
            assert order.process.wait(60) == 0, os.linesep.join(order.said)
        soon(lambda: first not in slate(), seconds=5)
