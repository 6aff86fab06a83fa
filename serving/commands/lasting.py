"""How long something lasts, as a person writes it on the command line."""

from __future__ import annotations

import re
from datetime import datetime

from recsys.errors import InvalidConfiguration
from recsys.rewards import duration


def until(lasting: str, *, now: datetime) -> datetime:
    """The end of something that begins now; raises `InvalidConfiguration`.

    >>> until("2h", now=datetime(2026, 3, 2, 9)).hour
    11
    """
    if not re.fullmatch(r"[1-9]\d{0,4}[smhd]", lasting):
        raise InvalidConfiguration(f'--for "{lasting}": write a number and s, m, h or d, such as 2h or 30d')
    return now + duration(lasting)
