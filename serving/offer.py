"""What is on offer right now: catalogue, rules, contact, rewards and embeddings, replaced as one reference.

A request takes the reference once and sees one consistent offer to its end, whatever is published
meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from embeddings import bundle as bundles
from embeddings.retrieval import Retriever
from recsys import artefacts, catalogue, rulebook
from recsys.catalogue import Catalogue
from recsys.contact import ContactPolicy
from recsys.features import shelf_of
from recsys.rewards import Rewards
from recsys.rulebook import RuleBook
from recsys.ruling import PATHS
from recsys.shelves import Candidates, Rows, Shelf
from recsys.vocabulary import Candidate
from serving.retrievers import Retrievers

CATALOGUE = "catalogue"
CATALOGUE_FILE = "catalogue.toml"
RULES = "rules"
"""Rule packs that were published: they hold in the place of those that the settings name."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    """One consistent set of what a decision is made from."""

    catalogue: Catalogue
    rules: RuleBook
    rewards: Rewards  # with the catalogue's points
    retriever: Retriever | None  # for whom no snapshot names a bundle (live_policy.py)
    contact: ContactPolicy
    shelves: Mapping[str, Shelf] = field(init=False, repr=False, compare=False)  # path → the catalogue's products
    families: Rows = field(init=False, repr=False, compare=False)  # a number for each, -1 for the null choice

    def __post_init__(self) -> None:
        products = self.catalogue.products
        numbers = {family: n for n, family in enumerate(sorted({product.family for product in products}))}
        rows = np.array([*(numbers[product.family] for product in products), -1], dtype=np.intp)
        object.__setattr__(self, "shelves", {path: shelf_of(products, path=path) for path in PATHS})
        object.__setattr__(self, "families", rows)

    def families_of(self, candidates: Sequence[Candidate]) -> Rows:
        """(n,) a number for the family of each, -1 for the null choice; raises `NotFound` for an unknown product."""
        found = Candidates.of(candidates)
        if found.shelf in self.shelves.values():
            return self.families[found.rows]
        row_of = self.shelves[PATHS[0]].row_of
        if unknown := next((product for product in found.ids if product not in row_of), None):
            self.catalogue.product(unknown)
        return self.families[[row_of[product] for product in found.ids]]


class Offers:
    """The offer in force; `refresh` looks whether a catalogue, a bundle or rule packs were published."""

    def __init__(
        self, root: Path, *, rules: RuleBook, rewards: Rewards, contact: ContactPolicy, retrievers: Retrievers
    ) -> None:
        self._root = root
        self._retrievers = retrievers
        self._seen: dict[str, str | None] = {CATALOGUE: None, bundles.NAME: None, RULES: None}
        self.refusals = 0
        self.current = Offer(Catalogue.empty(), rules, rewards, None, contact)

    def refresh(self) -> None:
        """Swap in what was published since the last look; keep the last good one where it is damaged."""
        for name in self._seen:
            digest = artefacts.pointed(self._root, name)
            if digest is None or digest == self._seen[name]:
                continue
            try:
                self.current = self._with(name, digest)
                self._seen[name] = digest
            except Exception as error:  # whatever is wrong with it, the last good one stays in force
                self.refusals += 1
                if not isinstance(error, OSError):  # a disk that stumbles is asked again, damage is not
                    self._seen[name] = digest
                logger.error("%s %s refused: %s", name, digest, type(error).__name__)

    def _with(self, name: str, digest: str) -> Offer:
        now = self.current
        if name == CATALOGUE:
            text = artefacts.read(self._root, name, digest).file(CATALOGUE_FILE).decode()
            products = catalogue.parse(text, where=CATALOGUE_FILE)
            rewards = now.rewards.with_values({product.product_id: product.value for product in products.products})
            return replace(now, catalogue=products, rewards=rewards)
        if name == RULES:
            packs = artefacts.read(self._root, name, digest)
            return replace(
                now, rules=rulebook.parse_book([(f, packs.file(f).decode()) for f in packs.manifest["order"]])
            )
        return replace(now, retriever=self._retrievers.of(digest))


def apply_catalogue(root: Path, *, text: str, where: str) -> artefacts.Artefact:
    """Check a catalogue and publish it; raises `InvalidCatalogue` and publishes nothing where it is wrong."""
    checked = catalogue.parse(text, where=where)
    manifest = {"version": checked.version, "products": len(checked.products)}
    return artefacts.publish(root, CATALOGUE, files={CATALOGUE_FILE: text.encode()}, manifest=manifest)


def publish_rules(root: Path, packs: Sequence[tuple[str, str]]) -> artefacts.Artefact:
    """Check packs, (name, text) each and the home country's first, and put them in force together.

    Raises `InvalidRulePack` or `InvalidConfiguration`, and publishes nothing where one is wrong.
    """
    book = rulebook.parse_book(packs)
    manifest = {"version": book.version, "order": [name for name, _ in packs]}
    return artefacts.publish(root, RULES, files={name: text.encode() for name, text in packs}, manifest=manifest)
