"""The nouns of the house: every floor speaks in these, and each has one meaning.

All are frozen values. A decision carries everything that is needed to replay it and to judge
another policy by it (domain requirements OPS-5 and TRN-2), so nothing here points back at live
objects: versions are digests, probabilities are float64, times are aware UTC.

A customer has two names. `customer_id` is the bank's and stays in the profile store; `token` is
random, ours, and the only name that enters the event log, so that erasing one row of the mapping
unlinks a whole history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import compress
from types import MappingProxyType
from typing import NamedTuple, NewType, TypeAlias

import numpy as np
from numpy.typing import NDArray

CustomerId = NewType("CustomerId", str)
Token = NewType("Token", str)
ProductId: TypeAlias = str
DecisionId: TypeAlias = str

Floats: TypeAlias = NDArray[np.float64]
Vector: TypeAlias = NDArray[np.float32]
Bools: TypeAlias = NDArray[np.bool_]
FactValue: TypeAlias = bool | int | float | str | tuple[str, ...] | None
Touch: TypeAlias = tuple[int, ProductId, str]
"""A second since 1970, the product, and the mark of the decision it came from ("" for none)."""

NOTHING: ProductId = "nothing"
"""The null choice: drawing it ends the slate, with its own logged propensity."""


class CommunicationClass(StrEnum):
    """What kind of message a product or creative is, in law (domain 2.2)."""

    SERVICE = "service"
    REGULATORY_NEUTRAL = "regulatory_neutral"
    EDUCATION = "education"
    PROMO_BROADCAST = "promo_broadcast"
    PROMO_PERSONALISED = "promo_personalised"


class Fact(NamedTuple):
    """One thing the bank knows of a customer, and since when. `value` None means "known to be none".

    A tuple, since every request makes dozens of them.
    """

    value: FactValue
    as_of: datetime
    source: str = "bank"


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a customer allows, by channel (MKT-6). The default is the strictest case: nothing."""

    in_app: bool = False
    push: bool = False
    email: bool = False
    targeted_support: bool = False
    objected_at: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Contact:
    """What a customer was shown and sent, and what they answered, as far back as rules look.

    `touches` by kind (`touches.KINDS`), oldest first. `tired` is a decayed count of displays of each
    product, and the second at which it stood there.
    """

    touches: Mapping[str, Sequence[Touch]] = field(default_factory=lambda: MappingProxyType({}))
    tired: Mapping[ProductId, tuple[float, int]] = field(default_factory=lambda: MappingProxyType({}))
    version: int = 0  # grows with every change


NO_CONTACT = Contact()


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """What the bank knows of a customer now. Not logged: a decision copies the facts it used."""

    customer_id: CustomerId
    token: Token
    facts: Mapping[str, Fact] = field(default_factory=lambda: MappingProxyType({}))
    permissions: Permissions = Permissions()
    vector: Vector | None = None  # (dim,) unit length
    bundle: str | None = None  # digest of the bundle that made the vector
    contact: Contact = NO_CONTACT
    told: int = 0  # grows with every change of facts or permissions: what a decision was made with

    def value(self, name: str) -> FactValue:
        """The value of a fact, None when it is missing *or* known to be none."""
        fact = self.facts.get(name)
        return None if fact is None else fact.value


@dataclass(frozen=True, slots=True)
class Creative:
    """One approved way of saying a product."""

    creative_id: str
    text: str
    communication_class: CommunicationClass
    template: str = ""  # the approved template the text is taken from (MKT-8)
    apr_block: str = ""  # the approved representative example that goes with it (CRD-5)


@dataclass(frozen=True, slots=True)
class Product:
    """One thing the bank offers: what it is in law, where it may appear, what its words are."""

    product_id: ProductId
    name: str
    family: str
    communication_class: CommunicationClass
    regulated_class: str  # none | savings | isa | investment | pension | credit
    surfaces: frozenset[str]
    text: str
    creatives: tuple[Creative, ...]
    tags: tuple[str, ...] = ()
    value: float = 1.0  # points one opening is worth, before costs (a reward configuration may say otherwise)
    min_age: int = 0
    countries: tuple[str, ...] = ("GB",)
    launched_at: datetime | None = None
    retired_at: datetime | None = None
    dominated_by: tuple[ProductId, ...] = ()  # better products for the same need (SAV-5)


