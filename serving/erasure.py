"""Forgetting a person everywhere (ERS-1): the database at once, then every file, then the disk itself.

Each step may be done again, so an erasure that was killed goes on where it stopped (`resume`). What is
told of each store stands in the receipt. No file but the log's exports ever holds anything personal by
design (OPS-8); the others are searched all the same.
"""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from recsys.erasures import BEGUN, SEALED, Forgotten
from recsys.errors import StoreUnavailable
from recsys.evidence import Evidence
from recsys.vocabulary import CustomerId, Event
from serving.bootstrap import Installation, random_id
from serving.message_scrubbing import scrubbed

_PIECE = 1 << 20
_PATIENCE = 5  # times that the write-ahead log's last reader is waited for
_NAME_CHARACTERS = b"A-Za-z0-9_.@+-"


def erase(home: Installation, customer_id: CustomerId) -> Forgotten:
    """Forget a customer in every store and return the receipt.

    Doing it again is no error: nothing is held any more, and the receipt says so. Evidence of promotions is kept
    in a store of its own first (ERS-3). Raises `StoreUnavailable` where a store cannot be written; what was done
    stands, and `resume` does the rest.
    """

    def keep(events: Sequence[Event]) -> str:
        with closing(Evidence(home.settings.restricted, url=home.settings.evidence_url)) as evidence:
            kept = evidence.keep(customer_id, events)
        n = f"{len(kept):,} {'promotion is' if len(kept) == 1 else 'promotions are'}"
        return f"{n} kept under a keyed token, as the law asks" if kept else "no promotion was shown"

    fresh = random_id()
    with _in_hand(fresh):
        begun = home.erasures.begin(customer_id, erasure_id=fresh, keep=keep)
        with _in_hand(begun.erasure_id):  # another's, where it was begun before
            return _carried_on(home, begun, rewriting=True)


def resume(home: Installation, *, rewriting: bool = True) -> list[Forgotten]:
    """Carry on with every erasure that was interrupted; what this process is at already is not.

    Where the person's name is gone already nobody can look for it in the database's file, and only `rewriting`
    the whole file is sure beyond what SQLite overwrites as it deletes: not while requests wait for it.
    """
    before = frozenset(_at_work)  # one of them may end between these lines
    waiting = [each for each in home.erasures.under_way() if each.erasure_id not in before | _at_work]
    return [_carried_on(home, each, rewriting=rewriting) for each in waiting]


_at_work: set[str] = set()
"""Erasures that a call of this process is carrying out now."""


@contextmanager
def _in_hand(erasure_id: str) -> Iterator[None]:
    already = erasure_id in _at_work
    _at_work.add(erasure_id)
    try:
        yield
    finally:
        if not already:
            _at_work.discard(erasure_id)


def receipt_of(erasure: Forgotten) -> dict[str, Any]:
    """An erasure as HTTP tells it: it names nobody."""
    return {
        "erasure_id": erasure.erasure_id,
        "state": "done" if erasure.done_at is not None else "under_way",
        "begun_at": erasure.begun_at.isoformat(),
        "done_at": None if erasure.done_at is None else erasure.done_at.isoformat(),
        "stores": [{"store": store, "result": result} for store, result in erasure.stores.items()],
    }


def _carried_on(home: Installation, erasure: Forgotten, *, rewriting: bool) -> Forgotten:
    names = tuple(each for each in (erasure.customer_id, erasure.token) if each)
    if erasure.state == BEGUN:
        told = {
            "archive": _archived(home),
            "datasets": _datasets(home, erasure),
            "exports": _exports(home, erasure),
            "messages": _messages(home, erasure),
            "mlflow": _searched(_tracked(home), names, nowhere=_nowhere(home)),
            "files": _searched(_others(home), names, nowhere=""),
        }
        if home.settings.feature_store is not None:
            told["feature store"] = "the bank's own, which is only read: erase there too; nothing older is used from it"
        erasure = home.erasures.seal(erasure, stores=told)
    if erasure.state == SEALED:
        erasure = home.erasures.finish(erasure, disk=_wiped(home, erasure, names, rewriting=rewriting))
    return erasure


def _archived(home: Installation) -> str:
    if not home.settings.archive.is_dir():
        return "nothing was ever archived"
    swept = importlib.import_module("recsys.compaction").swept  # heavy, as below
    return f"{swept(home.database, folder=home.settings.archive):,} files rewritten"


