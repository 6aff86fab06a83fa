"""One day at the bank: the five walks of architecture.md, each a story that reads from top to bottom."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandits import estimators, intervals
from bandits.baselines import StaticPolicy, UniformPolicy
from bandits.policy import Policy
from embeddings import bundle as bundles
from recsys import artefacts
from recsys.joining import rounds
from recsys.layers import Layers
from recsys.metrics import default_metrics
from recsys.scorecards import roll_up
from recsys.tracking import MemoryTracker
from recsys.vocabulary import Decision, Outcome, Round
from serving.bootstrap import recommender_of
from serving.charts import charts_of
from serving.commands.learn import learner_of
from serving.encoder_loop import EncoderLoop
from serving.formats import number
from serving.live_policy import policy_name
from serving.nightly import train
from tests.builders import START, experiment
from tests.service import ADULT, App, running, stamp


def report(app: App, told: dict[str, Any], *, kinds: Callable[[str], tuple[str, ...]]) -> None:
    """What the app's backend says of one slate: seen, and for each product whatever else it did."""
    items = [
        {
            "outcome_id": f"{told['decision_id']}-{slot['slot']}-{kind}",
            "decision_id": told["decision_id"],
            "product_id": slot["product_id"],
            "kind": kind,
            "happened_at": told["made_at"],
        }
        for slot in told["slate"]
        for kind in ("seen", *kinds(slot["product_id"]))
    ]
    answer = app.post("/v1/outcomes", {"outcomes": items}).json()
    assert answer == {"accepted": len(items), "duplicates": 0, "rejected": []}


def throw_known_dice(app: App) -> None:
    """Decision ids in order instead of random ones, so that every run of a test draws the same slates."""
    numbers, service = itertools.count(), app.service
    service.recommender = recommender_of(
        service.home, layers=lambda: Layers(holdout_share=0.0), new_id=lambda: f"d-{next(numbers)}"
    )


