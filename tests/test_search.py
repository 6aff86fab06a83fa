"""Search finds what customers mean: judged queries, typos, everyday words; and ranks only what may be shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bandits.drawing import draw_slate, everything_open
from bandits.relevance import RelevancePolicy
from embeddings.lexical import Field, Lexicon
from embeddings.searching import Search
from embeddings.spelling import Spelling, mistakes
from embeddings.synonyms import BANKING_WORDS, load
from embeddings.wording import said
from recsys.errors import InvalidConfiguration, InvalidTable
from recsys.vocabulary import Candidate, Context
from serving import settings
from serving.bootstrap import compose
from tests.searches import judged, ndcg, qualities, searched_catalogue


@pytest.fixture(scope="module")
def engine() -> Search:
    return Search(searched_catalogue().products)


def first(engine: Search, query: str, n: int = 1) -> set[str]:
    return {found for found, _ in engine.find(query, among=searched_catalogue().ids)[:n]}


def test_fused_search_answers_the_judged_queries_better_than_words_or_vectors_alone(engine: Search) -> None:
    lexical, vector, fused = (qualities(engine, how=how).mean() for how in ("lexical", "vector", "fused"))
    assert fused > max(lexical, vector)
    assert fused > 0.87


def test_queries_that_nothing_was_tuned_on_fare_about_as_well(engine: Search) -> None:
    held = np.array([each.held for each in judged()])
    fused = qualities(engine, how="fused")
    assert fused[held].mean() > 0.84
    assert abs(fused[held].mean() - fused[~held].mean()) < 0.08


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("savngs acount", "fixed-6m fixed-1y pot cash-isa"),
        ("overdaft", "overdraft article-8 article-26"),
        ("bussiness acount", "business"),
        ("penshun", "pension article-6 article-24"),
        ("laon", "loan"),
        ("creditcard", "card"),
        ("buget", "budgeting article-0 article-18"),
    ],
)
def test_typos_are_forgiven(engine: Search, query: str, meant: str) -> None:
    assert first(engine, query) <= set(meant.split())


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("nest egg", "pot"),
        ("term deposit", "fixed-6m fixed-1y"),
        ("borrow", "loan overdraft flex"),
        ("bnpl", "flex article-9 article-27"),
        ("my husband and i", "joint"),
        ("freelancer", "business article-12 article-30"),
        ("supermarket", "offer-1-4 offer-1-17"),
        ("petrol", "offer-1-2 offer-1-6 offer-1-19"),
        ("phishing", "article-14 article-32"),
        ("struggling with debt", "debt-help"),
    ],
)
def test_everyday_banking_words_find_what_the_bank_calls_otherwise(engine: Search, query: str, meant: str) -> None:
    assert first(engine, query) <= set(meant.split())


def test_a_word_that_is_still_being_typed_finds_what_it_begins(engine: Search) -> None:
    assert first(engine, "pens") <= {"pension", "article-6", "article-24"}


def test_what_a_product_says_it_is_not_does_not_find_it(engine: Search) -> None:
    assert "cashback" not in first(engine, "gambling", n=60)  # its text promises that there is none
    assert first(engine, "gambling") == {"debt-help"}
    assert said("A first account, without an overdraft.") == ["a", "first", "account"]


@pytest.mark.parametrize("query", ["zzzzzz", "?!", "🏦", "   x   ", "a" * 200, "0x00 null", "東京"])
def test_words_that_mean_nothing_here_find_nothing_rather_than_anything(engine: Search, query: str) -> None:
    found = engine.find(query, among=searched_catalogue().ids)
    assert all(0.0 < relevance <= 1.0 for _, relevance in found)
    assert len(found) <= 3


def test_only_what_is_among_is_found_and_each_once(engine: Search) -> None:
    dice = np.random.default_rng(0)
    ids = searched_catalogue().ids
    for each in judged():
        among = [ids[row] for row in dice.permutation(len(ids))[: dice.integers(0, 12)]]
        found = engine.find(each.query, among=[*among, "gone"], k=5)
        assert {product for product, _ in found} <= set(among)
        assert len(found) == len({product for product, _ in found}) <= 5
        assert [r for _, r in found] == sorted((r for _, r in found), reverse=True)


def test_the_order_asked_in_changes_nothing(engine: Search) -> None:
    ids = searched_catalogue().ids
    assert engine.find("account", among=ids) == engine.find("account", among=ids[::-1])
    assert Search(searched_catalogue().products).find("account", among=ids) == engine.find("account", among=ids)


def test_an_empty_catalogue_and_products_without_words_are_answered() -> None:
    assert Search(()).find("savings", among=["pot"]) == ()
    one, two = searched_catalogue().products[:2]
    blank = Search(
        (
            replace(one, product_id="one", name="…", text="—", family="", tags=(), creatives=()),
            replace(two, product_id="two", name="Pot", text="A pot.", creatives=()),
        )
    )
    assert [found for found, _ in blank.find("pot", among=["one", "two"])] == ["two"]
    with pytest.raises(InvalidTable, match="k must be at least 1"):
        blank.find("pot", among=["two"], k=0)


def test_relevance_stands_before_affinity_which_orders_what_fits_equally_well(engine: Search) -> None:
    relevance = {"exact": 1.0, "as-good": 0.95, "half": 0.5}
    candidates = [
        Candidate("half", affinity=4.0),
        Candidate("exact", affinity=-4.0),
        Candidate("as-good", affinity=2.0),
    ]
    drawn = draw_slate(
        RelevancePolicy(relevance), Context(), candidates, length=3, decision_id="d", mask_of=everything_open(3)
    )
    assert [candidates[row].product_id for row in drawn.rows] == ["as-good", "exact", "half"]
    assert drawn.propensities == (1.0, 1.0, 1.0)


def test_affinity_costs_the_judged_queries_little(engine: Search) -> None:
    dice = np.random.default_rng(1)
    plain, personal = [], []
    for each in judged():
        found = engine.find(each.query, among=searched_catalogue().ids)
        liked = [Candidate(p, affinity=float(dice.normal())) for p, _ in found]
        order = np.argsort(-RelevancePolicy(dict(found)).scores(Context(), liked), kind="stable") if liked else []
        plain.append(ndcg([p for p, _ in found], gains=each.gains))
        personal.append(ndcg([found[row][0] for row in order], gains=each.gains))
    assert np.mean(personal) > np.mean(plain) - 0.03  # for a customer whose likings are noise


def test_a_word_with_many_synonyms_does_not_outshout_the_others() -> None:
    synonyms = load(BANKING_WORDS)
    lexicon = Lexicon([[Field("Fund share stock invest", 1.0)], [Field("Invest abroad", 1.0)]], synonyms=synonyms)
    one, both = lexicon.scores("invest abroad")
    assert both > one


def test_mistakes_are_counted_as_typists_make_them() -> None:
    assert mistakes("kitten", "sitting") == 3
    assert mistakes("", "pot") == mistakes("pot", "") == 3
    assert Spelling(["isa", "pot"]).near("ish") == ()  # too short to be sure
    assert Spelling(["savings", "shavings"]).near("savings") == ("savings",)


def test_a_file_of_synonyms_that_says_nothing_is_refused(tmp_path: Path) -> None:
    for text in (
        "",
        "alike = []\n",
        'alike = ["?"]\n[means]\n',
        "alike = [1]\n[means]\n",
        "more = 1\nalike = []\n[means]\n",
    ):
        file = tmp_path / f"{len(text)}.toml"
        file.write_text(text)
        with pytest.raises(InvalidConfiguration, match=r"\[means\]"):
            load(file)


def test_a_sentence_model_is_a_setting_and_what_is_no_model_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    (tmp_path / "settings.toml").write_text('search_model = "model"\n')
    with pytest.raises(InvalidConfiguration, match="model is no directory of a sentence-transformers model"):
        compose(settings.load())
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "modules.json").write_text("[]")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidConfiguration, match="an extra: pip install 'recsys\\[sentences\\]'"):
        compose(settings.load())
