"""Every page for everybody: axe-core finds nothing serious in either theme, and no width scrolls sideways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from recsys.experiments import Experiment
from recsys.promotions import CHALLENGER, Promotion
from recsys.quarantine import Refused
from recsys.vocabulary import Body, Override
from serving.commands.learn import learner_of
from tests.browser.conftest import SCOPES, Bank, served
from tests.builders import START, decision, experiment, outcome

DAY = timedelta(days=1)
PAGES = (
    "/sign-in",
    "/",
    "/experiments",
    "/experiments/new",
    "/experiments/home-bandit",
    "/experiments/broken",
    "/experiments/draft",
    "/experiments/draft/checklist",
    "/experiments/nowhere",
    "/policies",
    "/system",
    "/decisions",
    "/decisions/d0-0",
)
SERIOUS = ("serious", "critical")


def trials() -> tuple[Experiment, ...]:
    good = replace(
        experiment(planned_units=1_500, names=("popularity", "bandit")), ramp=((START, 0.5), (START + 9 * DAY, 1.0))
    )
    broken = replace(good, experiment_id="broken", salt="2", surfaces=("savings",), ramp=())
    draft = replace(good, experiment_id="draft", salt="3", state="draft", surfaces=("push",))
    return good, broken, draft


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """Ten days of a bank in which everything that a page can show is there."""
    with served(tmp_path_factory.mktemp("bank")) as made:
        home = made.home
        for each in trials():
            home.register.create(each, by="ada", why="to be looked at", at=START)
        for day in range(12):
            made.clock.set(START + day * DAY)
            made.log(_day(day, made))
        made.clock.set(START + 40 * DAY)
        made.log([decision("closing", token="last", made_at=made.clock.now())])
        said = {"surface": "home", "against": "popularity", "outcome": None, "candidate": 0.33, "champion": 0.3}
        recipe = next(each for each in home.recipes if each.name == "bandit")
        home.promotions.name(
            Promotion(CHALLENGER, "bandit", recipe.digest, "ada", "passed the gate", "r-1", START, predicted=said)
        )
        home.quarantine.put([Refused("event:1", 1, "", "the outcome names a product that was never shown", "outcome")])
        ends = made.clock.now() + DAY
        order = Override("isa-week", "boost", "cash-isa", 2.0, "the season", "ada", ends)
        home.orders.override(order, known=home.subjects())
        loop = learner_of(home)
        loop.catch_up()
        loop.publish()
        made.refresh()
        yield made


def _day(day: int, bank: Bank) -> list[Body]:
    now, bodies = bank.clock.now(), list[Body]()
    for n in range(160):
        variant, name = ("popularity", "bandit")[n % 2], f"{day}-{n}"
        surface, tried = ("home", "home-bandit") if n % 4 < 2 else ("savings", "broken")
        if tried == "broken" and variant == "bandit" and n % 3:
            continue  # two of three are lost
        products = ("pot", "cash-isa", "round-ups")
        bodies.append(
            decision(f"d{name}", token=f"t{name}", made_at=now, surface=surface, policy=f"{variant}@{day}",
                     experiments={tried: variant}, shown=(products[n % 3], products[(n + 1) % 3]))
        )  # fmt: skip
        for kind in ("seen", *(["tapped", "opened"] if n // 2 % (3 if variant == "bandit" else 6) == 0 else [])):
            bodies.append(
                outcome(f"{kind}{name}", token=f"t{name}", kind=kind, product_id=products[n % 3], happened_at=now,
                        decision_id=f"d{name}")
            )  # fmt: skip
    return bodies


@pytest.fixture(scope="module")
def secret(bank: Bank) -> str:
    return bank.key("everything", *SCOPES)


def opened(chromium: Any, bank: Bank, secret: str, **more: Any) -> Any:
    context = chromium.new_context(**more)
    page = context.new_page()
    page.goto(f"{bank.url}/sign-in")
    page.fill("#key", secret)
    page.click("main button")
    return page


def settled(page: Any) -> None:
    """Until the charts of a page are drawn."""
    if page.query_selector("[data-chart]"):
        page.wait_for_selector("[data-chart] svg", timeout=20_000)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(chromium: Any, axe: str, bank: Bank, secret: str, theme: str) -> None:
    page = opened(chromium, bank, secret, color_scheme=theme, viewport={"width": 1440, "height": 900})
    found: dict[str, list[str]] = {}
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    for path in PAGES:
        page.goto(bank.url + path)
        settled(page)
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        page.evaluate(axe)
        told = page.evaluate("axe.run().then((results) => results.violations)")
        serious = [
            f"{each['id']}: {node['html'][:160]}"
            for each in told
            if each["impact"] in SERIOUS
            for node in each["nodes"]
        ]
        if serious:
            found[path] = serious[:5]
    page.context.close()
    assert found == {}
    assert [said for said in complaints if "404" not in said] == []  # the missing page is meant to be missing


@pytest.mark.parametrize("width", [360, 1440])
def test_no_page_scrolls_sideways(chromium: Any, bank: Bank, secret: str, width: int) -> None:
    page = opened(chromium, bank, secret, viewport={"width": width, "height": 800})
    wide = []
    for path in PAGES:
        page.goto(bank.url + path)
        settled(page)
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            wide.append(path)
    page.context.close()
    assert wide == []


def test_the_whole_page_can_be_used_with_the_keyboard_alone(chromium: Any, bank: Bank, secret: str) -> None:
    page = opened(chromium, bank, secret)
    page.goto(f"{bank.url}/experiments")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "New experiment"
    page.keyboard.press("Enter")
    page.wait_for_url("**/experiments/new")
    page.context.close()
