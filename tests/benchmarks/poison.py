"""Poison: one event of each kind against a clean twin, what the API says to it, and a learner killed twenty times.

A twin is a log of a thousand clean rounds with the poison in the middle. What counts is the largest change
of any probability and any score at a hundred moments, once everything is learned and published.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recsys.clocks import FixedClock
from serving.bootstrap import compose
from serving.commands.learn import learner_of
from serving.commands.verify_log import verify_log
from serving.settings import Settings
from serving.tallies import reconciles
from tests.builders import START
from tests.learner_kills import learn_killed, snapshots
from tests.poison_worlds import POISONS, Learned, close, learned, live, opened, poisoned
from tests.service import ADULT, App, outcome_in, pointers, running

ROUNDS = [3, *range(10, 1_010)]
KILLS = 20


def main() -> None:
    """Print three tables: the API's answers, the twins, the kills."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _answers(root / "api")
        _twins(root)
        _kills(root)


def _answers(folder: Path) -> None:
    print("what the API says                              status  accepted  told")
    with running(folder, raising=False) as app:
        app.tell("ann")
        shown = app.recommend("ann")
        product, decision = shown["slate"][0]["product_id"], shown["decision_id"]
        tap = outcome_in("o-1", decision_id=decision, product_id=product)
        batch: Mapping[str, object] = {
            "an amount of 1e9 pence": tap | {"outcome_id": "o-2", "amount_pence": 10**9},
            "a product never shown": tap | {"outcome_id": "o-3", "product_id": "mortgage"},
            "a kind nobody knows": tap | {"outcome_id": "o-4", "kind": "inf"},
        }
        for name, item in batch.items():
            _line(app, name, {"outcomes": [item]})
        _line(app, "1,000 times one tap", {"outcomes": [tap] * 1_000})
        for word in ("NaN", "Infinity", "1e999"):
            body = f'{{"outcomes": [{{"outcome_id": "x", "decision_id": "{decision}", "product_id": "{product}", '
            body += f'"kind": "tapped", "happened_at": "{shown["made_at"]}", "amount_pence": {word}}}]}}'
            _told(f"an amount of {word}", app.raw("/v1/outcomes", body.encode()))
        for word in ("NaN", "Infinity", "1e999"):
            facts = f'{{"as_of": "{shown["made_at"]}", "facts": {{"emergency_months": {word}}}}}'
            answer = app.ask(
                "PUT", "/v1/customers/ann", content=facts.encode(), headers={"Content-Type": "application/json"}
            )
            _told(f"a fact of {word}", answer)
        answer = app.put(
            "/v1/customers/ann", {"as_of": shown["made_at"], "facts": dict(ADULT) | {"savings_pence": 1e30}}
        )
        _told("savings of 1e30 pence", answer)


def _line(app: App, name: str, body: object) -> None:
    _told(name, app.post("/v1/outcomes", body))


def _told(name: str, answer: object) -> None:
    status, told = answer.status_code, answer.json()  # type: ignore[attr-defined]
    said = str(told.get("detail") or told.get("rejected") or "")[:60]
    accepted = told.get("accepted", "") if status < 300 else ""
    print(f"{name:46} {status:>6} {accepted!s:>9}  {said}")


def _twins(root: Path) -> None:
    untouched = _twin(root / "clean")
    print(f"\nclean: {untouched.counts()['learned']:,} lessons learned by the bandit of {len(ROUNDS):,} rounds")
    print(f"{'poison':40} {'largest change of a pmf':>24} {'of a score':>11} {'put aside':>10}  adds up")
    for kind in POISONS:
        found = _twin(root / "twin", kind=kind)
        pmf = np.abs(found.pmfs() - untouched.pmfs()).max()
        score = np.abs(found.scores() - untouched.scores()).max()
        whole = reconciles(found.counts()) and found.loop.counters.reconciles()
        aside = found.home.quarantine.count()
        print(f"{kind:40} {pmf:>24.1e} {score:>11.1e} {aside:>10}  {'yes' if whole and pmf <= 1e-6 else 'NO'}")
        found.home.database.close()
        shutil.rmtree(root / "twin")


def _twin(folder: Path, *, kind: str = "") -> Learned:
    home = opened(folder)
    live(home, ROUNDS, poison=poisoned(kind) if kind else ())
    return learned(home)


def _kills(root: Path) -> None:
    home = opened(root / "one", publish_every_lessons=150, publish_every_minutes=60)
    live(home, ROUNDS)
    close(home)
    last = home.log.last_position()
    home.database.close()
    shutil.copytree(root / "one", root / "killed")
    undisturbed = compose(
        Settings(home=root / "one", publish_every_lessons=150, publish_every_minutes=60), clock=FixedClock(START)
    )
    progress = learner_of(undisturbed).catch_up()
    middle = learn_killed(root / "killed", times=KILLS, published=progress.published["bandit"], last=last)
    same = pointers(root / "one") == pointers(root / "killed")
    count = snapshots(root / "one")
    print(f"\nlearner killed {KILLS} times, {middle} of them before the end of the log, {count} snapshots")
    print(f"digests as undisturbed: {'the same' if same else 'DIFFERENT'}")
    print(verify_log(undisturbed).told())
    undisturbed.database.close()


if __name__ == "__main__":
    main()
