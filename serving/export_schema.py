"""The data dictionary of an export: every table and column, said once, for files and people alike."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import polars as pl

_NAMES = {"String": "text", "Int64": "integer", "Float64": "number", "Boolean": "yes or no"}
_TIME = pl.Datetime("us", "UTC")

Columns = Mapping[str, tuple[pl.DataType, str]]


def _columns(**columns: tuple[pl.DataType | type[pl.DataType], str]) -> Columns:
    return MappingProxyType({name: (_dtype(kind), says) for name, (kind, says) in columns.items()})


def _dtype(kind: pl.DataType | type[pl.DataType]) -> pl.DataType:
    return kind() if isinstance(kind, type) else kind


TABLES: Mapping[str, tuple[str, Columns]] = MappingProxyType(
    {
        "decisions": (
            "one row an answer we gave, on the day it was recorded",
            _columns(
                decision_id=(pl.String, "names the decision everywhere"),
                position=(pl.Int64, "its place in the log"),
                recorded_at=(_TIME, "when the log took it in"),
                made_at=(_TIME, "when it was decided"),
                token=(pl.String, "the customer's random name; only the bank's own mapping knows whose"),
                unit=(pl.String, "who was assigned: a pseudonym of the customer or household; cluster by it"),
                surface=(pl.String, "where in the app"),
                mode=(pl.String, "live, holdout, broadcast, search, or fallback:<rung>"),
                policy=(pl.String, "name@version of the policy that drew"),
                purpose=(pl.String, "promotion or service"),
                experiments=(pl.List(pl.String), "experiment=variant, for each it was part of"),
                n_slots=(pl.Int64, "how many were asked for"),
                n_shown=(pl.Int64, "how many products were shown"),
                shortfall=(pl.String, "why there were fewer, null where there were not"),
                catalogue=(pl.String, "digest of the catalogue"),
                rule_pack=(pl.String, "digest of the rule pack"),
                rewards=(pl.String, "digest of the reward configuration"),
                recipe=(pl.String, "digest of the recipe"),
                snapshot=(pl.String, "digest of the policy's state, empty for a policy without one"),
                bundle=(pl.String, "digest of the embeddings, empty where none took part"),
                redraws=(pl.Int64, "how often the slate was drawn anew"),
                latency_us=(pl.Int64, "microseconds it took to decide"),
            ),
        ),
        "slots": (
            "one row a slot that was drawn (the null choice, which ends a slate, is one), with its decision's day",
            _columns(
                decision_id=(pl.String, "the decision"),
                slot=(pl.Int64, "1 is the top"),
                product_id=(pl.String, "what was drawn; nothing is the null choice"),
                creative_id=(pl.String, "in which words"),
                propensity=(pl.Float64, "the probability of this product here, given the slots above"),
                reasons=(pl.List(pl.String), "codes of why it was shown"),
                candidates=(pl.List(pl.String), "everything that could be drawn in this decision"),
                pmf=(pl.List(pl.Float64), "their probabilities for this slot, in the same order; 0 where closed"),
            ),
        ),
        "outcomes": (
            "one row a thing that happened, on the day it was recorded",
            _columns(
                outcome_id=(pl.String, "names the outcome"),
                position=(pl.Int64, "its place in the log"),
                recorded_at=(_TIME, "when the log took it in"),
                happened_at=(_TIME, "when it happened, as the bank says"),
                decision_id=(pl.String, "the decision it answers, null for one that came about without us"),
                token=(pl.String, "the customer's random name"),
                product_id=(pl.String, "the product"),
                kind=(pl.String, "seen, tapped, dismissed, opened, …"),
                amount_pence=(pl.Int64, "the money it moved, null where none"),
            ),
        ),
        "rounds": (
            "one row a slot of a decision all of whose windows have closed, on the day the last one did",
            _columns(
                decision_id=(pl.String, "the decision"),
                slot=(pl.Int64, "1 is the top"),
                product_id=(pl.String, "what was drawn; nothing is the null choice and earns 0"),
                unit=(pl.String, "who was assigned; cluster by it"),
                policy=(pl.String, "who drew"),
                mode=(pl.String, "as in decisions"),
                surface=(pl.String, "where in the app"),
                made_at=(_TIME, "when it was decided"),
                closed_at=(_TIME, "when its last window closed"),
                propensity=(pl.Float64, "given the slots above"),
                reward=(pl.Float64, "points; 0 where it was not seen"),
                seen=(pl.Boolean, "whether it was seen"),
                stages=(pl.List(pl.String), "stages that happened within their windows"),
            ),
        ),
    }
)

DUCKDB = """-- DuckDB: what an even choice would have earned in the first slot (IPS), beside what was earned
SELECT avg(r.reward / (s.propensity * len(list_filter(s.pmf, lambda p: p > 0)))) AS even_choice,
       avg(r.reward) AS as_logged, count(*) AS rounds
FROM read_parquet('OUT/rounds/*/*.parquet') r
JOIN read_parquet('OUT/slots/*/*.parquet') s USING (decision_id, slot)
WHERE slot = 1 AND r.mode = 'live';"""

BIGQUERY = """-- BigQuery: the same, over tables loaded from the files (partitioned by day, enable_list_inference on)
SELECT AVG(r.reward / (s.propensity * (SELECT COUNTIF(p > 0) FROM UNNEST(s.pmf) AS p))) AS even_choice,
       AVG(r.reward) AS as_logged, COUNT(*) AS rounds
FROM `project.recsys.rounds` AS r
JOIN `project.recsys.slots` AS s USING (decision_id, slot)
WHERE slot = 1 AND r.mode = 'live';"""


def described() -> str:
    """The dictionary for a person, with an example query each for DuckDB and BigQuery."""
    lines = [
        "Files: OUT/<table>/day=<UTC day>/part.parquet. A day is written once it is over for good (something later is",
        "recorded), so writing it again gives the same bytes. Times are UTC; tables join by decision_id.",
    ]
    for table, (says, columns) in TABLES.items():
        lines += ["", f"{table}: {says}"]
        width = max(map(len, columns))
        kinds = {name: _named(kind) for name, (kind, _) in columns.items()}
        lines += [f"  {name:<{width}}  {kinds[name]:<13}  {meaning}" for name, (_, meaning) in columns.items()]
    return "\n".join([*lines, "", DUCKDB, "", BIGQUERY])


def _named(kind: pl.DataType) -> str:
    if isinstance(kind, pl.List):
        return f"list of {_NAMES.get(str(kind.inner), 'time')}s"
    return _NAMES.get(str(kind), "time")
