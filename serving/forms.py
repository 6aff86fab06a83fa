"""Forms on pages: who is looking, what a form carries against forgery, and what was typed.

A session's cookie is SameSite=Strict, so that a foreign site's form comes without it. Beyond that each form
carries a token that only this session's pages know, and a browser that names another origin is refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request

from recsys.keys import Scope
from serving.security import COOKIE, Caller, Forbidden, Gate, Unauthorised

TOKEN = "form_token"


class SignInFirst(Exception):
    """A page was asked for without a session."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page: the key's name, what it may do, and what its forms carry."""

    name: str = ""
    scopes: frozenset[str] = frozenset()
    token: str = ""

    def may(self, scope: str) -> bool:
        """Whether the key has a scope."""
        return scope in self.scopes


def visitor_of(request: Request) -> Visitor:
    """Who asked for a page, as the guard in front of it found; nobody where there is no guard."""
    found: Visitor = getattr(request.state, "visitor", Visitor())
    return found


def visit(gate: Gate, request: Request, *, scope: Scope) -> None:
    """Let a visitor with `scope` see a page. Raises `SignInFirst` or `Forbidden`."""
    try:
        caller = gate.visitor(request.headers.get("authorization", ""), cookies=request.cookies, scope=scope)
    except Unauthorised:
        raise SignInFirst from None
    token = gate.form_token(request.cookies.get(COOKIE, ""))
    request.state.visitor = Visitor(caller.name, caller.scopes, token)


async def posted(gate: Gate, request: Request, *, scope: Scope) -> tuple[Caller, Mapping[str, str]]:
    """Who sent a form, and its fields as typed. Raises `SignInFirst`, or `Forbidden` for a forged one."""
    visit(gate, request, scope=scope)
    found = visitor_of(request)
    fields = fields_of(await request.body())
    origin, site = request.headers.get("origin", ""), request.headers.get("sec-fetch-site", "same-origin")
    foreign = origin not in ("", "null") and urlsplit(origin).netloc != request.headers.get("host", "")
    same = hmac.compare_digest(found.token.encode(), fields.get(TOKEN, "").encode())
    if foreign or site not in ("same-origin", "none") or not found.token or not same:
        raise Forbidden("this form was not made by a page of this session: open the page again and repeat")
    return Caller(found.name, found.scopes), fields


def fields_of(body: bytes) -> dict[str, str]:
    """Field → what was typed, trimmed; several values of one name are joined by commas.

    >>> fields_of(b"a=1&a=2&b=+x+")
    {'a': '1,2', 'b': 'x'}
    """
    try:
        found = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=500)
    except ValueError:
        return {}
    return {name: ",".join(values).strip() for name, values in found.items()}
