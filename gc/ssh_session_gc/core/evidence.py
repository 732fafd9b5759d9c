"""A verdict and the facts that led to it, in words for people.

Knows how to say each thing in one sentence. Decides nothing: it is told what ``policy.judge`` said, and puts the same
facts into words. Every text of somebody else's that it quotes was made printable where it was decoded.
"""

from ssh_session_gc.core.model import Action, Owner, OwnerState, Reason, Session
from ssh_session_gc.core.owners import Owners, Ownership
from ssh_session_gc.core.policy import Policy, Verdict
from ssh_session_gc.core.times import format_clock, format_duration


def evidence(session: Session, verdict: Verdict, owners: Owners, policy: Policy, now: float) -> str:
    """The reason for the verdict as one sentence for people, with the facts that led to it."""
    say = Sentences(session, owners, policy, now)
    if session.keep:
        return "exempt by its annotation ssh-session-gc/keep"
    if session.deletion is not None:
        gone = f"its deletion was accepted, with grace until {say.at(session.deletion)}"
        return f"{gone}; {say.why(verdict)}" if verdict.reason else gone
    return say.why(verdict)


class Sentences:
    """The sentences for one session; ``evidence`` chooses among them."""

    def __init__(self, session: Session, owners: Owners, policy: Policy, now: float) -> None:
        self.session, self.owners, self.policy, self.now = session, owners, policy, now

    def at(self, instant: float) -> str:
        """A moment, as short as it can be said."""
        return format_clock(instant, self.now)

    def why(self, verdict: Verdict) -> str:
        """What led to the verdict, exemptions aside."""
        match verdict.reason:
            case Reason.OVER_AGE if verdict.action is Action.COLLECT:
                return f"open since {self.at(self.session.created)}, longer than {self.limit()}"
            case Reason.START_TIMEOUT:
                return self.unstarted(late=verdict.action is Action.COLLECT)
            case Reason.FINISHED:
                return f"its container ended at {self.at(self.session.finished or 0.0)} ({self.session.phase})"
        return self.owned(verdict.ownership)

    def limit(self) -> str:
        """The limit of this session's age, and where it comes from."""
        policy, ttl = self.policy, self.session.ttl
        if ttl is None:
            return f"{format_duration(policy.max_age)} (max-age)"
        if ttl > policy.max_ttl:
            return f"{format_duration(policy.max_ttl)} (its own ttl of {format_duration(ttl)}, cut to max-ttl)"
        return f"{format_duration(ttl)} (its own ttl)"

    def owned(self, owned: Ownership | None) -> str:
        """Who may own it, or why nobody can tell."""
        if not self.policy.ownerless:
            return "owners are not looked at (owner=none)"
        if owned is None:
            return f"nobody can tell who owns it: {self.owners.unknown}"
        if owned.owner is None or owned.since is not None:
            return self.ownerless(owned)
        owner = owned.owner
        where = f"container {owner.container} of {owner.pod}"
        match owner.state:
            case OwnerState.STARTING:
                return f"{where} is starting and may own it"
            case OwnerState.UNREACHABLE:
                return f"{where} may own it: its node does not report, and it may be running"
        return f"{where} may own it, running since {self.at(owner.born)}"

    def ownerless(self, owned: Ownership) -> str:
        """Since when nobody owns it, and how that came."""
        word = "no owner since" if owned.exact else "no owner at least since"
        head = f"{word} {self.at(owned.since or 0.0)}: "
        tail = f", this session is from {self.at(self.session.created)}"
        owner = owned.owner
        if owner is not None:
            return head + self.ended(owner) + tail
        there = [o for o in self.owners.owners if o.pod_uid == self.session.stamp_uid]
        if there:
            # The end of the incarnation that made it is in no status any more; its Pod lives on.
            oldest = min(there, key=lambda o: o.born)
            return f"{head}container {oldest.container} of {oldest.pod} restarted at {self.at(oldest.born)}{tail}"
        if self.session.stamp_uid:
            name = self.session.stamp_name or f"with uid {self.session.stamp_uid}"
            return f"{head}its creator, Pod {name}, is gone{tail}"
        alive = [o for o in self.owners.owners if o.alive]
        if not alive:
            return f"{head}no owner is running{tail}"
        oldest = min(alive, key=lambda o: o.born)
        return f"{head}the oldest owner, {oldest.pod}, is from {self.at(oldest.born)}{tail}"

    def ended(self, owner: Owner) -> str:
        """How an incarnation ended."""
        where = f"container {owner.container} of {owner.pod}"
        after = [o for o in self.owners.owners if o.pod_uid == owner.pod_uid and o.born > owner.born]
        starts = [o.started for o in after if o.started is not None]
        if starts:
            return f"{where} restarted at {self.at(min(starts))}"
        how = f" ({owner.ending})" if owner.ending else ""
        return f"{where} ended at {self.at(owner.finished or 0.0)}{how}"

    def unstarted(self, *, late: bool) -> str:
        """How far its container got; ``late``: the time for it is over."""
        session, limit = self.session, format_duration(self.policy.start_timeout)
        if session.started is not None:
            took = format_duration(session.started - session.created)
            return f"its container started {took} after its creation, later than {limit}: nobody waited for it"
        waiting = f", {session.waiting}" if session.waiting else ""
        until = f"within {limit}" if late else "yet"
        return f"created at {self.at(session.created)} and not started {until}: {session.phase}{waiting}"