def _datasets(home: Installation, erasure: Forgotten) -> str:
    if not erasure.token or not (home.settings.artefacts / "datasets").is_dir():
        return "none holds them"
    datasets = importlib.import_module("serving.dataset_scrubbing")  # heavy, as below
    rewritten, looked_at, damaged = datasets.scrubbed(home.settings.artefacts, token=erasure.token)
    told = f"{rewritten:,} of {looked_at:,} versions rewritten without the person"
    return told + (f"; damaged, remove them: {', '.join(damaged)}" if damaged else "")


def _exports(home: Installation, erasure: Forgotten) -> str:
    folders = home.erasures.exports()
    if not folders:
        return "nothing was ever exported"
    exports = importlib.import_module("serving.export_scrubbing")  # heavy, and the API must start fast
    rewritten, missing = 0, 0
    for folder in map(Path, folders):
        missing += not folder.is_dir()
        for path in sorted(folder.glob("outcomes/day=*/part.parquet")):
            rewritten += erasure.token != "" and exports.scrubbed(path, token=erasure.token)
    told = f"{rewritten:,} partitions rewritten in {len(folders) - missing:,} folders"
    return told + (f"; {missing:,} folders are not there any more: erase there too" if missing else "")


def _messages(home: Installation, erasure: Forgotten) -> str:
    """Take the person's lines out of the files of campaigns."""
    files = home.erasures.messages()
    if not files:
        return "no campaign was ever decided"
    found = [scrubbed(Path(path), customer_id=erasure.customer_id) for path in files]
    told = f"{sum(each.rewritten for each in found):,} of {len(files):,} files rewritten"
    missing, open_ = sum(each.missing for each in found), sum(each.under_way for each in found)
    told += f"; {missing:,} are not there any more: erase where they went" if missing else ""
    return told + (f"; {open_:,} campaigns are under way or were just killed: let them end" if open_ else "")


def _tracked(home: Installation) -> Iterator[Path]:
    """The files of the MLflow store, where it lies in the home."""
    folder = home.settings.folder
    yield from (path for path in folder.glob("mlflow.db*") if path.is_file())
    for name in ("mlruns", "mlartifacts"):
        yield from (path for path in (folder / name).rglob("*") if path.is_file())


def _nowhere(home: Installation) -> str:
    return "a server of its own, to which nothing personal is sent" if home.settings.mlflow_uri else "there is none yet"


def _others(home: Installation) -> Iterator[Path]:
    """Every other file of the home, but the database's."""
    tracked = set(_tracked(home))
    for path in sorted(home.settings.folder.rglob("*")):
        if path.is_file() and path not in tracked and not path.name.startswith("recsys.db"):
            yield path


def _searched(paths: Iterator[Path], names: tuple[str, ...], *, nowhere: str) -> str:
    """What a search for the person's id and token came to."""
    n, found = 0, []
    for path in paths:
        n += 1
        if names and _holds(path, names):
            found.append(path.name)
    if not n and nowhere:
        return nowhere
    return f"found in {', '.join(found)}: look there" if found else f"{n:,} files searched, found in none"


def _holds(path: Path, names: tuple[str, ...]) -> bool:
    """Whether a file holds one of the names as a whole word, read piece by piece."""
    words = b"|".join(re.escape(name.encode("utf-8", "surrogatepass")) for name in names)
    wanted = re.compile(b"(?<![" + _NAME_CHARACTERS + b"])(?:" + words + b")(?![" + _NAME_CHARACTERS + b"])")
    kept, longest = b"", max(map(len, names)) * 4 + 2
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                kept += piece
                if wanted.search(kept):
                    return True
                kept = kept[-longest:]
    except FileNotFoundError:  # published over, pruned
        return False
    return False


def _wiped(home: Installation, erasure: Forgotten, names: tuple[str, ...], *, rewriting: bool) -> str:
    """Leave nothing in the database's own files; where the id is still found there, the file is rewritten."""
    database = home.database
    for _ in range(_PATIENCE):
        whole = rewriting and not names  # carried on by another process, which does not know what to search for
        done = home.erasures.wipe(whole=whole)
        if done and database.dialect == "sqlite" and erasure.customer_id == "" and names:
            path = Path(database.url.database or "")
            if path.is_file() and _holds(path, names[:1]):
                done = home.erasures.wipe(whole=True)
        if done:
            return done
        time.sleep(1.0)
    raise StoreUnavailable("somebody reads the database without end: erase again, and it carries on from here")
