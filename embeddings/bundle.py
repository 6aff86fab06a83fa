"""Weights, ids, product vectors and the reference of affinity, published and loaded as one.

Nothing here knows torch: weights travel as plain arrays, and what a request needs (ids, vectors,
reference) is read without them. `encoding.encoder_of` turns the weights into a network again.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from embeddings.approximate import Index, loaded
from embeddings.identifiers import IdMap
from recsys import artefacts
from recsys.artefacts import Artefact, canonical
from recsys.errors import Corrupt, InvalidConfiguration, InvalidTable
from recsys.vocabulary import Floats, Vector

NAME = "bundle"
FORMAT = 1
_CARD, _VECTORS, _WEIGHTS = "bundle.json", "products.npz", "weights.npz"
_CLIP = 4.0  # affinities beyond four standard deviations say no more to a linear learner, and shake it

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Reference:
    """Mean and spread of the cosines between a bundle's customers and its products."""

    mean: float
    std: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mean) and np.isfinite(self.std) and self.std > 0):
            raise InvalidConfiguration("an affinity reference needs a finite mean and a positive spread")

    def affinities(self, cosines: Vector) -> Floats:
        """(n,) float64: cosines in units of the reference's spread, within ±4.

        >>> Reference(0.1, 0.2).affinities(np.array([0.1, 0.3, 1.0], dtype=np.float32)).round(3)
        array([0., 1., 4.])
        """
        return np.clip((cosines.astype(np.float64) - self.mean) / self.std, -_CLIP, _CLIP)


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What the encoder needs beside its weights: the names its inputs had when it was trained."""

    encoder: str  # "two_tower"
    shape: Mapping[str, Any]  # of the network, by the field names of its configuration
    fact_names: tuple[str, ...]
    subjects: IdMap
    history_length: int
    feature_names: tuple[str, ...]  # of products
    products: IdMap  # in the rows of the network's id table


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A bundle in force. `artefact.digest` stamps the vectors it makes."""

    artefact: Artefact
    features_version: str
    index: Index
    n_chosen: NDArray[np.int64]  # (P,) how often each product was chosen in training
    reference: Reference
    blueprint: Blueprint

    @property
    def digest(self) -> str:
        """Digest of everything in it."""
        return self.artefact.digest

    @property
    def products(self) -> IdMap:
        """Products that have a vector."""
        return self.index.ids

    def weights(self) -> Arrays:
        """The network's arrays, read now and checked against the digest (`Corrupt`)."""
        return arrays_of(self.artefact.file(_WEIGHTS), where=_WEIGHTS)


def publish(
    root: Path,
    *,
    features_version: str,
    index: Index,
    n_chosen: NDArray[np.int64],
    reference: Reference,
    blueprint: Blueprint,
    weights: Arrays,
    notes: Mapping[str, Any] | None = None,
) -> Artefact:
    """Publish all parts whole and put them in force; `notes` (metrics, data digest) join the manifest.

    Raises:
        InvalidTable: index, counts and blueprint name different products.
    """
    if index.ids != blueprint.products or n_chosen.shape != (len(index),):
        raise InvalidTable("index, counts and blueprint name different products", where="bundle")
    card = asdict(blueprint) | {
        "subjects": blueprint.subjects.ids,
        "products": blueprint.products.ids,
        "reference": asdict(reference),
        "features_version": features_version,
    }
    files = {
        _CARD: canonical(card).encode(),
        _VECTORS: bytes_of({**index.arrays(), "n_chosen": n_chosen}),
        _WEIGHTS: bytes_of(weights),
    }
    manifest = {
        "format": FORMAT,
        "features_version": features_version,
        "index": index.digest,
        "n_products": len(index),
        "dim": index.dim,
        "notes": dict(notes or {}),
    }
    return artefacts.publish(root, NAME, files=files, manifest=manifest)


def load(root: Path, *, features_version: str, digest: str | None = None) -> Bundle:
    """The bundle in force, or the one with `digest`; reads no weights and needs no torch.

    Raises:
        ArtefactMissing: none has been published.
        Corrupt: a byte is not what was published, or ids and vectors do not belong together.
        InvalidConfiguration: it was made with another version of the features.
    """
    artefact = artefacts.current(root, NAME) if digest is None else artefacts.read(root, NAME, digest)
    return opened(artefact, features_version=features_version)


def opened(artefact: Artefact, *, features_version: str) -> Bundle:
    """A bundle from its artefact; raises as `load` does."""
    made_with = artefact.manifest.get("features_version")
    if artefact.manifest.get("format") != FORMAT or made_with != features_version:
        raise InvalidConfiguration(
            f"bundle {artefact.digest} was made with features {made_with}, but {features_version} is in force; "
            "train a new bundle"
        )
    try:
        card = json.loads(artefact.file(_CARD))
        arrays = arrays_of(artefact.file(_VECTORS), where=_VECTORS)
        blueprint = Blueprint(
            encoder=card["encoder"],
            shape=card["shape"],
            fact_names=tuple(card["fact_names"]),
            subjects=IdMap(tuple(card["subjects"])),
            history_length=card["history_length"],
            feature_names=tuple(card["feature_names"]),
            products=IdMap(tuple(card["products"])),
        )
        index = loaded(arrays, ids=blueprint.products)
        reference = Reference(**card["reference"])
        n_chosen = arrays["n_chosen"]
    except (KeyError, TypeError, OSError) as error:
        raise Corrupt(f"bundle {artefact.digest} is not complete") from error
    if index.digest != artefact.manifest["index"]:
        raise Corrupt(f"bundle {artefact.digest}: its ids and vectors do not belong together")
    return Bundle(artefact, features_version, index, n_chosen, reference, blueprint)


def bytes_of(arrays: Arrays) -> bytes:
    """Named arrays as an .npz; equal arrays give equal bytes (names are sorted, zip times are fixed)."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    return buffer.getvalue()


def arrays_of(content: bytes, *, where: str) -> dict[str, NDArray[Any]]:
    """The arrays `bytes_of` packed; never unpickles. Raises `Corrupt` where it is no such file."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as packed:
            return {name: packed[name] for name in packed.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise Corrupt(f"{where} holds no readable arrays") from error
