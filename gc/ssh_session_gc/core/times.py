"""Durations as Go writes them, and instants as people read them.

Knows the grammar of Go's ``time.ParseDuration`` (https://pkg.go.dev/time#ParseDuration), because that is how
Kubernetes users write ``90s`` and ``1h30m``. Knows nothing of what a duration is for.
"""

import math
import re
from datetime import UTC, datetime
from functools import lru_cache

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # U+00B5 micro sign
    "μs": 1e-6,  # U+03BC Greek mu
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86_400.0,  # these two are not Go's, but everybody's who writes of days
    "w": 604_800.0,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w)")
# Go counts nanoseconds in 64 bits; what does not fit there is no duration.
_LONGEST = (2**63 - 1) / 1e9
_LONGEST_TEXT = 64


def parse_duration(text: str) -> float:
    """Seconds of a Go duration such as ``90s``, ``1h30m``, ``1.5h`` or ``0``; days and weeks are units, too.

    Raises ValueError, with a sentence for the user, for anything else and for negative durations.
    """
    if text == "0":
        return 0.0
    total, at = 0.0, 0
    # The length is bounded because the text may come from an annotation, which can hold 256 KiB.
    if len(text) <= _LONGEST_TEXT:
        while at < len(text) and (part := _PART.match(text, at)):
            total += float(part[1]) * _UNITS[part[2]]
            at = part.end()
    if not text or at != len(text) or total > _LONGEST:
        raise ValueError("not a duration: write it as 90s, 15m, 1h30m or 2d")
    return total


def format_duration(seconds: float) -> str:
    """The duration in Go's units, without the zero parts: ``1h30m``, ``45s``, ``0.5s``."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", f"{rest:g}s" if rest else ""]
    return "".join(parts) or "0s"


def format_age(seconds: float) -> str:
    """The duration as kubectl shows ages, two units at the most: ``45s``, ``5m10s``, ``90m``, ``3h20m``, ``2d4h``."""
    whole = int(seconds)
    if whole < 0:
        return "-" + format_age(-whole)
    for limit, unit, size, rest, rest_size in _AGES:
        if whole < limit:
            count, left = divmod(whole, size)
            fraction = left // rest_size if rest else 0
            return f"{count}{unit}" + (f"{fraction}{rest}" if fraction else "")
    return f"{whole // 31_536_000}y"


# Below so many seconds: the unit, its seconds, and the smaller unit that is shown beside it.
_AGES = (
    (120, "s", 1, "", 1),
    (600, "m", 60, "s", 1),
    (10_800, "m", 60, "", 1),
    (28_800, "h", 3600, "m", 60),
    (172_800, "h", 3600, "", 1),
    (691_200, "d", 86_400, "h", 3600),
    (63_072_000, "d", 86_400, "", 1),
)


def format_instant(at: float) -> str:
    """RFC 3339 in UTC, whole seconds, as Kubernetes writes ``creationTimestamp``.

    An instant that no calendar holds (before year 1, after year 9999) becomes the nearest that it does.
    """
    return _whole_second(math.floor(_on_the_calendar(at)))


@lru_cache(maxsize=256)  # what dies together has its instants in common
def _whole_second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_micro(at: float) -> str:
    """RFC 3339 in UTC with microseconds: metav1.MicroTime."""
    return datetime.fromtimestamp(_on_the_calendar(at), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def format_clock(at: float, now: float) -> str:
    """The time of day in UTC where that says it all (same day as ``now``), otherwise the whole instant."""
    text = format_instant(at)
    return text[11:] if text[:10] == format_instant(now)[:10] else text


_FIRST = datetime.min.replace(tzinfo=UTC).timestamp()
_LAST = datetime.max.replace(microsecond=0, tzinfo=UTC).timestamp()


def _on_the_calendar(at: float) -> float:
    return min(max(at, _FIRST), _LAST)
