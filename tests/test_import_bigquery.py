"""BigQuery as a source: its own client, over a transport that answers as the REST API is documented to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import bigquery

from recsys.errors import InvalidConfiguration, InvalidTable
from recsys.imports import bigquery as source
from tests.bank_files import MAP, state, written
from tests.conftest import Recsys

pytestmark = pytest.mark.usefixtures("kept_for_ever")

SCHEMA = [
    {"name": "tx", "type": "INTEGER", "mode": "NULLABLE"},
    {"name": "who", "type": "STRING", "mode": "NULLABLE"},
    {"name": "shop", "type": "STRING", "mode": "NULLABLE"},
    {"name": "at", "type": "TIMESTAMP", "mode": "NULLABLE"},
    {"name": "spent", "type": "NUMERIC", "mode": "NULLABLE"},
    {"name": "tags", "type": "STRING", "mode": "REPEATED"},
]
AT = 1_748_772_000_000_000  # 2025-06-01T10:00Z
ROWS = [(n, "ann" if n % 2 else "bob", "groceries", AT + n * 1_000_000, f"{n}.25", ["a", "b"]) for n in range(5)]
QUERY = "select * from spending"
BIGQUERY = f"""
[activity]
sql = "{QUERY}"
url = "bigquery://bank-project/warehouse?location=EU"
[activity.columns]
activity_id = "tx"
customer_id = "who"
kind = {{ always = "spending" }}
subject = "shop"
happened_at = "at"
amount_pence = {{ from = "spent", unit = "pounds" }}
"""


class Answers(requests.adapters.BaseAdapter):
    """The few calls that a query needs: insert a job, ask for its results, page by page."""

    def __init__(self, rows: list[tuple[Any, ...]], *, schema: list[dict[str, str]], status: int = 200) -> None:
        super().__init__()
        self.rows, self.schema, self.status = rows, schema, status
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        self.asked.append((str(request.url), json.loads(request.body or "{}")))
        told = requests.Response()
        told.status_code, told.request, told.url = self.status, request, str(request.url)
        told.headers["Content-Type"] = "application/json"
        told._content = json.dumps(self._answer(request)).encode()
        return told

    def close(self) -> None:
        """Nothing is open."""

    def _answer(self, request: requests.PreparedRequest) -> dict[str, Any]:
        if self.status != 200:
            return {"error": {"code": self.status, "message": "no", "errors": [{"reason": "notFound"}]}}
        job = {"projectId": "bank-project", "jobId": "j", "location": "EU"}
        if request.method == "POST":
            body = json.loads(request.body or "{}")
            return {"jobReference": job, "configuration": body["configuration"], "status": {"state": "DONE"}}
        query = dict(part.split("=") for part in str(request.url).partition("?")[2].split("&") if part)
        start, size = int(query.get("pageToken", 0)), int(query.get("maxResults", 0))
        page = self.rows[start : start + size]
        told: dict[str, Any] = {
            "jobReference": job, "jobComplete": True, "schema": {"fields": self.schema},
            "totalRows": str(len(self.rows)), "rows": [{"f": [_cell(value) for value in row]} for row in page],
        }  # fmt: skip
        if start + size < len(self.rows) and size:
            told["pageToken"] = str(start + size)
        return told


def _cell(value: Any) -> dict[str, Any]:
    return {"v": [{"v": each} for each in value] if isinstance(value, list) else None if value is None else str(value)}


def client(answers: Answers) -> bigquery.Client:
    session = AuthorizedSession(AnonymousCredentials())
    session.mount("https://", answers)
    return bigquery.Client(project="bank-project", credentials=AnonymousCredentials(), location="EU", _http=session)


@pytest.fixture
def warehouse(monkeypatch: pytest.MonkeyPatch) -> Answers:
    answers = Answers(ROWS, schema=SCHEMA)
    monkeypatch.setattr(source, "client_of", lambda _: client(answers))
    return answers


def test_a_query_comes_page_by_page_in_polars_own_types(warehouse: Answers) -> None:
    frames = list(source.rows(client(warehouse), QUERY, columns=["spent", "at", "tags", "tx"], size=2))
    assert [frame.height for frame in frames] == [2, 2, 1]
    assert [str(kind) for kind in frames[0].dtypes] == [
        "Decimal(precision=38, scale=9)", "Datetime(time_unit='us', time_zone='UTC')", "List(String)", "Int64",
    ]  # fmt: skip
    assert frames[2]["tx"].to_list() == [4]
    (_, said), *_ = warehouse.asked
    assert said["configuration"]["query"]["query"] == QUERY


def test_activity_of_a_warehouse_is_imported(home: Path, tmp_path: Path, recsys: Recsys, warehouse: Answers) -> None:
    path = written(tmp_path / "bank", text=MAP[: MAP.index("[activity]")] + BIGQUERY)
    taken = json.loads(recsys("import", "--map", path, "--json").out)["taken"]
    assert taken["activities accepted"] == 5
    warehouse.rows = [(*row[:4], "1.001", []) for row in ROWS]
    before = state(home)
    assert "the query: amount_pence (their spent) is no whole number of pence" in recsys("import", "--map", path).err
    assert state(home) == before


def test_what_cannot_be_read_is_one_sentence(warehouse: Answers) -> None:
    with pytest.raises(InvalidTable, match="the query: has no column shops; it has tx, who"):
        list(source.rows(client(warehouse), QUERY, columns=["shops"], size=2))
    warehouse.schema = [*SCHEMA[:5], {"name": "tags", "type": "GEOGRAPHY", "mode": "NULLABLE"}]
    with pytest.raises(InvalidTable, match="column tags is of type GEOGRAPHY; cast it to one of STRING, INTEGER"):
        list(source.rows(client(warehouse), QUERY, columns=["tags"], size=2))
    gone = Answers(ROWS, schema=SCHEMA, status=404)
    with pytest.raises(InvalidTable, match=r"cannot be read from BigQuery \(NotFound\)"):
        list(source.rows(client(gone), QUERY, columns=["tx"], size=2))


@pytest.mark.parametrize("url", ["bigquery://", "bigquery://p/d/t", "bigquery://p/d?region=EU"])
def test_a_url_of_no_sort_is_refused(url: str) -> None:
    with pytest.raises(InvalidConfiguration, match="is written as bigquery://project/dataset"):
        source.client_of(url)
