"""Our facts as a Feast repository, written from `recsys/facts.py` and `recsys/features.py`: one definition of both.

A row is one telling: `told_at` is when it was known to the bank's systems, `<fact>_as_of` since when a fact holds.
Feast joins by `told_at`, so a training set holds what a request at that time would have read, and nothing that
was told later, however far it was dated back.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from recsys import features
from recsys.errors import Misuse
from recsys.facts import FACTS, FactDefinition, Kind
from serving.feature_store_profiles import AS_OF

VIEW, CUSTOMER_ID = "customer_facts", "customer_id"
TYPES = MappingProxyType(
    {
        Kind.TRUTH: "Bool",
        Kind.WHOLE: "Int64",
        Kind.NUMBER: "Float64",
        Kind.TEXT: "String",
        Kind.DATE: "String",
        Kind.MOMENT: "String",
        Kind.TEXTS: "Array(String)",
    }
)
"""Feast's type of each kind of fact; dates and times are text, as in the API."""

_DEFINITIONS = f'''"""Customer facts as recsys reads them, written by `recsys features --feast`.

Features of version {features.VERSION[:12]}. A row is one telling of a customer: `told_at` is when your systems knew it,
`<fact>{AS_OF}` since when that fact holds. No `{AS_OF}`: nobody knows it. An `{AS_OF}` and no value: known to be none.
Facts that you do not keep may be left out, both lines. recsys never writes here.
"""

from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Bool, Float64, Int64, String, UnixTimestamp

customer = Entity(name="customer", join_keys=["{CUSTOMER_ID}"], value_type=ValueType.STRING)
{VIEW} = FeatureView(
    name="{VIEW}",
    entities=[customer],
    ttl=timedelta(0),  # rules say when a fact is too old, each its own
    source=FileSource(name="{VIEW}_told", path="data/{VIEW}.parquet", timestamp_field="told_at"),
    schema=[
%s
    ],
)
'''
_STORE = """project: recsys
provider: local
registry: data/registry.db
offline_store:
  type: file
online_store:
%s
entity_key_serialization_version: 3
"""
_SQLITE = "  type: sqlite\n  path: data/online.db"
_REDIS = (
    "  type: redis\n  connection_string: {address},socket_timeout=1,retry=null  # a request waits far less than that"
)


def write(folder: Path, *, redis: str | None = None) -> list[Path]:
    """Write the definitions, and a `feature_store.yaml` where there is none; returns what was written.

    `redis` is host:port of the online store; without it, SQLite. Raises `Misuse` where a store is there already
    and `redis` would change it.
    """
    store, definitions = folder / "feature_store.yaml", folder / "definitions.py"
    if store.exists() and redis is not None:
        raise Misuse(f"{store} is there already: name the online store in it")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    definitions.write_text(text(), encoding="utf-8")
    if store.exists():
        return [definitions]
    store.write_text(_STORE % (_SQLITE if redis is None else _REDIS.format(address=redis)), encoding="utf-8")
    return [definitions, store]


def text() -> str:
    """`definitions.py`."""
    return _DEFINITIONS % "\n".join(_lines(definition) for definition in FACTS.values())


def _lines(fact: FactDefinition) -> str:
    made = [each.name for each in features.CUSTOMER + features.MOMENT if fact.name in each.reads]
    readers = ["rules"] * fact.for_rules + made
    comment = f"  # read by {', '.join(readers)}" if readers else ""
    return (
        f'        Field(name="{fact.name}", dtype={TYPES[fact.kind]}, description="{fact.about}"),{comment}\n'
        f'        Field(name="{fact.name}{AS_OF}", dtype=UnixTimestamp),'
    )
