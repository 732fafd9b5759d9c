"""Whether the daemon is well: the checks behind ``/healthz`` and ``/readyz``.

Knows when a restart may mend something. Does not know how checks are served (``telemetry.http``).
"""

import asyncio
from collections.abc import Mapping

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.telemetry.http import unheard
from ssh_session_gc.telemetry.metrics import Metrics


class Health:
    """The checks of one daemon."""

    def __init__(self, cluster: Cluster, metrics: Metrics) -> None:
        self._cluster, self._metrics = cluster, metrics
        self._local = asyncio.get_running_loop().time
        self._started: float | None = None
        """When the API server first answered, on the event loop's clock; None before."""

    def started(self) -> None:
        """Notes that the API server has answered."""
        self._started = self._local()

    def healthy(self) -> Mapping[str, str]:
        """The checks of ``/healthz``: the API server has said something on each stream, even an error.

        A restart may mend a stream that hangs, or cannot reach the API server by the addresses and certificates read
        when we started. It gives nobody a permission, and loses what is known of owners that are gone.
        """
        if self._started is None:
            return {}
        now, started, heard = self._local(), self._started, self._metrics.heard
        cluster = self._cluster
        return {
            source.stream: unheard(now - max(started, heard.get(source.stream, 0.0)))
            for source in cluster.sources
            if source is not cluster.owner_pods or cluster.workload.selector  # nobody asks for them without
        }

    def ready(self) -> Mapping[str, str]:
        """The checks of ``/readyz``: every stream has been in step once."""
        return {
            source.stream: "" if source.has_synced else "not in step with the API server yet"
            for source in self._cluster.sources
        }
