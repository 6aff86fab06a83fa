"""A contact policy as it stands in a file, read strictly: one sentence for each mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import time, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from recsys.contact import CHANNELS, GROUPS, ContactPolicy, Limit, Quiet, Reach
from recsys.errors import InvalidConfiguration
from recsys.productfile import CLASSES
from recsys.rewards import duration
from recsys.tomls import Table, check_unique, document, read_text
from recsys.touches import COUNTED, KINDS

DEFAULT = Path(__file__).with_name("default_contact.toml")
"""The default policy of a bank in Great Britain."""

LONGEST = timedelta(days=366)
_ENDED = tuple(kind for kind in KINDS if kind not in COUNTED)


def load(path: Path = DEFAULT) -> ContactPolicy:
    """Read a contact policy; raises `InvalidConfiguration` naming the file and the rule."""
    return parse(read_text(path, error=InvalidConfiguration), where=path.name)


def parse(text: str, *, where: str) -> ContactPolicy:
    """Read a contact policy from TOML text; raises like `load`."""
    top = document(text, where=where, error=InvalidConfiguration)
    version = top.text("version")
    limits = [_cap(row, top=top) for row in top.tables("cap")] + [_rest(row, top=top) for row in top.tables("rest")]
    quiet = tuple(_quiet(row, top=top) for row in top.tables("quiet"))
    top.done()
    names = [limit.name for limit in limits] + [each.name for each in quiet]
    check_unique(names, where=where, what="rule", error=InvalidConfiguration)
    meaning = json.dumps([version, *map(asdict, limits), *map(asdict, quiet)], sort_keys=True, default=_plain)
    return ContactPolicy(version, tuple(limits), quiet, sha256(meaning.encode()).hexdigest())


def _cap(row: Mapping[str, Any], *, top: Table) -> Limit:
    """At most so many within a window."""
    table = _opened(row, top=top, what="cap")
    limit = Limit(
        name=table.text("id"),
        reason=_reason(table),
        reach=_reach(table),
        counts=table.choice("counts", tuple(sorted(COUNTED))),
        of=table.choice("of", GROUPS),
        most=table.whole("most", least=1),
        within=_seconds(table, "within"),
    )
    table.done()
    return limit


def _rest(row: Mapping[str, Any], *, top: Table) -> Limit:
    """Nothing for a while after something."""
    table = _opened(row, top=top, what="rest")
    limit = Limit(
        name=table.text("id"),
        reason=_reason(table),
        reach=_reach(table),
        counts=table.choice("after", _ENDED),
        of=table.choice("of", GROUPS),
        most=1,
        within=_seconds(table, "for"),
    )
    table.done()
    return limit


def _quiet(row: Mapping[str, Any], *, top: Table) -> Quiet:
    table = _opened(row, top=top, what="quiet")
    quiet = Quiet(table.text("id"), _reason(table), _reach(table), _time(table, "from"), _time(table, "to"))
    table.done()
    if quiet.begins == quiet.ends:
        raise table.fail("from and to are the same; that would be never or always, so name two times")
    return quiet


def _opened(row: Mapping[str, Any], *, top: Table, what: str) -> Table:
    title = f"{what} {row['id']}" if isinstance(row.get("id"), str) else f"a {what}"
    return top.inside(row, what=title)


def _reach(table: Table) -> Reach:
    channel = table.choice("channel", CHANNELS)
    not_on, families = frozenset(table.texts("not_on", ())), frozenset(table.texts("families", ()))
    for_everyone: bool = table.take("for_everyone", bool, "true or false", default=False)
    classes = table.texts("classes")
    if not classes:
        raise table.fail("classes is empty, so it concerns nothing; name classes or remove the rule")
    for each in classes:
        if each not in CLASSES:
            raise table.fail(f"classes names {each!r}; choose among {', '.join(CLASSES)}")
    return Reach(channel, not_on, frozenset(classes), families, for_everyone)


def _reason(table: Table) -> str:
    reason = table.text("reason")
    if not re.fullmatch(r"[A-Z].*[.!?]", reason):
        raise table.fail("reason must be a sentence that can be read out, with a capital and a full stop")
    return reason


def _seconds(table: Table, key: str) -> int:
    text = table.take(key, str, 'a duration such as "7d"')
    try:
        window = duration(text)
    except InvalidConfiguration as error:
        raise table.fail(f"{key}: {error}") from None
    if not timedelta(0) < window <= LONGEST:
        raise table.fail(f"{key} must be longer than nothing and at most {LONGEST.days}d")
    return window // timedelta(seconds=1)


def _time(table: Table, key: str) -> time:
    value: time = table.take(key, time, "a time of day in London such as 21:00:00")
    return value


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)
