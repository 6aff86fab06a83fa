"""Why am I seeing this? One approved sentence, tied to what was known (TRN-1).

A reason is offered only where the fact it names was true at the decision; no sentence names a
merchant, and none says "recommended for you" of anything advice-sensitive (ADV-1).
"""

from __future__ import annotations

from collections.abc import Mapping

from recsys.vocabulary import Context, ProductId, Reason

EVERYBODY = Reason("SHOWN_TO_EVERYONE", "Everyone who opens the app can see this")
AVAILABLE = Reason("AVAILABLE_TO_YOU", "You can use this and do not have it yet")

_PAID = ("just_paid", 0.4, Reason("PAYDAY_SURPLUS", "You were paid recently"))
_SAVINGS = ("log_savings", 0.55, Reason("SAVINGS_HELD", "You keep savings with us"))
_LOW = ("low_balance", 0.5, Reason("BALANCE_LOW", "Your balance is low before payday"))
_FAMILY = ("family", 0.5, Reason("SHARED_BILLS", "Your spending suggests a shared household"))
_TRADER = ("sole_trader", 0.5, Reason("TRADING_INCOME", "You receive income from trading"))
_ISA = ("isa_season", 0.3, Reason("TAX_YEAR_END", "The tax year is about to end"))
_ARREARS = ("arrears", 0.5, Reason("HELP_WITH_BILLS", "Help is available with bills and debts"))

_OPEN = ("constant", 0.5, Reason("OPEN_TO_EVERYONE", "Help that is open to everyone"))

_REASONS: Mapping[ProductId, tuple[tuple[str, float, Reason], ...]] = {
    "pot": (_PAID,),
    "fixed-6m": (_SAVINGS,),
    "fixed-1y": (_SAVINGS,),
    "cash-isa": (_ISA, _SAVINGS),
    "joint": (_FAMILY,),
    "business": (_TRADER,),
    "salary-sorter": (_PAID,),
    "budgeting": (_LOW,),
    "debt-help": (_ARREARS, _LOW, _OPEN),
    "help": (_OPEN,),
    "flex": (_PAID,),
}


def reason_of(product_id: ProductId, context: Context) -> Reason:
    """The first reason of the product whose named feature stands above its threshold, else `AVAILABLE`."""
    for feature, threshold, reason in _REASONS.get(product_id, ()):
        if feature in context.names and context.values[context.names.index(feature)] >= threshold:
            return reason
    return AVAILABLE
