"""A second country: who lives in Ireland is judged by Ireland's pack, everybody else by the home pack (EUA-1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from recsys import rulebook
from recsys.catalogue import BANK_CATALOGUE, Catalogue, load
from recsys.eligibility import GB_RULES
from recsys.rulecheck import findings
from recsys.vocabulary import ProductId
from tests.rules.people import NOON, profile_of

IE_RULES = GB_RULES.with_name("ie.toml")
BOOK = rulebook.load_book((GB_RULES, IE_RULES))


def both() -> Catalogue:
    """The bank's catalogue, offered in both countries."""
    catalogue = load(BANK_CATALOGUE)
    return replace(catalogue, products=tuple(replace(each, countries=("GB", "IE")) for each in catalogue.products))


CATALOGUE = both()


def allowed(*, surface: str = "home", **facts: object) -> set[ProductId]:
    profile = profile_of(facts)
    pack = BOOK.of(profile)
    return set(pack.verdicts(profile, products=CATALOGUE.products, surface=surface, at=NOON).eligible())


def test_eua_1_residence_chooses_the_pack() -> None:
    assert [BOOK.of(profile_of({"residence": each})).pack_id for each in ("GB", "IE", "FR")] == ["gb", "ie", "gb"]


def test_eua_1_an_irish_saver_sees_pots_and_no_isa() -> None:
    found = allowed(residence="IE")
    assert "pot" in found
    assert not {"cash-isa", "ss-isa"} & found
    assert "cash-isa" in allowed(residence="GB")


def test_eua_1_credit_is_shown_to_who_looks_for_it_and_to_nobody_else() -> None:
    assert "loan" not in allowed(residence="IE")
    assert "loan" in allowed(residence="IE", surface="search")
    assert "loan" in allowed(residence="GB")
    assert "loan" not in allowed(residence="IE", surface="search", arrears_days=3)  # CRD-1


def test_adv_2_nobody_in_ireland_is_led_to_investments_or_pensions() -> None:
    assert not {"pension", "ss-isa"} & allowed(residence="IE", emergency_months=12.0)


def test_the_pack_has_nothing_to_mend() -> None:
    found = findings(IE_RULES.read_text(), where=IE_RULES.name, catalogue=CATALOGUE, today=date(2026, 3, 2))
    assert [str(each) for each in found] == []