@dataclass(frozen=True, slots=True)
class Context:
    """What a policy may see of the moment; no identity. Names and values run side by side."""

    names: tuple[str, ...] = ()
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """An eligible product that retrieval proposed, with what a policy may see of it.

    `names` and `values` are the product's own features; `affinity` is the only number that comes
    from embeddings (standardised per bundle; None where there is no vector). `seen_lately` is the one
    number that differs by customer without an embedding: how often they were shown it (features.py).
    """

    product_id: ProductId
    creative_id: str = ""
    names: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    affinity: float | None = None
    seen_lately: float = 0.0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a product is shown: a code of the approved vocabulary (TRN-1) and its sentence."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in a slate. `propensity` is conditional on the slots above."""

    number: int  # 1-based
    product_id: ProductId
    creative_id: str
    propensity: float
    reasons: tuple[Reason, ...] = ()


NOT_KNOWN = "A fact that this rule needs is not known, and what cannot be checked is not shown"
"""The reason of every verdict that fails closed (OPS-6)."""

OUT_OF_DATE = "What we know is out of date, and what cannot be checked is not shown"
"""The reason of a verdict that fails closed because a fact it needs is too old (OPS-6)."""

RULE_KINDS = ("eligible", "applicable", "suitable")
"""What a rule asks: allowed by law and product terms; makes sense here and now; good for this customer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule said of one product for one customer."""

    product_id: ProductId
    rule_id: str
    allowed: bool
    reason: str
    kind: str = RULE_KINDS[0]
    stale: tuple[str, ...] = ()  # facts too old to be believed, where they are why


def same_products(products: Sequence[Product]) -> int | tuple[int, ...]:
    """What a list that comes again is known by: a tuple by itself, any other by its products.

    Holds as long as they live, so whoever keeps it keeps them.
    """
    return id(products) if isinstance(products, tuple) else tuple(map(id, products))


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """Every verdict of one decision, packed: `allowed[i, j]` is rule j on product i.

    True where the rule passed or does not apply to the product. `unknown` are the rules that refuse
    only because a fact they need is not known: their own reason would say more than anybody knows.
    `stale` says of which of them the fact is known but too old (OPS-6). `through` names the declared
    audience that admitted an advice-sensitive product (ADV-2).
    """

    products: tuple[ProductId, ...]
    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    allowed: Bools  # (products, rules)
    unknown: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()  # beside `rules`; none in records older than kinds
    stale: tuple[tuple[int, str], ...] = ()  # (rule, fact)
    through: tuple[tuple[ProductId, str], ...] = ()  # (product, audience)

    def eligible(self) -> tuple[ProductId, ...]:
        """Products that no rule refused, in order."""
        return tuple(compress(self.products, np.logical_and.reduce(self.allowed, axis=1).tolist()))

    def expanded(self) -> tuple[Verdict, ...]:
        """One `Verdict` for each product and rule."""
        reasons = [NOT_KNOWN if j in self.unknown else reason for j, reason in enumerate(self.reasons)]
        stale = [tuple(fact for rule, fact in self.stale if rule == j) for j in range(len(self.rules))]
        reasons = [OUT_OF_DATE if old else reason for reason, old in zip(reasons, stale, strict=True)]
        kinds = self._told_kinds
        return tuple(
            Verdict(product, rule, bool(self.allowed[i, j]), reasons[j], kinds[j], stale[j])
            for i, product in enumerate(self.products)
            for j, rule in enumerate(self.rules)
        )

    def joined(self, *others: Verdicts) -> Verdicts:
        """These verdicts with the columns of others on the same products beside them."""
        joined = self
        for other in others:
            if other.rules:
                joined = joined._beside(other)
        return joined

    def _beside(self, other: Verdicts) -> Verdicts:
        n = len(self.rules)
        return Verdicts(
            self.products,
            self.rules + other.rules,
            self.reasons + other.reasons,
            np.concatenate((self.allowed, other.allowed), axis=1),
            (*self.unknown, *(n + j for j in other.unknown)),
            self._told_kinds + other._told_kinds,
            (*self.stale, *((n + j, fact) for j, fact in other.stale)),
            self.through + other.through,
        )

    @property
    def _told_kinds(self) -> tuple[str, ...]:
        return self.kinds or (RULE_KINDS[0],) * len(self.rules)


