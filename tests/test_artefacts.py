"""Published means whole: the old artefact or the new one, never half of either."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from recsys import artefacts
from recsys.artefacts import Artefact, current, pointed, publish, read
from recsys.errors import ArtefactMissing, Corrupt

OLD: Mapping[str, bytes] = {"weights.bin": b"\x00\x01", "table.txt": b"old"}
NEW: Mapping[str, bytes] = {"weights.bin": b"\x00\x02", "table.txt": b"new"}


def put(root: Path, files: Mapping[str, bytes] = OLD, *, name: str = "policies/uniform") -> Artefact:
    return publish(root, name, files=files, manifest={"recipe": "uniform", "version": 1})


def test_what_is_published_is_read_back(tmp_path: Path) -> None:
    made = put(tmp_path)
    found = current(tmp_path, "policies/uniform")
    assert (found.digest, found.path) == (made.digest, made.path)
    assert found.file("weights.bin") == b"\x00\x01"
    assert (found.manifest["recipe"], found.manifest["name"]) == ("uniform", "policies/uniform")
    assert pointed(tmp_path, "policies/uniform") == made.digest


def test_before_the_first_there_is_nothing(tmp_path: Path) -> None:
    assert pointed(tmp_path, "bundle") is None
    with pytest.raises(ArtefactMissing, match="bundle"):
        current(tmp_path, "bundle")
    with pytest.raises(ArtefactMissing, match="bundle/abc"):
        read(tmp_path, "bundle", "abc")


def test_the_same_content_has_the_same_digest_wherever_it_is_published(tmp_path: Path) -> None:
    one, two = put(tmp_path / "a"), put(tmp_path / "b", dict(reversed(list(OLD.items()))))
    assert one.digest == two.digest
    assert put(tmp_path / "a", NEW).digest != one.digest
    other = publish(tmp_path / "a", "policies/uniform", files=OLD, manifest={"recipe": "uniform", "version": 2})
    assert other.digest != one.digest


def test_publishing_again_moves_the_pointer_back(tmp_path: Path) -> None:
    old = put(tmp_path)
    put(tmp_path, NEW)
    put(tmp_path)
    assert pointed(tmp_path, "policies/uniform") == old.digest
    assert read(tmp_path, "policies/uniform", old.digest).file("table.txt") == b"old"


def test_a_manifest_may_hold_tuples_and_numbers_as_keys(tmp_path: Path) -> None:
    manifest = {"shape": (2, 3), "shares": {10: 0.5, 9: 0.5}}
    assert publish(tmp_path, "x", files={}, manifest=manifest).manifest["shape"] == [2, 3]


def test_a_number_that_is_none_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        publish(tmp_path, "x", files={}, manifest={"recall": float("nan")})
    assert not (tmp_path / "x").exists()


# -- when things break -------------------------------------------------------------------------


def test_killed_before_the_pointer_moved_the_old_one_stays_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = put(tmp_path)

    def killed(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(artefacts, "_point", killed)
        with pytest.raises(KeyboardInterrupt):
            put(tmp_path, NEW)
    assert current(tmp_path, "policies/uniform").digest == old.digest
    assert put(tmp_path, NEW).file("table.txt") == b"new"  # the next attempt finds it already there
    assert current(tmp_path, "policies/uniform").file("table.txt") == b"new"


def test_killed_while_writing_leaves_nothing_under_a_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = put(tmp_path)

    def killed(path: Path, content: bytes) -> NoReturn:
        path.write_bytes(content[:1])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(artefacts, "_write_synced", killed)
        with pytest.raises(KeyboardInterrupt):
            put(tmp_path, NEW)
    shown = {path.name for path in (tmp_path / "policies/uniform").iterdir() if not path.name.startswith(".")}
    assert shown == {"current", old.digest}
    assert put(tmp_path, NEW).file("weights.bin") == NEW["weights.bin"]


def test_a_full_disk_leaves_the_old_one_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = put(tmp_path)

    def full(_: Path, __: bytes) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(artefacts, "_write_synced", full)
    with pytest.raises(OSError, match="No space"):
        put(tmp_path, NEW)
    assert current(tmp_path, "policies/uniform").digest == old.digest
    assert {path.name for path in old.path.parent.iterdir()} == {"current", old.digest}


def test_one_changed_byte_is_noticed(tmp_path: Path) -> None:
    made = put(tmp_path)
    (made.path / "weights.bin").write_bytes(b"\x00\x09")
    with pytest.raises(Corrupt, match=r"weights\.bin is not what was published"):
        current(tmp_path, "policies/uniform").file("weights.bin")
    assert made.file("table.txt") == b"old"


def test_a_file_that_is_gone_or_was_never_there(tmp_path: Path) -> None:
    made = put(tmp_path)
    (made.path / "weights.bin").unlink()
    with pytest.raises(Corrupt, match=r"weights\.bin is gone"):
        made.file("weights.bin")
    with pytest.raises(Corrupt, match=r"no file secret\.txt"):
        made.file("secret.txt")


@pytest.mark.parametrize("content", ["{}", "", '{"recipe": "better"}', "[]"])
def test_an_altered_manifest_is_refused(tmp_path: Path, content: str) -> None:
    made = put(tmp_path)
    (made.path / "manifest.json").write_text(content)
    with pytest.raises(Corrupt, match="manifest"):
        current(tmp_path, "policies/uniform")


def test_a_pointer_to_nowhere_is_a_missing_artefact(tmp_path: Path) -> None:
    put(tmp_path)
    for pointer in (b"0123\n", b"\xff\xfe"):
        (tmp_path / "policies/uniform/current").write_bytes(pointer)
        with pytest.raises(ArtefactMissing):
            current(tmp_path, "policies/uniform")


def test_many_publish_at_once_and_every_reader_sees_a_whole_one(tmp_path: Path) -> None:
    contents = [{"n": bytes([n]) * 1_000, "m": bytes([n])} for n in range(4)]
    put(tmp_path, contents[0], name="x")

    def work(i: int) -> bool:
        put(tmp_path, contents[i % 4], name="x")
        found = current(tmp_path, "x")
        return found.file("n")[:1] == found.file("m")

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(48)))
    left = [path.name for path in (tmp_path / "x").iterdir() if path.name != "current"]
    assert len(left) == 4
