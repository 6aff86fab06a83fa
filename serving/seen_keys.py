"""The keys last seen in force, in memory and in a small file: who may still be answered when the database is away.

The file holds hashes of secrets, as the database does, and only its owner may read it. It opens
nothing but what needs no database: the approved static list.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from pathlib import Path

from recsys.keys import Key
from recsys.records import micros, moment

SEEN = "keys.json"  # in the home
logger = logging.getLogger(__name__)


class SeenKeys:
    """Keys by the hash of their secret; what changes is written at once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._keys = self._read()

    def __len__(self) -> int:
        return len(self._keys)

    def recalled(self, secret: str) -> Key | None:
        """The key behind a secret where it was in force when last seen and has not expired since."""
        key = self._keys.get(_hash(secret))
        return key if key is not None and key.state == "in force" else None

    def note(self, secret: str, key: Key | None) -> None:
        """Remember what the database says of a secret: a key in force, or none."""
        known_as = _hash(secret)
        if self._keys.get(known_as) == key:
            return
        if key is None:
            del self._keys[known_as]
        else:
            self._keys[known_as] = key
        self._write()

    def _read(self) -> dict[str, Key]:
        try:
            rows = json.loads(self._file.read_text(encoding="utf-8"))
            return {
                known_as: Key(name, frozenset(scopes), moment(made), None if ends is None else moment(ends), None)
                for known_as, name, scopes, made, ends in rows
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
            logger.warning("%s tells nothing (%s)", self._file.name, type(error).__name__)
            return {}

    def _write(self) -> None:
        rows = [
            [
                known_as,
                k.name,
                sorted(k.scopes),
                micros(k.created_at),
                None if k.expires_at is None else micros(k.expires_at),
            ]
            for known_as, k in self._keys.items()
        ]
        try:
            handle, staged = tempfile.mkstemp(prefix=".keys-", dir=self._file.parent)  # its owner's alone
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(rows, file)
            Path(staged).replace(self._file)
        except OSError as error:  # memory knows; only a restart without a database would not
            logger.error("%s cannot be written (%s)", self._file.name, type(error).__name__)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
