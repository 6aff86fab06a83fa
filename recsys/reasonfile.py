"""The vocabulary of reasons as it stands in its file, read strictly: one sentence for each mistake.

Besides its form the reader holds the words to the register: none advises (ADV-1), presses (CRD-7) or
names what is sensitive (VUL-2), and none speaks of being short of money except to bring help (CRD-4).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from hashlib import sha256
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from recsys import features
from recsys.errors import InvalidReasons
from recsys.facts import FACTS, nearest
from recsys.productfile import CLASSES, REGULATED_CLASSES
from recsys.reasons import ABSENT, AFFINITY, GIVEN, Category, Entry, General, Given, Personal, Vocabulary
from recsys.ruling import Selector
from recsys.tomls import Table, check_unique, document, read_text
from recsys.vocabulary import Reason

DEFAULT = Path(__file__).with_name("reasons.toml")
LONGEST = 80
"""Characters of a sentence: it stands on a card."""

_SELECTORS: Mapping[str, tuple[str, ...]] = {
    "class": CLASSES, "regulated_class": REGULATED_CLASSES, "family": (), "product": (), "tags": (),
}  # fmt: skip
_HELP = {"education", "service"}
_SHORT_OF_MONEY = {"low_balance", "overdrawn", "arrears"}  # whatever is said of these speaks of distress
_MONEY = {"log_balance", "surplus", "saved_share", "emergency", "log_income"}  # and of these below the middle
_NEVER = {"constant", "missing", "parent_of_teen"}  # says nothing, says what we lack, or tells of a child (AGE-4)
_READS = MappingProxyType({each.name: frozenset(each.reads) for each in features.CUSTOMER + features.MOMENT})
_WORDS: Mapping[str, re.Pattern[str]] = {
    "advises (ADV-1)": re.compile(
        r"\b(recommend\w*|advi[cs]e\w*|should|best|ideal|perfect|right for|suits?|suitable|deserve)\b", re.I
    ),
    "presses (CRD-7)": re.compile(
        r"\b(hurry|now or never|last chance|act now|act fast|limited|only today|miss out|don['’]t miss|guaranteed)\b",
        re.I,
    ),
    "names what is sensitive (VUL-2)": re.compile(
        r"\b(gambl\w*|bett?ing|casino\w*|pharmac\w*|clinic\w*|doctor\w*|hospital\w*|health\w*|ill|illness\w*|medic\w*"
        r"|pregnan\w*|fertil\w*|baby|disab\w*|faith\w*|church\w*|mosque\w*|temple\w*|religio\w*|charit\w*|unions?"
        r"|politic\w*|party|divorc\w*|separat\w*|bereave\w*|alcohol\w*|vap\w+|crypto\w*)\b",
        re.I,
    ),
}


def load(path: Path = DEFAULT) -> Vocabulary:
    """Read a vocabulary; `InvalidReasons` when it is missing or may not be said."""
    return parse(read_text(path, error=InvalidReasons), where=path.name)


def parse(text: str, *, where: str) -> Vocabulary:
    """Read a vocabulary from TOML text; `where` names the file in errors."""
    top = document(text, where=where, error=InvalidReasons)
    version, share = top.text("version"), _number(top, "share")
    if not 0.0 < share < 1.0:
        raise top.fail(f"share is {share:g}; give a share of a score, above 0 and below 1")
    checked_only, middle = top.text("checked_only"), _middle(top)
    categories = {each.category_id: each for each in (_category(row, top=top) for row in top.tables("category"))}
    personal = [_personal(row, top=top, middle=middle) for row in top.tables("reason")]
    general = [_general(row, top=top) for row in top.tables("general")]
    absent = _absent(top)
    top.done()
    entries: tuple[Entry, ...] = (*personal, *general)
    for entry in entries:
        if entry.category not in categories:
            why = f"there is no category {entry.category}{nearest(entry.category, among=categories)}"
            raise top.fail(f"reason {entry.reason.code}: {why}")
    check_unique((each.reason.code for each in entries), where=where, what="reason", error=InvalidReasons)
    facts = [fact for each in categories.values() for fact in each.facts]
    check_unique(facts, where=where, what="the categories' fact", error=InvalidReasons)
    for given in GIVEN:
        if not any(each.given == given and not each.retired and not each.said_of.wanted for each in general):
            raise top.fail(f"no general reason is given {given} of every product; add one without said_of")
    meaning = [version, share, checked_only, dict(middle), [asdict(each) for each in categories.values()], dict(absent)]
    plain = json.dumps([meaning, [asdict(each) for each in entries]], sort_keys=True, default=sorted)
    digest = sha256(plain.encode()).hexdigest()
    return Vocabulary(
        version=version,
        share=share,
        checked_only=checked_only,
        middle=middle,
        categories=MappingProxyType(categories),
        entries=entries,
        absent=absent,
        digest=digest,
    )


def _middle(top: Table) -> Mapping[str, float]:
    table = top.inside(top.take("middle", dict, "a table [middle]"), what="middle")
    for name in table.row:
        if name not in _READS and name != AFFINITY:
            raise table.fail(f"there is no feature {name}{nearest(name, among=dict.fromkeys([*_READS, AFFINITY]))}")
    return MappingProxyType({name: _number(table, name) for name in list(table.row)})


def _category(row: Mapping[str, Any], *, top: Table) -> Category:
    table = top.inside(row, what="category")
    category_id = table.text("id")
    table.where += f" {category_id}"
    category = Category(category_id, table.text("name"), table.texts("facts"), table.text("turn_off"))
    table.done()
    for fact in category.facts:
        if fact not in FACTS:
            raise table.fail(f"there is no fact {fact}{nearest(fact, among=FACTS)}")
    return category


def _personal(row: Mapping[str, Any], *, top: Table, middle: Mapping[str, float]) -> Personal:
    table, reason = _reason(row, top=top)
    feature = table.text("feature")
    one = Personal(
        reason=reason,
        category=table.text("category"),
        feature=feature,
        at_least=_number(table, "at_least") if "at_least" in table.row else None,
        at_most=_number(table, "at_most") if "at_most" in table.row else None,
        along=table.texts("along", ()),
        said_of=_said_of(table),
        needs=_READS.get(feature, frozenset()),
        retired=table.take("retired", bool, "true or false", default=False),
    )
    table.done()
    for why in _faults(one, middle=middle):
        raise table.fail(why)
    return one


def _general(row: Mapping[str, Any], *, top: Table) -> General:
    table, reason = _reason(row, top=top)
    given = cast("Given", table.choice("given", GIVEN))
    retired: bool = table.take("retired", bool, "true or false", default=False)
    one = General(reason, table.take("category", str, "a text", default="none"), given, _said_of(table), retired)
    table.done()
    return one


def _reason(row: Mapping[str, Any], *, top: Table) -> tuple[Table, Reason]:
    table = top.inside(row, what="reason")
    code = table.text("code")
    table.where = f"{top.where}: reason {code}"
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{1,39}", code):
        raise table.fail("a code is capitals, digits and _")
    text = table.text("text")
    if len(text) > LONGEST:
        raise table.fail(f"text has {len(text)} characters; a card has room for {LONGEST}")
    if set(text) & set("{}%<>"):
        raise table.fail("text must be said as it stands; nothing is filled into it")
    for what, words in _WORDS.items():
        if found := words.search(text):
            raise table.fail(f'text {what}: "{found[0]}"; say it without')
    return table, Reason(code, text)


def _said_of(reason: Table) -> Selector:
    row = reason.take("said_of", dict, 'selectors such as { family = ["savings"] }', default={})
    table = reason.inside(row, what="said_of")
    wanted: dict[str, tuple[str, ...]] = {}
    for name in row:
        if name not in _SELECTORS:
            raise table.fail(f"there is no selector {name}{nearest(name, among=_SELECTORS)}")
        wanted[name] = table.texts(name)
        if not wanted[name]:
            raise table.fail(f"{name} selects nothing; list what it should fit")
        for each in wanted[name]:
            if each not in (_SELECTORS[name] or (each,)):
                raise table.fail(f"{name} names {each!r}; choose among {', '.join(_SELECTORS[name])}")
    return Selector(wanted)


def _absent(top: Table) -> Mapping[str, str]:
    table = top.inside(top.take("absent", dict, "a table [absent]"), what="absent")
    sentences = {why: table.text(why) for why in ABSENT}
    table.done()
    return MappingProxyType(sentences)


def _faults(one: Personal, *, middle: Mapping[str, float]) -> Iterator[str]:
    """What makes a well-formed personal reason unfit to be said."""
    for name in one.features:
        if name not in _READS and name != AFFINITY:
            yield f"there is no feature {name}{nearest(name, among=dict.fromkeys([*_READS, AFFINITY]))}"
        elif name in _NEVER:
            yield f"{name} is never spoken of"
        elif name not in middle:
            yield f"{name} has no middle; add it to [middle]"
    if (one.at_least is None) == (one.at_most is None):
        yield "needs exactly one of at_least and at_most"
    here = middle.get(one.feature, 0.0)
    if (one.at_least is not None and one.at_least <= here) or (one.at_most is not None and one.at_most >= here):
        yield f"is said at the middle of {one.feature} ({here:g}) too; only what stands out is a reason"
    short = _SHORT_OF_MONEY & set(one.features[:1]) or (one.at_most is not None and one.feature in _MONEY)
    if short and not set(one.said_of.wanted.get("class", ("any",))) <= _HELP:
        yield "speaks of being short of money (CRD-4); it may be said of education and service only"


def _number(table: Table, key: str) -> float:
    value = float(table.take(key, (int, float), "a number"))
    if not isfinite(value):
        raise table.fail(f"{key} must be a number")
    return value
