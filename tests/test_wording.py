"""What the words of a product may not say: each requirement refuses with file, line and sentence."""

from __future__ import annotations

import pytest

from recsys.catalogue import BANK_CATALOGUE, dump, load, parse
from recsys.errors import InvalidCatalogue

SHOP = """
version = "1"
apr_blocks = ["card-2026-03"]

[[template]]
id = "low-rate"
text = "Your pot pays 1.2% AER, variable since 2 March 2026. We also offer others."

[[surface]]
name = "home"
max_slots = 3
null_allowed = true
per_family = 2

[[product]]
id = "x"
name = "X"
family = "f"
class = "promo_personalised"
regulated_class = "REGULATED"
surfaces = ["home"]
tags = [TAGS]
value = 6
min_age = 18
text = "It is what it is."
  [[product.creative]]
  id = "x-1"
  class = "promo_personalised"
  text = "WORDS"
"""
RISK = "The value can go down as well as up. "
ISA = "What you pay in with other providers counts too. "


def shop(words: str, *, regulated: str = "none", tags: str = "", more: str = "") -> str:
    text = SHOP.replace("REGULATED", regulated).replace("TAGS", tags).replace("WORDS", words)
    return text.rstrip() + f"\n{more}\n"


@pytest.mark.parametrize(
    "words",
    [
        "Representative 24.9% APR", "Pay £3 a month.", "Interest-free for a year.", "Get cashback on what you spend.",
        "Cheaper than your bank.", "The lowest rate there is.", "A bonus when you join.",
    ],
)  # fmt: skip
def test_crd_5_a_rate_cost_incentive_or_comparison_needs_an_approved_block(words: str) -> None:
    with pytest.raises(
        InvalidCatalogue, match=r"creative x-1: says .* \(CRD-5\); name its approved apr_block \(line 29\)"
    ):
        parse(shop(words, regulated="credit"), where="shop.toml")
    parse(shop(words, regulated="credit", more='  apr_block = "card-2026-03"'), where="shop.toml")
    with pytest.raises(InvalidCatalogue, match=r"apr_block card-9 is not among the approved ones \(CRD-5\)"):
        parse(shop(words, regulated="credit", more='  apr_block = "card-9"'), where="shop.toml")
    if "£" not in words:
        parse(shop(words), where="shop.toml")  # what is no credit needs no block


@pytest.mark.parametrize(
    "words", ["Hurry!", "Only 3 left", "Last chance to join", "Limited-time offer", "Don't miss it", "It ends soon."]
)
@pytest.mark.parametrize("regulated", ["credit", "none"])
def test_crd_7_words_that_urge_are_refused(words: str, regulated: str) -> None:
    with pytest.raises(InvalidCatalogue, match=r"product x: creative x-1: says .*urges \(CRD-7\).*\(line 29\)"):
        parse(shop(words, regulated=regulated), where="shop.toml")


def test_crd_7_an_amount_to_borrow_is_not_chosen_beforehand() -> None:
    with pytest.raises(InvalidCatalogue, match=r"an amount to borrow chosen beforehand \(CRD-7\)"):
        parse(shop("Borrow up to £5,000.", regulated="credit", more='  apr_block = "card-2026-03"'), where="shop.toml")


@pytest.mark.parametrize(
    "words",
    [
        "Recommended.",
        "The right fund for you? It is right for you.",
        "You should invest.",
        "It suits you.",
        "Tailored.",
    ],
)
def test_adv_1_nothing_advice_sensitive_is_recommended(words: str) -> None:
    with pytest.raises(InvalidCatalogue, match=r"creative x-1: says .* of something advice-sensitive \(ADV-1\)"):
        parse(shop(RISK + words, regulated="investment", tags='"advice_sensitive"'), where="shop.toml")
    parse(shop(RISK + words, regulated="investment"), where="shop.toml")


def test_adv_1_crd_7_the_product_s_own_text_is_read_too() -> None:
    with pytest.raises(InvalidCatalogue, match=r"product x: says \"Hurry\".*\(line 25\)"):
        parse(shop("Fine.").replace("It is what it is", "Hurry"), where="shop.toml")


