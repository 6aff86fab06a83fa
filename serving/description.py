"""The description of HTTP version 1 (OpenAPI): made from the routes, kept in `openapi.json`, and held to it.

Clients are generated from the file, so it may grow but not break: `python -m serving.description --check`
fails when the routes and the file differ, and says what a client would trip over; `--write` brings the
file up to date and refuses a breaking change unless the version of the API is raised with it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from serving.app import create_app
from serving.bootstrap import compose, serve
from serving.problems import MEDIA_TYPE
from serving.settings import Settings

Document: TypeAlias = dict[str, Any]
FILE = Path(__file__).with_name("openapi.json")


def described() -> str:
    """The description of the routes as they are: sorted, so that equal descriptions are equal bytes."""
    with tempfile.TemporaryDirectory() as folder:
        service = serve(compose(Settings(home=Path(folder))))
        try:
            document = create_app(service).openapi()
        finally:
            service.close()
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def breaking(before: Document, after: Document) -> Iterator[str]:
    """What a client made for `before` would trip over in `after`, a sentence each.

    >>> pot = {"paths": {"/v1/pots": {"get": {"responses": {"200": {}}}}}}
    >>> list(breaking(pot, {"paths": {}}))
    ['GET /v1/pots is gone']
    """
    for path, operations in before["paths"].items():
        for method, operation in operations.items():
            name = f"{method.upper()} {path}"
            now = after["paths"].get(path, {}).get(method)
            if now is None:
                yield f"{name} is gone"
                continue
            if operation.get("operationId") != now.get("operationId"):
                yield f"{name} is called {now.get('operationId')} and no longer {operation.get('operationId')}"
            yield from _parameters(name, operation, now)
            yield from _request(name, operation, now, before=before, after=after)
            yield from _responses(name, operation, now, before=before, after=after)


def _parameters(name: str, old: Document, new: Document) -> Iterator[str]:
    was = {(each["name"], each["in"]): each for each in old.get("parameters", ())}
    now = {(each["name"], each["in"]): each for each in new.get("parameters", ())}
    yield from (f"{name}: the parameter {key[0]} is gone" for key in was if key not in now)
    for key, each in now.items():
        if each.get("required") and not was.get(key, {}).get("required"):
            yield f"{name}: the parameter {key[0]} must now be sent"


def _request(name: str, old: Document, new: Document, *, before: Document, after: Document) -> Iterator[str]:
    was, now = _json(old.get("requestBody")), _json(new.get("requestBody"))
    if now is not None and was is None and new["requestBody"].get("required"):
        yield f"{name} must now be sent a body"
    if was is not None and now is not None:
        yield from _narrowed(f"{name} request", was, now, before=before, after=after, sent=True)


def _responses(name: str, old: Document, new: Document, *, before: Document, after: Document) -> Iterator[str]:
    for status, answer in old["responses"].items():
        if status not in new["responses"]:
            yield f"{name} does not answer {status} any more"
            continue
        was, now = _json(answer), _json(new["responses"][status])
        if was is not None and now is not None:
            yield from _narrowed(f"{name} {status}", was, now, before=before, after=after, sent=False)


def _narrowed(
    where: str, was: Document, now: Document, *, before: Document, after: Document, sent: bool, deep: int = 0
) -> Iterator[str]:
    """What changed between two schemas that somebody relies on, in what is sent or in what is read."""
    old, new = _resolved(was, before), _resolved(now, after)
    if deep > 8:
        return
    old_kinds, new_kinds = _kinds(old), _kinds(new)
    lost = old_kinds - new_kinds if sent else new_kinds - old_kinds
    if old_kinds and new_kinds and lost:
        yield f"{where} is {' or '.join(sorted(new_kinds))}, it was {' or '.join(sorted(old_kinds))}"
    if sent and set(new.get("enum", ())) < set(old.get("enum", ())) and "enum" in new:
        yield f"{where} takes fewer words: {', '.join(map(str, new['enum']))}"
    had, has = old.get("properties", {}), new.get("properties", {})
    for key in had:
        if key not in has:
            yield f"{where}.{key} is gone"
            continue
        yield from _narrowed(f"{where}.{key}", had[key], has[key], before=before, after=after, sent=sent, deep=deep + 1)
    needed, needs = set(old.get("required", ())), set(new.get("required", ()))
    if sent:
        yield from (f"{where}.{key} must now be sent" for key in sorted(needs - needed))
    else:
        yield from (f"{where}.{key} may now be missing" for key in sorted(needed - needs) if key in has)
    if "items" in old and "items" in new:
        yield from _narrowed(
            f"{where}[]", old["items"], new["items"], before=before, after=after, sent=sent, deep=deep + 1
        )


def _kinds(schema: Document) -> frozenset[str]:
    """The JSON types that a schema lets through, one level of alternatives looked into."""
    if "anyOf" in schema:
        return frozenset().union(*(_kinds(each) for each in schema["anyOf"]))
    if "$ref" in schema:
        return frozenset({"object"})
    return frozenset({schema["type"]}) if "type" in schema else frozenset()


def _resolved(schema: Document, document: Document) -> Document:
    """A schema without its reference, and without the "or null" around it."""
    if "$ref" in schema:
        return _resolved(_at(document, schema["$ref"]), document)
    inner = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(inner) == 1 and "$ref" in inner[0]:
        return {**_resolved(inner[0], document), "anyOf": schema["anyOf"]}
    return schema


def _at(document: Document, reference: str) -> Document:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


def _json(body: Mapping[str, Any] | None) -> Document | None:
    content = (body or {}).get("content", {})
    for kind in ("application/json", MEDIA_TYPE):
        if "schema" in content.get(kind, {}):
            return dict(content[kind]["schema"])
    return None


def main(arguments: list[str]) -> int:
    """Check or write the file; 0 where all is well."""
    parser = argparse.ArgumentParser(prog="python -m serving.description", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="fail where the routes and the file differ")
    what.add_argument(
        "--write", action="store_true", help="bring the file up to date, unless that would break a client"
    )
    asked = parser.parse_args(arguments)
    now = described()
    before = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"paths": {}, "info": {}}
    after = json.loads(now)
    broken = [] if before["info"].get("version") != after["info"]["version"] else list(breaking(before, after))
    for sentence in broken:
        print(f"breaking: {sentence}", file=sys.stderr)
    if asked.write and not broken:
        FILE.write_text(now, encoding="utf-8")
    elif broken:
        print("Keep what clients rely on, or raise the version of the API in serving/app.py.", file=sys.stderr)
        return 1
    elif asked.check and before != after:
        print(f"{FILE.name} is out of date: run `python -m serving.description --write`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
