"""How numbers and times are written on a page; nothing here knows what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

_DASH = "–"


def rfc3339(moment: datetime) -> str:
    """A UTC time as callers read it.

    >>> rfc3339(datetime.fromisoformat("2026-03-02T09:00:00+00:00"))
    '2026-03-02T09:00:00Z'
    """
    return moment.isoformat().replace("+00:00", "Z")


def percent(share: float | None) -> str:
    """A share as a percentage.

    >>> percent(0.1234), percent(None)
    ('12.3%', '–')
    """
    return _DASH if share is None else f"{share:.1%}"


def once_in(share: float) -> str:
    """How seldom a share is, as "one in so many".

    >>> once_in(0.02), once_in(0.3)
    ('50', '3')
    """
    return f"{round(1 / share):,}"


def signed_percent(lift: float | None) -> str:
    """A relative lift, always with its sign.

    >>> signed_percent(0.05), signed_percent(-0.05)
    ('+5.0%', '−5.0%')
    """
    return _DASH if lift is None else _minus(f"{lift:+.1%}")


def signed(number: float | None) -> str:
    """A difference, always with its sign, three significant figures.

    >>> signed(0.012345)
    '+0.0123'
    """
    return _DASH if number is None else _minus(f"{number:+#.3g}".rstrip(".") if number else "0")


def number(value: float) -> str:
    """A count with thousands, or a mean with three significant figures.

    >>> number(12345), number(0.012345), number(123.4)
    ('12,345', '0.0123', '123')
    """
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if value >= 1000 else f"{value:#.3g}".rstrip(".")


def figure(value: float) -> str:
    """A feature's value, no longer than it needs to be.

    >>> figure(1.0), figure(0.8126), figure(-0.15)
    ('1', '0.813', '−0.15')
    """
    return _minus(f"{value:.3g}")


def chance(p_value: float) -> str:
    """A p-value, no finer than it deserves.

    >>> chance(0.00001), chance(0.0421)
    ('< 0.001', '0.042')
    """
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def day(moment: str | datetime) -> str:
    """The date of a moment.

    >>> day("2026-03-02T09:00:00+00:00")
    '2 March 2026'
    """
    at = _moment(moment)
    return f"{at.day} {at:%B %Y}"


def probability(share: float) -> str:
    """A probability to the tenth of a percent, without claiming certainty where there is none.

    >>> probability(1.0), probability(0.9999), probability(0.0004), probability(0.25)
    ('100%', '> 99.9%', '< 0.1%', '25.0%')
    """
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    return "> 99.9%" if share > 0.999 else "< 0.1%" if share < 0.001 else f"{share:.1%}"


def minute(moment: str | datetime) -> str:
    """A moment to the minute, in UTC as stored.

    >>> minute("2026-03-02T09:05:00+00:00")
    '2 March 2026, 09:05 UTC'
    """
    at = _moment(moment)
    return f"{day(at)}, {at:%H:%M} UTC"


def duration(minutes: float) -> str:
    """A length of time in the unit that fits it.

    >>> duration(0.2), duration(12.0), duration(100.0), duration(4000.0)
    ('under a minute', '12 minutes', '1.7 hours', '2.8 days')
    """
    if minutes < 1:
        return "under a minute"
    if minutes < 90:
        return f"{minutes:.0f} minute{'' if round(minutes) == 1 else 's'}"
    return f"{minutes / 60:.1f} hours" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def untold(sentence: str, word: str) -> str:
    """A judgement's sentence without the word it begins with, for where the word stands above it.

    >>> untold("Better: taps are higher.", "Better")
    'Taps are higher.'
    """
    rest = sentence.removeprefix(f"{word}: ")
    return rest[:1].upper() + rest[1:]


def words(name: str) -> str:
    """A machine's name as words.

    >>> words("not_enough_data")
    'not enough data'
    """
    return name.replace("_", " ")


def _moment(moment: str | datetime) -> datetime:
    return moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)


def _minus(text: str) -> str:
    """A true minus sign, as wide as the plus."""
    return text.replace("-", "−")


FILTERS: Mapping[str, Callable[..., str]] = MappingProxyType(
    {
        "percent": percent,
        "probability": probability,
        "signed_percent": signed_percent,
        "signed": signed,
        "number": number,
        "figure": figure,
        "chance": chance,
        "day": day,
        "minute": minute,
        "duration": duration,
        "untold": untold,
        "words": words,
    }
)
