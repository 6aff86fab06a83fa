"""All rules over a catalogue of 21 and of 500 products, beside a whole decision, in one run.

Run: python -m tests.benchmarks.rules
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from recsys.catalogue import Catalogue
from recsys.clocks import FixedClock
from recsys.layers import Layers
from recsys.vocabulary import CustomerId, Product
from serving.bootstrap import compose, recommender_of
from serving.settings import Settings
from serving.slates import Ask
from tests.benchmarks.timing import microseconds
from tests.rules.people import CATALOGUE, NOON, PACK, profile_of
from tests.service import apply_products

ROUNDS = 3_000


def main() -> None:
    """Print microseconds a request: medians over single passes, eligibility read as a decision reads it."""
    profile = profile_of()
    stale = profile_of(told={"balance_pence": NOON.replace(year=2025)})
    many = products_like(CATALOGUE, n=500)
    dominated = tuple(replace(p, dominated_by=(many[0].product_id,)) if i % 7 == 6 else p for i, p in enumerate(many))
    print(f"{len(PACK.rules)} rules, {sum(len(rule.require) for rule in PACK.rules)} conditions")
    for what, products, who in (
        ("21 products", CATALOGUE.products, profile),
        ("500 products", many, profile),
        ("500 products, a stale fact", many, stale),
        ("500 products, 71 dominated", dominated, profile),
    ):
        took = microseconds(
            lambda products=products, who=who: PACK.verdicts(
                who, products=products, surface="home", at=NOON
            ).eligible(),
            rounds=ROUNDS,
        )
        print(f"rules over {what:28} {took:7.1f} µs")
    print(f"whole decision, 21 products              {deciding():7.1f} µs (no snapshot: the fallback draws)")


def products_like(catalogue: Catalogue, *, n: int) -> tuple[Product, ...]:
    """`n` products, each a copy of one of the catalogue's under an id of its own."""
    own = catalogue.products
    return tuple(replace(own[i % len(own)], product_id=f"{own[i % len(own)].product_id}-{i}") for i in range(n))


def deciding() -> float:
    """Microseconds of one decision in process."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        apply_products(home)
        installed = compose(Settings(home=home), clock=FixedClock(NOON))
        layers = Layers((), holdout_share=0.0)
        recommender = recommender_of(installed, layers=lambda: layers, new_id=lambda: "d")
        ask, profile = Ask(CustomerId("c"), "home", 3), profile_of()
        return microseconds(lambda: recommender.decide(ask, profile=profile), rounds=ROUNDS)


if __name__ == "__main__":
    main()
