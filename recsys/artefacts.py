"""Anything published: a directory, a manifest, a digest, and one atomic pointer.

    <root>/<name>/<digest>/manifest.json   what it is, with the sha-256 of each file
    <root>/<name>/<digest>/…               the files
    <root>/<name>/current                  the digest in force, replaced in one rename

The digest covers the manifest and, through it, every byte of every file, and no clock: the same
content has the same digest wherever and whenever it is published. A reader sees the old artefact
or the new one, never half of either: files are synced before the directory gets its name, and the
directory before the pointer moves.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from recsys.errors import ArtefactMissing, Corrupt, Misuse

MANIFEST = "manifest.json"
POINTER = "current"


def digest_of(content: bytes | str) -> str:
    """Sha-256 in hex, cut to 32 characters (128 bits): short enough for a log, long enough to trust.

    >>> digest_of("a")
    'ca978112ca1bbdcafac231b39a23dc4d'
    """
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:32]


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces, so that equal values have equal text.

    >>> canonical({"b": 1, "a": [1.5, None]})
    '{"a":[1.5,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class Artefact:
    """One published directory, its manifest checked against its digest."""

    name: str
    digest: str
    path: Path
    manifest: Mapping[str, Any]

    def file(self, name: str) -> bytes:
        """The bytes of one file; raises `Corrupt` where they are not the published ones."""
        expected = self.manifest["files"].get(name)
        if expected is None:
            raise Corrupt(f"artefact {self.name}/{self.digest} has no file {name}")
        try:
            content = (self.path / name).read_bytes()
        except FileNotFoundError:
            raise Corrupt(f"artefact {self.name}/{self.digest}: {name} is gone") from None
        if digest_of(content) != expected:
            raise Corrupt(f"artefact {self.name}/{self.digest}: {name} is not what was published")
        return content


def publish(root: Path, name: str, *, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Artefact:
    """Write `files` as one artefact and point `<name>/current` at it.

    Publishing what is already there only moves the pointer. Raises OSError when the disk refuses,
    in which case the artefact in force stays in force.
    """
    written = _written(root, name, files=files, manifest=manifest)
    _point(root / name, written.digest)
    return written


def replace(root: Path, name: str, digest: str, *, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Artefact:
    """Put another content in the place of one artefact, which is removed; the pointer follows where it was in force.

    Done again after it was interrupted, it ends the same. Raises as `publish`.
    """
    written = _written(root, name, files=files, manifest=manifest)
    if written.digest != digest:
        if pointed(root, name) == digest:
            _point(root / name, written.digest)
        remove(root, name, digest)
    return written


def _written(root: Path, name: str, *, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Artefact:
    """The files as one artefact, in force or not."""
    whole = dict(manifest) | {"name": name, "files": {file: digest_of(content) for file, content in files.items()}}
    whole = json.loads(canonical(whole))  # as a reader will see it
    digest = digest_of(canonical(whole))
    home = root / name
    home.mkdir(parents=True, exist_ok=True)
    path = home / digest
    if not path.exists():
        staged = Path(tempfile.mkdtemp(prefix=".staged-", dir=home))
        try:
            for file, content in files.items():
                _write_synced(staged / file, content)
            _write_synced(staged / MANIFEST, json.dumps(whole, sort_keys=True, indent=1).encode())
            sync_directory(staged)
            staged.rename(path)
        except OSError:
            shutil.rmtree(staged, ignore_errors=True)
            if not path.exists():  # else another process published the same content first
                raise
        path.chmod(0o755)
        sync_directory(home)
    return read(root, name, digest)


def read(root: Path, name: str, digest: str) -> Artefact:
    """One artefact by its digest; raises `ArtefactMissing`, or `Corrupt` where the manifest was altered."""
    path = root / name / digest
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise ArtefactMissing(f"{name}/{digest}") from None
    except ValueError:
        raise Corrupt(f"artefact {name}/{digest}: the manifest cannot be read") from None
    if digest_of(canonical(manifest)) != digest:
        raise Corrupt(f"artefact {name}/{digest}: the manifest is not what was published")
    return Artefact(name, digest, path, MappingProxyType(manifest))


def remove(root: Path, name: str, digest: str) -> None:
    """Take an artefact away that is not in force; one that is gone already stays gone. Raises `Misuse`."""
    if pointed(root, name) == digest:
        raise Misuse(f"artefact {name}/{digest} is in force: publish another first")
    gone = root / name / f".gone-{digest}"
    try:
        (root / name / digest).rename(gone)  # first, so that a reader finds it whole or not at all
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)


def current(root: Path, name: str) -> Artefact:
    """The artefact in force; raises `ArtefactMissing` before the first one, `Corrupt` where it is damaged."""
    digest = pointed(root, name)
    if digest is None:
        raise ArtefactMissing(name)
    return read(root, name, digest)


def pointed(root: Path, name: str) -> str | None:
    """The digest `<name>/current` points at, None before the first; costs one small read."""
    try:
        return (root / name / POINTER).read_text(errors="replace").strip() or None
    except FileNotFoundError:
        return None


def _point(home: Path, digest: str) -> None:
    handle, staged = tempfile.mkstemp(prefix=".pointer-", dir=home)
    with os.fdopen(handle, "w") as file:
        file.write(digest + "\n")
        file.flush()
        os.fsync(file.fileno())
    Path(staged).chmod(0o644)
    Path(staged).replace(home / POINTER)
    sync_directory(home)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make what was renamed or removed in a directory durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
