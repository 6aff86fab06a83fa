"""A snapshot, a bundle and a rule pack published while requests come: does any fail, is any late?

Requests come at RATE (150) a second in three stretches of SECONDS (60): calm, with something published every five
seconds in turn, and calm again. The decisions' own records say that each came into force.
Run: python -m tests.benchmarks.publishing
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from embeddings import bundle as bundles
from recsys import artefacts
from recsys.vocabulary import Decision
from serving.bootstrap import Installation, compose
from serving.live_policy import policy_name
from serving.offer import RULES, publish_rules
from serving.settings import Settings
from tests.benchmarks.callers import open_loop, post
from tests.benchmarks.rig import home_of, publish_bundle, served

RATE = float(os.environ.get("RATE", "150"))
SECONDS = float(os.environ.get("SECONDS", "60"))
EVERY = 5.0


def main() -> None:
    """Print the three stretches, and what came into force."""
    with tempfile.TemporaryDirectory() as name:
        home = home_of(Path(name) / "home", customers=1_000)
        installed = compose(Settings(home=home.folder, holdout_share=0.0, uniform_share=0.0))
        ready = _prepared(installed, n=int(SECONDS / EVERY) - 1)
        with served(home, beside=["encode"]) as (url, _):

            def make(number: int) -> bytes:
                return post(url, "/v1/recommendations", home.key, home.ask(number))

            modes: dict[str, int] = {}

            def answered(number: int, status: int, body: bytes) -> None:
                if status == 200:
                    mode = json.loads(body)["mode"]
                    modes[mode] = modes.get(mode, 0) + 1

            open_loop(url, make, rate=RATE, seconds=5.0)
            at = {EVERY * (n + 1): partial(_publish, installed, *each) for n, each in enumerate(ready)}
            for what, then in (("calm", {}), ("publishing", at), ("calm", {})):
                counted = open_loop(url, make, rate=RATE, seconds=SECONDS, at=then, answered=answered)
                print(f"{what:>11} {counted.told()}", flush=True)
                for failure in counted.failures[:3]:
                    print("            ", failure)
        made = [event.body for event in installed.log.read(kinds=["decision"]) if isinstance(event.body, Decision)]
        for what, values in (
            ("snapshots", {each.policy for each in made}),
            ("bundles", {each.versions.bundle for each in made} - {""}),
            ("rule packs", {each.versions.rule_pack for each in made}),
        ):
            print(f"{len(values)} {what} decided")
        print(f"answered as {modes}; published {len(at)} times")


_Ready = tuple[str, dict[str, bytes], dict[str, Any]]


def _publish(home: Installation, name: str, files: dict[str, bytes], manifest: dict[str, Any]) -> None:
    artefacts.publish(home.settings.artefacts, name, files=files, manifest=manifest)


def _prepared(home: Installation, *, n: int) -> list[_Ready]:
    """`n` artefacts, written already, so that to publish one costs its caller nothing but the pointer."""
    root, ready = home.settings.artefacts, list[_Ready]()
    before = [_read(root, name) for name in (policy_name("bandit"), bundles.NAME)]
    for number in range(n):
        name = (snapshot, bundle, rules)[number % 3](home, number + 1)
        ready.append(_read(root, name))
    for each in before:
        _publish(home, *each)
    (root / RULES / artefacts.POINTER).unlink(missing_ok=True)  # as if none had been published yet
    return ready


def _read(root: Path, name: str) -> _Ready:
    found = artefacts.current(root, name)
    told = {key: value for key, value in found.manifest.items() if key not in ("name", "files")}
    return name, {file: found.file(file) for file in found.manifest["files"]}, told


def snapshot(home: Installation, number: int) -> str:
    """The champion's snapshot again, under the next version."""
    name, files, told = _read(home.settings.artefacts, policy_name("bandit"))
    _publish(home, name, files, told | {"version": told["version"] + 1})
    return name


def bundle(home: Installation, number: int) -> str:
    """Other vectors for every product."""
    publish_bundle(home, seed=number)
    return bundles.NAME


def rules(home: Installation, number: int) -> str:
    """The same pack under another version."""
    path = home.settings.rules[0]
    text = re.sub(r'(?m)^version = ".*"', f'version = "bench-{number}"', path.read_text(), count=1)
    publish_rules(home.settings.artefacts, [(path.name, text)])
    return RULES


if __name__ == "__main__":
    main()
