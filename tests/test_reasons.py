"""The approved vocabulary: what the file may say, and that it says it of the right products."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from recsys import features, reasonfile
from recsys.bank.world import Bank
from recsys.catalogue import BANK_CATALOGUE
from recsys.catalogue import load as load_catalogue
from recsys.errors import InvalidReasons
from recsys.reasons import AFFINITY, GIVEN, General, Personal
from recsys.vocabulary import CustomerId, Fact, Profile, Token
from tests.builders import START

TEXT = reasonfile.DEFAULT.read_text(encoding="utf-8")
CATALOGUE = load_catalogue(BANK_CATALOGUE)
PERSONAL = """
[[reason]]
code = "SAVES"
text = "You put money aside"
category = "balances"
feature = "log_savings"
at_least = 0.8
along = ["no_savings"]
said_of = { family = ["savings"] }
"""


def with_one(**changed: str) -> str:
    """A small vocabulary with one personal reason, lines of which are changed ("" leaves one out)."""
    general = "".join(
        f'[[general]]\ncode = "GENERAL_{given.upper()}"\ntext = "Open to all"\ngiven = "{given}"\n' for given in GIVEN
    )
    absent = TEXT[TEXT.index("[absent]") :]
    category = '[[category]]\nid = "balances"\nname = "Money"\nfacts = ["savings_pence"]\nturn_off = "Ask us."\n'
    nothing = '[[category]]\nid = "none"\nname = "Nothing"\nfacts = []\nturn_off = "Ask us."\n'
    lines = {line.split(" ")[0]: line for line in PERSONAL.strip().splitlines()[1:]}
    lines |= {key: f"{key} = {value}" for key, value in changed.items()}
    reason = "[[reason]]\n" + "\n".join(line for line in lines.values() if not line.endswith(" = ")) + "\n"
    middle = "[middle]\nlog_savings = 0.76\nno_savings = 0.0\nlow_balance = 0.0\nsurplus = 0.0\nconstant = 1.0\n"
    head = 'version = "1"\nshare = 0.05\nchecked_only = "Only to check."\n'
    return head + middle + category + nothing + reason + general + absent


def test_trn_1_the_small_vocabulary_is_read_and_its_digest_is_of_its_meaning() -> None:
    plain = reasonfile.parse(with_one(), where="r.toml")
    entry = plain.entry("SAVES")
    assert isinstance(entry, Personal)
    assert entry.needs == {"savings_pence"}
    assert reasonfile.parse("# a comment\n" + with_one(), where="r.toml").digest == plain.digest
    assert reasonfile.parse(with_one(at_least="0.9"), where="r.toml").digest != plain.digest


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (with_one(text='"Recommended for you"'), 'reason SAVES: text advises (ADV-1): "Recommended"; say it without'),
        (with_one(text='"This suits you"'), 'text advises (ADV-1): "suits"'),
        (with_one(text='"Hurry, it ends soon"'), 'text presses (CRD-7): "Hurry"'),
        (with_one(text='"You pay a pharmacy often"'), 'text names what is sensitive (VUL-2): "pharmacy"'),
        (with_one(text='"You like gambling"'), 'names what is sensitive (VUL-2): "gambling"'),
        (with_one(text='"You paid {merchant}"'), "nothing is filled into it"),
        (with_one(text=f'"{"long " * 20}"'), "a card has room for 80"),
        (with_one(code='"saves"'), "a code is capitals, digits and _"),
        (with_one(feature='"log_saving"'), "there is no feature log_saving; did you mean log_savings?"),
        (with_one(along='["saver"]'), "saver has no middle; add it to [middle]"),
        (with_one(feature='"constant"', at_least="2.0"), "constant is never spoken of"),
        (with_one(at_least=""), "needs exactly one of at_least and at_most"),
        (with_one(at_most="0.1"), "needs exactly one of at_least and at_most"),
        (with_one(at_least="0.7"), "is said at the middle of log_savings (0.76) too"),
        (with_one(at_least='"much"'), "at_least must be a number"),
        (with_one(at_least="nan"), "at_least"),
        (with_one(category='"balance"'), "there is no category balance; did you mean balances?"),
        (with_one(said_of="{ famly = ['savings'] }"), "there is no selector famly; did you mean family?"),
        (with_one(said_of="{ class = ['promo'] }"), "class names 'promo'; choose among"),
        (with_one(said_of="{ family = [] }"), "family selects nothing"),
        (with_one(feature='"low_balance"', at_least="1.0"), "speaks of being short of money (CRD-4)"),
        (with_one(feature='"surplus"', at_least="", at_most="-0.5"), "speaks of being short of money (CRD-4)"),
        (with_one(colour='"red"'), "does not know the key colour"),
        (with_one().replace('given = "chance"', 'given = "luck"'), "given is 'luck'; choose broadcast, chance"),
        (
            with_one().replace('given = "chance"', 'given = "chance"\nsaid_of = { family = ["savings"] }'),
            "no general reason is given chance of every product; add one without said_of",
        ),
        (with_one().replace("GENERAL_CHANCE", "SAVES"), "reason SAVES: is there 2 times; ids must differ"),
        (with_one().replace("share = 0.05", "share = 5"), "share is 5; give a share of a score"),
        (with_one().replace("share = 0.05\n", ""), "share is missing"),
        (with_one().replace("[middle]", "[middles]"), "middle is missing"),
        (with_one().replace("no_savings = 0.0", "no_saving = 0.0"), "middle: there is no feature no_saving"),
        (with_one().replace('["savings_pence"]', '["saving_pence"]'), "category balances: there is no fact"),
        (with_one().replace("facts = []", 'facts = ["savings_pence"]'), "the categories' fact savings_pence: is there"),
        (with_one().replace("closed = ", "shut = "), "absent: closed is missing"),
        ("[[reason", "is not TOML"),
    ],
)
def test_trn_1_each_kind_of_mistake_is_refused_with_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InvalidReasons) as refused:
        reasonfile.parse(text, where="r.toml")
    said = str(refused.value)
    assert said.startswith("r.toml")
    assert sentence in said
    assert "\n" not in said


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidReasons, match="there is no such file"):
        reasonfile.load(tmp_path / "none.toml")


def test_trn_1_every_fact_that_a_decision_copies_has_a_category_and_a_way_to_turn_it_off() -> None:
    vocabulary = reasonfile.load()
    assert {fact for each in vocabulary.categories.values() for fact in each.facts} == features.USED_FACTS
    assert all(each.turn_off for each in vocabulary.categories.values())


def test_every_product_has_a_general_reason_in_every_situation() -> None:
    vocabulary = reasonfile.load()
    for product in CATALOGUE.products:
        for given in GIVEN:
            assert isinstance(vocabulary.entry(vocabulary.general(given, product).code), General)
    debt_help = CATALOGUE.product("debt-help")
    assert vocabulary.general("otherwise", debt_help).code == "OPEN_TO_EVERYONE"
    assert vocabulary.general("otherwise", CATALOGUE.product("pot")).code == "AVAILABLE_TO_YOU"


def test_adv_2_and_crd_4_nobody_is_picked_for_credit_investments_or_pensions() -> None:
    vocabulary = reasonfile.load()
    spoken_of = {product.product_id for product in CATALOGUE.products if vocabulary.personal(product)}
    perimeter = {p.product_id for p in CATALOGUE.products if p.regulated_class in ("credit", "investment", "pension")}
    assert perimeter
    assert not spoken_of & perimeter
    assert spoken_of == set(CATALOGUE.ids) - perimeter


def test_a_retired_reason_is_never_offered_and_still_read() -> None:
    vocabulary = reasonfile.load()
    old = vocabulary.entry("PAYDAY_SURPLUS")
    assert isinstance(old, Personal)
    assert old.retired
    assert all(old not in vocabulary.personal(product) for product in CATALOGUE.products)
    category = vocabulary.category("PAYDAY_SURPLUS")
    assert category is not None
    assert category.category_id == "paydays"
    assert vocabulary.entry("NEVER_APPROVED") is None
    assert vocabulary.category("NEVER_APPROVED") is None


def test_the_stated_middles_are_those_of_the_bank() -> None:
    """Medians over a month of visits; what the calendar says, over a year of hours."""
    told = reasonfile.load().middle
    names = {name: column for column, name in enumerate(features.NAMES)}
    visited = np.array(list(_contexts(customers=250, days=30)))
    nobody = Profile(CustomerId("c"), Token("t"))
    year = [START + timedelta(hours=7 * n) for n in range(24 * 52)]
    hours = np.array([features.context_of(nobody, at=at, surface="home", given={}).values for at in year])
    for name, middle in told.items():
        if name == AFFINITY:  # standardised by its bundle
            assert middle == 0.0
            continue
        seen = hours if name in ("isa_season", "january") else visited
        assert np.median(seen[:, names[name]]) == pytest.approx(middle, abs=0.06), name


def _contexts(*, customers: int, days: int) -> list[tuple[float, ...]]:
    start = datetime(2026, 3, 2, tzinfo=UTC)
    bank = Bank.create(customers=customers, seed=4, start=start, catalogue=CATALOGUE.ids)
    made = []
    for _ in range(days):
        day = bank.begin_day()
        rows = sorted({visit.row for visit in day.visits})
        sheets = dict(zip(rows, bank.facts(rows), strict=True))
        for visit in day.visits:
            facts = {name: Fact(value, day.starts_at) for name, value in sheets[visit.row][1].items()}
            profile = Profile(visit.customer_id, Token(str(visit.row)), facts)
            made.append(features.context_of(profile, at=visit.at, surface=visit.surface, given={}).values)
    return made


def test_a_sentence_is_true_from_its_edge_on() -> None:
    for entry in reasonfile.load().entries:
        if isinstance(entry, Personal) and entry.at_least is not None:
            edge = entry.at_least
            assert [entry.true_at(value) for value in (edge - 1e-9, edge, edge + 1)] == [False, True, True]
        elif isinstance(entry, Personal):
            assert entry.at_most is not None
            edge = entry.at_most
            assert [entry.true_at(value) for value in (edge - 1, edge, edge + 1e-9)] == [True, True, False]
