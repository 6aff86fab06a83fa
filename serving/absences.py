"""Why did I not see that? For every product of the catalogue, from the record alone.

The verdicts tell what was not allowed, the candidates what was not proposed, and the logged
distributions the rest: what could have been drawn and with what probability, and what stood closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from recsys.reasons import Vocabulary
from recsys.vocabulary import Decision, ProductId, Verdict, Verdicts

ASKED = "ASKED"
"""The verdict column of what the caller itself left out."""


@dataclass(frozen=True, slots=True)
class Absence:
    """Why one product was not shown. `why` is a key of the vocabulary's [absent] table."""

    product_id: ProductId
    why: str
    refused: tuple[Verdict, ...] = ()  # every rule that refused
    probability: float | None = None  # of being drawn somewhere in this slate, given what stood above

    def sentences(self, vocabulary: Vocabulary) -> tuple[str, ...]:
        """What may be read out: why, then what each rule says."""
        rules = (verdict.reason for verdict in self.refused if verdict.rule_id != ASKED)
        return (vocabulary.absent[self.why], *dict.fromkeys(rules))

    def to_json(self, vocabulary: Vocabulary) -> dict[str, Any]:
        """As a receipt tells it."""
        told: dict[str, Any] = {"product_id": self.product_id, "why": self.why}
        told["sentence"] = vocabulary.absent[self.why]
        if self.refused:
            told["rules"] = [{"rule": each.rule_id, "reason": each.reason} for each in self.refused]
        if self.probability is not None:
            told["probability"] = self.probability
        return told


def absences_of(decision: Decision) -> tuple[Absence, ...]:
    """Every product of the decision's catalogue that was not shown, in the catalogue's order."""
    shown = {slot.product_id for slot in decision.shown}
    refusals = _refusals(decision.verdicts)
    rows = {candidate.product_id: row for row, candidate in enumerate(decision.candidates)}
    return tuple(
        _absence(decision, product, row=rows.get(product), refused=refusals.get(product, ()))
        for product in decision.verdicts.products
        if product not in shown
    )


def _absence(decision: Decision, product: ProductId, *, row: int | None, refused: Sequence[Verdict]) -> Absence:
    if refused:
        only_asked = all(each.rule_id == ASKED for each in refused)
        return Absence(product, "asked" if only_asked else "not_allowed", tuple(refused))
    if not decision.slots:
        return Absence(product, "nothing")
    if row is None:
        return Absence(product, "not_proposed")
    chances: list[float] = decision.pmfs[:, row].tolist()
    if any(chances):
        return Absence(product, "not_drawn", probability=1.0 - prod(1.0 - chance for chance in chances))
    return Absence(product, "closed" if _closed(decision, row) else "lower", probability=0.0)


def _closed(decision: Decision, row: int) -> bool:
    """Whether a candidate that no slot could draw was closed, rather than last in a fixed order.

    Where several could be drawn every open one could, so this one was not open. Where a slot had one
    possible product, it was closed if it scored above what was drawn.
    """
    for slot, pmf in zip(decision.slots, decision.pmfs, strict=True):
        drawn = next(i for i, each in enumerate(decision.candidates) if each.product_id == slot.product_id)
        if (pmf > 0.0).sum() > 1 or decision.scores[row] > decision.scores[drawn]:
            return True
    return False


def _refusals(verdicts: Verdicts) -> Mapping[ProductId, list[Verdict]]:
    found: dict[ProductId, list[Verdict]] = {}
    for verdict in refused_of(verdicts):
        found.setdefault(verdict.product_id, []).append(verdict)
    return found


def refused_of(verdicts: Verdicts) -> Iterable[Verdict]:
    """The verdicts that refuse."""
    return (verdict for verdict in verdicts.expanded() if not verdict.allowed)
