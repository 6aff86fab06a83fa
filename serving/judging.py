"""Judge policies from a home's log: the one function behind the command, the gate and the notebooks.

Three passes over the log, in memory that does not grow with it: what lies there, the sums of the reward
model, then a panel for each policy. Every estimate is of a policy *at the states that were logged*: caps
and fatigue, which depend on what was shown before, are as the logging policies left them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bandits.batches import SlateBatch
from bandits.diagnostics import Finding
from bandits.evaluation import Verdict, conclusion, headline
from bandits.logged_slates import Confine, Slates, logged_slates
from bandits.loggers import LoggedBy, Loggers
from bandits.panels import Asked, Panels
from bandits.silences import Silences
from bandits.slate_model import SlateModel
from bandits.targets import Target
from recsys.errors import Misuse
from recsys.rewards import Rewards
from recsys.vocabulary import Decision
from serving.bootstrap import Installation
from serving.enumerating import Enumerating
from serving.judged_log import Scope, Survey, Told, matured, surveyed

DISPLAYED_BLOCKS = 0.01  # of rounds shown otherwise than decided
Watch = Callable[[Slates, Sequence[SlateBatch]], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is judged; `learned_to` is the log position up to which it learned, where it learned from this log."""

    target: Target
    learned_to: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """What the log says of some policies, and what was left out of it."""

    scope: Scope
    verdicts: tuple[Verdict, ...]  # policy by policy, estimator by estimator
    differences: tuple[Verdict, ...]  # the first policy less each other one, on the same rows
    logged: float  # what the policies that ran earned a round
    rounds: int
    left_out: Mapping[str, int]  # why → decisions
    findings: tuple[Finding, ...]  # of the log itself; those of a policy stand in its verdicts
    loggers: tuple[LoggedBy, ...]
    notes: tuple[str, ...]
    position: int
    digest: str  # of the log up to there
    first_at: datetime | None
    last_at: datetime | None

    def of(self, policy: str) -> tuple[Verdict, ...]:
        """One policy's verdicts."""
        return tuple(verdict for verdict in self.verdicts if verdict.policy == policy)

    def headline(self, policy: str) -> Verdict:
        """The verdict that speaks for a policy."""
        return headline(self.of(policy))

    @property
    def policies(self) -> tuple[str, ...]:
        """Those judged, in order."""
        return tuple(dict.fromkeys(verdict.policy for verdict in self.verdicts))

    @property
    def conclusion(self) -> str:
        """One sentence a policy, in plain words, and one for each comparison."""
        if not self.rounds:
            return "The log says nothing yet: no round in this part of it has closed."
        said = [conclusion(self.of(policy), logged=self.logged) for policy in self.policies]
        return " ".join([*said, *(_compared(each) for each in _headlines(self.differences))])


@dataclass(slots=True)
class _Counts:
    """What is counted while rounds come by."""

    rounds: int = 0
    reward: float = 0.0
    displayed_otherwise: int = 0
    silences: Silences | None = None
    seen_before: Counter[str] = field(default_factory=Counter)  # policy → rounds it may have learned from

    def add(self, slates: Slates, *, candidates: Sequence[Candidate]) -> None:
        self.rounds += len(slates.rounds)
        self.reward += float(slates.logged.reward.sum())
        if self.silences is not None:
            self.silences.add(slates.logged.shown, slates.seen)
        for each in slates.rounds:
            shown = tuple(slot.product_id for slot in each.decision.shown)
            self.displayed_otherwise += each.displayed is not None and each.displayed[: len(shown)] != shown
            for candidate in candidates:
                self.seen_before[candidate.target.name] += each.position <= candidate.learned_to

    def findings(self, names: Sequence[str]) -> Iterator[Finding]:
        if self.silences is not None:
            yield from self.silences.findings(names)
        share = self.displayed_otherwise / max(self.rounds, 1)
        if self.displayed_otherwise:
            colour = "red" if share > DISPLAYED_BLOCKS else "amber"
            yield Finding(colour, "displays", f"{share:.1%} of the slates were shown otherwise than they were decided")
        for name, n in self.seen_before.items():
            if n:
                said = (
                    f"{name} may have learned from {n:,} of these {self.rounds:,} rounds, so its numbers lean upwards"
                )
                yield Finding("amber", "learned from", f"{said}: learn it anew from what came before")


