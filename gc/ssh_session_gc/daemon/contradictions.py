"""Tells of facts about a session that exclude each other: each pair once a session, in the log and by a counter.

Knows what was told already. Does not know which facts exclude each other, or what follows from it
(``core.contradictions``).
"""

import structlog

from ssh_session_gc.cluster.cluster import Cluster
from ssh_session_gc.core.contradictions import WORDS, Contradiction, contradictions
from ssh_session_gc.core.model import Session
from ssh_session_gc.core.ownership import ownership
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.log import session_fields
from ssh_session_gc.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger()


class Contradictions:
    """Looks at each session whose facts have changed, for as long as the cluster is followed."""

    def __init__(self, cluster: Cluster, settings: Settings, metrics: Metrics) -> None:
        self._cluster, self._settings, self._metrics = cluster, settings, metrics
        self._told: dict[str, set[Contradiction]] = {}
        """By uid; only of sessions that have any."""
        cluster.subscribe(self._changed)

    def _changed(self, uid: str | None) -> None:
        sessions = self._cluster.sessions.by_uid
        if uid is not None:
            if (session := sessions.get(uid)) is not None:
                self._look(session)
            else:
                self._told.pop(uid, None)
        elif self._cluster.owners.idle:
            # What owners say changes what is known of a session only where they count nobody.
            for session in sessions.values():
                self._look(session)

    def _look(self, session: Session) -> None:
        said, policy, owners = self._cluster.connections.of(session.uid), self._settings.policy, self._cluster.owners
        if said.speaker is None:
            return  # nobody has said anything that could be contradicted
        owned = ownership(session, owners, policy.clock_tolerance, said) if owners.idle and said.open else None
        for found in contradictions(session, said, owned, policy):
            told = self._told.setdefault(session.uid, set())
            if found not in told:
                told.add(found)
                self._metrics.contradictions.labels(found).inc()
                fields = session_fields(session, self._settings.session_namespace)
                log.warning("contradiction", between=str(found), detail=WORDS[found], **fields)
