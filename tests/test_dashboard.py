"""The pages, over real scorecards: what a product manager reads, what a browser may load."""

from __future__ import annotations

import asyncio
import json
import random
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache

import httpx
import pytest
from fastapi import FastAPI

from recsys.metrics import default_metrics
from recsys.vocabulary import Body, Switch
from serving.charts import charts_of
from serving.dashboard import pages
from serving.formats import number, signed, signed_percent
from serving.memory_source import MemorySource, quiet_status
from tests.builders import at, decision, events, experiment, outcome

HOSTILE = '<script>alert("1")</script>&</script><!--'
METRICS = tuple(
    replace(m, window=timedelta(days=10), before=timedelta(0)) for m in default_metrics({"pot": 1.0, "cash-isa": 4.0})
)


@cache
def source() -> MemorySource:
    rng = random.Random(1)
    bodies: list[Body] = []
    for n in range(1_200):
        variant = ("popularity", "bandit")[n % 2]
        token, day = f"t{n}", rng.random() * 4
        bodies.append(decision(f"d{n}", token=token, made_at=at(day), experiments={"home-bandit": variant}))
        if rng.random() < (0.15 if n % 2 else 0.05):
            when = at(day + rng.random() * 8)
            bodies.append(outcome(f"o{n}", token=token, kind="opened", happened_at=when, decision_id=f"d{n}"))
        if n % 2 and n < 200:
            bodies.append(outcome(f"x{n}", token=token, kind="dismissed", happened_at=at(5), decision_id=f"d{n}"))
    known = (
        experiment(),
        experiment(experiment_id="savings-words", salt="2", state="draft", hypothesis=HOSTILE),
        experiment(experiment_id="search-order", salt="3", surfaces=("search",)),
    )
    return MemorySource(known, events(bodies), METRICS, as_of=at(45))


@dataclass(frozen=True)
class Client:
    """Calls an app in this process."""

    app: FastAPI

    def get(self, path: str) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://bank") as http:
                return await http.get(path)

        return asyncio.run(call())


def client(over: MemorySource) -> Client:
    app = FastAPI()
    app.include_router(pages(over))
    return Client(app)


EVERY_PAGE = (
    "/",
    "/experiments",
    "/experiments/home-bandit",
    "/experiments/search-order",
    "/decisions",
    "/decisions/d1",
    "/nowhere",
)


def test_the_experiment_page_says_in_words_and_numbers_what_its_json_says() -> None:
    page = client(source()).get("/experiments/home-bandit").text
    table = source().scorecard("home-bandit").to_json()
    effect = table["metrics"][0]["comparisons"][0]["effect"]
    assert table["status"]["word"] == "Better"
    assert table["status"]["sentence"].removeprefix("Better: ")[1:] in page
    shown = (
        signed_percent(effect["relative"]),
        signed_percent(effect["relative_low"]),
        signed(effect["absolute"]),
        f"{signed(effect['low'])} and {signed(effect['high'])}",
        number(table["metrics"][0]["variants"]["bandit"]["mean"]),
    )
    assert [text for text in shown if text not in page] == []
    assert page.count('<th scope="row">2 March 2026</th>') == 1  # every day, for readers without scripts


def test_charts_carry_the_very_numbers_of_the_json() -> None:
    page = client(source()).get("/experiments/home-bandit").text
    inline = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page, re.S)
    assert inline is not None
    charts = json.loads(inline[1])
    table = source().scorecard("home-bandit").to_json()
    assert charts == json.loads(json.dumps(charts_of(table)))
    assert set(charts) == {"interval", "lift", "daily"}
    rows = max(charts["lift"]["datasets"].values(), key=len)
    told = table["metrics"][0]["comparisons"][0]["over_time"]
    assert [(r["day"], r["absolute"], r["low"], r["high"]) for r in rows] == [
        (r["day"], r["absolute"], r["low"], r["high"]) for r in told
    ]


def test_the_overview_puts_harm_first() -> None:
    status = quiet_status() | {
        "attention": ("4 events are in quarantine.",),
        "counters": {"received": 10, "joined": 5, "waiting": 4, "quarantined": 0, "learned": 7},
        "lessons": {"bandit": {"received": 9, "learned": 4, "waiting": 3, "quarantined": 1, "superseded": 1}},
        "switches": (Switch("product", "loan", off=True, reason="being mended", by="grace"),),
        "policies": (
            {"recipe": "vowpal", "policy": "vowpal@12", "published_at": "2026-03-02T09:00:00Z", "lessons": 12_345},
        ),
        "versions": {"rule_pack": "gb@1"},
    }
    page = client(replace(source(), now=status)).get("/").text
    harm = page.index("home-bandit: Worse: bandit shows")
    assert harm < page.index("Events do not add up") < page.index("4 events are in quarantine.")
    for text in ("product loan</strong> is off: being mended", "vowpal@12", "12,345", "gb@1"):
        assert text in page


