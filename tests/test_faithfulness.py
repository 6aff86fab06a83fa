"""TRN-1 over a large sample: slates of the synthetic bank, drawn by what each recipe learned of it.

Two questions are put to every personal reason, both to the snapshot as read back from disk and one
product at a time: does the score fall when the factor goes to the stated middle, and does it fall when
the factor is that of other customers instead?
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from bandits.policy import Policy
from recsys.reasons import Personal, Vocabulary
from recsys.vocabulary import NOTHING, Context, Decision, Floats, Slot
from serving.bootstrap import Installation
from tests.reason_worlds import World, taught

LEAST_SLOTS = 5_000
OTHERS = 15


@dataclass(frozen=True)
class Sample:
    """Decisions under one recipe, with what explains them."""

    home: Installation
    decisions: Sequence[Decision]

    @property
    def vocabulary(self) -> Vocabulary:
        return self.home.explainer.vocabulary

    def slots(self) -> Iterator[tuple[Decision, Slot]]:
        for decision in self.decisions:
            for slot in decision.shown:
                yield decision, slot

    def given(self) -> Iterator[tuple[Decision, Slot, Personal, Policy]]:
        """Every personal reason given, with the policy as the snapshot on disk has it."""
        policies: dict[str, Policy | None] = {}
        for decision, slot in self.slots():
            for reason in slot.reasons:
                entry = self.vocabulary.entry(reason.code)
                if isinstance(entry, Personal):
                    if decision.versions.snapshot not in policies:
                        policies[decision.versions.snapshot] = self.home.live.policy_of(decision)
                    policy = policies[decision.versions.snapshot]
                    assert policy is not None
                    yield decision, slot, entry, policy


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with taught(tmp_path_factory.mktemp("home"), customers=300, days=18) as made:
        yield made


@pytest.fixture(scope="module", params=["linear", "vowpal"])
def sample(request: pytest.FixtureRequest, world: World) -> Sample:
    home = world.home(request.param)
    decisions: list[Decision] = []
    while sum(len(each.shown) for each in decisions) < LEAST_SLOTS:
        decisions += world.live(home, days=2)
    return Sample(home, decisions)


def test_trn_1_every_shown_product_has_one_to_three_approved_reasons(sample: Sample) -> None:
    counted: Counter[int] = Counter()
    for _, slot in sample.slots():
        counted[len(slot.reasons)] += 1
        for reason in slot.reasons:
            entry = sample.vocabulary.entry(reason.code)
            assert entry is not None
            assert entry.reason == reason
    assert set(counted) <= {1, 2, 3}
    assert counted.total() >= LEAST_SLOTS
    assert not any(slot.reasons for each in sample.decisions for slot in each.slots if slot.product_id == NOTHING)


def test_trn_1_dropping_the_named_factor_moves_the_score_in_the_stated_direction(sample: Sample) -> None:
    falls = [
        sample.home.explainer.moves(decision, slot, entry.reason, policy=policy)
        for decision, slot, entry, policy in sample.given()
    ]
    assert len(falls) > LEAST_SLOTS / 10
    moved = np.array([fall is not None and fall > sample.vocabulary.share for fall in falls])
    assert moved.mean() >= 0.95


def test_trn_1_the_factor_of_other_customers_instead_moves_it_so_too(sample: Sample) -> None:
    """Not the stated middle but fifteen customers of the same day: without the factor the product scored lower."""
    others = np.array([each.context.values for each in sample.decisions if each.mode == "live"])
    rng = np.random.default_rng(1)
    lower = [
        _score(policy, decision, slot, np.array(decision.context.values))
        > np.mean([
            _score(policy, decision, slot, _exchanged(decision, entry, other))
            for other in others[rng.integers(len(others), size=OTHERS)]
        ])
        for decision, slot, entry, policy in list(sample.given())[::10]
        if entry.category != "moment"  # everybody has the same date
    ]  # fmt: skip
    assert len(lower) > 50
    assert np.mean(lower) >= 0.95


def test_vul_2_and_crd_4_no_reason_says_what_may_not_be_said(sample: Sample) -> None:
    catalogue = sample.home.offers.current.catalogue
    for _, slot, entry, _ in sample.given():
        product = catalogue.product(slot.product_id)
        assert product.regulated_class not in ("credit", "investment", "pension")
        if entry.feature in ("low_balance", "arrears"):
            assert product.communication_class in ("education", "service")


def test_trn_2_a_record_with_its_reasons_stays_small(sample: Sample, world: World) -> None:
    with world.home("uniform").database.reading() as connection:
        query = "SELECT length(text) FROM events WHERE kind = 'decision' ORDER BY position DESC LIMIT 2000"
        sizes = [row[0] for row in connection.exec_driver_sql(query)]
    assert np.median(sizes) <= 4_096


def _exchanged(decision: Decision, entry: Personal, other: Floats) -> Floats:
    names = decision.context.names
    return np.where([name in entry.features for name in names], other, np.array(decision.context.values))


def _score(policy: Policy, decision: Decision, slot: Slot, values: Floats) -> float:
    candidate = next(each for each in decision.candidates if each.product_id == slot.product_id)
    return float(policy.scores(Context(decision.context.names, tuple(values.tolist())), [candidate])[0])
