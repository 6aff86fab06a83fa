"""Ids, interactions, product facts: what a bank may bring, and the sentence it gets for what it may not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embeddings.identifiers import IdMap
from embeddings.interactions import Interaction, TrainingSet
from embeddings.product_facts import ProductFacts
from recsys.errors import InvalidTable
from recsys.vocabulary import CommunicationClass, Product

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
PRODUCTS = IdMap(("pot", "loan", "card"))


def interaction(**changes: Any) -> Interaction:
    usual: dict[str, Any] = {
        "token": "t-secret",
        "facts": (0.5, 1.0),
        "history": ("pay", "isa"),
        "product_id": "loan",
        "happened_at": AT,
    }
    return Interaction(**(usual | changes))


def training_set(*interactions: Interaction, products: IdMap = PRODUCTS) -> TrainingSet:
    return TrainingSet.of(interactions, products=products, fact_names=("balance", "tenure"), history_length=3)


@given(st.lists(st.text(max_size=3), unique=True), st.lists(st.text(max_size=3)))
def test_appending_never_moves_a_row(ids: list[str], more: list[str]) -> None:
    before, after = IdMap(tuple(ids)), IdMap(tuple(ids)).appended(more)
    assert after.ids[: len(before)] == before.ids
    assert set(after.ids) == set(ids) | set(more)
    assert [after.row(id_) for id_ in ids] == list(range(len(ids)))


def test_an_id_twice_is_refused() -> None:
    with pytest.raises(InvalidTable, match=r"twice \(row 1\)"):
        IdMap(("pot", "pot"))


def test_a_training_set_keeps_the_moment_of_the_decision() -> None:
    later = interaction(token="t2", history=("a", "pay", "isa", "pay"), product_id="pot", happened_at=AT + timedelta(1))
    data = training_set(interaction(), later)
    assert data.facts.dtype == np.float32
    assert data.subjects.ids == ("a", "isa", "pay")
    assert data.history.tolist() == [[3, 2, 0], [3, 2, 3]]  # the last three, padded with 0
    assert data.product_rows.tolist() == [1, 0]
    assert data.product_counts.tolist() == [1, 1, 0]
    assert data.happened_at[0] == np.datetime64("2026-03-02T09:00:00")


def test_times_of_another_zone_are_the_same_instant() -> None:
    there = datetime.fromisoformat("2026-03-02T11:00:00+02:00")
    data = training_set(interaction(), interaction(happened_at=there))
    assert data.happened_at[0] == data.happened_at[1]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"facts": (float("nan"), 1.0)}, r"not finite \(row 2\)"),
        ({"facts": (1.0,)}, r"expected 2 facts \(row 2\)"),
        ({"product_id": "gone"}, r"product: an id is not known \(row 2\)"),
        ({"happened_at": datetime(2026, 3, 2)}, r"no zone \(row 2\)"),  # noqa: DTZ001  # the mistake under test
    ],
)
def test_a_wrong_row_is_named_by_number_and_nothing_personal(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidTable, match=sentence) as refused:
        training_set(interaction(), interaction(**wrong))
    assert refused.value.rows == (2,)
    assert "t-secret" not in str(refused.value)


def test_nothing_to_learn_from_is_said() -> None:
    with pytest.raises(InvalidTable, match="nothing to learn from"):
        training_set()
    with pytest.raises(InvalidTable, match="catalogue of 1 leaves nothing to choose"):
        training_set(interaction(), products=IdMap(("loan",)))
    with pytest.raises(InvalidTable, match="each must have 2 rows"):
        TrainingSet.from_columns(
            [[1.0]] * 2,
            histories=[()],
            product_ids=["pot", "loan"],
            tokens=["a", "b"],
            happened_at=[AT, AT],
            products=PRODUCTS,
            fact_names=("balance",),
        )


def test_the_digest_names_the_data() -> None:
    assert training_set(interaction()).digest == training_set(interaction()).digest
    changes: list[dict[str, Any]] = [
        {"facts": (0.5, 1.1)},
        {"history": ("isa", "pay")},
        {"product_id": "pot"},
        {"happened_at": AT + timedelta(1)},
    ]
    assert len({training_set(interaction(**change)).digest for change in [{}, *changes]}) == 5


def test_facts_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InvalidTable, match="facts must be 2 numbers a row"):
        training_set(interaction(facts=("rich", 1.0)))


def test_the_split_is_by_time_and_never_cuts_an_instant() -> None:
    hours = [5, 1, 9, 3, 3, 3, 7, 3, 2, 8]  # time running backwards is no mistake, only an order
    data = training_set(*(interaction(happened_at=AT + timedelta(hours=hour)) for hour in hours))
    earlier, later = data.split(0.5)
    assert earlier.happened_at.max() < later.happened_at.min()
    assert len(earlier) + len(later) == len(data)
    assert len(earlier) == 2  # all four of hour 3 stay together, after the cut


def test_one_instant_cannot_be_split() -> None:
    with pytest.raises(InvalidTable, match="too few different times"):
        training_set(interaction(), interaction()).split(0.9)


def test_words_are_case_blind_and_hashed_alike_everywhere() -> None:
    products = ProductFacts.of(
        ["a", "b", "c"], names=("x",), features=[[1], [0], [0]], texts=["Round-ups: save", "SAVE round ups save", ""]
    )
    assert set(products.words[0]) == set(products.words[1])
    assert not products.words[2].any()
    assert 0 not in products.words[0]


def test_products_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidTable, match="1 texts for 2 products"):
        ProductFacts.of(["a", "b"], names=("x",), features=[[1], [0]], texts=["one"])
    with pytest.raises(InvalidTable, match=r"not finite \(row 2\)"):
        ProductFacts.of(["a", "b"], names=("x",), features=[[1], [float("inf")]], texts=["", ""])


def test_a_catalogue_becomes_facts_and_a_launch_is_read_by_the_same_names() -> None:
    known = [product("pot", family="savings", tags=("quick",)), product("loan", family="credit")]
    facts = ProductFacts.of_products(known)
    pot, loan = facts.features[0], facts.features[1]
    assert facts.ids.ids == ("pot", "loan")
    assert pot[facts.names.index("family_savings")] == 1 == loan[facts.names.index("family_credit")]
    assert pot[facts.names.index("tag_quick")] == 1 != loan[facts.names.index("tag_quick")]
    launched = ProductFacts.of_products([product("pot-2", family="savings", tags=("unheard",))], names=facts.names)
    assert launched.names == facts.names
    assert launched.features[0, facts.names.index("family_savings")] == 1
    assert launched.features[0, facts.names.index("tag_quick")] == 0


def product(product_id: str, *, family: str, tags: tuple[str, ...] = ()) -> Product:
    return Product(
        product_id=product_id,
        name=product_id.title(),
        family=family,
        communication_class=CommunicationClass.PROMO_PERSONALISED,
        regulated_class="none",
        surfaces=frozenset({"home"}),
        text="Put money aside",
        creatives=(),
        tags=tags,
    )
