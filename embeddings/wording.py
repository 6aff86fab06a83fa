"""Words as search compares them: lower case, without their endings, and without what a text denies.

"You cannot take money out. Savings pots."  →  sav pot            (documents: `said`)
"put some money aside for my savings"       →  put money aside sav   (queries: `asked`)
"""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+")
_DENIED = re.compile(r"\b(?:no|not|nothing|never|without|cannot)\b[^.,;:]*")
_LITTLE = frozenset(
    word
    for line in (
        "a about am an and any are as at be but by can could d do does for from get give go have how i if in into is",
        "it its just like ll m me my need of on or our please s should so some someone t than that the their them",
        "there these they this to up us use using want was we what when where which who will with would you your ve re",
    )
    for word in line.split()
)
_VOWEL = re.compile(r"[aeiouy]")


def words_of(text: str) -> list[str]:
    """Lower-case words in their order; "can't" is one word.

    >>> words_of("Can't pay: 16-17?")
    ['cant', 'pay', '16', '17']
    """
    return _WORD.findall(text.lower().replace("'", "").replace("’", ""))


def said(text: str) -> list[str]:
    """The words of a document without those it denies: an account "without an overdraft" is no overdraft.

    >>> said("A pot. No gambling, alcohol or vaping.")
    ['a', 'pot', 'alcohol', 'or', 'vaping']
    """
    return words_of(_DENIED.sub(" ", text.lower()))


def asked(query: str) -> list[str]:
    """The words of a query that tell anything; all of them where none does."""
    words = words_of(query)
    return [word for word in words if word not in _LITTLE] or words


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """A word without its English endings; a light hand, since a wrong join costs more than a missed one.

    >>> [stem(each) for each in ("savings", "saver", "save", "splitting", "bills", "pension")]
    ['sav', 'sav', 'sav', 'split', 'bill', 'pension']
    """
    if len(word) <= 3 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies"):
        word = word[:-3] + "y"
    elif word.endswith(("sses", "xes", "ches", "shes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending, least in (("ment", 7), ("ing", 6), ("ed", 5), ("er", 5)):
        cut = word[: -len(ending)]
        if word.endswith(ending) and len(word) >= least and len(cut) >= 3 and _VOWEL.search(cut):
            word = cut[:-1] if cut[-1] == cut[-2] and cut[-1] not in "lsz" else cut
            break
    if word.endswith("e") and len(word) > 3:
        word = word[:-1]
    return word[:-1] + "i" if word.endswith("y") and len(word) > 3 else word