@dataclass(frozen=True, slots=True)
class Assigned:
    """The variant of one experiment that a unit is in."""

    experiment_id: str
    variant: str


@dataclass(frozen=True, slots=True)
class Versions:
    """Digests of all that made a decision (TRN-2): equal for thousands of decisions, so stored once."""

    catalogue: str
    rule_pack: str
    features: str
    rewards: str
    recipe: str
    snapshot: str  # digest of the policy's state, "" for a policy without one
    bundle: str  # "" when no embedding took part
    privacy_notice: str
    code: str
    contact: str = ""  # of the contact policy
    reasons: str = ""  # of the vocabulary of reasons; "" in decisions older than it


@dataclass(frozen=True, slots=True)
class Shadow:
    """What a recipe would have shown beside the one that decided: logged, and shown to nobody."""

    policy: str  # name@version
    recipe: str  # digest
    snapshot: str  # digest
    slots: tuple[tuple[ProductId, float], ...]  # product and its propensity given those above; may end in `NOTHING`
    took_us: int
    failed: str = ""  # what went wrong in it, by its kind


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """One answer we gave, with all that is needed to replay it or to judge another policy by it.

    `scores` is (n,) over `candidates`; `pmfs` is (slots drawn, n), row k the distribution slot
    k+1 was drawn from given the slots above. Dice come from `decision_id` and `redraws`.
    `slots` may end in `NOTHING`.
    """

    decision_id: DecisionId
    token: Token
    surface: str
    made_at: datetime
    expires_at: datetime
    n_slots: int
    mode: str  # live | holdout | broadcast | search | fallback:<rung>
    policy: str  # name@version
    purpose: str  # promotion | service
    permissions: Permissions
    experiments: tuple[Assigned, ...]
    versions: Versions
    facts: Mapping[str, Fact]
    context: Context
    verdicts: Verdicts
    candidates: Sequence[Candidate]
    scores: Floats
    pmfs: Floats
    slots: tuple[Slot, ...]
    redraws: int = 0
    request_id: str | None = None
    unit: str = ""  # what experiments assign: a pseudonym of the customer or household
    shortfall: str | None = None
    retrieval: str = "all"  # all | vector | static
    overrides: tuple[str, ...] = ()
    retention: str = "6y"
    latency_us: int = 0
    erased: bool = False  # its person was forgotten: what is left verifies, and teaches nothing
    shadows: tuple[Shadow, ...] = ()

    @property
    def shown(self) -> tuple[Slot, ...]:
        """The slots that carry a product (all but a closing `NOTHING`)."""
        return tuple(slot for slot in self.slots if slot.product_id != NOTHING)

    @property
    def joint_propensity(self) -> float:
        """Probability of the whole slate: the product of the conditional ones."""
        return float(np.prod([slot.propensity for slot in self.slots]))


