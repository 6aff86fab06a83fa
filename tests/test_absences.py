"""Why did I not see that? Every product of the catalogue has its answer, from the record alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys import reasonfile
from recsys.vocabulary import NOT_KNOWN, Candidate, Decision, Floats, Slot, Verdicts
from serving.absences import ASKED, absences_of
from tests import builders

PRODUCTS = ("pot", "fixed", "isa", "loan", "card", "help")
CATALOGUE_RULES = ("AGE-1@1", "CRD-2@1", ASKED)
REASONS = ("The customer is too young.", "The credit team has not said yes.", "The app asked without this product")


def decided(scores: Floats, pmfs: Floats, *, drawn: tuple[int, ...], refused: dict[str, tuple[int, ...]]) -> Decision:
    """A decision over the eligible products, with these rules refusing the others."""
    allowed = np.array([[rule not in refused.get(p, ()) for rule in range(3)] for p in PRODUCTS])
    names = [product for product in PRODUCTS if product not in refused][: pmfs.shape[1]]
    slots = tuple(Slot(n, names[row], "", float(pmfs[n - 1, row])) for n, row in enumerate(drawn, start=1))
    return replace(
        builders.decision(),
        verdicts=Verdicts(PRODUCTS, CATALOGUE_RULES, REASONS, allowed),
        candidates=tuple(map(Candidate, names)),
        scores=scores,
        pmfs=pmfs,
        slots=slots,
    )


EXPLORED = decided(
    np.array([3.0, 2.0, 1.0]),
    np.array([[0.9, 0.05, 0.05], [0.0, 0.0, 1.0]]),
    drawn=(0, 2),
    refused={"loan": (0, 1), "card": (0, 1, 2), "help": (2,)},
)


def test_trn_1_every_product_that_was_not_shown_says_why_once() -> None:
    told = {each.product_id: each for each in absences_of(EXPLORED)}
    assert list(told) == ["fixed", "loan", "card", "help"]
    assert told["fixed"].why == "not_drawn"
    assert told["fixed"].probability == pytest.approx(0.05)
    assert told["loan"].why == told["card"].why == "not_allowed"
    assert [verdict.rule_id for verdict in told["loan"].refused] == ["AGE-1@1", "CRD-2@1"]
    assert told["help"].why == "asked"


def test_what_is_read_out_has_every_rules_sentence_and_not_the_callers_own() -> None:
    vocabulary = reasonfile.load()
    told = {each.product_id: each.sentences(vocabulary) for each in absences_of(EXPLORED)}
    assert told["card"] == (vocabulary.absent["not_allowed"], *REASONS[:2])
    assert told["help"] == (vocabulary.absent["asked"],)
    unknown = replace(EXPLORED, verdicts=replace(EXPLORED.verdicts, unknown=(1,)))
    again = {each.product_id: each.sentences(vocabulary) for each in absences_of(unknown)}
    assert again["card"] == (vocabulary.absent["not_allowed"], REASONS[0], NOT_KNOWN)


def test_the_chance_of_a_product_is_that_of_any_slot() -> None:
    decision = decided(
        np.zeros(4),
        np.array([[0.25] * 4, [0.0, 1 / 3, 1 / 3, 1 / 3]]),
        drawn=(0, 1),
        refused={"card": (1,), "help": (1,)},
    )
    [isa, loan] = [each for each in absences_of(decision) if each.why == "not_drawn"]
    assert isa.probability == loan.probability == pytest.approx(1 - 0.75 * 2 / 3)


def test_what_retrieval_did_not_propose_is_told_so() -> None:
    decision = decided(np.zeros(2), np.array([[0.5, 0.5]]), drawn=(0,), refused={})
    told = {each.product_id: each.why for each in absences_of(decision)}
    assert told == {"fixed": "not_drawn"} | dict.fromkeys(PRODUCTS[2:], "not_proposed")


def test_a_product_that_was_closed_is_told_apart_from_one_that_stood_lower() -> None:
    refused = dict.fromkeys(PRODUCTS[4:], (0,))
    fixed_order = decided(-np.arange(4.0), np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0]]), drawn=(0, 2), refused=refused)
    assert {e.product_id: e.why for e in absences_of(fixed_order) if not e.refused} == {
        "fixed": "closed",
        "loan": "lower",
    }
    explored = decided(
        np.arange(4.0), np.array([[0.1, 0.0, 0.45, 0.45], [0.2, 0.0, 0.0, 0.8]]), drawn=(2, 3), refused=refused
    )
    assert {e.product_id: e.why for e in absences_of(explored) if not e.refused} == {
        "pot": "not_drawn",
        "fixed": "closed",
    }


def test_an_empty_slate_answers_for_every_product() -> None:
    empty = replace(EXPLORED, slots=(), pmfs=np.zeros((0, 3)))
    assert [each.product_id for each in absences_of(empty)] == list(PRODUCTS)
    assert {each.why for each in absences_of(empty) if not each.refused} == {"nothing"}
