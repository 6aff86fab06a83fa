"""Who did what: noted durably, readable, and without a word about customers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from recsys.database import Database, sqlite_url
from recsys.trail import Trail
from tests.conftest import Recsys
from tests.service import CATALOGUE, App, running
from tests.steered import administer

ORDER = {"scope": "product", "subject": "pot", "off": True, "reason": "a drill", "expires_at": "2026-04-01T09:00:00Z"}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with running(tmp_path) as running_app:
        yield administer(running_app)


def _orders(app: App) -> object:
    return app.put("/v1/switches", ORDER, key="admin")


def _orders_wrongly(app: App) -> object:
    return app.put("/v1/switches", ORDER | {"subject": "no-such"}, key="admin")


def _withdraws_nothing(app: App) -> object:
    return app.ask("DELETE", "/v1/overrides/o-1?reason=enough", key="admin")


def _reads_a_receipt(app: App) -> object:
    app.tell("ann")
    return app.get(f"/v1/decisions/{app.recommend('ann')['decision_id']}", key="auditor")


@pytest.mark.parametrize(
    ("does", "by", "action", "status"),
    [
        (_orders, "admin", "switch", 200),
        (_orders_wrongly, "admin", "switch", 422),
        (_withdraws_nothing, "admin", "withdraw_override", 404),
        (_reads_a_receipt, "auditor", "get_decision", 200),
    ],
)
def test_mrm_8_steering_and_looking_at_one_person_are_noted(
    app: App, does: Callable[[App], object], by: str, action: str, status: int
) -> None:
    does(app)
    [trace] = app.service.trail.read()
    assert (trace.by.partition("-")[0], trace.action, trace.status) == (by, action, status)
    assert "ann" not in f"{trace}".replace("administer", "")


def test_ordinary_calls_and_strangers_leave_no_trace(app: App) -> None:
    app.tell("ann")
    app.recommend("ann")
    app.put("/v1/switches", ORDER, key="backend")
    app.put("/v1/switches", ORDER, key=None)
    assert app.service.trail.read() == []


def test_the_latest_lines_come_oldest_first_and_by_whom_they_were_asked_for(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "x.db")).create()
    trail = Trail(database)
    for n in range(5):
        trail.note(by="ab"[n % 2], action="tries", subject=f"{n}" * 300)
    assert [each.subject[0] for each in trail.read(limit=3)] == ["2", "3", "4"]
    assert [each.subject[0] for each in trail.read(by="b")] == ["1", "3"]
    assert max(len(each.subject) for each in trail.read()) == 200
    assert trail.read(since=trail.read()[-1].at + timedelta(seconds=1)) == []
    database.close()


def test_commands_are_noted_too_and_secrets_never(recsys: Recsys) -> None:
    assert recsys("trail").out == "nothing was done yet that the trail notes\n"
    secret = recsys("keys", "create", "--name", "app", "--scope", "recommend").out.strip()
    fresh = recsys("keys", "rotate", "app").out.strip()
    recsys("keys", "revoke", "app")
    recsys("catalogue", "apply", CATALOGUE)
    told = json.loads(recsys("trail", "--json").out)["trail"]
    assert [each["action"] for each in told] == ["create_key", "rotate_key", "revoke_key", "apply_catalogue"]
    assert secret not in json.dumps(told)
    assert fresh not in json.dumps(told)
    assert "apply_catalogue" in recsys("trail").out
