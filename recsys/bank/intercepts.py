"""What each world adds to every product's intercepts so that all worlds have the plain world's base rates.

Found once by `python -m recsys.bank.calibrating` and fixed here: they are never fitted to the bank at
hand, so a slice of customers lives exactly as it does in the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from recsys.vocabulary import ProductId

Shift = tuple[float, float, float]
"""Added to the click index, to the logit of opening once tapped, and to the log of the organic rate."""

SHIFTS: Mapping[str, Mapping[ProductId, Shift]] = MappingProxyType(
    {
        "thresholds": {
            "pot": (-0.09, 0.09, -0.10),
            "fixed-6m": (0.48, -0.37, -0.00),
            "fixed-1y": (0.74, -0.63, 0.04),
            "cash-isa": (0.36, -0.17, 0.03),
            "ss-isa": (0.47, -0.42, -0.04),
            "pension": (-0.08, 0.12, -0.14),
            "overdraft": (0.40, -0.35, 0.25),
            "loan": (0.24, -0.25, 0.07),
            "flex": (0.13, -0.09, -0.06),
            "card": (-0.01, 0.08, -0.08),
            "joint": (0.19, -0.26, -0.04),
            "business": (1.39, -1.41, 0.08),
            "teen-account": (0.24, -0.28, 0.06),
            "salary-sorter": (-0.09, 0.17, -0.04),
            "bill-split": (0.27, -0.33, -0.12),
            "round-ups": (-0.32, 0.43, -0.27),
            "penny-challenge": (-0.46, 0.49, -0.26),
            "budgeting": (0.29, -0.38, 0.16),
            "cashback": (0.11, -0.17, -0.02),
            "help": (-0.02, 0.08, -0.03),
            "debt-help": (-0.24, -0.04, -0.23),
            "rainy-day": (-0.35, 0.43, -0.22),
            "metal-card": (-0.11, 0.32, -0.09),
        },
        "types": {
            "pot": (0.29, -0.25, 0.24),
            "fixed-6m": (0.57, -0.62, 0.09),
            "fixed-1y": (1.20, -1.10, 0.40),
            "cash-isa": (0.37, -0.48, 0.04),
            "ss-isa": (1.59, -1.17, 0.74),
            "pension": (1.02, -0.47, 0.76),
            "overdraft": (0.91, -0.95, 0.54),
            "loan": (1.43, -0.90, 1.08),
            "flex": (1.19, -1.03, 0.82),
            "card": (-1.68, 1.20, -0.70),
            "joint": (1.39, -1.05, 0.70),
            "business": (2.17, -2.18, 0.37),
            "teen-account": (1.22, -1.05, 0.61),
            "salary-sorter": (0.63, -0.58, 0.45),
            "bill-split": (1.83, -1.46, 1.26),
            "round-ups": (0.36, -0.60, 0.26),
            "penny-challenge": (-0.09, -0.20, -0.15),
            "budgeting": (0.65, -0.65, 0.44),
            "cashback": (0.89, -0.70, 0.75),
            "help": (1.87, -0.65, 1.64),
            "debt-help": (-0.43, -0.02, -0.40),
            "rainy-day": (-0.28, 0.06, -0.26),
            "metal-card": (-0.26, 0.33, -0.17),
        },
        "distances": {
            "pot": (-0.17, -0.04, -0.17),
            "fixed-6m": (0.79, -0.70, 0.23),
            "fixed-1y": (1.19, -0.97, 0.39),
            "cash-isa": (0.44, -0.46, 0.10),
            "ss-isa": (1.32, -1.01, 0.54),
            "pension": (0.51, -0.49, 0.23),
            "overdraft": (0.66, -0.58, 0.38),
            "loan": (0.57, -0.48, 0.35),
            "flex": (0.66, -0.58, 0.38),
            "card": (0.09, -0.17, 0.01),
            "joint": (0.81, -0.83, 0.17),
            "business": (1.67, -1.56, 0.22),
            "teen-account": (0.17, -0.36, -0.08),
            "salary-sorter": (0.18, -0.24, 0.07),
            "bill-split": (1.04, -0.92, 0.58),
            "round-ups": (-0.15, -0.03, -0.16),
            "penny-challenge": (0.02, -0.09, -0.03),
            "budgeting": (0.72, -0.69, 0.50),
            "cashback": (0.59, -0.57, 0.45),
            "help": (-0.31, 0.01, -0.29),
            "debt-help": (-0.26, -0.06, -0.28),
            "rainy-day": (-0.49, 0.25, -0.40),
            "metal-card": (-0.78, 0.38, -0.68),
        },
    }
)


def shift_of(product_id: ProductId, *, world: str) -> Shift:
    """What `world` adds for this product; one that was not calibrated gets the mean of those that were."""
    shifts = SHIFTS.get(world)
    if not shifts:
        return (0.0, 0.0, 0.0)
    if product_id in shifts:
        return shifts[product_id]
    click, convert, organic = (sum(column) / len(shifts) for column in zip(*shifts.values(), strict=True))
    return (click, convert, organic)