def without_person(decision: Decision) -> Decision:
    """What is left of a decision once its person is forgotten, as the log gives it back."""
    candidates = tuple(replace(each, affinity=None, seen_lately=0.0) for each in decision.candidates)
    return replace(
        decision, permissions=Permissions(), facts=MappingProxyType({}), context=Context(), candidates=candidates,
        request_id=None, erased=True,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Display:
    """What was really shown for a decision, in order."""

    decision_id: DecisionId
    displayed_at: datetime
    product_ids: tuple[ProductId, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One thing that happened to one slot; organic when it names a customer and no decision."""

    outcome_id: str
    token: Token
    product_id: ProductId
    kind: str
    happened_at: datetime
    decision_id: DecisionId | None = None
    amount_pence: int | None = None
    source: str = ""  # the name of the key that reported it: who floods is known by it


@dataclass(frozen=True, slots=True)
class Activity:
    """Something a customer did in the app or with money; never a message to anybody."""

    activity_id: str
    customer_id: CustomerId
    kind: str
    subject: str
    happened_at: datetime
    amount_pence: int | None = None


@dataclass(frozen=True, slots=True)
class PermissionChange:
    """A customer's permissions from `as_of` on (MKT-2: an objection also leaves training)."""

    token: Token
    permissions: Permissions
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Switch:
    """A kill switch turned on or off (OPS-1)."""

    scope: str  # everything | policy | product | family | surface
    subject: str
    off: bool
    reason: str
    by: str
    expires_at: datetime | None = None
    changed_at: datetime | None = None  # business time: the same word twice is two events


@dataclass(frozen=True, slots=True)
class Override:
    """A named post-model adjustment (MRM-6). Withdrawing one tells it again, by whom and why."""

    override_id: str
    action: str  # pin | ban | boost
    product_id: ProductId
    strength: float  # what a boost multiplies the probability by; 1 for a pin, 0 for a ban
    reason: str
    by: str
    expires_at: datetime
    surface: str = ""  # "" is every surface
    withdrawn_at: datetime | None = None

    @property
    def ends_at(self) -> datetime:
        """The first moment at which it has no effect any more."""
        return self.expires_at if self.withdrawn_at is None else min(self.expires_at, self.withdrawn_at)


@dataclass(frozen=True, slots=True)
class Erasure:
    """A person was forgotten; the receipt says where (ERS-1)."""

    erasure_id: str
    token: Token
    stores: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """What was put aside may teach, or a snapshot that was held back be published: who said so, and why.

    It stands in the log, so that what a learner knows stays a function of the log (MRM-4).
    """

    key: str  # of what stands in quarantine; one is released once
    recipe: str  # "" is every recipe
    reason: str
    by: str
    decision_id: DecisionId = ""  # "" for a snapshot
    slot: int = 0  # 1-based
    stage: str = ""
    happened: bool = False
    share: float = 1.0  # as the lesson was told


Body: TypeAlias = Decision | Display | Outcome | PermissionChange | Switch | Override | Erasure | Release


@dataclass(frozen=True, slots=True)
class Event:
    """A body as it stands in the log: visible order is position order."""

    position: int
    recorded_at: datetime
    body: Body


@dataclass(frozen=True, slots=True)
class Exposed:
    """The little of a decision that counting an experiment needs."""

    decision_id: DecisionId
    token: Token
    unit: str
    made_at: datetime
    experiments: tuple[Assigned, ...]
    surface: str = ""


@dataclass(frozen=True, slots=True)
class Glance:
    """An event read for counting only: a decision's exposure, or a whole outcome."""

    position: int
    recorded_at: datetime
    body: Exposed | Outcome


@dataclass(frozen=True, slots=True)
class Lesson:
    """(decision, slot, stage), taught once when that stage's window has closed.

    `happened` is whether the stage's outcome came inside its window. Not yet known is not zero:
    before `ripe_at` there is no lesson. A lesson without a slot is about a candidate that was not shown.
    """

    decision: Decision
    slot: Slot | None
    row: int  # of the product among decision.candidates
    stage: str
    happened: bool
    ripe_at: datetime
    position: int  # of the decision
    share: float = 1.0  # of the outcomes within the stage's horizon, those known by now: (0, 1]
    weight: float = 1.0  # how many lessons it counts for

    @property
    def label(self) -> float:
        """What is taught: its expectation is the chance of the outcome by the stage's horizon."""
        return 1.0 / self.share if self.happened else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """A decision all of whose evaluated windows are closed, joined with its rewards.

    `rewards` and `seen` are (shown slots,); an unseen slot earns 0.
    """

    decision: Decision
    position: int
    rewards: Floats
    seen: Bools
    stages: Mapping[str, Bools]  # stage → (shown slots,) happened
    displayed: tuple[ProductId, ...] | None = None
