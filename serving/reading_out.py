"""A receipt in plain sentences: what a service agent reads out to a customer on the phone.

No customer id and no fact stands here beyond the kinds of data that were used; everything technical
is folded below the sentences, under `technical`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bandits.exploration import chance_share
from recsys.catalogue import Catalogue
from recsys.reasons import Vocabulary
from recsys.steering import Moved
from recsys.vocabulary import NOTHING, Decision, Outcome, Product, ProductId, Slot
from serving.absences import Absence, absences_of
from serving.explanations import MOSTLY
from serving.formats import minute, once_in, words
from serving.telling import Story, categories_of

_PLACES = {
    "home": "on the home screen",
    "savings": "on the savings page",
    "search": "among search results",
    "push": "as a push message",
    "inline": "beside what you were reading",
}
_HAPPENED = {
    "seen": "saw it",
    "tapped": "tapped it",
    "dismissed": "dismissed it",
    "opened": "opened it",
    "funded": "paid money in",
    "balance_30d": "kept money in it after 30 days",
    "cancelled_14d": "cancelled within 14 days",
    "complained": "complained about it",
    "opted_out": "opted out",
}
_EVEN = 1.0 - 1e-9
_SELDOM = 5  # chance plays "a little" part when it picks one card in so many or fewer
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True, slots=True)
class Shown:
    """One card: what it said and why it was there."""

    number: int
    name: str
    words: str  # as the catalogue writes them now, "" where it no longer does
    reasons: tuple[str, ...]
    happened: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Products that were not shown for one kind of cause."""

    sentence: str
    products: tuple[tuple[str, tuple[str, ...]], ...]  # name, what else to say

    @property
    def plain(self) -> bool:
        """Whether there is nothing to say beyond the names."""
        return not any(more for _, more in self.products)


@dataclass(frozen=True, slots=True)
class Data:
    """Kinds of data that were used, and how to turn their use off."""

    names: tuple[str, ...]
    turn_off: str


@dataclass(frozen=True, slots=True)
class ReadOut:
    """A whole receipt, ready to be read out; `technical` is the receipt in JSON."""

    decision_id: str
    lead: str
    how: str
    chance: str
    shown: tuple[Shown, ...]
    nothing: str  # why nothing was shown, "" where something was
    displayed: str
    data: tuple[Data, ...]
    absent: tuple[Group, ...]
    technical: Mapping[str, Any]


def read_out(story: Story, *, vocabulary: Vocabulary, catalogue: Catalogue, technical: Mapping[str, Any]) -> ReadOut:
    """The receipt of one decision in sentences; names and words are those of the catalogue in force."""
    d = story.decision
    return ReadOut(
        decision_id=d.decision_id,
        lead=_lead(d),
        how=_how(d),
        chance=_chance(d),
        shown=tuple(_card(slot, story=story, catalogue=catalogue) for slot in d.shown),
        nothing="" if d.shown else _sentence(d.shortfall or "nothing was drawn"),
        displayed=_displayed(story, catalogue),
        data=_data(d, vocabulary),
        absent=_groups(absences_of(d), vocabulary=vocabulary, catalogue=catalogue),
        technical=technical,
    )


def _lead(d: Decision) -> str:
    n = len(d.shown)
    cards = f"{_NUMBERS[n] if n < len(_NUMBERS) else n} card{'' if n == 1 else 's'}"
    place = _PLACES.get(d.surface, f"on {words(d.surface)}")
    return f"On {minute(d.made_at)} we chose {cards if n else 'nothing'} to show you {place}."


def _how(d: Decision) -> str:
    if d.mode == "holdout":
        return (
            "You are in the small group who all see the same, so that we can tell whether suggestions help anybody. "
            "Nothing was chosen by looking at you."
        )
    if d.mode == "search":
        return (
            "You searched. What fits your words best stands first; among what fits equally well, what we expect to be "
            "more useful to you. The words themselves are not kept."
        )
    if d.mode == "broadcast":
        return "These cards are for everybody who may have them. Nothing was chosen by looking at what you like or do."
    if d.mode.startswith("fallback:"):
        return "The usual way of choosing was not available just then, so a simpler one answered, under the same rules."
    if _floor(d) > _EVEN:
        return "You are in a small group whose cards are picked evenly at random from what the rules allow."
    return "From what the rules allow, the cards that we expect to be most useful to you were put first."


