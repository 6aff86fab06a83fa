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
            "pot": (-0.11, 0.01, -0.12),
            "fixed-6m": (0.52, -0.32, 0.07),
            "fixed-1y": (0.79, -0.58, 0.09),
            "cash-isa": (0.46, -0.17, 0.11),
            "ss-isa": (0.49, -0.38, -0.01),
            "pension": (-0.08, 0.11, -0.14),
            "overdraft": (0.32, -0.26, 0.20),
            "loan": (0.18, -0.21, 0.04),
            "flex": (0.02, 0.01, -0.09),
            "card": (-0.01, 0.08, -0.08),
            "joint": (0.19, -0.26, -0.05),
            "business": (1.40, -1.41, 0.06),
            "teen-account": (0.27, -0.29, 0.06),
            "salary-sorter": (-0.09, 0.17, -0.05),
            "bill-split": (0.29, -0.34, -0.13),
            "round-ups": (-0.29, 0.40, -0.25),
            "penny-challenge": (-0.46, 0.50, -0.26),
            "budgeting": (0.21, -0.26, 0.11),
            "cashback": (0.17, -0.24, 0.00),
            "help": (-0.02, 0.10, -0.03),
            "debt-help": (-0.19, -0.10, -0.21),
            "rainy-day": (-0.39, 0.38, -0.25),
            "metal-card": (-0.09, 0.30, -0.08),
        },
        "types": {
            "pot": (0.31, -0.25, 0.27),
            "fixed-6m": (0.35, -0.41, 0.03),
            "fixed-1y": (0.97, -0.91, 0.29),
            "cash-isa": (0.21, -0.36, -0.01),
            "ss-isa": (1.50, -1.13, 0.68),
            "pension": (0.96, -0.43, 0.72),
            "overdraft": (0.99, -1.02, 0.55),
            "loan": (1.45, -0.89, 1.11),
            "flex": (1.19, -1.01, 0.85),
            "card": (-1.74, 1.29, -0.73),
            "joint": (1.49, -1.17, 0.72),
            "business": (2.17, -2.16, 0.36),
            "teen-account": (1.27, -1.13, 0.60),
            "salary-sorter": (0.64, -0.57, 0.45),
            "bill-split": (1.87, -1.47, 1.27),
            "round-ups": (0.34, -0.58, 0.25),
            "penny-challenge": (-0.11, -0.21, -0.17),
            "budgeting": (0.62, -0.61, 0.42),
            "cashback": (0.93, -0.76, 0.76),
            "help": (1.88, -0.62, 1.65),
            "debt-help": (-0.32, -0.17, -0.35),
            "rainy-day": (-0.23, 0.03, -0.21),
            "metal-card": (-0.27, 0.32, -0.18),
        },
        "distances": {
            "pot": (-0.14, -0.06, -0.14),
            "fixed-6m": (0.61, -0.52, 0.19),
            "fixed-1y": (0.98, -0.78, 0.31),
            "cash-isa": (0.33, -0.35, 0.07),
            "ss-isa": (1.29, -1.00, 0.51),
            "pension": (0.51, -0.47, 0.24),
            "overdraft": (0.72, -0.63, 0.38),
            "loan": (0.58, -0.47, 0.38),
            "flex": (0.64, -0.53, 0.39),
            "card": (0.10, -0.16, 0.02),
            "joint": (0.83, -0.82, 0.19),
            "business": (1.66, -1.52, 0.23),
            "teen-account": (0.25, -0.44, -0.06),
            "salary-sorter": (0.19, -0.24, 0.08),
            "bill-split": (1.09, -0.95, 0.61),
            "round-ups": (-0.14, -0.01, -0.15),
            "penny-challenge": (0.04, -0.12, -0.01),
            "budgeting": (0.73, -0.67, 0.50),
            "cashback": (0.64, -0.63, 0.48),
            "help": (-0.31, 0.05, -0.28),
            "debt-help": (-0.25, -0.04, -0.25),
            "rainy-day": (-0.46, 0.25, -0.36),
            "metal-card": (-0.72, 0.33, -0.63),
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
