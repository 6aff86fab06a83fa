"""A small world whose answer is known: customers and products of a few planted kinds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from embeddings.interactions import TrainingSet
from embeddings.product_facts import ProductFacts

KINDS = 5
FACT_NAMES = (*(f"kind_{kind}" for kind in range(KINDS)), "noise_a", "noise_b")
FEATURE_NAMES = tuple(f"family_{kind}" for kind in range(KINDS))
START = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """Nine choices in ten fall on products of the customer's own kind."""

    interactions: TrainingSet
    products: ProductFacts
    product_kinds: NDArray[np.int64]


def planted_world(seed: int = 0, *, n: int = 3000, n_products: int = 25, shuffled: str = "no") -> World:
    """`shuffled="yes"` breaks the tie between customers and choices: a negative control."""
    rng = np.random.default_rng(seed)
    customers = rng.integers(0, n // 3, size=n)
    kinds = customers % KINDS
    product_kinds = np.arange(n_products) % KINDS
    own = rng.random(n) < 0.9
    chosen = np.array([_choice(rng, product_kinds, kind=k if o else None) for k, o in zip(kinds, own, strict=True)])
    if shuffled == "yes":
        chosen = rng.permutation(chosen)
    products = products_of(product_kinds)
    interactions = TrainingSet.from_columns(
        np.hstack([np.eye(KINDS)[kinds] + rng.normal(scale=0.4, size=(n, KINDS)), rng.normal(size=(n, 2))]),
        histories=[[f"subject-{kind}"] * int(rng.integers(0, 3)) + ["balance"] for kind in kinds],
        product_ids=[products.ids.ids[row] for row in chosen],
        tokens=[f"t{customer}" for customer in customers],
        happened_at=[START + timedelta(minutes=int(m)) for m in rng.integers(0, 60 * 24 * 60, size=n)],
        products=products.ids,
        fact_names=FACT_NAMES,
    )
    return World(interactions, products, product_kinds)


def products_of(kinds: NDArray[np.int64], *, prefix: str = "product") -> ProductFacts:
    """Products that say their kind in a feature and in a word."""
    return ProductFacts.of(
        [f"{prefix}-{row}" for row in range(len(kinds))],
        names=FEATURE_NAMES,
        features=np.eye(KINDS)[kinds],
        texts=[f"Topic{kind} for you" for kind in kinds],
    )


def _choice(rng: np.random.Generator, product_kinds: NDArray[np.int64], *, kind: int | None) -> int:
    among = np.arange(len(product_kinds)) if kind is None else np.flatnonzero(product_kinds == kind)
    weights = 1.0 / np.sqrt(1.0 + np.arange(len(among)))  # the first of each kind are the popular ones
    return int(rng.choice(among, p=weights / weights.sum()))
