"""Everything that a log line says of a session, in the words of the contract.

Knows the fields. Does not know which lines there are.
"""

from ssh_session_gc.core.connections import Connection
from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.model import Session, Verdict
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.times import format_instant
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.log import session_fields


def facts(
    session: Session, verdict: Verdict, owners: Owners, settings: Settings, now: float, connection: Connection
) -> dict[str, object]:
    """The fields, by name; ``now`` is epoch seconds."""
    owner = verdict.ownership.owner if verdict.ownership else None
    return {
        **session_fields(session, settings.session_namespace),
        "reason": verdict.reason and str(verdict.reason),
        "due": None if verdict.due is None else format_instant(verdict.due),
        "age_seconds": round(now - session.created, 3),
        "owner": owner.pod if owner else None,
        "evidence": evidence(session, verdict, owners, settings.policy, now, connection),
        "dry_run": str(settings.dry_run),
    }
