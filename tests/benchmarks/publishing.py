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
from collections.abc import Callable
from itertools import count, cycle
from pathlib import Path

from recsys import artefacts
from recsys.vocabulary import Decision
from serving.bootstrap import Installation, compose
from serving.live_policy import STATE, policy_name
from serving.offer import publish_rules
from serving.settings import Settings
from tests.benchmarks.callers import open_loop, post
from tests.benchmarks.rig import home_of, publish_bundle, served

RATE = float(os.environ.get("RATE", "150"))
SECONDS = float(os.environ.get("SECONDS", "60"))
EVERY = 5.0
_numbers = count(1)


def main() -> None:
    """Print the three stretches, and what came into force."""
    with tempfile.TemporaryDirectory() as name:
        home = home_of(Path(name) / "home", customers=1_000)
        installed = compose(Settings(home=home.folder, holdout_share=0.0, uniform_share=0.0))
        with served(home, beside=["encode"]) as (url, _):

            def make(number: int) -> bytes:
                return post(url, "/v1/recommendations", home.key, home.ask(number))

            modes: dict[str, int] = {}

            def answered(number: int, status: int, body: bytes) -> None:
                if status == 200:
                    mode = json.loads(body)["mode"]
                    modes[mode] = modes.get(mode, 0) + 1

            open_loop(url, make, rate=RATE, seconds=5.0)
            works = cycle((snapshot, bundle, rules))
            at = {EVERY * n: _bound(next(works), installed) for n in range(1, int(SECONDS / EVERY))}
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


def _bound(work: Callable[[Installation], object], home: Installation) -> Callable[[], None]:
    return lambda: (work(home), None)[1]


def snapshot(home: Installation) -> None:
    """The champion's snapshot again, under the next version."""
    last = artefacts.current(home.settings.artefacts, policy_name("bandit"))
    told = {name: value for name, value in last.manifest.items() if name not in ("name", "files")}
    told |= {"version": told["version"] + 1}
    artefacts.publish(home.settings.artefacts, policy_name("bandit"), files={STATE: last.file(STATE)}, manifest=told)


def bundle(home: Installation) -> None:
    """Other vectors for every product."""
    publish_bundle(home, seed=next(_numbers))


def rules(home: Installation) -> None:
    """The same pack under another version."""
    path = home.settings.rules[0]
    text = re.sub(r'(?m)^version = ".*"', f'version = "bench-{next(_numbers)}"', path.read_text(), count=1)
    publish_rules(home.settings.artefacts, [(path.name, text)])


if __name__ == "__main__":
    main()
