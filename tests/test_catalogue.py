from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsys.catalogue import BANK_CATALOGUE, Catalogue, broadcast_creative, dump, load, parse
from recsys.errors import InvalidCatalogue, NotFound
from recsys.vocabulary import CommunicationClass

BANK = load(BANK_CATALOGUE)
ORDER = [
    "pot",
    "fixed-6m",
    "fixed-1y",
    "cash-isa",
    "ss-isa",
    "pension",
    "overdraft",
    "loan",
    "flex",
    "card",
    "joint",
    "business",
    "teen-account",
    "salary-sorter",
    "bill-split",
    "round-ups",
    "penny-challenge",
    "budgeting",
    "cashback",
    "help",
    "debt-help",
]
TEXT = """
version = "1"

[[surface]]
name = "home"
max_slots = 3
null_allowed = true
per_family = 2

[[product]]
id = "pot"
name = "Pot"
family = "savings"
class = "promo_personalised"
regulated_class = "savings"
surfaces = ["home"]
tags = ["instant_access"]
value = 6
text = "A pot."
  [[product.creative]]
  id = "pot-1"
  class = "promo_personalised"
  text = "Try a \\"pot\\"."
  [[product.creative]]
  id = "pot-all"
  class = "promo_broadcast"
  text = "Pots are there."
"""


def test_the_bank_has_its_21_products_in_order_on_five_surfaces() -> None:
    assert list(BANK.ids) == ORDER
    slots = {surface.name: (surface.max_slots, surface.null_allowed) for surface in BANK.surfaces.values()}
    assert slots == {
        "home": (3, True),
        "savings": (5, False),
        "search": (10, False),
        "push": (1, True),
        "inline": (1, True),
    }


def test_what_is_put_in_comes_out() -> None:
    assert "pot" in BANK
    assert "yacht" not in BANK
    assert BANK.product("flex").family == "credit"
    with pytest.raises(NotFound, match="no product yacht"):
        BANK.product("yacht")


@pytest.mark.parametrize("text", [TEXT, BANK_CATALOGUE.read_text(encoding="utf-8")], ids=["small", "bank"])
def test_a_catalogue_survives_being_written_and_read(text: str) -> None:
    catalogue = parse(text, where="a.toml")
    again = parse(dump(catalogue), where="b.toml")
    assert again == catalogue
    assert dump(again) == dump(catalogue)


def test_the_digest_is_of_the_meaning_not_of_the_layout() -> None:
    digest = parse(TEXT, where="a").digest
    assert parse("# note\n" + TEXT.replace(" = ", "="), where="b").digest == digest
    assert parse(TEXT.replace("A pot.", "A jar."), where="a").digest != digest
    assert parse(TEXT.replace("per_family = 2", "per_family = 1"), where="a").digest != digest


def test_an_empty_catalogue_offers_nothing() -> None:
    nothing = Catalogue.empty()
    assert nothing is Catalogue.EMPTY
    assert nothing.products == ()
    assert nothing.offered("home", datetime(2026, 3, 2, tzinfo=UTC)) == ()


