"""Facts and histories → vectors: numpy at the border, torch inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from embeddings.bundle import Arrays, Blueprint, Bundle
from embeddings.interactions import checked_facts, padded_history
from embeddings.product_facts import ProductFacts
from embeddings.two_tower import TwoTower, TwoTowerConfig
from recsys.errors import Corrupt, InvalidConfiguration, InvalidTable
from recsys.vocabulary import Vector

_CHUNK = 4096  # rows encoded at once: memory stays flat however many customers come


class Encoder:
    """A trained two-tower network, frozen. Customers and products land in the same space."""

    def __init__(self, blueprint: Blueprint, *, weights: Arrays, digest: str = "") -> None:
        """`digest` of the bundle stamps the vectors made here ("" before there is one).

        Raises:
            InvalidConfiguration: another kind of encoder.
            Corrupt: weights that do not fit the blueprint.
        """
        if blueprint.encoder != "two_tower":
            raise InvalidConfiguration(f"this encoder is a two_tower, the bundle holds a {blueprint.encoder}")
        self.blueprint = blueprint
        self.digest = digest
        self._network = _network_of(blueprint, weights=weights)

    @classmethod
    def of(cls, bundle: Bundle) -> Encoder:
        """The encoder of a published bundle; its weights are read and checked now."""
        return cls(bundle.blueprint, weights=bundle.weights(), digest=bundle.digest)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._network.config.dim

    def encode(self, facts: ArrayLike, histories: Sequence[Sequence[str]]) -> Vector:
        """(n, D) float32 unit vectors of customers.

        `facts` is (n, F) in the order of `blueprint.fact_names`; a history holds subjects, the oldest first;
        subjects that were not seen in training are left out.

        Raises:
            InvalidTable: facts that do not fit or are not finite; rows that differ in number.
        """
        checked = checked_facts(facts, n_rows=len(histories), n_facts=len(self.blueprint.fact_names), where="encode")
        encoded = [
            self.encode_rows(checked[part], history=self._padded(histories[part])) for part in _parts(len(checked))
        ]
        return np.concatenate(encoded) if encoded else np.empty((0, self.dim), dtype=np.float32)

    def encode_rows(self, facts: Vector, *, history: NDArray[np.int32]) -> Vector:
        """(n, D) for checked facts (n, F) and history (n, H) as a `TrainingSet` of the same subjects holds them."""
        encoded = np.empty((len(facts), self.dim), dtype=np.float32)
        with torch.inference_mode():
            for part in _parts(len(facts)):
                encoded[part] = self._network.customer(
                    torch.tensor(facts[part]), history=torch.tensor(history[part])
                ).numpy()
        return encoded

    def encode_products(self, products: ProductFacts) -> Vector:
        """(P, D) float32 unit vectors of products.

        One that training never met (by id) is cold: its vector comes from features and words alone.

        Raises:
            InvalidTable: features under other names than in training.
        """
        if products.names != self.blueprint.feature_names:
            raise InvalidTable("products come with other features than in training", where="encode")
        rows = [self.blueprint.products.row(id_) for id_ in products.ids.ids]
        id_rows = torch.tensor([0 if row is None else row + 1 for row in rows], dtype=torch.int64)
        encoded = np.empty((len(products), self.dim), dtype=np.float32)
        with torch.inference_mode():
            for part in _parts(len(products)):
                encoded[part] = self._network.product(
                    id_rows[part],
                    features=torch.tensor(products.features[part]),
                    words=torch.tensor(products.words[part]),
                ).numpy()
        return encoded

    def _padded(self, histories: Sequence[Sequence[str]]) -> NDArray[np.int32]:
        return padded_history(histories, subjects=self.blueprint.subjects, length=self.blueprint.history_length)


def _parts(n_rows: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, n_rows, _CHUNK))


def _network_of(blueprint: Blueprint, *, weights: Arrays) -> TwoTower:
    try:
        network = TwoTower(
            TwoTowerConfig(**blueprint.shape),
            n_facts=len(blueprint.fact_names),
            n_subjects=len(blueprint.subjects),
            n_features=len(blueprint.feature_names),
            n_products=len(blueprint.products),
        )
        network.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    except (KeyError, TypeError, RuntimeError) as error:
        raise Corrupt("the weights do not fit the bundle's blueprint") from error
    return network.requires_grad_(requires_grad=False).eval()
