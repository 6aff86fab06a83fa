"""What tests of contact share: a policy in a few words, products, and a recount by brute force."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from recsys.catalogue import BANK_CATALOGUE, load
from recsys.contact import ContactPolicy, Limit
from recsys.contactfile import parse
from recsys.vocabulary import Contact, Product, ProductId

BANK = load(BANK_CATALOGUE)
PROMOTION = '["promo_personalised", "promo_broadcast"]'
NOON = "2026-03-02T12:00:00+00:00"


def cap(rule_id: str = "CAP", **more: object) -> str:
    """One cap on pushes, as TOML."""
    keys: dict[str, object] = {"counts": "sent", "of": "customer", "most": 1, "within": "1d", "channel": "push"}
    return _rule("cap", rule_id, keys | more)


def rest(rule_id: str = "REST", **more: object) -> str:
    """One rest after a dismissal, as TOML."""
    return _rule("rest", rule_id, {"after": "dismissed", "of": "product", "for": "90d", "channel": "every"} | more)


def quiet(begins: str, *, rule_id: str = "QUIET") -> str:
    """Quiet hours until nine in the evening, as TOML."""
    return _rule("quiet", rule_id, {"channel": "push"}) + f"\n{begins}\nto = 21:00:00\n"


def policy(*rules: str) -> ContactPolicy:
    """A policy of these rules."""
    return parse('version = "test"\n' + "\n".join(rules), where="contact.toml")


def _rule(kind: str, rule_id: str, keys: dict[str, object]) -> str:
    lines = [f"[[{kind}]]", f'id = "{rule_id}"', 'reason = "It was enough."', f"classes = {PROMOTION}"]
    for key, value in keys.items():
        lines.append(f"{key} = {str(value).lower() if isinstance(value, bool) else value!r}".replace("'", '"'))
    return "\n".join(lines)


@dataclass(frozen=True)
class Happened:
    """One thing that happened, as a test keeps it beside the engine: nothing pruned, nothing merged."""

    kind: str
    product_id: ProductId
    at: datetime
    decision_id: str | None = None


def recounted(
    limit: Limit, happened: Iterable[Happened], *, product: Product, surface: str, path: str, at: datetime
) -> bool:
    """Whether a limit refuses a product, told anew from everything that ever happened."""
    if not limit.reach.applies(surface=surface, path=path) or not limit.reach.fits(product):
        return False
    known = {each.product_id: each for each in BANK.products}

    def counts(each: Happened) -> bool:
        if each.kind != limit.counts or not _whole(each.at) > _whole(at) - timedelta(seconds=limit.within):
            return False
        if each.product_id not in known:
            return limit.of == "customer"
        if limit.counts == "opted_out" and limit.of == "customer":
            return True  # whatever it was said of
        other = known[each.product_id]
        same = {"product": other.product_id == product.product_id, "family": other.family == product.family}
        return limit.reach.fits(other) and same.get(limit.of, True)

    mine = [each for each in happened if counts(each)]
    if limit.counts == "seen":
        told = {(e.decision_id, e.product_id) for e in mine if e.decision_id is not None}
        return len(told) + sum(e.decision_id is None for e in mine) >= limit.most
    return len({e.decision_id for e in mine} if limit.counts == "sent" else mine) >= limit.most


def _whole(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def refused(
    contact: Contact, chosen: ContactPolicy, *, surface: str, at: datetime, path: str = "personalised"
) -> set[tuple[str, ProductId]]:
    """(rule, product) of every refusal."""
    verdicts = chosen.verdicts(contact, products=BANK.products, surface=surface, at=at, path=path)
    return {(v.rule_id, v.product_id) for v in verdicts.expanded() if not v.allowed}


def products(*ids: ProductId) -> Sequence[Product]:
    """Products of the bank by id."""
    return [BANK.product(each) for each in ids]
