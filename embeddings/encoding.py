"""Facts and histories → vectors: numpy at the border, torch inside.

One shape for every family (`CustomerEncoder`); `encoder_of` reads the right one out of a bundle.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from embeddings.bundle import Arrays, Blueprint, Bundle
from embeddings.fitting import put_weights
from embeddings.histories import Histories
from embeddings.interactions import checked_facts, padded_history
from embeddings.product_facts import ProductFacts
from embeddings.projection import Projection
from embeddings.sequence_training import hidden_of
from embeddings.sequential import Sequential, SequentialConfig
from embeddings.spectral import as_cosines, as_queries
from embeddings.two_tower import TwoTower, TwoTowerConfig
from recsys.errors import Corrupt, InvalidConfiguration, InvalidTable
from recsys.vocabulary import Vector

_CHUNK = 4096  # rows encoded at once: memory stays flat however many customers come


class CustomerEncoder(Protocol):
    """What every family becomes once it is published."""

    @property
    def digest(self) -> str:
        """Of the bundle; it stamps the vectors."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def encode(self, facts: ArrayLike, histories: Sequence[Sequence[str]]) -> Vector:
        """(n, D) float32 unit vectors of customers, of facts (n, F) and subjects done, the oldest first."""

    def encode_rows(self, facts: Vector, *, history: NDArray[np.int32]) -> Vector:
        """(n, D) for checked facts (n, F) and history (n, H) in the rows of the blueprint's subjects."""

    def encode_products(self, products: ProductFacts) -> Vector:
        """(P, D) float32 unit vectors; `InvalidTable` for products that this family cannot have a vector for."""


class _ByHistory(ABC):
    """What encoders that read histories alone have in common."""

    def __init__(self, blueprint: Blueprint, *, digest: str = "") -> None:
        self.blueprint = blueprint
        self.digest = digest

    def encode(self, facts: ArrayLike, histories: Sequence[Sequence[str]]) -> Vector:
        """(n, D); facts are checked and not read."""
        checked = checked_facts(facts, n_rows=len(histories), n_facts=len(self.blueprint.fact_names), where="encode")
        padded = padded_history(histories, subjects=self.blueprint.subjects, length=self.blueprint.history_length)
        return self.encode_rows(checked, history=padded)

    def encode_rows(self, facts: Vector, *, history: NDArray[np.int32]) -> Vector:
        """(n, D)."""
        parts = [as_queries(self._states(history[part])) for part in _parts(len(history))]
        return np.concatenate(parts) if parts else np.empty((0, self.dim), dtype=np.float32)

    @property
    @abstractmethod
    def dim(self) -> int:
        """Length of a vector."""

    def encode_products(self, products: ProductFacts) -> Vector:
        """(P, D) float32 unit vectors of products met in training.

        Raises:
            InvalidTable: a product that training never met has no vector here; the two towers give it one.
        """
        rows = self.blueprint.products.rows(products.ids.ids, where="encode, product")
        return as_cosines(self._products())[rows]

    @abstractmethod
    def _states(self, history: NDArray[np.int32]) -> Vector:
        """(n, D) of padded histories (n, H)."""

    @abstractmethod
    def _products(self) -> Vector:
        """(P, D) of the products met in training."""


class ProjectionEncoder(_ByHistory):
    """A closed form (`projection.py`), frozen; no torch inside."""

    def __init__(self, blueprint: Blueprint, *, weights: Arrays, digest: str = "") -> None:
        """Raises `Corrupt` where tables are missing or do not fit the blueprint."""
        super().__init__(blueprint, digest=digest)
        try:
            self._projection = Projection(weights["table"], weights["constant"], weights["products"])
        except KeyError as error:
            raise Corrupt("the weights do not fit the bundle's blueprint") from error
        if len(self._projection.table) != len(blueprint.subjects) + 1:
            raise Corrupt("the weights do not fit the bundle's blueprint")

    @property
    def dim(self) -> int:
        """Length of a vector: the table's and the coordinate that makes lengths equal."""
        return int(self._projection.table.shape[1]) + 1

    def _products(self) -> Vector:
        return self._projection.products

    def _states(self, history: NDArray[np.int32]) -> Vector:
        return self._projection.customers(history)


class SequenceEncoder(_ByHistory):
    """The sequential network, frozen."""

    def __init__(self, blueprint: Blueprint, *, weights: Arrays, digest: str = "") -> None:
        """Raises `Corrupt` where the weights do not fit the blueprint."""
        super().__init__(blueprint, digest=digest)
        try:
            config = SequentialConfig(**blueprint.shape)
        except TypeError as error:
            raise Corrupt("the weights do not fit the bundle's blueprint") from error
        network = Sequential(config, n_subjects=len(blueprint.subjects), n_products=len(blueprint.products))
        put_weights(network, weights)
        self._network = network.requires_grad_(requires_grad=False).eval()

    @property
    def dim(self) -> int:
        """Length of a vector: the state, 1 for the bias, and the coordinate that makes lengths equal."""
        return self._network.config.dim + 2

    def _products(self) -> Vector:
        return self._network.products.detach().numpy()

    def _states(self, history: NDArray[np.int32]) -> Vector:
        ragged = Histories.of_rows(
            history, product_rows=None, subjects=self.blueprint.subjects, n_products=len(self.blueprint.products)
        )
        hidden = hidden_of(self._network, ragged)  # (n, D)
        return np.column_stack([hidden, np.ones(len(hidden), dtype=np.float32)])


def encoder_of(bundle: Bundle) -> CustomerEncoder:
    """The encoder of a published bundle; its weights are read and checked now.

    Raises:
        InvalidConfiguration: a kind of encoder that this version does not know.
        Corrupt: weights that do not fit the blueprint.
    """
    return encoder_from(bundle.blueprint, weights=bundle.weights(), digest=bundle.digest)


def encoder_from(blueprint: Blueprint, *, weights: Arrays, digest: str = "") -> CustomerEncoder:
    """An encoder of a blueprint and its weights; raises as `encoder_of`."""
    if blueprint.encoder == "sequential":
        return SequenceEncoder(blueprint, weights=weights, digest=digest)
    if blueprint.encoder == "projection":
        return ProjectionEncoder(blueprint, weights=weights, digest=digest)
    return TwoTowerEncoder(blueprint, weights=weights, digest=digest)


class TwoTowerEncoder:
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
    def of(cls, bundle: Bundle) -> TwoTowerEncoder:
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
