"""A home under load: a rich profile, the whole rule pack, 50 products that may be shown, recipes with snapshots.

And what it is compared with, the bare endpoint (bare.py), as a process.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from embeddings import bundle as bundles
from embeddings.bundle import Blueprint, Reference
from embeddings.fitting import weights_of
from embeddings.identifiers import IdMap
from embeddings.index import ExactIndex
from embeddings.two_tower import TwoTower, TwoTowerConfig
from recsys import features
from recsys.catalogue import BANK_CATALOGUE
from recsys.customers import Told
from recsys.keys import Keys, Scope
from recsys.vocabulary import CustomerId, Permissions
from serving.bootstrap import Installation, compose
from serving.commands.learn import learner_of
from serving.offer import apply_catalogue
from serving.settings import Settings
from tests.service import ADULT, Child, started

ELIGIBLE = 50
SURFACE = "savings"
SHOWN = 3
CALM = {"RECSYS_HOLDOUT_SHARE": "0", "RECSYS_UNIFORM_SHARE": "0"}


@dataclass(frozen=True)
class Home:
    """One home, ready to be served."""

    folder: Path
    key: str
    customers: int

    def ask(self, number: int, **more: Any) -> dict[str, Any]:
        """The body of a recommendation, for one customer after another."""
        body = {"customer_id": f"c-{number % self.customers}", "surface": SURFACE, "slots": SHOWN}
        return body | {"context": {"payday_in_days": 3}} | more


def home_of(folder: Path, *, customers: int, database_url: str = "", bundle: bool = True) -> Home:
    """Make it: catalogue, customers with every fact, a snapshot of each recipe, and perhaps vectors."""
    settings = Settings(home=folder, database_url=database_url, holdout_share=0.0, uniform_share=0.0)
    home = compose(settings)
    key = Keys(home.database).create("app", scopes=[Scope.RECOMMEND, Scope.AUDIT, Scope.ANALYSE])
    fill(home, range(customers))
    _offer(home)
    learner_of(home).publish()
    if bundle:
        publish_bundle(home, seed=0)
    home.database.close()
    return Home(folder, key, customers)


def fill(home: Installation, numbers: Sequence[int], *, batch: int = 500) -> None:
    """Tell every fact of these customers."""
    now = datetime.now(UTC) - timedelta(minutes=1)
    allowed = Permissions(in_app=True, push=True)
    for start in range(0, len(numbers), batch):
        told = [
            Told(CustomerId(f"c-{n}"), now, {**_facts(now), "balance_pence": 100_000 + n}, allowed)
            for n in numbers[start : start + batch]
        ]
        home.customers.tell(told, log=home.log)


def _facts(now: datetime) -> dict[str, Any]:
    """An ordinary adult's facts, with days that are recent."""
    days = {"last_paid_on": -3, "next_payday_on": 25}
    found = {name: tuple(value) if isinstance(value, list) else value for name, value in ADULT.items()}
    return found | {name: (now + timedelta(days=n)).date().isoformat() for name, n in days.items()}


def _offer(home: Installation) -> None:
    """The bank's catalogue, in which products that may be shown here stand several times, until there are 50."""
    head, *blocks = re.split(r"(?m)^(?=\[\[product\]\])", BANK_CATALOGUE.read_text(encoding="utf-8"))
    tail = re.split(r"(?m)^(?=\[\[(?!product))", blocks[-1], maxsplit=1)
    blocks[-1], rest = tail[0], "".join(tail[1:])
    apply_catalogue(home.settings.artefacts, text="".join((head, *blocks, rest)), where="bank.toml")
    home.offers.refresh()
    own = [block for block in blocks if (named := re.search(r'id = "([^"]+)"', block)) and named[1] in eligible(home)]
    many = [re.sub(r'(?m)^(\s*id = "[^"]+)"', rf'\g<1>-{n}"', block) for n in range(ELIGIBLE) for block in own]
    text = "".join((head, *blocks, *many[: ELIGIBLE - len(own)], rest))
    apply_catalogue(home.settings.artefacts, text=text, where="many.toml")
    home.offers.refresh()
    if (n := len(eligible(home))) != ELIGIBLE:
        raise LookupError(f"{n} products may be shown, not {ELIGIBLE}")


def publish_bundle(home: Installation, *, seed: int) -> str:
    """A bundle with random vectors over the catalogue; its digest."""
    products = home.offers.current.catalogue.products
    ids = IdMap(tuple(product.product_id for product in products))
    named = tuple(dict.fromkeys(name for product in products for name in features.product_features(product)[0]))
    vectors = np.random.default_rng(seed).normal(size=(len(ids), 16)).astype(np.float32)
    config = {"dim": 16, "hidden": 32}
    network = TwoTower(
        TwoTowerConfig(**config), n_facts=len(features.CUSTOMER_NAMES), n_subjects=2, n_features=len(named),
        n_products=len(ids),
    )  # fmt: skip
    return bundles.publish(
        home.settings.artefacts,
        features_version=features.VERSION,
        index=ExactIndex(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), ids=ids),
        n_chosen=np.arange(len(ids)),
        reference=Reference(0.1, 0.25),
        blueprint=Blueprint("two_tower", config, features.CUSTOMER_NAMES, IdMap(("pay", "isa")), 8, named, ids),
        weights=weights_of(network),
        notes={"recall_at_5": 0.5},
    ).digest


def eligible(home: Installation) -> tuple[str, ...]:
    """What the first customer may be shown."""
    offer, now = home.offers.current, home.clock.now()
    profile = home.customers.profiles([CustomerId("c-0")])[CustomerId("c-0")]
    pack = offer.rules.of(profile)
    return pack.verdicts(profile, products=offer.catalogue.products, surface=SURFACE, at=now).eligible()


@contextmanager
def served(home: Home, *arguments: str, beside: Sequence[str] = (), **environment: str) -> Iterator[tuple[str, Child]]:
    """`recsys serve` over a home, and what runs beside it; its URL and its process."""
    with contextlib.ExitStack() as stack:
        child = stack.enter_context(started(home.folder, "serve", "--port", "0", *arguments, **CALM, **environment))
        url = child.wait_for_url(120)
        for name in beside:
            stack.enter_context(started(home.folder, name, **CALM, **environment))
        yield url, child


@contextmanager
def bare(answer: dict[str, Any], *, folder: Path, durable: bool) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The bare endpoint that returns this JSON; its URL and its process."""
    (folder / "answer.json").write_text(json.dumps(answer))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = [str(port), str(folder / "answer.json"), *([str(folder / "bare.db")] if durable else [])]
    process = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.bare", *given], start_new_session=True)
    try:
        for _ in range(1_500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}", process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, to the nanosecond: its clock as `clock_getcpuclockid` names it on Linux."""
    return time.clock_gettime((~pid << 3) | 2)


def resident_mib(pid: int) -> float:
    """Memory of a process that is in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
