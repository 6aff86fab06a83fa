"""Promotion: a recipe before the gate, the evidence it leaves, and who is champion.

A recipe becomes challenger by passing the gate; champion by an experiment's read-out, or by a named
override that expires. A refusal gives its reasons and changes nothing; only the look that was taken
stays recorded, because taking it spent some of the error that all looks together may make.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from bandits.gate import Ruling, Splits, Terms, ruled
from bandits.recipe import Recipe
from bandits.targets import PolicyTarget
from recsys import keys
from recsys.artefacts import canonical, digest_of
from recsys.errors import Misuse
from recsys.promotions import Look, Promotion
from recsys.tracking import Parameter, Tracker
from serving import charts
from serving.bootstrap import Installation
from serving.gate_sums import HARMS, GateSums
from serving.inventory import Entry
from serving.judged_log import Scope, surveyed
from serving.judged_report import metrics_of, rows_of, sentences, to_json, told
from serving.judging import Candidate, Judged, judge
from serving.relearning import relearned

EXPERIMENT = "promotions"
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


def objections(
    entry: Entry | None, *, recipe: Recipe, surface: str, approver: keys.Key | None, home: Installation
) -> Iterator[str]:
    """What stands against a recipe before any number is looked at."""
    if entry is None:
        yield f"{recipe.name} has no entry in the inventory"
        return
    for name in entry.missing():
        yield f"the inventory entry of {recipe.name} has no {name}"
    if entry.surfaces and surface not in entry.surfaces:
        yield f"{recipe.name} is not meant for {surface} (its entry allows {', '.join(entry.surfaces)})"
    offered = {p.regulated_class for p in home.offers.current.catalogue.products if surface in p.surfaces}
    if entry.product_classes and (beyond := sorted(offered - set(entry.product_classes))):
        yield f"{surface} shows {', '.join(beyond)} products, which the entry of {recipe.name} does not allow"
    if approver is None:
        yield "nobody approves it: give a key with the scope approve (--approve-key, or RECSYS_APPROVE_KEY)"
    elif keys.Scope.APPROVE not in approver.scopes:
        yield f"the key {approver.name} has no scope approve"
    elif approver.name == entry.author:
        yield f"{approver.name} made {recipe.name} and may not approve it: somebody else has to"


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


def evidence_of(found: Heard, *, tracker: Tracker, approver: str) -> str:
    """Write a hearing down, passed or not; the run's id."""
    parameters: dict[str, Parameter] = {
        "recipe": found.recipe.name,
        "recipe_digest": found.recipe.digest,
        "champion": found.champion.name,
        "surface": found.surface,
        "look": found.ruling.look,
        "alpha": found.ruling.alpha,
        "margin": found.terms.margin,
        "approver": approver,
        "passed": found.ruling.passed,
    }
    name = f"{found.recipe.name} {'passed' if found.ruling.passed else 'refused'}"
    with tracker.run(
        name, experiment=EXPERIMENT, parameters=parameters, tags={"log_digest": found.judged.digest}
    ) as run:
        run.record(metrics_of(found.judged) | {"clearance": found.ruling.value.clearance})
        run.file("ruling.json", json.dumps(found.to_json(), indent=1))
        run.file("ruling.txt", f"{found.told()}\n\n{told(found.judged)}\n")
        run.file("forest.png", charts.png(charts.forest(rows_of(found.judged), logged=found.judged.logged)))
        return run.run_id


def promoted(
    home: Installation,
    recipe: Recipe,
    *,
    role: str,
    by: str,
    reason: str,
    evidence: str,
    tracker: Tracker,
    expires_at: datetime | None = None,
) -> Promotion:
    """Name a recipe for a role, and let the tracker mirror it with its evidence."""
    promotion = Promotion(role, recipe.name, recipe.digest, by, reason, evidence, home.clock.now(), expires_at)
    home.promotions.name(promotion)
    mirrored(promotion, tracker=tracker)
    return promotion


def mirrored(promotion: Promotion, *, tracker: Tracker) -> None:
    """Let the tracker's alias follow; the run that stands behind it is made where there is none."""
    evidence = promotion.evidence
    tags = {"digest": promotion.digest, "by": promotion.by, "reason": promotion.reason}
    if not evidence:
        name = f"{promotion.recipe} named {promotion.role}"
        with tracker.run(name, experiment=EXPERIMENT, parameters={"recipe": promotion.recipe}, tags=tags) as run:
            evidence = run.run_id
    tracker.mirror(promotion.role, name=promotion.recipe, evidence=evidence, tags=tags)


def ramp_of(found: Heard) -> str:
    """The experiment that a challenger is offered, as `recsys experiments create` takes it."""
    return (
        "[[experiment]]\n"
        f'experiment_id = "{found.recipe.name}-on-{found.surface}"\n'
        'owner = "…"\n'
        f'hypothesis = "{found.recipe.name} brings more value than {found.champion.name}"\n'
        'primary = "value"\nunit = "household"\n'
        f'surfaces = ["{found.surface}"]\n'
        f'variants = [{{name = "{found.champion.name}", recipe = "{found.champion.name}", share = 0.9}}, '
        f'{{name = "{found.recipe.name}", recipe = "{found.recipe.name}", share = 0.1}}]\n'
        f'control = "{found.champion.name}"\n'
        "starts_at = …\nends_at = …\n"
        'stop_rule = "after 28 days, or at once when a guardrail is worse"\n'
    )


def _finite(row: dict[str, object]) -> dict[str, object]:
    return {k: None if isinstance(v, float) and v in (float("inf"), float("-inf")) else v for k, v in row.items()}