def judge(
    home: Installation,
    *,
    candidates: Sequence[Candidate],
    scope: Scope = Scope(),  # noqa: B008  frozen
    estimators: Sequence[str] = (),
    level: float = 0.95,
    confine: Confine | None = None,
    rewards: Rewards | None = None,
    also: Callable[[Decision], None] = lambda _: None,
    watch: Watch = lambda slates, batches: None,
    told: Told = lambda step, position: None,
) -> Judged:
    """Judge `candidates`; each after the first is also compared with the first on the same rows.

    `confine` closes candidates that a changed rule pack would refuse, `also` sees every decision before
    anything is judged (and may raise), `watch` every batch of rounds under all candidates.
    Raises `Misuse` for an unknown estimator, `InvalidPmf` for a policy that gives no distribution.
    """
    _check(candidates)
    log, rewards = home.log, rewards or home.rewards
    enumerating = Enumerating(home, places=scope.places)

    def meet(decision: Decision) -> None:
        also(decision)
        enumerating.meets(decision)

    survey = surveyed(log, scope=scope, told=told, also=meet)
    frame, span = survey.frame(scope), survey.span
    why_not = enumerating.why_not if confine is None else "the rules were changed"
    asked = Asked.of(estimators, places=frame.places)
    notes: tuple[str, ...] = ()
    if asked.placed and why_not:
        left_out = " and ".join(name for name in asked.placed if name != "uplift")
        asked, notes = asked.without_places(), (f"{left_out} are left out: {why_not}",)
    targets = [each.target for each in candidates]
    panels = Panels([target.name for target in targets], asked=asked, level=level, products=frame.names)

    def slates(step: str, judged: Sequence[Target]) -> Iterator[Slates]:
        rounds = matured(log, scope=scope, rewards=rewards, until=survey.position, told=lambda at: told(step, at))
        known = enumerating if judged and panels.asked.placed else None
        return logged_slates(rounds, targets=judged, frame=frame, confine=confine, enumerate_=known)

    model = SlateModel(frame, start=span[0], end=span[1])
    for each in slates("learning what to expect", ()):
        model.learn(each)
    counts, loggers = _Counts(silences=Silences(products=len(frame.products), places=frame.places)), Loggers()
    for each in slates("judging", targets):
        batches = each.modelled(model.expected(each))
        counts.add(each, candidates=candidates)
        loggers.add(each)
        panels.add(batches)
        watch(each, batches)
    return _judged(
        survey,
        panels,
        counts,
        (*counts.findings(frame.names), *loggers.findings()),
        loggers.told(),
        scope=scope,
        notes=notes,
        digest=log.digest(until=survey.position),
    )


def _check(candidates: Sequence[Candidate]) -> None:
    names = [each.target.name for each in candidates]
    if len(set(names)) < len(names):
        raise Misuse(f"{names[0]} would be compared with itself: name another policy")


def _judged(
    survey: Survey,
    panels: Panels,
    counts: _Counts,
    findings: tuple[Finding, ...],
    loggers: tuple[LoggedBy, ...],
    *,
    scope: Scope,
    notes: tuple[str, ...],
    digest: str,
) -> Judged:
    immature = survey.decisions - survey.left_out.total() - counts.rounds
    verdicts, differences = panels.verdicts(immature=immature)
    return Judged(
        scope=scope,
        verdicts=verdicts,
        differences=differences,
        logged=counts.reward / counts.rounds if counts.rounds else float("nan"),
        rounds=counts.rounds,
        left_out={**({"not ripe yet": immature} if immature else {}), **dict(sorted(survey.left_out.items()))},
        findings=findings,
        loggers=loggers,
        notes=notes,
        position=survey.position,
        digest=digest,
        first_at=survey.first_at,
        last_at=survey.last_at,
    )


def _headlines(differences: Sequence[Verdict]) -> list[Verdict]:
    names = dict.fromkeys(verdict.policy for verdict in differences)
    return [headline([verdict for verdict in differences if verdict.policy == name]) for name in names]


def _compared(verdict: Verdict) -> str:
    one, _, other = verdict.policy.partition(" − ")
    found = verdict.interval
    if verdict.refused:
        return f"Whether {one} or {other} earns more, the log cannot say."
    bounds = f"between {found.low:+.4g} and {found.high:+.4g} ({found.level:.0%} sure)"
    if found.low > 0.0 or found.high < 0.0:
        more = "more" if found.low > 0.0 else "less"
        return f"On the same rounds {one} would have earned {more} than {other}: {found.estimate:+.4g}, {bounds}."
    return f"Between {one} and {other} no difference is shown on the same rounds: {found.estimate:+.4g}, {bounds}."
