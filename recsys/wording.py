"""What the words of a product may not say, or must: checked before a catalogue is published.

Each complaint is one sentence that names the requirement. A lint finds words, not meanings: whoever
signs the wording off still reads it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from re import Pattern

from recsys.vocabulary import CommunicationClass, Creative, Product


def _words(*patterns: str) -> Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)", re.IGNORECASE)


_RATE = re.compile(r"\d\s?%")
_COST = re.compile(r"\d\s?%|£\s?\d|(?<!\w)APR(?!\w)", re.IGNORECASE)
_INCENTIVE = _words(
    r"interest[- ]free", "cash ?back", "bonus", "rewards?", "vouchers?", "discounts?", "cheap(?:er|est)?",
    "low(?:er|est)?", "best", "better than", "free", "save", "points",
)  # fmt: skip
_AMOUNT = re.compile(r"(?<!\w)(?:borrow|loans?|limit|spend|overdraft)(?!\w)[^.!?]*£\s?\d", re.IGNORECASE)
_URGENCY = _words(
    "hurry", "act (?:now|fast)", "today only", "only today", "last chance", "limited[- ]time", "ends? soon",
    "(?:do not|don['’]t) miss", "before it(?:['’]s| is) too late", r"only \d+ (?:left|remaining)",
    "while (?:it|they|stocks?) lasts?", "running out", "final (?:call|days?|hours?)", "now or never",
    "selling fast", "urgent(?:ly)?",
)  # fmt: skip
_ADVICE = _words(
    r"recommend\w*", "(?:right|best|ideal|perfect|made) for you", r"suits? you", r"suit(?:ed|able) (?:to|for) you",
    "you (?:should|ought|need to)", "tailored", r"we advise", "our advice", "your best",
)  # fmt: skip
_DAY = re.compile(
    r"(?<!\d)\d{1,2} (?:January|February|March|April|May|June|July|August|September|October|November|December) \d{4}"
)
_RISK = re.compile(r"down as well as up", re.IGNORECASE)
_ELSEWHERE = re.compile(r"other providers|elsewhere", re.IGNORECASE)


def faults(
    text: str, *, product: Product, creative: Creative | None = None, apr_blocks: Collection[str] = ()
) -> Iterator[str]:
    """What is wrong with a text: a creative's, or the product's own where `creative` is None."""
    if (found := _URGENCY.search(text)) is not None:
        yield f'says "{found[0]}", which urges (CRD-7); say what it is and let people take their time'
    if "advice_sensitive" in product.tags and (found := _ADVICE.search(text)) is not None:
        yield f'says "{found[0]}" of something advice-sensitive (ADV-1); describe it without judging for the reader'
    if product.regulated_class == "credit":
        yield from _credit_faults(text, creative=creative, apr_blocks=apr_blocks)
    if product.regulated_class in ("savings", "isa") and _RATE.search(text) is not None:
        yield from _rate_faults(text)
    if creative is not None:
        yield from _missing(text, product=product)


def _credit_faults(text: str, *, creative: Creative | None, apr_blocks: Collection[str]) -> Iterator[str]:
    if (found := _AMOUNT.search(text)) is not None:
        yield f'says "{found[0]}", an amount to borrow chosen beforehand (CRD-7); leave the amount to the reader'
    block = creative.apr_block if creative is not None else ""
    if block and block not in apr_blocks:
        yield f"apr_block {block} is not among the approved ones (CRD-5); add it to apr_blocks once it is approved"
    found = _COST.search(text) or _INCENTIVE.search(text)
    if found is not None and not block:
        yield f'says "{found[0]}", a rate, cost, incentive or comparison (CRD-5); name its approved apr_block'


def _rate_faults(text: str) -> Iterator[str]:
    if "AER" not in text:
        yield "states a rate without AER (SAV-3); write it as AER"
    if re.search(r"\b(?:fixed|variable)\b", text, re.IGNORECASE) is None:
        yield "states a rate without saying whether it is fixed or variable (SAV-3)"
    if _DAY.search(text) is None:
        yield "states a rate without its date (SAV-3); write since when it holds, such as 2 March 2026"


def _missing(text: str, *, product: Product) -> Iterator[str]:
    if product.regulated_class in ("investment", "pension") and _RISK.search(text) is None:
        yield "does not warn that the value can go down as well as up (ADV-3)"
    if product.regulated_class == "isa" and _ELSEWHERE.search(text) is None:
        yield "does not say that what is paid in with other providers counts too (SAV-1)"


def template_fault(creative: Creative, *, free_text: str | None) -> str | None:
    """What is wrong with where a creative's text comes from (MKT-8), None where nothing is."""
    neutral = creative.communication_class is CommunicationClass.REGULATORY_NEUTRAL
    if neutral and not creative.template:
        return "is regulatory_neutral and needs an approved template (MKT-8); name a [[template]], free text is refused"
    if creative.template and free_text is not None:
        return "names a template and has a text of its own (MKT-8); remove the text"
    return None
