"""Rows of a BigQuery query, a page at a time: `url = "bigquery://project/dataset?location=EU"`.

Needs `recsys[bigquery]`. Who may read is told by Google's own default credentials (`gcloud auth application-default
login`, or a service account), never by the map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from recsys.errors import InvalidConfiguration, InvalidTable

_TYPES: Mapping[str, pl.DataType] = MappingProxyType(
    {
        "STRING": pl.String(), "INTEGER": pl.Int64(), "INT64": pl.Int64(), "FLOAT": pl.Float64(),
        "FLOAT64": pl.Float64(), "BOOLEAN": pl.Boolean(), "BOOL": pl.Boolean(), "DATE": pl.Date(),
        "TIMESTAMP": pl.Datetime("us", "UTC"), "DATETIME": pl.Datetime("us"), "NUMERIC": pl.Decimal(38, 9),
    }
)  # fmt: skip


def client_of(url: str) -> bigquery.Client:
    """A client for a URL; raises `InvalidConfiguration` where it names no project or nobody is signed in."""
    place = urlsplit(url)
    dataset, asked = place.path.strip("/"), parse_qs(place.query)
    if not place.hostname or "/" in dataset or set(asked) - {"location"}:
        raise InvalidConfiguration("a BigQuery url is written as bigquery://project/dataset?location=EU")
    project = place.netloc
    settings = bigquery.QueryJobConfig(default_dataset=f"{project}.{dataset}") if dataset else None
    try:
        return bigquery.Client(
            project=project, location=asked.get("location", [None])[0], default_query_job_config=settings
        )
    except GoogleAuthError as error:
        raise InvalidConfiguration(f"nobody is signed in to Google Cloud here ({type(error).__name__})") from None


def rows(client: bigquery.Client, sql: str, *, columns: Sequence[str], size: int) -> Iterator[pl.DataFrame]:
    """The asked columns, at most `size` rows at a time. Raises `InvalidTable` where it cannot be read."""
    try:
        found = client.query(sql).result(page_size=size)
        schema = {field.name: field for field in found.schema}
        if missing := [name for name in columns if name not in schema]:
            raise InvalidTable(f"has no column {missing[0]}; it has {', '.join(list(schema)[:40])}", where="the query")
        types = {name: _type(schema[name]) for name in columns}
        for page in found.pages:
            told = [row.values() for row in page]
            at = [list(schema).index(name) for name in columns]
            yield pl.DataFrame([[row[place] for place in at] for row in told], schema=types, orient="row")
    except (GoogleAPIError, GoogleAuthError) as error:
        raise InvalidTable(f"cannot be read from BigQuery ({type(error).__name__})", where="the query") from None


def _type(field: Any) -> pl.DataType:
    found = _TYPES.get(field.field_type)
    if found is None:
        known = ", ".join(name for name in _TYPES if not name.endswith("64") and name != "BOOL")
        raise InvalidTable(
            f"column {field.name} is of type {field.field_type}; cast it to one of {known}", where="the query"
        )
    return pl.List(found) if field.mode == "REPEATED" else found