def test_walk_1_a_recommendation(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        # The bank tells what it knows of Ann, and what she allows.
        app.tell("ann", facts=dict(ADULT) | {"held": ["pot"], "pre_eligible": []})

        # She opens her savings; the app asks what to show.
        told = app.recommend("ann", surface="savings", slots=3, context={"payday_in_days": 0})
        shown = [slot["product_id"] for slot in told["slate"]]
        assert len(set(shown)) == 3

        # Rules came first: what she holds is not shown again, and the verdict says which rule and why.
        receipt = app.receipt(told["decision_id"])
        assert "pot" not in receipt["eligible"]
        held = next(r for r in receipt["rules"] if r["product_id"] == "pot" and not r["allowed"])
        assert (held["rule"], held["reason"]) == ("DUT-1.held@1", "The customer already has this.")
        assert set(shown) <= set(receipt["eligible"])

        # The facts that were used stand in the record, under a token and not under her name.
        assert {fact["name"]: fact["value"] for fact in receipt["facts_used"]}["held"] == ["pot"]
        assert receipt["context"]["payday_near"] == 1.0  # known only now, and told in the request
        assert '"ann"' not in json.dumps(receipt)

        # Each slot was drawn from a distribution that anyone can check, with dice nobody chose.
        for slot in receipt["slate"]:
            assert sum(slot["pmf"].values()) == pytest.approx(1.0)
            assert slot["propensity"] == slot["pmf"][slot["product_id"]]
        assert receipt["verification"]["draws"]["equal"]
        assert receipt["verification"]["probabilities"]["equal"]

        # And the answer that left is the decision that was written down.
        [logged] = app.decisions()
        assert [slot.product_id for slot in logged.shown] == shown


def test_walk_2_an_outcome_is_joined_learned_published_and_swapped_in(tmp_path: Path) -> None:
    with running(tmp_path, publish_every_lessons=50, publish_every_minutes=1) as app:
        # There is no model yet: the fallback answers forty customers, evenly within the rules.
        for n in range(40):
            app.tell(f"c-{n}")
            told = app.recommend(f"c-{n}", surface="savings", slots=4)
            assert told["mode"] == "fallback:uniform"
            # They like pots and nothing else.
            report(app, told, kinds=lambda product: ("tapped", "opened") if product == "pot" else ())

        # The learner reads the log. No window has closed: not yet known is not zero, so it learns nothing.
        loop = learner_of(app.service.home)
        assert loop.catch_up().lessons == 0

        # Five weeks later somebody comes by: the log's watermark has moved past every window, and what was
        # opened has rested long enough to be shown again.
        app.clock.set(START + timedelta(days=35))
        app.recommend("c-1", surface="savings")
        progress = loop.catch_up()
        assert progress.lessons > 0
        assert progress.quarantined == 0
        assert loop.counters.reconciles()
        assert progress.published["bandit"] >= 1

        # A snapshot was published whole, with the position up to which it has learned.
        home = app.service.home
        published = artefacts.current(home.settings.artefacts, policy_name("bandit"))
        assert 0 < published.manifest["position"] <= home.log.last_position()
        assert published.manifest["lessons"] >= 50

        # The API notices the pointer and swaps one reference; the next answer comes from the new policy.
        app.service.refresh()
        told = [app.recommend(f"c-{n}", surface="savings", slots=1) for n in range(40)]
        assert {(each["mode"], each["policy"]) for each in told} == {("live", published.manifest["policy"])}
        receipt = app.receipt(told[0]["decision_id"])
        assert receipt["versions"]["snapshot"] == published.digest
        assert receipt["verification"]["draws"]["equal"]
        assert receipt["verification"]["probabilities"]["equal"]

        # It has learned what they like, and still gives everything else a chance.
        first = [each["slate"][0]["product_id"] for each in told]
        assert first.count("pot") >= 30
        assert min(receipt["slate"][0]["pmf"].values()) > 0

        # A second learner that starts now goes on where the first one stopped.
        assert learner_of(home).catch_up().lessons == 0


def test_walk_3_nightly_embeddings_reach_the_next_decision_as_an_affinity(tmp_path: Path) -> None:
    likes = {"saver": ("fixed-6m", "fixed-1y"), "commuter": ("salary-sorter", "cashback")}
    with running(tmp_path) as app:
        # Two kinds of customers tap two kinds of products for ten days.
        throw_known_dice(app)
        for day in range(10):
            app.clock.set(START + timedelta(days=day))
            for n in range(24):
                signal = ("saver", "commuter")[n % 2]
                if day % 5 == 0:  # facts grow old, so a bank tells them again
                    app.tell(f"c-{n}", facts=dict(ADULT) | {"signals": [signal]})
                told = app.recommend(f"c-{n}", surface="search", slots=8)
                report(app, told, kinds=lambda product, s=signal: ("tapped",) if product in likes[s] else ())
        before = app.recommend("c-0", surface="search", slots=1)
        assert all(c["affinity"] is None for c in app.receipt(before["decision_id"])["candidates"])

        # At night: the log → a training set as it stood at each decision → a bundle, published as one piece.
        home, tracker = app.service.home, MemoryTracker()
        published = train(home, tracker=tracker, seed=1)
        assert tracker.runs[0].metrics["recall_at_5"]
        assert artefacts.pointed(home.settings.artefacts, bundles.NAME) == published.digest

        # The encoder follows what changed, and writes a vector for everybody, stamped with the bundle.
        encoder = EncoderLoop(home.customers, root=home.settings.artefacts, clock=app.clock)
        assert encoder.catch_up() == 24
        assert encoder.catch_up() == 0

        # The API takes the bundle in; the next decision carries one number from it for each candidate.
        app.service.refresh()
        told = app.recommend("c-0", surface="search", slots=1)
        receipt = app.receipt(told["decision_id"])
        assert receipt["versions"]["bundle"] == published.digest
        affinity = {c["product_id"]: c["affinity"] for c in receipt["candidates"]}
        liked = np.mean([affinity[product] for product in likes["saver"]])
        assert liked > np.mean([affinity[product] for product in likes["commuter"]])

        # Facts change, and the encoder meets that customer alone.
        app.tell("c-0", at=app.clock.now(), facts=dict(ADULT) | {"signals": ["commuter"]})
        assert encoder.catch_up() == 1
        receipt = app.receipt(app.recommend("c-0", surface="search", slots=1)["decision_id"])
        affinity = {c["product_id"]: c["affinity"] for c in receipt["candidates"]}
        assert np.mean([affinity[product] for product in likes["saver"]]) < liked


def test_walk_4_offline_evaluation_judges_a_policy_that_never_ran(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        # A log made evenly within the rules, by dice that are the same in every run of this test.
        throw_known_dice(app)
        service = app.service
        # Every second customer opens a pot when shown one; nobody opens anything else.
        for n in range(300):
            app.tell(f"c-{n}")
            told = app.recommend(f"c-{n}", surface="savings", slots=1)
            report(app, told, kinds=lambda product, odd=n % 2: ("tapped", "opened") * (product == "pot" and odd))
        app.clock.set(START + timedelta(days=21))
        app.recommend("c-0", surface="savings", slots=1)

        # Read → join: a round for each decision all of whose windows are closed.
        home = service.home
        closed = list(rounds(home.log.read(), rewards=home.rewards))
        assert len(closed) == 300

        # What would it be worth to always show a pot? Nobody ever did. What is logged tells it.
        value = home.offers.current.catalogue.product("pot").value
        target = StaticPolicy(order=("pot",))
        table = {
            "reward": np.array([each.rewards[0] for each in closed]),
            "propensity": np.array([each.decision.slots[0].propensity for each in closed]),
            "target": np.array([chance_of(target, each) for each in closed]),
        }
        model = {"q_logged": np.full(300, value / 4), "q_target": np.full(300, value / 4)}
        told = {
            "ips": intervals.normal(estimators.ips(**table)),
            "snips": intervals.normal(estimators.snips(**table)),
            "dr": intervals.normal(estimators.dr(**table, **model)),
        }

        # All three hold the truth, half a pot's value, and shut out what the logging policy earned.
        logged = intervals.normal(table["reward"])
        for estimate in told.values():
            assert estimate.low < value / 2 < estimate.high
            assert estimate.low > logged.estimate
        assert told["snips"].high - told["snips"].low < told["ips"].high - told["ips"].low

        # Judging the policy that made the log gives what it earned, to the last digit.
        same = np.array([chance_of(UniformPolicy(), each) for each in closed])
        assert np.array_equal(same, table["propensity"])
        assert estimators.ips(**(table | {"target": same})).mean() == table["reward"].mean()


def chance_of(policy: Policy, round_: Round) -> float:
    """The probability that a policy would have shown what was shown in the first slot."""
    decision: Decision = round_.decision
    open_ = decision.pmfs[0] > 0
    scores = policy.scores(decision.context, decision.candidates)
    row = [c.product_id for c in decision.candidates].index(decision.slots[0].product_id)
    return float(policy.pmf(scores, open_=open_)[row])


def test_walk_5_a_dashboard_page_agrees_with_its_json_and_the_notebook_to_the_last_digit(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        # An experiment divides customers between two recipes; the bank goes on for two days.
        home = app.service.home
        home.register.create(experiment(surfaces=("home", "savings")))
        app.service.refresh()
        for day, n in itertools.product(range(2), range(40)):
            app.clock.set(START + timedelta(days=day, minutes=n))
            if day == 0:
                app.tell(f"c-{n}")
            told = app.recommend(f"c-{n}", surface="savings", slots=2)
            opens = n % (4 if told["experiments"][0]["variant"] == "bandit" else 3) == 0
            report(app, told, kinds=lambda _, opens=opens: ("tapped", "opened") if opens else ("tapped",))
            if n % 10 == 0:  # it also happens without us; experiments count that too
                item = {"outcome_id": f"x-{day}-{n}", "customer_id": f"c-{n}", "product_id": "pot", "kind": "opened"}
                app.post("/v1/outcomes", {"outcomes": [item | {"happened_at": stamp(app.clock.now())}]})

        # A metric is read when its window has closed, fourteen days after a unit's first exposure.
        app.clock.set(START + timedelta(days=16))
        app.recommend("c-0", surface="savings", slots=2)

        # The page, as a product manager reads it, and the JSON behind it.
        headers = {"Authorization": f"Bearer {app.keys['analyst']}"}
        page = app.get("/experiments/home-bandit", key=None, headers=headers).text
        answer = app.get("/v1/experiments/home-bandit", key="analyst").json()

        # The notebook: the same function over the same log, event by event.
        values = {product.product_id: product.value for product in home.offers.current.catalogue.products}
        card = roll_up(
            home.log.read(), experiment=home.register.experiment("home-bandit"), metrics=default_metrics(values)
        )
        assert answer == json.loads(json.dumps(card.to_json()))

        # And by hand: the value of each unit's outcomes, summed without any of our code.
        variant = {d.token: d.experiments[0].variant for d in app.decisions()}
        opened = [
            e.body for e in home.log.read(kinds=("outcome",)) if isinstance(e.body, Outcome) and e.body.kind == "opened"
        ]
        for name, told in answer["metrics"][0]["variants"].items():
            total = sum(values[each.product_id] for each in opened if variant[each.token] == name)
            assert told["n"] == sum(each == name for each in variant.values())
            assert told["mean"] == pytest.approx(total / told["n"], rel=1e-12)
            assert number(told["mean"]) in page

        # The charts carry the JSON's very numbers, and looking again changes nothing.
        inline = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page, re.S)
        assert inline is not None
        assert json.loads(inline[1]) == json.loads(json.dumps(charts_of(card.to_json())))
        assert app.get("/v1/experiments/home-bandit", key="analyst").json() == answer
        assert sum(answer["units"].values()) == 40
