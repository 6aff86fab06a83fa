"""A learner's state as bytes: magic and version, a JSON header, then plain arrays.

Nothing in it depends on time, on an address or on an engine's own file format, so equal states have
equal bytes and a snapshot's digest is a function of the log's prefix (architecture.md, Lessons).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.artefacts import canonical
from recsys.errors import Corrupt

_MAGIC = b"RECSYS-BANDIT-1\n"
_LENGTH = struct.Struct(">Q")


def pack(header: Mapping[str, Any], arrays: Sequence[NDArray[Any]] = ()) -> bytes:
    """One byte string of a header and arrays.

    >>> header, arrays = unpack(pack({"kind": "x"}, [np.arange(3)]))
    >>> header["kind"], arrays[0].tolist()
    ('x', [0, 1, 2])
    """
    described = [[array.dtype.str, list(array.shape)] for array in arrays]
    head = canonical({"header": dict(header), "arrays": described}).encode()
    return b"".join([_MAGIC, _LENGTH.pack(len(head)), head, *(array.tobytes() for array in arrays)])


def unpack(state: bytes) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Back from `pack`; raises `Corrupt` for anything else."""
    at = len(_MAGIC) + _LENGTH.size
    if not state.startswith(_MAGIC) or len(state) < at:
        raise Corrupt("these bytes are no learner's state of this version")
    (length,) = _LENGTH.unpack(state[len(_MAGIC) : at])
    try:
        head = json.loads(state[at : at + length])
        at += length
        arrays = []
        for kind, shape in head["arrays"]:
            array = np.frombuffer(state, dtype=kind, count=int(np.prod(shape)), offset=at).reshape(shape)
            arrays.append(array)
            at += array.nbytes
        header: dict[str, Any] = head["header"]
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"a learner's state does not add up: {type(error).__name__}") from None
    if at != len(state):
        raise Corrupt("a learner's state has bytes left over")
    return header, arrays
