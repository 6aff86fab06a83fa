"""What we depend on, and whether we may: `python -m tests.dependencies` prints the inventory (MRM-7).

Every direct dependency has a lower bound and says in its line what it is for; everything that comes with it is
installed in a version that fits; every licence is one that `dependencies.toml` allows, or names with a reason. All
of it is read from this machine. Known vulnerabilities need a service on the network that lists them: run `pip-audit`
where there is one.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).parent
PROJECT = HERE.parent / "pyproject.toml"
POLICY = HERE / "dependencies.toml"
EXTRAS = ("postgres", "otel", "feast", "ray")
"""What an installation may have beside the plain one; tools of development are not shipped."""

_LINE = re.compile(r'^\s*(?:\w+ = \[)?"(?P<what>[^"]+)"\]?,?\s*(?:#\s*(?P<why>.+))?$')
_NAMES = {  # what older packages call their licences
    "MIT License": "MIT", "BSD License": "BSD", "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0", "Apache License 2.0": "Apache-2.0", "Apache 2.0": "Apache-2.0",
    "Python Software Foundation License": "PSF-2.0", "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}  # fmt: skip


@dataclass(frozen=True)
class Installed:
    """One package that we depend on, by itself or through another."""

    name: str
    version: str
    licences: tuple[str, ...]


def declared() -> Iterator[tuple[Requirement, str]]:
    """Every dependency in pyproject.toml, and what its line says it is for."""
    text = PROJECT.read_text(encoding="utf-8")
    lists = tomllib.loads(text)["project"]
    known = {*lists["dependencies"], *(each for extra in lists["optional-dependencies"].values() for each in extra)}
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is not None and found["what"] in known and not found["what"].startswith("recsys["):
            yield Requirement(found["what"]), found["why"] or ""


def installed() -> list[Installed]:
    """All that comes with an installation; raises `LookupError` for what is missing or does not fit."""
    found: dict[str, Installed] = {}
    waiting, seen = [Requirement(f"recsys[{','.join(EXTRAS)}]")], set[tuple[str, frozenset[str]]]()
    while waiting:
        asked = waiting.pop()
        name = re.sub(r"[-_.]+", "-", asked.name).lower()
        if (name, frozenset(asked.extras)) in seen:
            continue
        seen.add((name, frozenset(asked.extras)))
        try:
            dist = distribution(name)
        except PackageNotFoundError:
            raise LookupError(f"{name} is not installed: make setup") from None
        if not asked.specifier.contains(dist.version, prereleases=True):
            raise LookupError(f"{name} {dist.version} is installed, and {asked} is asked for")
        if name != "recsys":
            found[name] = Installed(name, dist.version, licences(dist))
        for line in dist.requires or ():
            needed = Requirement(line)
            extras = asked.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                waiting.append(needed)
    return [found[name] for name in sorted(found)]


def licences(dist: Distribution) -> tuple[str, ...]:
    """The licences that a package names, in SPDX's words where it has them."""
    about = dist.metadata
    if expression := about.get("License-Expression"):
        return tuple(sorted(set(re.findall(r"[\w.+-]+", expression)) - {"AND", "OR", "WITH"}))
    named = [each.rpartition(" :: ")[2] for each in about.get_all("Classifier") or [] if each.startswith("License ::")]
    named = named or [each.strip() for each in re.split(r" AND ", (about.get("License") or "").split("\n")[0])]
    return tuple(_NAMES.get(each, each) for each in named)


def complaints() -> list[str]:
    """All that is wrong, each a sentence."""
    policy = tomllib.loads(POLICY.read_text(encoding="utf-8"))
    allowed, excused = set(policy["allowed"]), {each["name"]: each for each in policy["exception"]}
    found = [f"{each}: say what it is for, in a comment on its line" for each, why in declared() if not why]
    found += [
        f"{each}: give a lower bound, such as {each.name}>=1"
        for each, _ in declared()
        if not each.name.startswith("types-") and not any(one.operator in (">=", "==") for one in each.specifier)
    ]
    here = installed()
    for each in here:
        strange = set(each.licences) - allowed - {excused.get(each.name, {}).get("licence", "")}
        if strange or (not any(each.licences) and each.name not in excused):
            found.append(f"{each.name} {each.version} has the licence {', '.join(strange) or '(none named)'}: may we?")
    found += [f"{name} is excused and not installed: remove it" for name in excused.keys() - {e.name for e in here}]
    return found


def main() -> None:
    """Print the inventory; exit 1 with what is wrong."""
    for each in installed():
        print(f"{each.name:34} {each.version:20} {', '.join(each.licences)[:60]}")
    found = complaints()
    print(f"{len(installed())} packages; vulnerabilities were not looked up (that needs the network: pip-audit)")
    sys.exit("\n".join(found) if found else 0)


if __name__ == "__main__":
    main()
