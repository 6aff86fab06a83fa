"""The inventory of recipes: owner, purpose, where each may be used and what its limits are (MRM-1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from recsys.errors import InvalidConfiguration
from recsys.productfile import REGULATED_CLASSES
from recsys.tomls import Table, check_unique, document, read_text


@dataclass(frozen=True, slots=True)
class Entry:
    """What is on record of one recipe; what is missing is empty."""

    recipe: str
    owner: str = ""
    author: str = ""  # the name of a key
    purpose: str = ""
    surfaces: tuple[str, ...] = ()
    product_classes: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()

    @property
    def covers_all_classes(self) -> bool:
        """Whether there is no class of products that it may not order."""
        return len(self.product_classes) == len(REGULATED_CLASSES)

    def missing(self) -> Iterator[str]:
        """What a complete entry would have.

        >>> list(Entry("bandit", owner="growth team", purpose="orders cards").missing())
        ['author', 'surfaces', 'product classes', 'limitations']
        """
        for name in ("owner", "author", "purpose", "surfaces", "product_classes", "limitations"):
            if not getattr(self, name):
                yield name.replace("_", " ")


def load(path: Path) -> Mapping[str, Entry]:
    """Recipe → its entry; raises `InvalidConfiguration` naming the file and the entry."""
    return parse(read_text(path, error=InvalidConfiguration), where=path.name)


def parse(text: str, *, where: str) -> Mapping[str, Entry]:
    """Read an inventory from TOML text; raises as `load`."""
    top = document(text, where=where, error=InvalidConfiguration)
    entries = [_entry(top.inside(row, what=f"entry {row.get('recipe', '')}")) for row in top.tables("entry")]
    top.done()
    check_unique((entry.recipe for entry in entries), where=where, what="entry", error=InvalidConfiguration)
    return {entry.recipe: entry for entry in entries}


def _entry(row: Table) -> Entry:
    def said(name: str) -> str:
        return str(row.take(name, str, "a text", default="")).strip()

    entry = Entry(
        row.text("recipe"),
        said("owner"),
        said("author"),
        said("purpose"),
        row.texts("surfaces", ()),
        row.texts("product_classes", ()),
        row.texts("limitations", ()),
    )
    row.done()
    if unknown := [each for each in entry.product_classes if each not in REGULATED_CLASSES]:
        raise row.fail(f"product class {unknown[0]} is none; choose among {', '.join(REGULATED_CLASSES)}")
    return entry
