"""A verdict and the facts that led to it, in one sentence for people.

Knows what exempts a session, and asks the rule that gave the reason for its words. Decides nothing. Every text of
somebody else's that it quotes was made printable where it was decoded.
"""

from ssh_session_gc.core.connections import UNHEARD, Connection
from ssh_session_gc.core.model import KEEP, Action, Session, Verdict
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.ownership import is_owner
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules import ownerless
from ssh_session_gc.core.rules.judge import RULE_OF
from ssh_session_gc.core.rules.rule import Case, Known

NO_SESSION = "no session: it is ContainerSSH's own Pod, or lies beside it without the label of those that it makes"
"""What is said of a Pod that may be ContainerSSH itself."""


def evidence(
    session: Session,
    verdict: Verdict,
    owners: Owners,
    policy: Policy,
    now: float,
    connection: Connection = UNHEARD,
) -> str:
    """The reason for the verdict, with the facts that led to it."""
    if session.keep:
        return "exempt by its annotation ssh-session-gc/keep"
    if is_owner(session, owners):
        return NO_SESSION
    if session.persistent and verdict.reason is None and session.deletion is None:
        return "exempt as it is persistent: ContainerSSH keeps it on purpose"
    case = Case(session, Known(owners, verdict.ownership, connection), policy, now)
    if verdict.reason is None:
        why = ownerless.owned(case)
    else:
        why = RULE_OF[verdict.reason].evidence(case, late=verdict.action is Action.COLLECT)
    if session.stopped is not None:
        waiting = f" ({session.waiting})" if session.waiting else ""
        why = f"{why}; its container ended at {case.at(session.stopped)} and waits to be restarted{waiting}"
    if session.spared and verdict.due == session.created + policy.max_ttl:
        why = f"{why}; held back to max-ttl, as its annotation {KEEP} cannot be read"
    if session.deletion is None:
        return why
    gone = f"its deletion was accepted, with grace until {case.at(session.deletion)}"
    return gone if verdict.reason is None else f"{gone}; {why}"
