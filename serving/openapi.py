"""What the routes alone do not say in the description of the API: who may call, and what errors look like."""

from __future__ import annotations

from fastapi import FastAPI

from serving.problems import MEDIA_TYPE

_FASTAPI_OWN = ("HTTPValidationError", "ValidationError")  # what it would answer; ours are problem documents


def complete(app: FastAPI) -> None:
    """Say in the app's description what its routes alone do not: keys, and errors as problem documents."""
    document = app.openapi()
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path.startswith("/v1/"):
                operation["security"] = [{"key": []}]
            for status, answer in operation["responses"].items():
                if answer["description"] == "Successful Response":
                    answer["description"] = operation["summary"]
                if status.startswith(("4", "5")) and path.startswith("/v1/"):
                    answer["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for name in _FASTAPI_OWN:
        document["components"]["schemas"].pop(name, None)
