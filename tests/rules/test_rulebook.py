"""One pack a country: where a customer lives decides which is asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recsys.eligibility import GB_RULES
from recsys.errors import InvalidConfiguration
from recsys.rulebook import RuleBook, load_book
from serving import settings
from tests.rules.people import ABSENT, CATALOGUE, NOON, PACK, profile_of
from tests.service import ADULT, running, stamp

IRELAND = """
pack = "ie"
version = "2026.1"
country = "IE"

[[rule]]
id = "EUA-1"
version = 1
kind = "eligible"
reason = "The product is not offered in Ireland."
require = [{ fact = "surface", equals = "savings" }]
"""


@pytest.fixture
def ireland(tmp_path: Path) -> Path:
    path = tmp_path / "ie.toml"
    path.write_text(IRELAND)
    return path


@pytest.fixture
def book(ireland: Path) -> RuleBook:
    return load_book([GB_RULES, ireland])


@pytest.mark.parametrize(
    ("residence", "pack"), [("GB", "gb"), ("IE", "ie"), ("FR", "gb"), (ABSENT, "gb"), ("", "gb"), (7, "gb")]
)
def test_eua_1_the_pack_of_the_country_of_residence_is_asked(book: RuleBook, residence: object, pack: str) -> None:
    assert book.of(profile_of({"residence": residence})).pack_id == pack


@pytest.mark.parametrize("residence", ["FR", ABSENT])
def test_eua_1_who_lives_nowhere_we_serve_is_refused_by_the_home_pack(book: RuleBook, residence: object) -> None:
    profile = profile_of({"residence": residence})
    verdicts = book.of(profile).verdicts(profile, products=CATALOGUE.products, surface="home", at=NOON)
    assert set(verdicts.eligible()) == {"budgeting", "help", "debt-help"}


def test_a_book_has_a_home_and_one_pack_a_country(ireland: Path) -> None:
    assert load_book([GB_RULES]).home.pack_id == "gb"
    assert load_book([GB_RULES, ireland]).version == f"gb {PACK.version}, ie 2026.1"
    with pytest.raises(InvalidConfiguration, match="name at least one rule pack"):
        load_book([])
    with pytest.raises(InvalidConfiguration, match="country GB: is there 2 times"):
        load_book([GB_RULES, GB_RULES])


def test_settings_name_one_pack_or_several(home: Path, ireland: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [path.name for path in settings.load().rules] == ["gb.toml"]
    assert settings.load(rules=ireland).rules == (ireland,)
    assert settings.load(rules=[GB_RULES, ireland]).rules == (GB_RULES, ireland)
    monkeypatch.setenv("RECSYS_RULES", f"{GB_RULES}{os.pathsep}{ireland}")
    assert settings.load().rules == (GB_RULES, ireland)
    monkeypatch.delenv("RECSYS_RULES")
    home.mkdir()
    (home / "settings.toml").write_text(f'rules = ["{GB_RULES}", "{ireland}"]\n')
    assert settings.load().rules == (GB_RULES, ireland)


def test_eua_1_trn_2_a_decision_names_the_pack_that_judged_it(tmp_path: Path, book: RuleBook, ireland: Path) -> None:
    with running(tmp_path / "home", rules=(GB_RULES, ireland)) as app:
        for customer, residence in (("ann", "GB"), ("aoife", "IE")):
            app.tell(customer, facts={**ADULT, "residence": residence})
            told = app.recommend(customer, surface="home")
            receipt = app.receipt(told["decision_id"])
            pack = book.packs[residence == "IE"]
            assert receipt["versions"]["rule_pack"] == pack.digest
            assert bool(receipt["eligible"]) is (residence == "GB"), stamp(NOON)
