"""The whole loop on a synthetic bank: a first log, a warm start, then real processes behind HTTP.

    in process    60 days under uniform choice within the rules: the first log; beside it the learner, and near its
                  end the training of embeddings on what came before
    processes     API, learner and encoder; 28 days of app traffic through HTTP, in an experiment

One simulated clock, shared through a file, runs through all of it. Nothing of the engine is replaced:
what differs from an installation at a bank is the clock, and that the customers are synthetic.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import shutil
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
from tqdm import tqdm

from recsys.bank.world import Bank
from recsys.catalogue import BANK_CATALOGUE
from recsys.clocks import SimulatedClock
from recsys.errors import InvalidConfiguration, RecsysError
from recsys.experiments import Experiment, Variant
from recsys.keys import Keys, Scope
from recsys.layers import Layers
from recsys.readmarks import ReadMark
from serving import settings
from serving.bootstrap import Installation, compose, recommender_of
from serving.children import Children
from serving.commands.learn import learner_of
from serving.doors import InProcess, OverHttp
from serving.learner_loop import LEASE
from serving.offer import apply_catalogue
from serving.second_decider import SecondDecider
from serving.settings import Settings
from serving.traffic import Lived, Traffic

MARKER = ".recsys-demo"
EXPERIMENT = "home-bandit"
START = datetime(2026, 3, 2, tzinfo=UTC)
JUDGED_DAYS = 7
SLOTS = {"home": 3, "savings": 5}
_UNHURRIED = {"RECSYS_POLL_SECONDS": "2"}  # half a simulated day: whoever changed twice meanwhile is encoded once
_QUIET = 300  # recommendations asked one at a time, to time them without a queue


@dataclass(frozen=True, slots=True)
class Plan:
    """How large the demo is, and where it listens."""

    seed: int
    customers: int
    first_days: int
    live_days: int
    port: int
    mlflow_port: int
    holdout: float = 0.10


@dataclass(slots=True)
class Run:
    """What living the demo leaves behind, for the report."""

    plan: Plan
    home: Installation
    bank: Bank
    first: Traffic
    live: Traffic
    judged: Sequence[Lived]  # the last week's hours, with the truth
    busy_seconds: Sequence[float]  # recommendations with many in flight
    quiet_seconds: Sequence[float]  # recommendations asked one at a time
    phases: dict[str, float] = field(default_factory=dict)  # seconds


def fresh_home(folder: Path, *, plan: Plan) -> Settings:
    """An empty demo home with its settings file; refuses to empty a folder that no demo made."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise InvalidConfiguration(f"{folder} is not empty and was not made by a demo: choose another --home")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    (folder / "settings.toml").write_text(
        "# Made by `recsys demo`. To serve it again: RECSYS_HOME=<this folder> recsys serve --all\n"
        f'clock = "simulated"\nport = {plan.port}\nholdout_share = {plan.holdout}\n'
        f'mlflow_page = "http://127.0.0.1:{plan.mlflow_port}"\n',
        encoding="utf-8",
    )
    os.environ["RECSYS_HOME"] = str(folder)  # for the processes we start, too
    return settings.load()


def live(chosen: Settings, *, plan: Plan, children: Children, say: Callable[[str], None]) -> Run:
    """Live all of it; the processes go on running. Raises `RecsysError` naming the log of a part that failed."""
    phases: dict[str, float] = {}
    clock = SimulatedClock(chosen.clock_file, start=START)
    with _timed(phases, "bank", say=say, what=f"a bank of {plan.customers:,} customers, seed {plan.seed}"):
        apply_catalogue(chosen.artefacts, text=BANK_CATALOGUE.read_text(encoding="utf-8"), where=BANK_CATALOGUE.name)
        first_home = compose(
            chosen.model_copy(update={"champion": "uniform"}), clock=clock, new_token=_ids("token", seed=plan.seed)
        )
        learner_of(first_home, only="uniform").publish()
        first_home.live.refresh()
        catalogue = first_home.offers.current.catalogue
        bank = Bank.create(customers=plan.customers, seed=plan.seed, start=START, catalogue=catalogue.ids)
    with _timed(phases, "first log", say=say, what=f"{plan.first_days} days under uniform choice within the rules"):
        children.start("learn", ["serving.cli", "learn"])  # from here to the end: it learns as the log grows

        def train() -> None:
            until = ["--until", clock.now().isoformat()]
            children.start("train", ["serving.cli", "train", "--seed", str(plan.seed), *until])

        first = _first_log(first_home, bank=bank, clock=clock, plan=plan, train=train)
    first_home.database.close()
    home = compose(chosen, clock=clock)
    with _timed(phases, "warm start", say=say, what="training of embeddings, vectors, and the rest of the first log"):
        try:
            children.wait("train")
        except RecsysError as error:  # a bundle that ranks worse than popularity is refused: go on without one
            say(str(error))
        children.start("encode-once", ["serving.cli", "encode", "--once"])
        _warmed(home, children=children)
        children.wait("encode-once")
    home.register.create(_experiment(clock.now(), plan=plan))
    secret = Keys(home.database).create("app", scopes=[Scope.RECOMMEND, Scope.ANALYSE, Scope.AUDIT])
    with _timed(phases, "start", say=say, what="starting API and encoder beside the learner"):
        children.start("serve", ["serving.cli", "serve"])
        children.start("encode", ["serving.cli", "encode"], environment=_UNHURRIED)
        children.wait_until(lambda: _ready(chosen), seconds=60, what="starting the API")
    with _timed(phases, "live", say=say, what=f"{plan.live_days} days of app traffic through HTTP"):
        traffic, judged, busy, quiet = asyncio.run(_through_http(chosen, secret, bank=bank, clock=clock, plan=plan))
    with _timed(phases, "catch up", say=say, what="waiting for the learner"):
        _caught_up(home, children=children)
    return Run(plan, home, bank, first, traffic, judged, busy, quiet, phases)


