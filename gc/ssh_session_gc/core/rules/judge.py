"""What to do with a session and when: the one function that judges.

Knows the rules, what exempts from them and which comes first. Does not know where the facts come from, and deletes
nothing. The daemon, ``plan`` and the tests all judge through ``judge``.
"""

from collections.abc import Callable

from ssh_session_gc.core.connections import UNHEARD, Connection
from ssh_session_gc.core.model import Action, Reason, Session, Verdict
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.ownership import is_owner, ownership
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules import abandoned, finished, over_age, ownerless, start_timeout
from ssh_session_gc.core.rules.rule import NEVER, Known, Rule

RULES: tuple[Rule, ...] = (over_age, ownerless, abandoned, start_timeout, finished)
"""Of several that are due at the same moment, the first gives the reason."""
RULE_OF: dict[Reason, Rule] = {rule.REASON: rule for rule in RULES}
Due = Callable[[Session, Known, Policy], float]
"""When a rule fires; see ``Rule.due``."""
# Looked up once, not once a session.
_DUES: tuple[tuple[Due, Reason], ...] = tuple((rule.due, rule.REASON) for rule in RULES)
_DUES_IF_PERSISTENT = ((finished.due, finished.REASON),)
"""What ContainerSSH keeps on purpose goes only when nothing runs in it any more."""


def judge(session: Session, owners: Owners, policy: Policy, now: float, connection: Connection = UNHEARD) -> Verdict:
    """The verdict on one session at ``now`` (epoch seconds, the API server's clock).

    ``connection`` is what was said of its connection; nothing, where nobody listens.

    Of several rules that apply, the one that was due first gives the reason. A session is due *at* its ``due``.
    """
    owned = ownership(session, owners, policy.clock_tolerance, connection) if can_tell(owners, policy) else None
    if session.keep or is_owner(session, owners):
        return Verdict(Action.KEEP, ownership=owned)
    due, reason, known = NEVER, None, Known(owners, owned, connection)
    for due_of, its_reason in _DUES_IF_PERSISTENT if session.persistent else _DUES:
        at = due_of(session, known, policy)
        if at < due:
            due, reason = at, its_reason
    if reason is None:
        return Verdict(Action.KEEP, ownership=owned)
    if session.spared:
        due = max(due, session.created + policy.max_ttl)
    if session.deletion is not None:
        # Somebody deleted it already. Only where that led to nothing may it be deleted again.
        if not policy.force_after:
            return Verdict(Action.KEEP, ownership=owned)
        due = max(due, session.deletion + policy.force_after)
    action = Action.COLLECT if now >= due else Action.WAITING
    return Verdict(action, reason, due, owned, session.deletion is not None)


def needs_fresh_read(
    session: Session, verdict: Verdict, owners: Owners, policy: Policy, connection: Connection
) -> bool:
    """Whether the owners are to be read afresh before this verdict is acted upon."""
    known = Known(owners, verdict.ownership, connection)
    return verdict.reason is not None and RULE_OF[verdict.reason].needs_fresh_read(session, known, policy)


def can_tell(owners: Owners, policy: Policy) -> bool:
    """Whether the Ownerless rule may speak at all."""
    return policy.ownerless and owners.unknown is None
