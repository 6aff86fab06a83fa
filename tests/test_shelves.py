"""Candidates in columns: the same candidates as a list of them, and what readers keep of a shelf goes with it."""

from __future__ import annotations

import gc

import numpy as np

from bandits.exploration import Exploration
from bandits.impersonal import scores_of
from bandits.learner import make_learner
from bandits.recipe import Recipe
from recsys import features
from recsys.catalogue import BANK_CATALOGUE, load
from recsys.shelves import Candidates, Memo, Shelf
from recsys.vocabulary import NOTHING, Candidate
from tests.bandit_worlds import REWARDS, moment

CATALOGUE = load(BANK_CATALOGUE)
SHELF = features.shelf_of(CATALOGUE.products, path="personalised")


def some(*, seed: int) -> Candidates:
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(SHELF))[:12]
    affinities = np.where(rng.random(12) < 0.3, np.nan, rng.normal(size=12))
    return Candidates(SHELF, rows, affinities=affinities, seen=rng.integers(0, 4, 12))


def test_columns_are_the_same_candidates_as_a_tuple_of_them() -> None:
    found = some(seed=1)
    plain = tuple(found)
    assert found == plain
    assert Candidates.of(plain) == found
    assert Candidates.of(found) is found
    assert [found[at] for at in range(len(found))] == list(plain)
    assert found[2:5] == plain[2:5]
    assert list(found.ids) == [each.product_id for each in plain]
    assert hash(found) == hash(plain)
    assert [each.affinity is None for each in plain] == np.isnan(found.affinities).tolist()


def test_a_shelf_holds_the_catalogue_and_the_null_choice_behind_it() -> None:
    assert SHELF.ids == (*CATALOGUE.ids, NOTHING)
    assert all(SHELF.row_of[product] == row for row, product in enumerate(SHELF.ids))


def test_every_learner_scores_columns_as_it_scores_a_list_to_the_last_bit() -> None:
    for recipe in (
        Recipe("bandit", "linear"),
        Recipe("bandit", "linear", {"knots": 3}, Exploration("squarecb", bonus=1.0)),
        Recipe("bandit", "vowpal", {"bits": 12}),
        Recipe("bandit", "popularity"),
    ):
        learner = make_learner(recipe, REWARDS)
        for n, each in enumerate(some(seed=2)):
            if each.product_id != NOTHING:
                learner.teach(moment(), each, stage="tapped", label=float(n % 2))
        policy = learner.snapshot(1)
        for seed in range(5):
            found = some(seed=seed)
            assert scores_of(policy, moment(), found).tolist() == scores_of(policy, moment(), list(found)).tolist()


def test_what_a_reader_keeps_of_a_shelf_is_made_once_and_goes_with_the_shelf() -> None:
    made = []

    def lengths(shelf: Shelf) -> int:
        made.append(len(shelf))
        return len(shelf)

    memo, one, other = Memo(lengths), Shelf([Candidate("pot")]), Shelf([Candidate("pot")])
    assert memo(one) == memo(one) == memo(other) == 1
    assert made == [1, 1]  # told apart by identity, not by what they hold
    del one
    gc.collect()
    assert len(memo) == 1
