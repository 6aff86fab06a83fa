"""A recipe heard at the gate: learned anew from older days, looked at on later ones, certified on the last.

The select split may be looked at as often as one likes. The certify split is looked at once a question:
the look is recorded before anything is read, because taking it spends some of the error that all looks
together may make.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime

from bandits.gate import Ruling, Splits, Terms, ruled
from bandits.recipe import Recipe
from bandits.targets import PolicyTarget
from recsys.artefacts import canonical, digest_of
from recsys.errors import Misuse
from recsys.promotions import Look
from serving.bootstrap import Installation
from serving.gate_sums import HARMS, GateSums
from serving.judged_log import Scope, surveyed
from serving.judged_report import sentences, to_json
from serving.judging import Candidate, Judged, judge
from serving.relearning import relearned

REHEARSED = "only rehearsed: no look was taken"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Heard:
    """A recipe heard at the gate: what the select split showed, and the ruling where it came to a look."""

    recipe: Recipe
    champion: Recipe
    surface: str
    splits: Splits
    terms: Terms
    outcome: str | None  # counted instead of points, None for points
    judged: Judged
    ruling: Ruling

    def told(self) -> str:
        """For a person."""
        ruling = self.ruling
        against = f"{self.recipe.name} against {self.champion.name} on {self.surface}"
        days = (
            f"learned before {self.splits.select_until:%Y-%m-%d %H:%M}, certified on what came until "
            f"{self.splits.end:%Y-%m-%d %H:%M}; look {ruling.look}, which spends "
            f"{ruling.alpha:.2%} of {self.terms.alpha:.0%}"
        )
        if not ruling.look:
            days = f"learned before {self.splits.train_until:%Y-%m-%d %H:%M}, looked at what came until "
            days += f"{self.splits.select_until:%Y-%m-%d %H:%M}"
        if ruling.passed:
            head = f"PASSED: {against}"
        elif ruling.reasons == (REHEARSED,):
            head = f"rehearsed: {against}"
        else:
            head = f"REFUSED: {against}\n" + "\n".join(f"  - {reason}" for reason in ruling.reasons)
        held = [f"  {'ok  ' if e.state == 'green' else 'STOP' if e.state == 'red' else '?   '} {e.sentence}"
                for e in ruling.guardrails]  # fmt: skip
        return "\n".join([head, days, f"  {ruling.value.sentence}", *held, *sentences(self.judged.findings)])

    def to_json(self) -> dict[str, object]:
        """For a machine, and as evidence."""
        ruling = self.ruling
        return {
            "recipe": self.recipe.plain | {"digest": self.recipe.digest},
            "champion": self.champion.plain | {"digest": self.champion.digest},
            "surface": self.surface,
            "outcome": self.outcome,
            "splits": {name: getattr(self.splits, name).isoformat() for name in Splits.__slots__},
            "terms": asdict(self.terms),
            "passed": ruling.passed,
            "reasons": list(ruling.reasons),
            "look": ruling.look,
            "alpha": ruling.alpha,
            "value": _finite(asdict(ruling.value)),
            "guardrails": [_finite(asdict(each)) for each in ruling.guardrails],
            "judged": to_json(self.judged),
        }


def question_of(recipe: Recipe, champion: Recipe, terms: Terms, outcome: str | None) -> str:
    """A digest of what is asked: the same question at the same days is the same look."""
    return digest_of(canonical([recipe.digest, champion.digest, asdict(terms), outcome]))


def splits_of(home: Installation, *, surface: str, since: datetime | None, until: datetime | None) -> Splits:
    """The log's decisions on a surface whose windows have closed, cut by time. Raises `Misuse` for too few days."""
    survey = surveyed(home.log, scope=Scope(since, until, surface), told=lambda step, position: None)
    if survey.first_at is None or survey.last_at is None:
        raise Misuse(f"the log has no decision on {surface} to judge by")
    watermark = home.log.recorded_at(survey.position)
    ripe = until or watermark - home.rewards.longest
    if ripe <= survey.first_at:
        days = home.rewards.longest.days
        raise Misuse(f"no outcome window on {surface} has closed yet: the log must go on for {days} more days or so")
    return Splits.of(since or survey.first_at, ripe)


def heard(
    home: Installation,
    *,
    recipe: Recipe,
    champion: Recipe,
    surface: str,
    splits: Splits,
    terms: Terms,
    rehearse: bool,
    outcome: str | None = None,
    say: Say = lambda _: None,
) -> Heard:
    """Hear a recipe: first on the select split, which is free; then, unless it fails there, on the certify split."""
    say("learning from the train split, looking at the select split")
    judged, ruling = _measured(
        home,
        (recipe, champion),
        surface=surface,
        learn=splits.train_until,
        until=splits.select_until,
        terms=terms,
        look=1,
        outcome=outcome,
    )
    worse = ruling.value.state == "red"
    if rehearse or worse:
        why = () if not worse else (f"on the select split already: {ruling.value.sentence}",)
        before = Ruling(ruling.value, ruling.guardrails, 0, 0.0, why or (REHEARSED,))
        return Heard(recipe, champion, surface, splits, terms, outcome, judged, before)
    say("learning from both, certifying on what came after")
    question = question_of(recipe, champion, terms, outcome)
    look = home.promotions.look(Look(question, surface, splits.select_until, splits.end, home.clock.now()))
    judged, ruling = _measured(
        home,
        (recipe, champion),
        surface=surface,
        learn=splits.select_until,
        until=splits.end,
        terms=terms,
        look=look,
        outcome=outcome,
    )
    return Heard(recipe, champion, surface, splits, terms, outcome, judged, ruling)


def _measured(
    home: Installation,
    recipes: tuple[Recipe, Recipe],
    *,
    surface: str,
    learn: datetime,
    until: datetime,
    terms: Terms,
    look: int,
    outcome: str | None,
) -> tuple[Judged, Ruling]:
    policies = relearned(home, recipes, until=learn)
    rewards = (home.rewards if outcome is None else home.rewards.counting(outcome)).watching(HARMS)
    sums = GateSums(rewards)
    judged = judge(
        home,
        candidates=[Candidate(PolicyTarget(policies[recipe.name])) for recipe in recipes],
        scope=Scope(learn, until, surface),
        rewards=rewards,
        watch=sums.watch,
    )
    if not judged.rounds:
        raise Misuse(
            f"no round on {surface} between {learn:%Y-%m-%d} and {until:%Y-%m-%d} has closed: nothing can be said"
        )
    known = [judged.headline(policy).diagnostics for policy in judged.policies]
    red = [finding.sentence for finding in judged.findings if finding.colour == "red"]
    ruling = ruled(
        sums.value(), guardrails=list(sums.guardrails()), diagnostics=known, look=look, terms=terms, reasons=red
    )
    return judged, ruling


def _finite(row: dict[str, object]) -> dict[str, object]:
    return {k: None if isinstance(v, float) and v in (float("inf"), float("-inf")) else v for k, v in row.items()}
