"""What pages cost over a year of a large log, against one pass over its index.

The log has two million events that the learner has read, its daily sums a year of them with 400 products and 80
rules, the quarantine a hundred thousand things; fifty experiments run, each with 28 days. The reference counts the
events by kind, which is the least that a page would cost that asked the log instead of the sums.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert

from recsys import daily
from recsys import database as db
from recsys.database import Database
from recsys.entries import Entry
from recsys.experiments import Variant
from recsys.keys import Keys, Scope
from recsys.readmarks import ReadMark
from recsys.records import micros
from serving.learner_loop import LEASE
from tests.builders import START, decision, experiment
from tests.service import running

EVENTS, DAYS, PRODUCTS, RULES, QUARANTINED = 2_000_000, 365, 400, 80, 100_000
RECIPES, SURFACES = ("bandit", "popularity", "uniform", "static"), ("home", "savings", "search", "push", "inline")
PAGES = ("/policies", "/system", "/", "/experiments", "/experiments/e-1")
LOOKS, TRIALS = 5, 50


def main() -> None:
    """Print seconds a page beside the reference."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), at=START + timedelta(days=DAYS)) as app:
        database = app.service.home.database
        _fill(database)
        _try(app)
        app.keys["reader"] = Keys(database).create("reader", scopes=[Scope.ANALYSE])
        reference = _seconds(lambda: app.service.home.log.counts())
        print(f"{EVENTS:,} events, {DAYS} days of sums, {QUARANTINED:,} things in quarantine")
        print(f"{'counting the log by kind':26} {reference:.3f} s")
        for path in PAGES:
            _looked(app, path)  # the first look counts the experiments once
        for path in PAGES:
            own = _seconds(lambda path=path: _looked(app, path))  # type: ignore[misc]
            print(f"{path:26} {own:.3f} s   {own / reference:.2f} of it (bound: 1 s)")


def _try(app: Any) -> None:
    """Fifty experiments at once, each in a layer of its own; their units come over 28 days after the large log."""
    home, arms = app.service.home, (Variant("popularity", "", 0.5), Variant("bandit", "", 0.5, {"words": "short"}))
    begins = app.clock.now() + timedelta(days=40)  # after the time before, which is not real here
    for n in range(TRIALS):
        ends = begins + timedelta(days=28)
        one = experiment(f"e-{n}", salt=f"s{n}", starts_at=begins, ends_at=ends)
        one = replace(one, layer=f"l{n}", variants=arms)
        home.register.create(one, by="bench", why="measured", at=begins)
    for day in range(28):
        app.clock.set(begins + timedelta(days=day))
        now = app.clock.now()
        shown = [
            decision(f"d{day}-{k}", token=f"t{day}-{k}", made_at=now,
                     experiments={f"e-{n}": ("popularity", "bandit")[k % 2] for n in range(TRIALS)})
            for k in range(10)
        ]  # fmt: skip
        home.log.append([Entry(each) for each in shown])


def _looked(app: Any, path: str) -> None:
    assert app.get(path, key="reader").status_code == 200


def _seconds(work: Any) -> float:
    taken = []
    for _ in range(LOOKS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


def _fill(database: Database) -> None:
    with database.writing() as connection:
        for rows in _batches(_events()):
            connection.execute(insert(db.events), rows)
    with database.writing() as connection:
        for rows in _batches(_sums()):
            connection.execute(insert(db.daily), rows)
        for rows in _batches(_put_aside()):
            connection.execute(insert(db.quarantine), rows)
        counted = {"outcomes": EVENTS * 3 // 4, "joined": EVENTS * 3 // 4, "quarantined": 0}
        ReadMark(database, name=LEASE).write_in(connection, EVENTS, counted)
        ReadMark(database, name=daily.NAME).write_in(connection, EVENTS, {"open_from": EVENTS})


def _events() -> Iterator[dict[str, Any]]:
    first, step = micros(START), DAYS * 86_400_000_000 // EVENTS
    text = f'["o","d","pot","seen",{first},null,"{"x" * 120}"]'
    for n in range(1, EVENTS + 1):
        kind = "outcome" if n % 4 else "decision"
        yield {"position": n, "kind": kind, "key": f"{kind}:{n}", "digest": "d" * 32, "token": f"t{n % 50_000}",
               "recorded_at": first + n * step, "schema": 2, "text": text}  # fmt: skip


def _sums() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(1)
    first = (START.date() - daily._EPOCH).days
    for day in range(first, first + DAYS):
        cells = [
            (kind, s, r, "live") for kind in ("decided", "slots", "chance", "value") for s in SURFACES for r in RECIPES
        ]
        cells += [("stage", s, r, stage) for s in SURFACES for r in RECIPES for stage in ("tapped", "opened")]
        cells += [(kind, "", f"p{n}", r) for kind in ("shown", "first") for n in range(PRODUCTS) for r in RECIPES[:2]]
        cells += [(kind, "", f"R-{n}@1", "") for kind in ("checked", "refused", "alone") for n in range(RULES)]
        for (kind, surface, name, other), n in zip(cells, rng.integers(100, 9_000, len(cells)).tolist(), strict=True):
            yield {"day": day, "kind": kind, "surface": surface, "name": name, "other": other, "n": n,
                   "total": 0.1 * n, "squares": 0.1 * n}  # fmt: skip


def _put_aside() -> Iterator[dict[str, Any]]:
    for n in range(QUARANTINED):
        yield {"key": f"bandit:d{n}:1:tapped", "position": n, "recipe": "bandit", "reason": "a flood", "state": "kept",
               "text": '{"kind":"doubt","decision":"d","slot":1,"stage":"tapped"}'}  # fmt: skip


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch = []
    for row in rows:
        batch.append(row)
        if len(batch) == 20_000:
            yield batch
            batch = []
    if batch:
        yield batch


if __name__ == "__main__":
    main()
