"""Who may call: bearer keys for programs, a signed session cookie for the dashboard.

A session holds no rights of its own: each page looks its key up again, so revoking a key ends its
sessions at once. Cookies are HttpOnly and SameSite=Strict, and every form carries a token of its session
(serving/forms.py), so a foreign site can neither read nor act.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from recsys.database import Database
from recsys.errors import RecsysError, StoreUnavailable
from recsys.keys import Key, Keys, Scope
from recsys.secrets_of_home import consume_once, home_secret, remember_once
from serving.seen_keys import SeenKeys

COOKIE = "recsys_session"
SESSION_SECONDS = 12 * 3600
_ONCE_SECONDS = 600
_FOR_PEOPLE = frozenset({Scope.ANALYSE, Scope.AUDIT})  # what pages need


class Unauthorised(RecsysError):
    """No key, or none in force."""


class Forbidden(RecsysError):
    """A key without the scope."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling: the key's name and scopes."""

    name: str
    scopes: frozenset[str]


class Gate:
    """Checks keys and sessions against the database at every request."""

    def __init__(self, database: Database, *, seen: SeenKeys) -> None:
        self._database = database
        self._keys = Keys(database)
        self._seen = seen
        self._looked: tuple[asyncio.AbstractEventLoop | None, dict[str, Key]] = (None, {})

    def caller(self, authorization: str, *, scope: Scope) -> Caller:
        """The caller behind a header `Bearer <key>`. Raises `Unauthorised` or `Forbidden`."""
        return _allowed(self._bearer(authorization), scope)

    def caller_at_once(self, authorization: str, *, scope: Scope) -> Caller:
        """`caller` for a coroutine: one look at a key answers every request that had come when it was made.

        What has come waits to be gone through by the loop, in one pass; a request that comes later is looked at anew.
        """
        loop = asyncio.get_running_loop()
        of, looked = self._looked
        if of is not loop:
            self._looked = of, looked = loop, {}
        key = looked.get(authorization)
        if key is None:
            key = self._bearer(authorization)
            if not looked:
                loop.call_soon(looked.clear)  # behind all that is ready now, before whatever comes
            looked[authorization] = key
        return _allowed(key, scope)

    def visitor(self, authorization: str, *, cookies: Mapping[str, str], scope: Scope) -> Caller:
        """The caller behind a bearer header or a dashboard session."""
        if authorization:
            return self.caller(authorization, scope=scope)
        name = self._signed_name(cookies.get(COOKIE, ""))
        key = next((key for key in self._keys.all() if key.name == name), None) if name else None
        if key is None or key.state != "in force":
            raise Unauthorised("sign in with a key that has the scope analyse or audit")
        return _allowed(key, scope)

    def session_of(self, secret: str) -> str | None:
        """A cookie for the key behind a secret that may analyse or audit, None for any other."""
        key = self._keys.check(secret)
        return self.session(key.name) if key is not None and _FOR_PEOPLE & key.scopes else None

    def session(self, key_name: str) -> str:
        """A cookie for a key: its name and an end, signed."""
        content = f"{key_name}|{int(time.time()) + SESSION_SECONDS}"
        return f"{content}|{self._signature(content)}"

    def form_token(self, cookie: str) -> str:
        """What forms of a session carry, "" where there is no session: only its own pages can know it."""
        return self._signature(f"form|{cookie}") if self._signed_name(cookie) else ""

    def one_time_link(self, key_name: str) -> str:
        """A token that opens one session within ten minutes, once."""
        token = secrets.token_urlsafe(24)
        remember_once(self._database, token=token, key_name=key_name, until=int(time.time()) + _ONCE_SECONDS)
        return token

    def session_of_link(self, token: str) -> str | None:
        """A cookie for a one-time token, None where it was used, is unknown or too old."""
        name = consume_once(self._database, token=token, now=int(time.time()))
        return None if name is None else self.session(name)

    def _bearer(self, authorization: str) -> Key:
        kind, _, secret = authorization.partition(" ")
        key = self._key(secret.strip()) if kind.lower() == "bearer" and secret.strip() else None
        if key is None:
            raise Unauthorised("send a key in force as `Authorization: Bearer <key>`; `recsys keys create` makes one")
        return key

    def _key(self, secret: str) -> Key | None:
        """The key in force behind a secret.

        With the database gone, a key as it was last seen: all it can then get is the static list, since
        everything else needs the database too.
        """
        try:
            key = self._keys.check(secret)
        except StoreUnavailable:
            known = self._seen.recalled(secret)
            if known is None:
                raise
            return known
        self._seen.note(secret, key)
        return key

    def _signed_name(self, cookie: str) -> str | None:
        content, _, signature = cookie.rpartition("|")
        if not content or not hmac.compare_digest(self._signature(content).encode(), signature.encode()):
            return None
        name, _, until = content.rpartition("|")
        return name if int(until) > time.time() else None

    @cached_property
    def _secret(self) -> bytes:
        return home_secret(self._database)

    def _signature(self, content: str) -> str:
        return hmac.digest(self._secret, content.encode(), "sha256").hex()


def _allowed(key: Key, scope: Scope) -> Caller:
    if scope not in key.scopes:
        raise Forbidden(f"this key has no scope {scope}: it may {', '.join(sorted(key.scopes))}")
    return Caller(key.name, key.scopes)
