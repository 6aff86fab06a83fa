"""A bank's own tables, brought into the form of `recsys.tables`: read, mapped, checked, staged.

from recsys import imports

plan = imports.load(Path("bank.toml"))
for mapped in plan.tables:
    staged = imports.stage(mapped, folder=folder)           # every fault with its rows, in flat memory
"""

from __future__ import annotations

from recsys.imports.mapfile import IMPORTED, ImportMap, Mapped, Reading, Source, load
from recsys.imports.mapping import DEFAULTS, said
from recsys.imports.staging import Staged, stage

__all__ = ["DEFAULTS", "IMPORTED", "ImportMap", "Mapped", "Reading", "Source", "Staged", "load", "said", "stage"]
