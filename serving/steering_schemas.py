"""The shapes of switches and overrides on the wire (HTTP version 1)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from serving.schemas import Id, Moment, Name, Strict, Truth, example

SHORTEST_WHY, LONGEST_WHY = 3, 500
Why = Annotated[str, StringConstraints(min_length=SHORTEST_WHY, max_length=LONGEST_WHY, pattern=r"^[^\x00-\x1f\x7f]+$")]


class SwitchIn(Strict):
    """Turn something off until a time, or on again."""

    model_config = example(
        scope="product",
        subject="pot",
        off=True,
        reason="the rate on the card is wrong",
        expires_at="2026-03-03T09:00:00Z",
    )

    scope: Literal["everything", "policy", "product", "family", "surface"]
    subject: Annotated[str, StringConstraints(max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    off: Truth
    reason: Why
    expires_at: Moment | None = Field(None, description="needed to turn something off")


class SwitchOut(Strict):
    """The last word on one switch."""

    scope: str
    subject: str
    off: bool
    in_force: bool
    reason: str
    by: str
    expires_at: str | None
    changed_at: str | None


class SwitchesResponse(Strict):
    """Every switch that was ever used, the latest word last."""

    switches: list[SwitchOut]


class OverrideIn(Strict):
    """Pin, ban or boost one product for at most 90 days."""

    model_config = example(
        action="boost",
        product_id="pot",
        strength=2.0,
        surface="home",
        reason="the new rate deserves a look",
        expires_at="2026-03-30T00:00:00Z",
    )

    action: Literal["pin", "ban", "boost"]
    product_id: Id
    strength: Annotated[float, Field(strict=True)] | None = Field(
        None, description="a boost multiplies the product's probability by this, 0.1 to 10; only for a boost"
    )
    surface: Name | None = Field(None, description="one surface; without it every one")
    reason: Why
    expires_at: Moment


class OverrideOut(Strict):
    """One override."""

    override_id: str
    action: str
    product_id: str
    strength: float
    surface: str | None
    in_force: bool
    reason: str
    by: str
    expires_at: str
    withdrawn_at: str | None


class OverridesResponse(Strict):
    """Every override that was ever given, the latest word last."""

    overrides: list[OverrideOut]
