"""Tells of Pods that the sessions' selector matches and that are no sessions: each once, in the log.

Knows what was told already. Does not know which Pods those are, or that they are never collected (``core.ownership``,
``core.rules.judge``).
"""

import structlog

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.core.evidence import NO_SESSION
from ssh_session_gc.core.ownership import is_owner
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.log import session_fields

log = structlog.stdlib.get_logger()


class Mistaken:
    """Looks at the sessions for as long as the cluster is followed, where they lie beside ContainerSSH."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster, self._settings = cluster, settings
        self._told: set[str] = set()
        """uids of those that are still there."""
        if settings.shared_namespace:
            cluster.subscribe(self._changed)

    def _changed(self, uid: str | None) -> None:
        there = self._cluster.sessions.by_uid
        self._told &= there.keys()
        for each in there.keys() if uid is None else there.keys() & {uid}:
            session = there[each]
            if each not in self._told and is_owner(session, self._cluster.owners):
                self._told.add(each)
                fields = session_fields(session, self._settings.session_namespace)
                hint = "check --session-selector, and the labels of both"
                log.warning("not_a_session", detail=NO_SESSION, hint=hint, **fields)
