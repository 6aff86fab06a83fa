"""Another team's use case lives from its own files and the packages' code alone: help articles."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving import settings
from serving.bootstrap import compose
from serving.commands.learn import learner_of
from serving.offer import apply_catalogue
from tests.service import App, running, stamp

EXAMPLE = Path(__file__).parent.parent / "examples" / "help_articles"
FACTS = {
    "residence": "GB",
    "status": "active",
    "held": [],
    "forbearance": False,
    "date_of_birth": "1990-05-01",  # AGE-3: only who is known to be an adult teaches
    "age_verified": True,
}


@pytest.fixture
def team(home: Path) -> Path:
    """A copy of the example as a home, its articles in force."""
    shutil.copytree(EXAMPLE, home)
    apply_catalogue(settings.load().artefacts, text=(home / "catalogue.toml").read_text(), where="catalogue.toml")
    return home


@pytest.fixture
def app(team: Path) -> Iterator[App]:
    with running(team, catalogue=False) as app:
        app.tell("ann", facts=FACTS)
        yield app


def found(app: App, query: str, *, customer: str = "ann") -> list[str]:
    answer = app.post("/v1/search", {"customer_id": customer, "query": query, "slots": 3})
    assert answer.status_code == 200, answer.text
    return [slot["product_id"] for slot in answer.json()["slate"]]


@pytest.mark.parametrize(
    ("question", "article"),
    [
        ("my card was stolen", "freeze-card"),
        ("forgot my pin", "forgotten-pin"),
        ("sent money to the wrong acount", "wrong-payment"),
        ("i dont recognise this transaction", "unknown-payment"),
        ("cancel direct debit", "standing-order"),
        ("we are moving, new adress", "new-address"),
        ("using my card on holiday", "card-abroad"),
        ("cant pay my bill", "missed-payment"),
    ],
)
def test_a_question_finds_its_article(app: App, question: str, article: str) -> None:
    assert article in found(app, question)[:2]


def test_the_teams_own_rules_decide_who_may_read_what(app: App) -> None:
    assert "joint-closing" not in found(app, "close our joint account")
    app.tell("bob", facts=FACTS | {"held": ["joint-account"], "forbearance": True})
    assert found(app, "close our joint account", customer="bob")[0] == "joint-closing"
    assert "missed-payment" not in found(app, "cannot pay a bill", customer="bob")
    told = app.recommend("bob", surface="help", slots=5)
    assert "HELP-4@1" in str(app.receipt(told["decision_id"]))


def test_the_shelf_learns_what_settles_a_matter_in_the_teams_own_rewards(team: Path) -> None:
    helps = {"unknown-payment": 0.8, "freeze-card": 0.3}
    with running(team, catalogue=False) as app:
        for n in range(20):
            app.tell(f"c-{n}", facts=FACTS)
        loop = learner_of(compose(settings.load(), clock=app.clock))
        before = lived(app, helps, visits=300)
        app.clock.set(app.clock.now() + timedelta(days=3))
        app.recommend("c-0", surface="help")  # three days later: all windows have closed
        loop.catch_up()
        loop.publish()
        app.service.refresh()
        after = lived(app, helps, visits=100)
    assert before["unknown-payment"] < 0.3 * 300
    assert after["unknown-payment"] > 0.7 * 100


def lived(app: App, helps: dict[str, float], *, visits: int) -> Counter[str]:
    """Visits to the help screen: what stood first, and the reports of what came of it."""
    first: Counter[str] = Counter()
    outcomes: list[dict[str, Any]] = []
    for n in range(visits):
        told = app.recommend(f"c-{n % 20}", surface="help", slots=3)
        slate = [slot["product_id"] for slot in told["slate"]]
        first[slate[0]] += 1
        at = stamp(app.clock.now())
        for product in slate:
            lucky = (n * 7919 % 100) / 100 < helps.get(product, 0.02)  # an even spread, the same in every run
            for kind in ("seen", *(("read", "solved") if lucky else ("called",) if n % 5 == 0 else ())):
                outcomes.append(
                    {"outcome_id": f"{told['decision_id']}-{product}-{kind}", "decision_id": told["decision_id"],
                     "product_id": product, "kind": kind, "happened_at": at}
                )  # fmt: skip
        app.clock.set(app.clock.now() + timedelta(minutes=1))
    for start in range(0, len(outcomes), 500):
        answer = app.post("/v1/outcomes", {"outcomes": outcomes[start : start + 500]})
        assert answer.json()["accepted"] == len(outcomes[start : start + 500]), answer.text
    return first
