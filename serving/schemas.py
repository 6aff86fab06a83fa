"""The shapes of HTTP version 1, with examples: what the OpenAPI description is made from.

Unknown fields are refused, except keys inside `context`, which are ignored and counted so that
callers can deploy before we do.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
LARGEST_PENCE = 10**15
_UNKNOWN_TOLD = 8  # unknown fields of one object that are each told


def _written(at: object) -> object:
    if not isinstance(at, str) or "-" not in at:
        raise ValueError("a time as RFC 3339 writes it, such as 2026-03-02T09:00:00Z")
    return at


def _of_this_age(at: AwareDatetime) -> AwareDatetime:
    if not 1990 <= at.year <= 2200:
        raise ValueError("a time between the years 1990 and 2200")
    return at


Moment = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_of_this_age)]
Truth = Annotated[bool, Field(strict=True)]
Pence = Annotated[int, Field(strict=True, ge=-LARGEST_PENCE, le=LARGEST_PENCE)]


class Strict(BaseModel):
    """Refuses what it does not know, and numbers that are not numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _not_crowded(cls, given: Any) -> Any:
        """One fault for a crowd of unknown fields: telling each of a hundred thousand would hold everybody up."""
        if isinstance(given, dict) and len(given) > len(cls.model_fields) + _UNKNOWN_TOLD:
            raise ValueError(f"has {len(given)} fields; known are {', '.join(cls.model_fields)}")
        return given


def example(**fields: Any) -> ConfigDict:
    """A model's configuration with one example, for the description and those who generate from it."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class RecommendationRequest(Strict):
    """What the app asks for one customer on one surface."""

    model_config = example(request_id="r-1", customer_id="c-1", surface="home", slots=3, context={"payday_in_days": 0})

    request_id: Id | None = Field(None, description="same id and body: the same answer; same id, other body: 409")
    customer_id: Id
    surface: Name
    slots: int = Field(3, strict=True, ge=1, le=20)
    context: dict[str, Any] = Field(default_factory=dict, description="facts known only now", max_length=100)
    deadline_ms: int | None = Field(None, strict=True, ge=1, le=60_000)
    candidates: list[Id] | None = Field(None, max_length=1000)
    exclude: list[Id] = Field(default_factory=list, max_length=1000)


class SearchRequest(Strict):
    """What a customer typed. The words find products and are kept nowhere."""

    model_config = example(customer_id="c-1", query="savings acount", slots=5)

    request_id: Id | None = Field(None, description="same id and body: the same answer; same id, other body: 409")
    customer_id: Id
    query: Query
    slots: int = Field(10, strict=True, ge=1, le=20)
    deadline_ms: int | None = Field(None, strict=True, ge=1, le=60_000)


class ReasonOut(Strict):
    """Why a product is shown."""

    code: str
    text: str


class SlotOut(Strict):
    """One place in the slate; `propensity` is given the slots above."""

    slot: int
    product_id: str
    creative_id: str
    propensity: float
    reasons: list[ReasonOut]


class AssignedOut(Strict):
    """The variant a customer is in."""

    id: str
    variant: str


class ShortfallOut(Strict):
    """Fewer products than asked for, and why."""

    asked: int
    given: int
    reason: str


class RecommendationResponse(Strict):
    """The slate, durable before it was sent. `decision_id` is null only with the database gone."""

    model_config = example(
        decision_id="6f1c",
        made_at="2026-03-02T09:00:00Z",
        expires_at="2026-03-03T09:00:00Z",
        slate=[
            {
                "slot": 1,
                "product_id": "pot",
                "creative_id": "pot-a",
                "propensity": 0.73,
                "reasons": [{"code": "PAYDAY_SURPLUS", "text": "You were paid today and have money left over"}],
            }
        ],
        policy="bandit@1200",
        mode="live",
        experiments=[{"id": "home-bandit", "variant": "bandit"}],
        shortfall=None,
    )

    decision_id: str | None
    made_at: str
    expires_at: str
    slate: list[SlotOut]
    policy: str
    mode: str = Field(description="live | holdout | broadcast | search | fallback:<rung>")
    experiments: list[AssignedOut]
    shortfall: ShortfallOut | None


class OutcomeIn(Strict):
    """One thing that happened. With a customer and no decision it is organic."""

    outcome_id: Id
    decision_id: Id | None = None
    customer_id: Id | None = None
    product_id: Id
    kind: Name
    happened_at: Moment
    amount_pence: Pence | None = None

    @model_validator(mode="after")
    def _names_one(self) -> OutcomeIn:
        if (self.decision_id is None) == (self.customer_id is None):
            raise ValueError("name a decision, or a customer for an organic outcome, and not both")
        return self


class OutcomesRequest(Strict):
    """1 to 1000 outcomes."""

    model_config = example(
        outcomes=[
            {
                "outcome_id": "o-1",
                "decision_id": "6f1c",
                "product_id": "pot",
                "kind": "tapped",
                "happened_at": "2026-03-02T09:00:12Z",
            }
        ]
    )

    outcomes: list[OutcomeIn] = Field(min_length=1, max_length=1000)


class DisplayIn(Strict):
    """What was really shown for a decision, in order."""

    decision_id: Id
    displayed_at: Moment
    product_ids: list[Id] = Field(max_length=20)


class DisplaysRequest(Strict):
    """1 to 1000 displays."""

    model_config = example(
        displays=[{"decision_id": "6f1c", "displayed_at": "2026-03-02T09:00:01Z", "product_ids": ["pot", "joint"]}]
    )

    displays: list[DisplayIn] = Field(min_length=1, max_length=1000)


class Rejected(Strict):
    """Why one item of a batch was not taken; the others were."""

    id: str
    reason: str


class RejectedOutcome(Strict):
    """Why one outcome was not taken; the others were."""

    outcome_id: str
    reason: str


class OutcomesResponse(Strict):
    """Accepted means durable."""

    accepted: int
    duplicates: int
    rejected: list[RejectedOutcome]


class BatchResponse(Strict):
    """Accepted means durable."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


