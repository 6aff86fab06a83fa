"""The register of experiments: what cannot be run, or would meet another, is never kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from recsys.clocks import FixedClock
from recsys.database import Database
from recsys.errors import Conflict, InvalidConfiguration, UnknownExperiment
from recsys.register import Register
from tests.builders import START, experiment


@pytest.fixture
def register(database: Database) -> Register:
    return Register(database, clock=FixedClock(START))


def test_experiments_come_back_as_they_were_kept(register: Register) -> None:
    home = experiment("home-bandit")
    push = experiment("a-push", surfaces=("push",), salt="push", unit="household")
    register.create(home)
    register.create(push)
    assert register.experiments() == (push, home)
    assert register.experiment("home-bandit") == home


def test_an_id_is_used_once(register: Register) -> None:
    register.create(experiment())
    with pytest.raises(Conflict, match="home-bandit exists: choose another id"):
        register.create(experiment(hypothesis="Something else."))
    assert register.experiments() == (experiment(),)


def test_two_that_would_meet_are_not_both_kept(register: Register) -> None:
    register.create(experiment())
    with pytest.raises(InvalidConfiguration, match="home-bandit and rival would both choose"):
        register.create(experiment("rival", salt="rival"))
    with pytest.raises(InvalidConfiguration, match="salt"):
        register.create(experiment("rival", surfaces=("push",)))
    assert [each.experiment_id for each in register.experiments()] == ["home-bandit"]


def test_a_draft_starts_only_when_the_other_has_stopped(register: Register) -> None:
    register.create(experiment())
    register.create(experiment("rival", salt="rival", state="draft"))
    with pytest.raises(InvalidConfiguration, match="at the same time"):
        register.move("rival", state="running")
    assert register.experiment("rival").state == "draft"
    assert register.move("home-bandit", state="stopped").state == "stopped"
    register.move("rival", state="running")
    assert [each.state for each in register.experiments()] == ["stopped", "running"]


def test_what_is_not_there_or_no_state(register: Register) -> None:
    with pytest.raises(UnknownExperiment, match="nobody"):
        register.experiment("nobody")
    with pytest.raises(UnknownExperiment, match="nobody"):
        register.move("nobody", state="running")
    register.create(experiment())
    with pytest.raises(Conflict, match="cannot become paused"):
        register.move("home-bandit", state="paused")


def test_every_change_is_told_with_the_services_own_time(register: Register) -> None:
    register.create(experiment())
    register.note("home-bandit", what="read out", by="ada", why="Not enough data.")
    register.stop_arm("home-bandit", arm="bandit", by="recsys", why="It does harm.")
    told = register.history("home-bandit")
    assert [(change.what, change.at) for change in told] == [
        ("created", START), ("read out", START), ("stopped arm bandit", START),
    ]  # fmt: skip


def test_an_experiment_that_was_stopped_does_not_start_again(register: Register) -> None:
    register.create(experiment())
    register.move("home-bandit", state="stopped")
    with pytest.raises(Conflict, match="home-bandit is stopped: it cannot become running"):
        register.move("home-bandit", state="running")
    assert register.experiment("home-bandit").state == "stopped"


def test_of_rivals_created_at_once_one_is_kept(register: Register) -> None:
    def create(n: int) -> bool:
        try:
            register.create(experiment(f"rival-{n}", salt=f"salt-{n}"))
        except InvalidConfiguration:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(create, range(6))) == 1
    assert len(register.experiments()) == 1
