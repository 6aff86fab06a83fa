"""Offers and articles: hundreds of products whose names tell all."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.bank.offers import articles_of, named_truth, offers_of
from recsys.bank.switches import Switches
from recsys.bank.truth import NEWCOMERS, TRUTHS, truths_of
from recsys.bank.wording import catalogue_text
from recsys.catalogue import parse
from recsys.errors import InvalidConfiguration
from tests.bank_days import START, bank_of, everybody_searches

OFFERS, ARTICLES = offers_of(150, seed=1), articles_of(120)
MANY = (*TRUTHS, *(each.product_id for each in (*OFFERS, *ARTICLES)))


def test_names_tell_all() -> None:
    for truth in (*OFFERS, *ARTICLES):
        assert named_truth(truth.product_id) == truth
    assert offers_of(40, seed=2) != offers_of(40, seed=3)
    with pytest.raises(InvalidConfiguration, match="no product 'offer-one'"):
        truths_of(("offer-one",))


def test_offers_last_two_to_four_weeks_and_articles_stay() -> None:
    spans = {(each.retire_day or 0) - (each.launch_day or 0) for each in OFFERS}
    assert spans <= set(range(14, 29))
    truths = truths_of(MANY)
    on = np.array([truths.on_offer(day, switches=Switches()).sum() for day in range(0, 150, 10)])
    assert (on > len(TRUTHS) + len(ARTICLES)).all()
    assert (on < len(MANY) - 80).all()


def test_the_catalogue_can_be_published() -> None:
    catalogue = parse(catalogue_text((*MANY, *NEWCOMERS), start=START), where="offers.toml")
    assert catalogue.ids == (*MANY, *NEWCOMERS)
    assert len({product.text for product in catalogue.products}) > 150
    assert len(catalogue.offered("home", START)) > 100
    assert catalogue.product("pot") == parse(catalogue_text(("pot",)), where="pot.toml").product("pot")


def test_a_bank_of_hundreds_of_products_lives_and_offers_come_and_go() -> None:
    bank = bank_of(200, ids=MANY)
    for _ in range(2):
        bank.begin_day()
        everyone = everybody_searches(200)
        best = np.argsort(-bank.values_at(everyone), axis=1)[:, :10]
        outcomes = bank.respond_at(everyone, best)
    assert len(outcomes) > 500
    gone = ~bank.truths.on_offer(1, switches=bank.switches)
    assert gone.any()
    assert (bank.values_at(everyone)[:, gone] <= 0.0).all()
    assert not bank.suited(range(200))[:, gone].any()


def test_offers_suit_whom_they_are_for() -> None:
    """Values differ more between people than a list for everybody could use."""
    bank = bank_of(500, ids=MANY)
    bank.begin_day()
    values = bank.values_at(everybody_searches(500))[:, len(TRUTHS) :]
    assert len(set(values.argmax(axis=1).tolist())) > 15
