"""Two deciding processes leave the log that one leaves."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from recsys import database as db
from recsys.bank.world import Bank
from recsys.catalogue import BANK_CATALOGUE
from recsys.clocks import SimulatedClock
from recsys.errors import RecsysError
from recsys.layers import Layers
from recsys.vocabulary import CustomerId
from serving.bootstrap import Installation, compose, recommender_of
from serving.commands.learn import learner_of
from serving.demo import SLOTS, START, _ids
from serving.doors import InProcess
from serving.offer import apply_catalogue
from serving.second_decider import SecondDecider, Wish
from serving.settings import Settings
from serving.traffic import Traffic


def home_at(folder: Path) -> tuple[Installation, SimulatedClock]:
    chosen = Settings(home=folder, clock="simulated", champion="uniform")
    clock = SimulatedClock(chosen.clock_file, start=START)
    apply_catalogue(chosen.artefacts, text=BANK_CATALOGUE.read_text(encoding="utf-8"), where="bank")
    home = compose(chosen, clock=clock, new_token=_ids("token", seed=1))
    learner_of(home, only="uniform").publish()
    home.live.refresh()
    return home, clock


def lived(folder: Path, *, days: int, second: bool) -> Sequence[tuple[int, str, str, str]]:
    """(position, key, token, text without how long it took) of every event of the first days."""
    home, clock = home_at(folder)
    bank = Bank.create(customers=300, seed=1, start=START, catalogue=home.offers.current.catalogue.ids)
    layers = Layers(holdout_share=0.1)
    recommender = recommender_of(home, layers=lambda: layers, new_id=_ids("decision", seed=1))

    async def live(door: InProcess) -> None:
        async for _ in Traffic(bank, door, clock, SLOTS).days(days):
            pass

    if second:
        with SecondDecider(home.settings, holdout=0.1) as other:
            asyncio.run(live(InProcess(home, recommender=recommender, slots=SLOTS, second=other)))
    else:
        asyncio.run(live(InProcess(home, recommender=recommender, slots=SLOTS)))
    table = db.events
    with home.database.reading() as connection:
        rows = connection.execute(select(table).order_by(table.c.position)).all()
    home.database.close()
    return [(row.position, row.key, row.token, re.sub(r'"us":\d+', "", row.text)) for row in rows]


def test_two_deciding_processes_leave_the_log_that_one_leaves(tmp_path: Path) -> None:
    one = lived(tmp_path / "one", days=2, second=False)
    two = lived(tmp_path / "two", days=2, second=True)
    assert sum(key.startswith("decision:") for _, key, _, _ in one) > 100
    assert one == two


def test_a_second_process_that_fails_says_so_and_is_gone(tmp_path: Path) -> None:
    home, _ = home_at(tmp_path)
    with SecondDecider(home.settings, holdout=0.1) as second:
        second.begin([Wish(CustomerId("nobody"), "home", 3, "d-1", 0)])
        with pytest.raises(RecsysError, match="second deciding process failed: KeyError"):
            second.end()
    assert second.ended
    home.database.close()
