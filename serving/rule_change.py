"""A changed rule pack, judged from the log: what it would close, and what it would open that never was.

Each logged decision is put to the new pack with the facts it used. A tightened pack leaves fewer
candidates: the policies are renormalised over what is left, and their value there follows from the
log. A loosened one would show what nobody could have drawn, of which a log says nothing: refused.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from recsys.eligibility import RoutePath, RulePack
from recsys.errors import Misuse
from recsys.vocabulary import NOTHING, Bools, CustomerId, Decision, ProductId, Profile, Verdicts
from serving.offer import Offer


class RuleChange:
    """A new pack beside the log's own verdicts."""

    def __init__(self, pack: RulePack, *, offer: Offer) -> None:
        self._pack = pack
        self._products = offer.catalogue.products
        self._ids = {rule.rule_id for each in (pack, *offer.rules.packs) for rule in each.rules}
        self.closed: Counter[ProductId] = Counter()  # candidates that the new pack refuses
        self.opened: Counter[ProductId] = Counter()  # refused by the log's pack, allowed by the new one
        self._known = set(offer.catalogue.ids)

    def meets(self, decision: Decision) -> None:
        """Count what changes for one decision."""
        allowed = self._allowed(decision)
        for product in self._refused_by_rules_alone(decision):
            self.opened[product] += product in allowed
        open_ = self.confine(decision)
        self.closed.update(c.product_id for c, each in zip(decision.candidates, open_, strict=True) if not each)

    def check(self) -> None:
        """Raise `Misuse` naming the products that the new pack would open, if any."""
        if opened := [(product, n) for product, n in self.opened.most_common() if n]:
            named = ", ".join(f"{product} ({n:,} decisions)" for product, n in opened[:5])
            more = f" and {len(opened) - 5} more" if len(opened) > 5 else ""
            raise Misuse(
                f"the rule pack {self._pack.version} allows what was never allowed when the log was written, so the "
                f"log cannot judge it: {named}{more}"
            )

    def confine(self, decision: Decision) -> Bools:
        """(n,) the candidates that the new pack leaves; the null choice always."""
        allowed = self._allowed(decision)
        return np.array(
            [c.product_id == NOTHING or c.product_id in allowed or c.product_id not in self._known
             for c in decision.candidates],
            dtype=np.bool_,
        )  # fmt: skip

    def _allowed(self, decision: Decision) -> frozenset[ProductId]:
        path: RoutePath = "broadcast" if decision.purpose == "service" else "personalised"
        profile = Profile(CustomerId(""), decision.token, decision.facts, decision.permissions)
        verdicts = self._pack.verdicts(
            profile, products=self._products, surface=decision.surface, at=decision.made_at, path=path
        )
        return frozenset(_as_logged(verdicts, logged=decision.verdicts).eligible())

    def _refused_by_rules_alone(self, decision: Decision) -> list[ProductId]:
        """Products that a rule refused, and nothing else did (a cap, a switch, what the caller asked for)."""
        verdicts = decision.verdicts
        ours = np.array([name.partition("@")[0] in self._ids for name in verdicts.rules], dtype=np.bool_)
        by_rules = ~verdicts.allowed[:, ours].all(axis=1)
        by_others = ~verdicts.allowed[:, ~ours].all(axis=1)
        return [verdicts.products[row] for row in np.flatnonzero(by_rules & ~by_others).tolist()]


def _as_logged(verdicts: Verdicts, *, logged: Verdicts) -> Verdicts:
    """The verdicts with those of every rule that has not changed as the log has them.

    Some facts that rules read are never written down (VUL-2), so what rests on them cannot be asked again.
    """
    rows = {product: row for row, product in enumerate(logged.products)}
    columns = {name: column for column, name in enumerate(logged.rules)}
    same = [column for column, name in enumerate(verdicts.rules) if name in columns]
    known = [row for row, product in enumerate(verdicts.products) if product in rows]
    allowed = verdicts.allowed.copy()
    at = [rows[verdicts.products[row]] for row in known], [columns[verdicts.rules[column]] for column in same]
    allowed[np.ix_(known, same)] = logged.allowed[np.ix_(*at)]
    return replace(verdicts, allowed=allowed)
