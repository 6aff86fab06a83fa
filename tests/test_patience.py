"""How long the log is waited for (OPS-2)."""

from __future__ import annotations

import pytest

from serving import patience
from serving.patience import Patience


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moment = [100.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: moment[0])
    return moment


def test_ops_2_a_log_that_stumbles_is_waited_for(now: list[float]) -> None:
    commits = [7]
    log = Patience(lambda: commits[0])
    assert not log.spent()
    log.give_up()
    now[0] += 0.2
    assert not log.spent()
    commits[0] += 1
    now[0] += 10
    assert not log.spent()


def test_ops_2_a_log_that_stalls_is_not_waited_for_but_by_one_that_tries(now: list[float]) -> None:
    commits = [7]
    log = Patience(lambda: commits[0])
    log.give_up()
    now[0] += 0.26
    assert [log.spent(), log.spent(), log.spent()] == [False, True, True]
    log.give_up()
    assert log.spent()
    now[0] += 0.26
    assert [log.spent(), log.spent()] == [False, True]
    commits[0] += 1
    assert [log.spent(), log.spent()] == [False, False]