def test_an_empty_home_teaches() -> None:
    home = client(MemorySource())
    assert "splits customers at random" in home.get("/").text
    assert "Nothing. All is well." in home.get("/").text
    assert "needs an owner, a hypothesis and a stop rule" in home.get("/experiments").text
    assert "Nobody has been exposed yet" in client(source()).get("/experiments/search-order").text


def test_an_experiment_without_outcomes_yet_teaches() -> None:
    bodies = [decision(f"d{n}", token=f"t{n}", experiments={"home-bandit": "bandit"}) for n in range(3)]
    page = client(MemorySource((experiment(),), events(bodies), METRICS)).get("/experiments/home-bandit").text
    assert "3 customers have been exposed, and none of them" in page


def test_a_metric_that_nobody_counts_for_yet_has_no_mean_rather_than_nought() -> None:
    slow = tuple(replace(m, window=timedelta(days=30)) if m.name == "dismissals" else m for m in METRICS)
    assert slow != METRICS
    page = client(replace(source(), metrics=slow, as_of=at(12))).get("/experiments/home-bandit").text
    row = " ".join(page.partition("Is it safe")[2].partition("Dismiss")[2].partition("</tr>")[0].split())
    assert row.count("nobody counts yet") == 2  # the variant and the control
    assert ">0.00<" not in row
    assert "nobody counts yet" not in client(source()).get("/experiments/home-bandit").text


def test_a_hostile_name_stays_text() -> None:
    for path in ("/experiments", "/experiments/savings-words"):
        page = client(source()).get(path).text
        assert "<script>alert" not in page
    listed = client(source()).get("/experiments").text
    assert "&lt;script&gt;alert" in listed
    names = ("popularity", HOSTILE)
    bodies = [decision(f"d{n}", token=f"t{n}", experiments={"home-bandit": names[n % 2]}) for n in range(40)]
    bodies += [outcome(f"o{n}", token=f"t{n}", kind="opened", happened_at=at(1)) for n in range(0, 40, 3)]
    renamed = MemorySource((experiment(names=names, hypothesis=HOSTILE),), events(bodies), METRICS, as_of=at(45))
    page = client(renamed).get("/experiments/home-bandit").text
    assert "charts" in page
    assert page.count("<script") == page.count("</script>") == 3
    assert "alert(" in page


@pytest.mark.parametrize("path", [*EVERY_PAGE, "/static/app.js", "/static/style.css"])
def test_nothing_comes_from_another_host(path: str) -> None:
    answer = client(source()).get(path)
    outside = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"']*", answer.text))
    assert {url for url in outside if not url.startswith("https://vega.github.io/schema/")} == set()


@pytest.mark.parametrize("path", EVERY_PAGE[:-1])
def test_every_page_forbids_foreign_and_inline_scripts(path: str) -> None:
    answer = client(source()).get(path)
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not re.search(r"<[^>]+\s(style|on[a-z]+)=", answer.text)
    inline = re.findall(r"<script(?![^>]*(?:src=|application/json))", answer.text)
    assert inline == []
    assert answer.text.count("<h1>") == 1
    assert 'lang="en-GB"' in answer.text


def test_scripts_and_styles_are_served_from_here() -> None:
    home = client(source())
    bundle = home.get("/static/vega.js")
    assert bundle.headers["content-type"].startswith("text/javascript")
    assert "window.vegaEmbed" in bundle.text
    assert "prefers-color-scheme: dark" in home.get("/static/style.css").text
    assert "ast: true" in home.get("/static/app.js").text  # expressions are interpreted: no eval under the policy


def test_what_does_not_exist_is_told_so() -> None:
    for path in ("/experiments/none", "/decisions/none"):
        answer = client(source()).get(path)
        assert answer.status_code == 404
        assert "has the id none" in answer.text


def test_a_receipt_shows_the_slate_with_its_probabilities() -> None:
    page = client(source()).get("/decisions/d1").text
    assert "33.3%" in page
    assert "could have been picked; others were picked this time" in page
