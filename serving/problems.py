"""The outward meaning of errors: one table at the edge, RFC 9457 problem documents, and no personal data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from recsys.errors import Conflict, Misuse, NotFound, RecsysError, Unavailable
from serving.security import Forbidden, Unauthorised

MEDIA_TYPE = "application/problem+json"
STATUS: Mapping[type[RecsysError], int] = {
    Misuse: 422,
    NotFound: 404,
    Conflict: 409,
    Unauthorised: 401,
    Forbidden: 403,
    Unavailable: 503,
}
TITLES = {
    400: "The request cannot be read",
    401: "No key in force",
    403: "Not allowed",
    404: "Not found",
    405: "No such method here",
    408: "Too slow",
    409: "In conflict with what was said before",
    413: "Too large",
    422: "The request does not fit",
    500: "Something broke on our side",
    503: "Not available right now",
}


def status_of(error: RecsysError) -> int:
    """The HTTP status of an error: that of its nearest ancestor in the table, else 500."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problem(status: int, detail: str, *, errors: Sequence[Mapping[str, str]] = ()) -> bytes:
    """A problem document in JSON (ASCII, so that any text a caller sent can be told back)."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
    }
    if errors:
        document["errors"] = list(errors)
    return json.dumps(document).encode()


def pointer(location: Sequence[str | int]) -> str:
    """A JSON pointer from a location in a request.

    >>> pointer(("body", "outcomes", 0, "kind"))
    '/outcomes/0/kind'
    """
    parts = location[1:] if location and location[0] == "body" else location
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1")[:80] for part in parts)
