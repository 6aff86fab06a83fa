"""Putting a bundle in force is a policy change, and is told as one: how far it moves what would be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bandits.policy import Policy
from bandits.relevance import RelevancePolicy
from embeddings import bundle as bundles
from embeddings.bundle import Bundle
from recsys import features
from recsys.vocabulary import Decision
from serving.bundle_shift import Shift, shift_of
from serving.commands.learn import learner_of
from serving.encoder_loop import EncoderLoop
from tests.service import App, running
from tests.test_fresh_vectors import publish_bundle


@pytest.fixture
def lived(tmp_path: Path) -> Iterator[App]:
    """An app whose bandit has learned with affinities and answered some customers."""
    with running(tmp_path) as app:
        home = app.service.home
        publish_bundle(home.settings.artefacts, seed=1)
        for n in range(8):
            app.tell(f"c-{n}")
        EncoderLoop(home.customers, root=home.settings.artefacts, clock=app.clock).catch_up()
        learner_of(home, only="bandit").publish()
        app.service.refresh()
        for n in range(24):
            app.recommend(f"c-{n % 8}", surface="savings")
        yield app


def bundle_of(app: App) -> Bundle:
    return bundles.load(app.service.home.settings.artefacts, features_version=features.VERSION)


def by_affinity(decision: Decision) -> Policy:
    """A policy that reads affinities and nothing else."""
    return RelevancePolicy({each.product_id: 1.0 for each in decision.candidates})


def test_the_bundle_in_force_moves_nothing(lived: App) -> None:
    for told in (
        shift_of(lived.service.home, bundle_of(lived)),
        shift_of(lived.service.home, bundle_of(lived), policy_of=by_affinity),
    ):
        assert told.n_decisions > 10
        assert told.largest == pytest.approx(0.0, abs=1e-6)
        assert "0.0% on average" in str(told)


def test_another_bundle_is_told_by_how_far_it_moves_who_reads_affinities(lived: App) -> None:
    shifts = []
    for seed in (2, 3, 4, 5):  # networks that were never trained: now and then two agree on what stands first
        publish_bundle(lived.service.home.settings.artefacts, seed=seed)
        shifts.append(shift_of(lived.service.home, bundle_of(lived), policy_of=by_affinity))
    assert all(told.n_decisions > 10 and 0.0 <= told.mean <= told.largest <= 1.0 for told in shifts)
    assert max(told.mean for told in shifts) > 0.2


def test_nothing_to_draw_again_is_said(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        publish_bundle(app.service.home.settings.artefacts, seed=1)
        assert shift_of(app.service.home, bundle_of(app)) == Shift(0)
        assert "nobody knows" in str(Shift(0))