def _chance(d: Decision) -> str:
    """Whether chance played a part, from the logged distributions alone."""
    if not d.slots:
        return ""
    by_hand = any(Moved.read(each).action != "ban" for each in d.overrides)
    ours = " We had also set the place or the chance of some card by hand, for a while." if by_hand else ""
    floor = _floor(d)
    if not floor:
        return "No. The order was fixed, and chance played no part." + ours
    if floor > _EVEN:
        return (
            "Yes. What was not set was picked at random from what the rules allow, so that we keep learning what is "
            "useful; showing nothing more is one of the picks." + ours
        )
    if floor > 1.0 / _SELDOM:
        return "Yes, in part: some cards are picked at random, so that we keep learning what is useful." + ours
    return (
        f"A little. About one card in {once_in(floor)} is picked at random from what the rules allow, "
        f"so that we keep learning what is useful. {_which(d)}{ours}"
    )


def _floor(d: Decision) -> float:
    """How much probability was spread evenly whatever the scores, from the record; 0 where no slot had a choice."""
    possible = [row[row > 0.0] for row in d.pmfs]
    return min((float(row.min()) * row.size for row in possible if row.size > 1), default=0.0)


def _which(d: Decision) -> str:
    picked = [slot.number for slot in d.shown if _picked_by_chance(d, slot)]
    if not picked:
        return "None of these was." if len(d.shown) > 1 else "This one was not."
    if len(d.shown) == 1:
        return "This one was."
    listed = " and ".join(map(str, picked))
    return f"Here that was card {listed}." if len(picked) == 1 else f"Here those were cards {listed}."


def _picked_by_chance(d: Decision, slot: Slot) -> bool:
    if slot.propensity == 1.0:  # there was nothing else, or a person had set it
        return False
    row = next(i for i, each in enumerate(d.candidates) if each.product_id == slot.product_id)
    return chance_share(d.pmfs[slot.number - 1], row) > MOSTLY


def _card(slot: Slot, *, story: Story, catalogue: Catalogue) -> Shown:
    product = _product(slot.product_id, catalogue)
    said = [c.text for c in product.creatives if c.creative_id == slot.creative_id] if product else []
    return Shown(
        number=slot.number,
        name=_name(slot.product_id, catalogue),
        words=said[0] if said else "",
        reasons=tuple(_sentence(reason.text) for reason in slot.reasons),
        happened=tuple(_told(each) for each in story.outcomes if each.product_id == slot.product_id),
    )


def _told(outcome: Outcome) -> str:
    what = _HAPPENED.get(outcome.kind, words(outcome.kind))
    return f"You {what} on {minute(outcome.happened_at)}."


def _displayed(story: Story, catalogue: Catalogue) -> str:
    if not story.decision.shown:
        return ""
    if story.display is None:
        return "The app has not told us what was displayed."
    at = minute(story.display.displayed_at)
    if story.display.product_ids == tuple(slot.product_id for slot in story.decision.shown):
        return f"The app displayed exactly this on {at}."
    listed = ", ".join(_name(each, catalogue) for each in story.display.product_ids) or "nothing"
    return f"The app displayed something else on {at}: {listed}."


def _data(d: Decision, vocabulary: Vocabulary) -> tuple[Data, ...]:
    """Kinds of data under each way of turning their use off."""
    by_way: dict[str, list[str]] = {}
    for each in categories_of(d, vocabulary=vocabulary):
        by_way.setdefault(each.turn_off, []).append(each.name)
    return tuple(Data(tuple(names), way) for way, names in by_way.items())


def _groups(absences: Sequence[Absence], *, vocabulary: Vocabulary, catalogue: Catalogue) -> tuple[Group, ...]:
    """Products by why they were not shown, in the vocabulary's order."""
    return tuple(
        Group(
            f"{sentence}.",
            tuple((_name(each.product_id, catalogue), _more(each, vocabulary)) for each in absences if each.why == why),
        )
        for why, sentence in vocabulary.absent.items()
        if any(each.why == why for each in absences)
    )


def _more(absence: Absence, vocabulary: Vocabulary) -> tuple[str, ...]:
    return tuple(_sentence(each) for each in absence.sentences(vocabulary)[1:])


def _product(product_id: ProductId, catalogue: Catalogue) -> Product | None:
    return catalogue.product(product_id) if product_id in catalogue else None


def _name(product_id: ProductId, catalogue: Catalogue) -> str:
    product = _product(product_id, catalogue)
    return "Nothing" if product_id == NOTHING else product.name if product else product_id


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"
