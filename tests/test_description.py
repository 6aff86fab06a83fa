"""The description that clients are generated from: complete, kept in a file, and never broken unnoticed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from serving.description import FILE, breaking, described, main

Document = dict[str, Any]
KEPT: Document = json.loads(FILE.read_text(encoding="utf-8"))
OPERATIONS = [
    pytest.param(path, operation, id=f"{method} {path}")
    for path, operations in KEPT["paths"].items()
    for method, operation in operations.items()
]


def _schema(document: Document, name: str) -> Document:
    return document["components"]["schemas"][name]


def _without_outcomes(document: Document) -> None:
    del document["paths"]["/v1/outcomes"]


def _slate_renamed(document: Document) -> None:
    properties = _schema(document, "RecommendationResponse")["properties"]
    properties["cards"] = properties.pop("slate")


def _deadline_needed(document: Document) -> None:
    _schema(document, "RecommendationRequest")["required"].append("deadline_ms")


def _propensity_as_text(document: Document) -> None:
    _schema(document, "SlotOut")["properties"]["propensity"]["type"] = "string"


def _mode_may_be_missing(document: Document) -> None:
    _schema(document, "RecommendationResponse")["required"].remove("mode")


def _fewer_scopes_of_switches(document: Document) -> None:
    _schema(document, "SwitchIn")["properties"]["scope"]["enum"].remove("product")


def _other_name(document: Document) -> None:
    document["paths"]["/v1/outcomes"]["post"]["operationId"] = "send_outcomes"


def _conflict_untold(document: Document) -> None:
    del document["paths"]["/v1/recommendations"]["post"]["responses"]["409"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_without_outcomes, "POST /v1/outcomes is gone"),
        (_slate_renamed, "POST /v1/recommendations 200.slate is gone"),
        (_deadline_needed, "POST /v1/recommendations request.deadline_ms must now be sent"),
        (_propensity_as_text, "POST /v1/recommendations 200.slate[].propensity is string, it was number"),
        (_mode_may_be_missing, "POST /v1/recommendations 200.mode may now be missing"),
        (_fewer_scopes_of_switches, "PUT /v1/switches request.scope takes fewer words"),
        (_other_name, "POST /v1/outcomes is called send_outcomes and no longer report_outcomes"),
        (_conflict_untold, "POST /v1/recommendations does not answer 409 any more"),
    ],
)
def test_what_breaks_a_client_is_told_in_a_sentence(change: Callable[[Document], None], sentence: str) -> None:
    after = copy.deepcopy(KEPT)
    change(after)
    assert any(told.startswith(sentence) for told in breaking(KEPT, after))


def test_what_only_adds_breaks_nobody() -> None:
    after = copy.deepcopy(KEPT)
    after["paths"]["/v1/weather"] = {"get": {"operationId": "weather", "responses": {"200": {}}}}
    _schema(after, "RecommendationResponse")["properties"]["mood"] = {"type": "string"}
    _schema(after, "RecommendationRequest")["properties"]["mood"] = {"type": "string"}
    assert list(breaking(KEPT, after)) == []


def test_the_file_is_the_description_of_the_routes() -> None:
    assert json.loads(described()) == KEPT
    assert main(["--check"]) == 0


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_every_call_can_be_generated_from_its_description(path: str, operation: Document) -> None:
    assert operation["operationId"]
    assert operation["summary"]
    assert operation["description"]
    for status, answer in operation["responses"].items():
        assert answer["description"] not in ("", "Successful Response"), f"{status} says nothing"
        for content in answer.get("content", {}).values():
            assert content["schema"], f"{status} has no shape"
        if path.startswith("/v1/") and status.startswith(("4", "5")):
            assert list(answer["content"]) == ["application/problem+json"]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        name = content["schema"]["$ref"].rpartition("/")[2]
        assert _schema(KEPT, name).get("examples"), f"{name} has no example"