def test_what_is_offered_follows_surface_launch_and_retirement() -> None:
    dated = TEXT.replace(
        "value = 6", "value = 6\nlaunched_at = 2026-03-02T09:00:00+01:00\nretired_at = 2026-04-01T00:00:00Z"
    )
    catalogue = parse(dated, where="a")
    launch, end = datetime(2026, 3, 2, 8, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    second = timedelta(seconds=1)
    moments = (launch - second, launch, end - second, end)
    assert [len(catalogue.offered("home", at)) for at in moments] == [0, 1, 1, 0]
    assert catalogue.offered("moon", launch) == ()
    assert parse(dump(catalogue), where="b") == catalogue


def test_offers_stay_the_same_tuple_until_something_changes() -> None:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    assert BANK.offered("home", at) is BANK.offered("home", at + timedelta(days=90))


def test_mkt_2_only_wording_for_everyone_is_broadcast() -> None:
    worded = {product.product_id: broadcast_creative(product) for product in BANK.products}
    assert {name for name, creative in worded.items() if creative} == {
        "pot",
        "cash-isa",
        "budgeting",
        "help",
        "debt-help",
    }
    for creative in filter(None, worded.values()):
        assert creative.communication_class is not CommunicationClass.PROMO_PERSONALISED


def test_age_1_the_bank_states_18_for_every_adult_product() -> None:
    adult = {p.product_id for p in BANK.products if p.regulated_class in ("isa", "investment", "pension", "credit")}
    assert adult == {"cash-isa", "ss-isa", "pension", "overdraft", "loan", "flex", "card"}
    assert all(BANK.product(name).min_age >= 18 for name in {*adult, "joint", "business"})


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('id = "pot"', 'id = "nothing"', "product nothing: nothing is the name of the null choice"),
        ('id = "pot"\n', "", "product: id is missing"),
        ('name = "Pot"', 'name = ""', "product pot: name is empty"),
        (
            'class = "promo_personalised"\nregulated',
            'class = "advert"\nregulated',
            "product pot: class is 'advert'; choose",
        ),
        ('"savings"\nsurf', '"saving"\nsurf', "product pot: regulated_class is 'saving'; choose"),
        ('"savings"\nsurf', '"credit"\nsurf', r"product pot: is credit \(AGE-1\); set min_age to at least 18"),
        ('["home"]', '["hall"]', "product pot: names the surface hall, which this file does not describe"),
        ('["home"]', '"home"', "product pot: surfaces must be a list of texts"),
        ("value = 6", 'value = "six"', "product pot: value must be a number of points"),
        ("value = 6", "value = true", "product pot: value must be a number of points"),
        ("value = 6", "value = inf", "product pot: value must be finite"),
        ("value = 6", "value = 6\nprice = 3", "product pot: does not know the key price"),
        ("value = 6", "value = 6\nmin_age = -1", "product pot: min_age must be at least 0"),
        ("value = 6", "value = 6\nlaunched_at = 2026-03-02T09:00:00", "product pot: launched_at needs a zone"),
        (
            "value = 6",
            "value = 6\nlaunched_at = 2026-03-02T09:00:00Z\nretired_at = 2026-03-02T09:00:00Z",
            "product pot: is retired before it is launched",
        ),
        (
            'class = "promo_personalised"\n  text',
            'class = "education"\n  text',
            "product pot: is promo_personalised but its",
        ),
        ('id = "pot-all"', 'id = "pot-1"', "creative pot-1: is there 2 times"),
        ('  text = "Pots are there."', "", "product pot: creative pot-all: text is missing"),
        ("max_slots = 3", "max_slots = 0", "surface home: max_slots must be at least 1"),
        ("null_allowed = true", "null_allowed = 1", "surface home: null_allowed must be true or false"),
        ('version = "1"', "", "version is missing"),
        ('version = "1"', 'version = "1"\nedition = 2', "does not know the key edition"),
        ("[[product]]", "[product]", "is not TOML|product must be"),
        ("[[surface]]", "[[surface", "is not TOML"),
    ],
)
def test_a_catalogue_that_cannot_be_published_is_refused_in_one_sentence(old: str, new: str, complaint: str) -> None:
    assert old in TEXT
    with pytest.raises(InvalidCatalogue, match=complaint) as caught:
        parse(TEXT.replace(old, new), where="shop.toml")
    assert str(caught.value).startswith("shop.toml: ")
    assert "\n" not in str(caught.value)


def test_a_service_product_may_not_carry_a_promotion() -> None:
    text = TEXT.replace("promo_personalised", "service")
    with pytest.raises(InvalidCatalogue, match="creative pot-all is not service; only a personalised promotion"):
        parse(text, where="shop.toml")


def test_a_product_needs_words_and_ids_must_differ() -> None:
    with pytest.raises(InvalidCatalogue, match="product pot: has no creative"):
        parse(TEXT[: TEXT.index("  [[product.creative]]")], where="shop.toml")
    with pytest.raises(InvalidCatalogue, match="product pot: is there 2 times"):
        parse(TEXT + TEXT[TEXT.index("[[product]]") :], where="shop.toml")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCatalogue, match=r"gone\.toml: there is no such file"):
        load(tmp_path / "gone.toml")
