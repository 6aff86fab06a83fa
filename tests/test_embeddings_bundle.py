"""A bundle is published and read whole, or refused in one sentence; a request needs no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embeddings import bundle as bundles
from embeddings.bundle import Blueprint, Bundle, Reference
from embeddings.encoding import TwoTowerEncoder
from embeddings.fitting import weights_of
from embeddings.identifiers import IdMap
from embeddings.index import ExactIndex
from embeddings.two_tower import TwoTower, TwoTowerConfig
from recsys.errors import ArtefactMissing, Corrupt, InvalidConfiguration, InvalidTable

IDS = IdMap(("pot", "loan", "card"))


def published(root: Path, *, seed: int = 0, features_version: str = "f-1", ids: IdMap = IDS) -> Bundle:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(len(ids), 4)).astype(np.float32)
    blueprint = Blueprint(
        "two_tower", {"dim": 4, "hidden": 8}, ("balance",), IdMap(("pay", "isa")), 8, ("family",), ids
    )
    network = TwoTower(TwoTowerConfig(dim=4, hidden=8), n_facts=1, n_subjects=2, n_features=1, n_products=len(ids))
    artefact = bundles.publish(
        root,
        features_version=features_version,
        index=ExactIndex(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), ids=ids),
        n_chosen=np.arange(len(ids)),
        reference=Reference(0.1, 0.25),
        blueprint=blueprint,
        weights=weights_of(network),
        notes={"recall_at_5": 0.5},
    )
    return bundles.opened(artefact, features_version=features_version)


def test_what_is_published_is_what_is_loaded(tmp_path: Path) -> None:
    written, read = published(tmp_path), bundles.load(tmp_path, features_version="f-1")
    assert read.digest == written.digest == read.artefact.digest
    assert read.products == IDS
    assert read.blueprint == written.blueprint
    assert read.reference == Reference(0.1, 0.25)
    assert read.n_chosen.tolist() == [0, 1, 2]
    assert read.index.vectors.tobytes() == written.index.vectors.tobytes()
    facts, histories = [[0.3], [2.0]], [["pay"], []]
    assert (
        TwoTowerEncoder.of(read).encode(facts, histories) == TwoTowerEncoder.of(written).encode(facts, histories)
    ).all()
    assert TwoTowerEncoder.of(read).digest == read.digest


def test_an_older_bundle_can_be_named(tmp_path: Path) -> None:
    old, new = published(tmp_path, seed=1), published(tmp_path, seed=2)
    assert bundles.load(tmp_path, features_version="f-1").digest == new.digest
    assert bundles.load(tmp_path, features_version="f-1", digest=old.digest).digest == old.digest


def test_other_features_are_refused_with_one_sentence(tmp_path: Path) -> None:
    published(tmp_path)
    with pytest.raises(InvalidConfiguration, match="made with features f-1, but f-2 is in force; train a new bundle"):
        bundles.load(tmp_path, features_version="f-2")


def test_parts_of_different_catalogues_are_not_published_together(tmp_path: Path) -> None:
    parts = published(tmp_path)
    with pytest.raises(InvalidTable, match="different products"):
        bundles.publish(
            tmp_path,
            features_version="f-1",
            index=ExactIndex(parts.index.vectors, ids=IdMap(("loan", "pot", "card"))),
            n_chosen=parts.n_chosen,
            reference=parts.reference,
            blueprint=parts.blueprint,
            weights={},
        )


def test_before_the_first_bundle_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ArtefactMissing):
        bundles.load(tmp_path, features_version="f-1")


@pytest.mark.parametrize("name", ["bundle.json", "products.npz", "weights.npz", "manifest.json"])
def test_one_flipped_byte_is_refused(tmp_path: Path, name: str) -> None:
    path = published(tmp_path).artefact.path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Corrupt):
        bundles.load(tmp_path, features_version="f-1").weights()


def test_a_lost_file_is_refused(tmp_path: Path) -> None:
    (published(tmp_path).artefact.path / "products.npz").unlink()
    with pytest.raises(Corrupt, match="is gone"):
        bundles.load(tmp_path, features_version="f-1")


def test_weights_never_unpickle() -> None:
    with pytest.raises(ValueError, match="Object arrays"):
        bundles.bytes_of({"a": np.array([{}], dtype=object)})
    with pytest.raises(Corrupt, match="no readable arrays"):
        bundles.arrays_of(b"\x80\x04N.", where="weights.npz")


def test_equal_arrays_are_equal_bytes() -> None:
    one, two = np.arange(3.0), np.ones((2, 2), dtype=np.float32)
    assert bundles.bytes_of({"a": one, "b": two}) == bundles.bytes_of({"b": two, "a": one})
    assert bundles.arrays_of(bundles.bytes_of({"a": one}), where="x")["a"].tolist() == one.tolist()


@pytest.mark.parametrize("spread", [0.0, -1.0, float("nan")])
def test_a_reference_needs_a_spread(spread: float) -> None:
    with pytest.raises(InvalidConfiguration, match="positive spread"):
        Reference(0.0, spread)


def test_a_request_imports_no_torch(tmp_path: Path) -> None:
    published(tmp_path)
    code = (
        "import sys, pathlib, embeddings, embeddings.bundle, embeddings.index, embeddings.retrieval\n"
        "bundle = embeddings.bundle.load(pathlib.Path(sys.argv[1]), features_version='f-1')\n"
        "retriever = embeddings.retrieval.Retriever(bundle)\n"
        "assert len(retriever.propose(bundle.index.vectors[0], eligible=('pot', 'loan'), k=1)) == 2\n"
        "assert 'faiss' in sys.modules\n"
        "print(sorted({'torch', 'mlflow'} & set(sys.modules)))\n"
    )
    root = Path(bundles.__file__).parent.parent
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=root, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