class PermissionsIn(Strict):
    """What the customer allows; whatever is left out is not allowed."""

    in_app: Truth = False
    push: Truth = False
    email: Truth = False
    targeted_support: Truth = False
    objected_at: Moment | None = None


class CustomerIn(Strict):
    """Facts and permissions that hold since `as_of`; older never overwrites newer."""

    model_config = example(
        as_of="2026-03-02T00:00:00Z",
        facts={"date_of_birth": "1990-05-01", "age_verified": True, "residence": "GB"},
        permissions={"in_app": True},
    )

    as_of: Moment
    facts: dict[str, Any] = Field(default_factory=dict, max_length=200)
    permissions: PermissionsIn | None = None


class CustomerOfBatch(CustomerIn):
    """One customer of a batch."""

    customer_id: Id


class CustomersRequest(Strict):
    """1 to 1000 customers."""

    model_config = example(
        customers=[
            {
                "customer_id": "c-1",
                "as_of": "2026-03-02T00:00:00Z",
                "facts": {"residence": "GB"},
                "permissions": {"in_app": True},
            }
        ]
    )

    customers: list[CustomerOfBatch] = Field(min_length=1, max_length=1000)


class CustomersResponse(Strict):
    """How many were taken, and how many of those changed anything."""

    accepted: int
    changed: int


class ActivityIn(Strict):
    """Something a customer did in the app or with money."""

    activity_id: Id
    customer_id: Id
    kind: Annotated[Name, StringConstraints(max_length=40)]
    subject: Name
    happened_at: Moment
    amount_pence: Pence | None = None


class ActivityRequest(Strict):
    """1 to 1000 activities."""

    model_config = example(
        activities=[
            {
                "activity_id": "a-1",
                "customer_id": "c-1",
                "kind": "spent",
                "subject": "groceries",
                "happened_at": "2026-03-02T08:12:00Z",
                "amount_pence": 1250,
            }
        ]
    )

    activities: list[ActivityIn] = Field(min_length=1, max_length=1000)


class ErrorItem(Strict):
    """One fault of a request, with a JSON pointer to it."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ErrorItem] = Field(default_factory=list)


class ReceiptOut(BaseModel):
    """The whole record of a decision and what came of it; parts are added as engines grow, none is taken away."""

    model_config = ConfigDict(extra="allow")

    decision_id: str
    made_at: str
    surface: str
    mode: str
    policy: str


class ExperimentsResponse(BaseModel):
    """Every experiment as a record, newest first."""

    experiments: list[dict[str, Any]]


class ScorecardOut(BaseModel):
    """One experiment in numbers and sentences: what its page shows, and nothing else."""

    model_config = ConfigDict(extra="allow")

    experiment: dict[str, Any]


class PoliciesOut(BaseModel):
    """What the page of policies shows; entries are added, none is taken away."""

    model_config = ConfigDict(extra="allow")

    serving: list[dict[str, Any]]
    history: list[dict[str, Any]]


class SystemOut(BaseModel):
    """What the page of the system shows; entries are added, none is taken away."""

    model_config = ConfigDict(extra="allow")

    counters: dict[str, int]
    rules: list[dict[str, Any]]


class Health(Strict):
    """Alive."""

    status: Literal["alive"]


class Readiness(Strict):
    """Ready, or what is missing."""

    ready: bool
    missing: list[str]
    notes: list[str]


class StoreErased(Strict):
    """What became of one store."""

    store: str
    result: str


class ErasureOut(Strict):
    """The receipt of an erasure; it names no person."""

    erasure_id: str
    state: str
    begun_at: str
    done_at: str | None
    stores: list[StoreErased]


class HeldOut(BaseModel):
    """All that is held on one person; parts are added as stores grow, none is taken away."""

    model_config = ConfigDict(extra="allow")

    customer_id: str
    exported_at: str
    facts: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