def _caught_up(home: Installation, *, children: Children) -> None:
    """Wait until the learner has read the whole log."""
    mark, last = ReadMark(home.database, name=LEASE), home.log.last_position()
    children.wait_until(lambda: mark.read()[0] >= last, seconds=300, what="the learner")


def _warmed(home: Installation, *, children: Children) -> None:
    """Wait until every recipe has a snapshot from the whole first log, but for lessons too few for another.

    The learner goes on running: a restart would read again all that is still open. A first log too short for
    a snapshot of its own is learned once more, and what came of it is published.
    """
    _caught_up(home, children=children)
    home.live.refresh()
    if all(home.live.published(recipe.name) for recipe in home.recipes):
        return
    children.end("learn")
    children.start("learn-once", ["serving.cli", "learn", "--once"])
    children.wait("learn-once")
    children.start("learn", ["serving.cli", "learn"])


def _first_log(
    home: Installation, *, bank: Bank, clock: SimulatedClock, plan: Plan, train: Callable[[], None]
) -> Traffic:
    """Days lived in process: the same recommender, the same log, decisions by two processes.

    `train` begins some days before the end.
    """
    layers = Layers(holdout_share=plan.holdout)
    recommender = recommender_of(home, layers=lambda: layers, new_id=_ids("decision", seed=plan.seed))
    with SecondDecider(home.settings, holdout=plan.holdout) as second:
        traffic = Traffic(bank, InProcess(home, recommender=recommender, slots=SLOTS, second=second), clock, SLOTS)

        async def days() -> None:
            async for number, _ in _bar(traffic.days(plan.first_days), total=plan.first_days):
                if number == max(1, plan.first_days * 5 // 6):  # the last days are lived while embeddings learn
                    train()

        asyncio.run(days())
    return traffic


async def _through_http(
    chosen: Settings, secret: str, *, bank: Bank, clock: SimulatedClock, plan: Plan
) -> tuple[Traffic, list[Lived], list[float], list[float]]:
    async with _client(chosen, secret) as client:
        door = OverHttp(client, slots=SLOTS)
        traffic = Traffic(bank, door, clock, SLOTS)
        judged: list[Lived] = []
        days = traffic.days(plan.live_days, truth_from=plan.live_days - JUDGED_DAYS)
        async for _, hours in _bar(days, total=plan.live_days):
            judged += [hour for hour in hours if hour.values is not None]
        quiet = []
        for number in range(_QUIET):
            body = {"customer_id": bank.customers.ids[number % plan.customers], "surface": "inline", "slots": 1}
            started = time.perf_counter()
            async with client.post("/v1/recommendations", json=body) as answer:
                answer.raise_for_status()
                await answer.read()
            quiet.append(time.perf_counter() - started)
    return traffic, judged, door.seconds, quiet


async def _bar(days: AsyncIterator[tuple[int, list[Lived]]], *, total: int) -> AsyncIterator[tuple[int, list[Lived]]]:
    with tqdm(total=total, unit="day", leave=False) as bar:
        async for day in days:
            bar.update()
            yield day


def _client(chosen: Settings, secret: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        f"http://{chosen.host}:{chosen.port}",
        headers={"authorization": f"Bearer {secret}"},
        timeout=aiohttp.ClientTimeout(60),
        connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=2),  # the server lets go after 5 s
    )


def _ready(chosen: Settings) -> bool:
    try:
        with urllib.request.urlopen(f"http://{chosen.host}:{chosen.port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _experiment(now: datetime, *, plan: Plan) -> Experiment:
    """The bandit against popularity within the rules; households are the units (EXP-5)."""
    starts = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return Experiment(
        experiment_id=EXPERIMENT,
        owner="growth team",
        hypothesis="Ordering the cards by what suits each customer brings more value than by what is popular",
        primary="value",
        unit="household",
        surfaces=tuple(SLOTS),
        variants=(Variant("popularity", "popularity", 0.5), Variant("bandit", "bandit", 0.5)),
        control="popularity",
        salt=EXPERIMENT,
        starts_at=starts,
        ends_at=starts + timedelta(days=plan.live_days),
        stop_rule=f"after {plan.live_days} days, or at once when a guardrail is worse",
        state="running",
        planned_units=round(plan.customers * (1.0 - plan.holdout)),
    )


def _ids(purpose: str, *, seed: int) -> Callable[[], str]:
    """Ids that repeat with the seed, so that the first log has the same bytes each time."""
    numbers = itertools.count()
    return lambda: hashlib.sha256(f"{seed}:{purpose}:{next(numbers)}".encode()).hexdigest()[:32]


@contextmanager
def _timed(phases: dict[str, float], name: str, *, say: Callable[[str], None], what: str) -> Iterator[None]:
    say(what)
    started = time.perf_counter()
    yield
    phases[name] = time.perf_counter() - started
