"""What would happen to every session, as one value: a snapshot of the cluster, judged.

Knows which sessions are urgent and which ones somebody wants to see. Judges through ``judge`` like the daemon does.
Does not know where a snapshot comes from or how a plan is shown (``preview``).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import msgspec

from ssh_session_gc.core.connections import UNHEARD, UNKNOWN, Connection, Presence, presence
from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.model import Action, Incarnation, Reason, Session, Verdict
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge


class Snapshot(msgspec.Struct, frozen=True):
    """A cluster at one moment. ``now`` is epoch seconds by the API server's clock."""

    sessions: tuple[Session, ...]
    owners: Owners
    now: float
    connections: Mapping[str, Connection] = msgspec.field(default_factory=dict)
    """What was said of the sessions' connections, by uid."""
    remarks: tuple[str, ...] = ()
    """What an operator should know of how it was read, a line each."""


class Row(NamedTuple):
    """One session with its verdict."""

    session: Session
    verdict: Verdict
    evidence: str
    connection: Connection = UNHEARD
    presence: Presence = UNKNOWN


class Plan(msgspec.Struct, frozen=True):
    """Every session that was asked for, judged at ``now``, the most urgent first."""

    now: float
    namespace: str
    owners: tuple[Incarnation, ...]
    """Oldest first."""
    unknown: str | None
    """Why nobody can be Ownerless at present, where that is so."""
    rows: tuple[Row, ...]
    total: int
    """How many sessions there are, whether asked for or not."""

    @property
    def summary(self) -> Counter[Action]:
        """How many of the rows have which verdict."""
        return Counter(row.verdict.action for row in self.rows)


class Wanted(NamedTuple):
    """Which sessions to show; an empty filter lets all through."""

    actions: Collection[Action] = ()
    reasons: Collection[Reason] = ()
    users: Collection[str] = ()

    def takes(self, session: Session, verdict: Verdict) -> bool:
        """Whether this one is asked for."""
        return (
            (not self.actions or verdict.action in self.actions)
            and (not self.reasons or verdict.reason in self.reasons)
            and (not self.users or session.user in self.users)
        )


def make(snapshot: Snapshot, policy: Policy, namespace: str, wanted: Wanted | None = None) -> Plan:
    """The plan for a snapshot."""
    wanted = wanted or Wanted()
    now, owners = snapshot.now, snapshot.owners
    told = ((session, snapshot.connections.get(session.uid, UNHEARD)) for session in snapshot.sessions)
    judged = ((session, judge(session, owners, policy, now, said), said) for session, said in told)
    rows = (
        Row(
            session,
            verdict,
            evidence(session, verdict, owners, policy, now, said),
            said,
            presence(session, said, verdict.ownership, policy.clock_tolerance),
        )
        for session, verdict, said in judged
        if wanted.takes(session, verdict)
    )
    return Plan(
        now,
        namespace,
        tuple(sorted(owners.owners, key=lambda owner: (owner.earliest_start, owner.pod))),
        owners.unknown if policy.ownerless else "owner=none",
        _sorted(rows),
        len(snapshot.sessions),
    )


def _sorted(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Sorts by the due. What is never due comes last, oldest first."""

    def urgency(row: Row) -> tuple[bool, float, str]:
        due = row.verdict.due
        return due is None, row.session.created if due is None else due, row.session.name

    return tuple(sorted(rows, key=urgency))
