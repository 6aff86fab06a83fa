"""A product manager at work, in a real browser: sign in, make, start, read, stop, decide, sign out."""

from __future__ import annotations

import json
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

from recsys.keys import Scope
from recsys.promotions import CHAMPION
from recsys.vocabulary import Body
from serving.formats import number, signed, signed_percent
from tests.browser.conftest import Bank, served
from tests.builders import START, decision, outcome

DAY = timedelta(days=1)
EACH = 400  # households a day


def lived(bank: Bank) -> None:
    """Seven days of traffic in which the bandit brings three times the openings; then all windows close."""
    for day in range(7):
        bank.clock.set(START + (day + 1) * DAY)
        now, bodies = bank.clock.now(), list[Body]()
        for n in range(EACH):
            variant, name = ("popularity", "bandit")[n % 2], f"{day}-{n}"
            policy = f"{variant}@{day + 1}"
            bodies.append(
                decision(f"d{name}", token=f"t{name}", made_at=now, unit=f"h{name}", policy=policy,
                         experiments={"home-order": variant})
            )  # fmt: skip
            if n // 2 % (4 if variant == "bandit" else 12) == 0:
                bodies.append(
                    outcome(f"o{name}", token=f"t{name}", kind="opened", happened_at=now, decision_id=f"d{name}")
                )
        bank.log(bodies)
    bank.clock.set(START + 60 * DAY)
    bank.log([decision("closing", token="last", made_at=bank.clock.now())])


def scorecard(bank: Bank, secret: str) -> dict[str, Any]:
    asked = urllib.request.Request(
        f"{bank.url}/v1/experiments/home-order", headers={"Authorization": f"Bearer {secret}"}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


def test_a_product_manager_makes_runs_reads_and_decides_an_experiment(chromium: Any, tmp_path: Path) -> None:
    with served(tmp_path) as bank:
        secret = bank.key("pm", Scope.ANALYSE, Scope.STEER, Scope.APPROVE)
        context = chromium.new_context(java_script_enabled=False)  # every step works without a script
        page = context.new_page()
        page.goto(bank.url)
        assert page.url.endswith("/sign-in")
        page.fill("#key", "not a key")
        page.click("main button")
        assert "This is no key in force" in page.inner_text("main")
        page.fill("#key", secret)
        page.click("main button")
        assert page.inner_text("h1") == "Overview"

        page.click("nav >> text=Experiments")
        page.click("text=New experiment")
        page.fill("#experiment_id", "home-order")
        page.fill("#name_1", "popularity")
        page.select_option("#recipe_1", "popularity")
        page.fill("#name_2", "bandit")
        page.select_option("#recipe_2", "bandit")
        page.fill("#share_2", "40")
        page.fill("#days", "7")
        page.fill("#planned_units", str(7 * EACH))
        page.fill("#starts_on", START.date().isoformat())
        page.fill("#why", "the first trial of the bandit")
        page.click("button:has-text('Create the draft')")
        assert "2 things are to mend" in page.inner_text("[role=alert]")
        assert "Shares add up to 0.9" in page.inner_text("#fault-variants")
        assert "Write the hypothesis" in page.inner_text("#fault-hypothesis")
        assert page.input_value("#name_2") == "bandit"
        page.fill("#share_2", "50")
        page.fill("#hypothesis", "What suits each customer brings more value than what is popular")
        page.click("button:has-text('Check it first')")
        assert "Will it be able to answer?" in page.inner_text("main")
        page.click("button:has-text('Create the draft')")
        assert page.inner_text("h1").startswith("home-order")
        page.click("text=Go through the checklist")
        assert "Who decides it?" in page.inner_text("main")
        page.fill("#why-start", "everything is answered")
        page.click("button:has-text('Start it')")
        assert "running" in page.inner_text("h1")

        lived(bank)
        page.reload()
        told = scorecard(bank, secret)
        effect = told["metrics"][0]["comparisons"][0]["effect"]
        text = page.inner_text("main")
        assert told["status"]["word"] == "Better"
        assert page.inner_text(".verdict .word").endswith("Better")
        mean = told["metrics"][0]["variants"]["bandit"]["mean"]
        for shown in (
            signed_percent(effect["relative"]), signed_percent(effect["relative_low"]), signed(effect["absolute"]),
            f"{signed(effect['low'])} and {signed(effect['high'])}", number(mean),
            f"{sum(told['units'].values()):,}", told["recommendation"]["sentence"],
        ):  # fmt: skip
            assert shown in text

        page.fill("#why-stop", "the planned size is read")
        page.click("button:has-text('Stop it')")
        page.check("input[name=variant][value=bandit]")
        page.click("button:has-text('Decide')")
        assert "Say why" in page.inner_text("#fault-decide")
        assert page.is_checked("input[name=variant][value=bandit]")
        page.fill("#why-decide", "better, and no harm shown")
        page.click("button:has-text('Decide')", timeout=120_000)  # MLflow makes its store
        assert "decided" in page.inner_text("h1")
        assert "bandit: better, and no harm shown" in page.inner_text(".log")
        link = page.get_attribute(".log a", "href")
        assert link is not None
        assert link.startswith("http://127.0.0.1:9/#/experiments/")
        [crowned] = bank.home.promotions.history()
        assert (crowned.role, crowned.recipe, crowned.by) == (CHAMPION, "bandit", "pm")
        page.click("nav >> text=Policies")
        assert "home-order: Better" in page.inner_text("main")

        page.click("text=Sign out")
        page.goto(f"{bank.url}/experiments/home-order")
        assert page.url.endswith("/sign-in")
        context.close()