def test_adv_3_sav_1_a_warning_that_must_be_there_is_missed() -> None:
    with pytest.raises(InvalidCatalogue, match=r"does not warn that the value can go down as well as up \(ADV-3\)"):
        parse(shop("Invest.", regulated="pension"), where="shop.toml")
    with pytest.raises(InvalidCatalogue, match=r"with other providers counts too \(SAV-1\)"):
        parse(shop("Save free of tax.", regulated="isa"), where="shop.toml")


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        ("4.1% fixed from 2 March 2026.", "without AER"),
        ("4.1% AER from 2 March 2026.", "without saying whether it is fixed or variable"),
        ("4.1% AER, fixed.", "without its date"),
    ],
)
def test_sav_3_a_rate_says_aer_fixed_or_variable_and_since_when(words: str, missing: str) -> None:
    for regulated, before in (("savings", ""), ("isa", ISA)):
        with pytest.raises(InvalidCatalogue, match=rf"states a rate {missing}.*\(SAV-3\)"):
            parse(shop(before + words, regulated=regulated), where="shop.toml")
        parse(shop(before + "4.1% AER, variable, since 2 March 2026.", regulated=regulated), where="shop.toml")


def neutral(more: str) -> str:
    return shop("Fine.", more=f'  [[product.creative]]\n  id = "x-2"\n  class = "regulatory_neutral"\n  {more}')


def test_mkt_8_a_neutral_message_comes_from_an_approved_template() -> None:
    catalogue = parse(neutral('template = "low-rate"'), where="shop.toml")
    assert catalogue.product("x").creatives[1].text.startswith("Your pot pays 1.2% AER")
    assert parse(dump(catalogue), where="again.toml") == catalogue


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ('text = "Our own words."', "is regulatory_neutral and needs an approved template"),
        ('template = "gone"', "there is no approved template gone"),
        ('template = "low-rate"\n  text = "Our own words."', "names a template and has a text of its own"),
    ],
)
def test_mkt_8_free_text_and_unknown_templates_are_refused(more: str, complaint: str) -> None:
    with pytest.raises(InvalidCatalogue, match=rf"creative x-2: {complaint}.*MKT-8.*\(line 3\d\)"):
        parse(neutral(more), where="shop.toml")


@pytest.mark.parametrize("effect", ["price", "access", "credit_decision"])
def test_trn_5_what_would_decide_about_a_person_is_refused(effect: str) -> None:
    with pytest.raises(InvalidCatalogue, match=rf"effect is '{effect}', a significant decision.*TRN-5.*\(line 23\)"):
        parse(shop("Fine.").replace("value = 6", f'effect = "{effect}"\nvalue = 6'), where="shop.toml")
    parse(shop("Fine.").replace("value = 6", 'effect = "information"\nvalue = 6'), where="shop.toml")


def test_age_1_a_referral_bonus_is_for_adults() -> None:
    with pytest.raises(InvalidCatalogue, match=r"pays for bringing friends \(AGE-1\)"):
        parse(shop("Fine.", tags='"referral_bonus"').replace("min_age = 18", "min_age = 16"), where="shop.toml")


def twins(better: str) -> str:
    other = (
        SHOP[SHOP.index("[[product]]") :].replace('"x', '"y').replace("value = 6", 'dominated_by = ["x"]\nvalue = 6')
    )
    both = SHOP.replace("value = 6", f"dominated_by = [{better}]\nvalue = 6") + other
    return both.replace("REGULATED", "savings").replace("TAGS", "").replace("WORDS", "Fine.")


def test_sav_5_dominance_names_products_that_are_there_and_goes_one_way() -> None:
    assert parse(twins(""), where="shop.toml").product("y").dominated_by == ("x",)
    with pytest.raises(
        InvalidCatalogue, match=r"product x: is dominated by z, which is not in the catalogue.*\(line 15\)"
    ):
        parse(twins('"z"'), where="shop.toml")
    with pytest.raises(InvalidCatalogue, match=r"product x: is dominated by itself in the end.*\(line 15\)"):
        parse(twins('"y"'), where="shop.toml")


def test_the_bank_s_own_catalogue_says_nothing_it_may_not() -> None:
    assert len(load(BANK_CATALOGUE).products) == 21
