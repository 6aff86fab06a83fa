"""`recsys verify-log`: recompute every draw and propensity in the log, and every pmf while its snapshot lives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import click
from tqdm import tqdm

from bandits.drawing import Mismatch
from recsys.errors import Corrupt
from recsys.eventlog import EventLog
from recsys.vocabulary import Decision, Event
from serving import settings
from serving.bootstrap import Installation, compose
from serving.receipts import Snapshots, Verification, verification

_WINDOW = 2_000  # positions
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that cannot be read, and why."""

    position: int
    why: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing in the log that does not add up."""

    position: int
    decision_id: str  # "" for a record nobody can read
    slot: int  # 1-based; 0 for the record as a whole
    what: str

    def __str__(self) -> str:
        name = f"decision {self.decision_id}" if self.decision_id else "a decision"
        slot = f", slot {self.slot}" if self.slot else ""
        return f"{name} (position {self.position}){slot}: {self.what}"


@dataclass(slots=True)
class Findings:
    """What verifying a log came to, added up as it goes."""

    decisions: int = 0
    verified: int = 0  # in both tiers
    draws_only: Counter[str] = field(default_factory=Counter)  # why the second tier is open → decisions
    mismatched: int = 0  # decisions
    faults: list[Fault] = field(default_factory=list)

    def add(self, event: Event, decision: Decision, found: Verification) -> None:
        """Count one decision."""
        self.decisions += 1
        if found.mismatches:
            self._fault(event.position, decision.decision_id, found.mismatches)
        elif found.not_comparable:
            self.draws_only[found.not_comparable] += 1
        else:
            self.verified += 1

    def add_unreadable(self, found: Unreadable) -> None:
        """Count a decision whose record cannot be read."""
        self.decisions += 1
        self._fault(found.position, "", (Mismatch(0, found.why),))

    def _fault(self, position: int, decision_id: str, found: tuple[Mismatch, ...]) -> None:
        self.mismatched += 1
        self.faults += [Fault(position, decision_id, each.slot, each.what) for each in found]

    def told(self) -> str:
        """For a person."""
        why = ", ".join(f"{reason}: {n:,}" for reason, n in sorted(self.draws_only.items()))
        lines = [
            f"{self.decisions:,} decisions in the log",
            f"{self.verified:,} verified in both tiers: draws and propensities bit for bit, probabilities to 1e-6",
            f"{self.draws_only.total():,} verified in the first tier only, the second not comparable"
            + (f" ({why})" if why else ""),
            f"{self.mismatched:,} mismatches",
            *map(str, self.faults[:_SHOWN]),
        ]
        more = len(self.faults) - _SHOWN
        return "\n".join([*lines, f"and {more:,} more: --json lists them all"] if more > 0 else lines)

    def to_json(self) -> dict[str, Any]:
        """For a machine, every fault listed."""
        return {
            "decisions": self.decisions,
            "verified": self.verified,
            "draws_only": self.draws_only.total(),
            "not_comparable": dict(sorted(self.draws_only.items())),
            "mismatched": self.mismatched,
            "mismatches": [asdict(fault) for fault in self.faults],
        }


@click.command
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout, every mismatch in it")
def command(*, as_json: bool) -> None:
    """Verify every decision in the log; exit 1 if anything does not add up."""
    findings = verify_log(compose(settings.load()))
    click.echo(json.dumps(findings.to_json()) if as_json else findings.told())
    if findings.mismatched:
        raise Corrupt(f"{findings.mismatched:,} of {findings.decisions:,} decisions do not verify")


def verify_log(home: Installation) -> Findings:
    """Verify the whole log as it stands now, in order, with progress on stderr."""
    findings, snapshots = Findings(), Snapshots(home.live)
    last = home.log.last_position()
    with tqdm(total=last, unit="events", desc="verifying", mininterval=0.5) as bar:
        for start in range(0, last, _WINDOW):
            until = min(start + _WINDOW, last)
            for found in _decisions(home.log, after=start, until=until):
                if isinstance(found, Unreadable):
                    findings.add_unreadable(found)
                elif isinstance(found.body, Decision):
                    findings.add(found, found.body, verification(found.body, policy_of=snapshots.policy_of))
            bar.update(until - start)
    return findings


def _decisions(log: EventLog, *, after: int, until: int) -> Iterator[Event | Unreadable]:
    """The decisions at (after, until]; a stretch that cannot be read is halved until the one record stands alone."""
    try:
        yield from log.page(after=after, until=until, kinds=("decision",), limit=_WINDOW)
        return
    except Corrupt as error:
        if until - after == 1:
            yield Unreadable(until, str(error))
            return
    middle = (after + until) // 2
    yield from _decisions(log, after=after, until=middle)
    yield from _decisions(log, after=middle, until=until)
