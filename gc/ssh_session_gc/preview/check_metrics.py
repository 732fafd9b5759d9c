"""The preflight's question about ContainerSSH's metrics: does each owner that runs say how many are connected to it?

Knows what an answer, or none, means to whoever looks. Does not know which Pods are ContainerSSH's (``check_owners``),
how they are asked (``cluster.owner_gauge``) or what follows from a count (``core.gauge``).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable

import aiohttp

from ssh_session_gc.cluster.owner_gauge import Uncounted, ask, client
from ssh_session_gc.core.model import Incarnation
from ssh_session_gc.core.text import counted
from ssh_session_gc.preview.permissions import Finding, Mark
from ssh_session_gc.settings import Settings


async def check_metrics(settings: Settings, owners: Iterable[Incarnation]) -> AsyncIterator[Finding]:
    """Whether these owners, which run, say how many are connected to them."""
    if not settings.owner_metrics_port:
        what = "ContainerSSH's metrics are not asked for (its metrics.enable, --owner-metrics-port)"
        yield Finding(Mark.OPEN, f"{what}: that a connection has ended is told by its log at debug alone")
        return
    async with client() as http:
        answers = await asyncio.gather(*(_answer(http, owner, settings.owner_metrics_port) for owner in owners))
    for finding in answers:
        yield finding


async def _answer(http: aiohttp.ClientSession, owner: Incarnation, port: int) -> Finding:
    try:
        count = await ask(http, owner, port)
    except Uncounted as error:
        return _uncounted(error)
    return Finding(Mark.GOOD, f"the metrics of {owner.pod} count {counted(int(count.current), 'connection')}")


def _uncounted(error: Uncounted) -> Finding:
    if error.cause == "malformed":
        return Finding(Mark.BAD, f"{error}: is it the right port?", "check --owner-metrics-port and metrics.listen")
    if error.cause == "refused":
        todo = "check --owner-metrics-port, and what answers there in ContainerSSH's place"
        return Finding(Mark.BAD, str(error), todo)
    # From outside of the cluster a Pod's address mostly leads nowhere, which says nothing of the daemon.
    todo = "ask from within the cluster (helm test, or check in the collector's Pod); there, see metrics.enable and "
    return Finding(
        Mark.OPEN, str(error), f"{todo}metrics.listen in ContainerSSH's configuration, and network policies"
    )
