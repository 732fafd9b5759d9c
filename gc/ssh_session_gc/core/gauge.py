"""What an owner counts: how many are connected to it, and since when nobody is.

Knows what follows from one count after another. Does not know how ContainerSSH says them (``containerssh.gauge``), or
which owners a session depends on (``candidates``).

A count of 0 proves that nobody sits in any session that its process made before: ContainerSSH counts a connection
before it creates a Pod for it. Any other count proves nothing about one session. Between two counts of 0 nobody was
there either, where no connection was added to the total.

=====================================  ================================================================
the count                              nobody is connected
=====================================  ================================================================
somebody is connected                  unknown from here on
0, the first, or another total         since it came
0, and the total is as before          since the first of them, until it was asked for
none: no answer, or one without sense  as before; the next may tell that nothing happened meanwhile
=====================================  ================================================================
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

CURRENT, TOTAL = "containerssh_ssh_current_connections", "containerssh_ssh_connections_total"
"""The names of the metrics."""


class Count(NamedTuple):
    """What an owner counts at one moment, over all countries."""

    current: float
    """Connections that are open."""
    total: float
    """Connections since its process began."""


class Idle(msgspec.Struct, frozen=True, gc=False):
    """A stretch of time in which nobody was connected to an owner. Times are the API server's clock."""

    since: float
    """When the first count of 0 was there."""
    until: float
    """When the last one was asked for. Earlier than ``since`` where they are the same."""
    total: float = 0.0


def counted(before: Idle | None, count: Count, asked: float, came: float) -> Idle | None:
    """The stretch, after one more count, which was asked for and came at these moments."""
    if count.current:
        return None
    if before is None or before.total != count.total:
        return Idle(came, asked, count.total)
    return Idle(before.since, max(before.until, asked), count.total)


def common(idles: Iterable[Idle | None]) -> Idle | None:
    """The stretch in which nobody was connected to any of several owners; None where one of them had somebody, or
    does not say."""
    found = None
    for idle in idles:
        if idle is None:
            return None
        found = idle if found is None else Idle(max(found.since, idle.since), min(found.until, idle.until))
    return found
