"""Who owns a session: which incarnations could have created it, and since when none of them lives.

Knows the rule of start times, the owner stamp, and when only a look at more Pods can tell. Does not know how the
history of incarnations comes about (``owners``) or what becomes of a session without an owner (``rules.ownerless``).

==========================================  =========================================  ==========================
the session                                 who could have created it                  nobody of them lives: since
==========================================  =========================================  ==========================
has no stamp                                whoever started by its creation, give or   the last of them ended
                                            take the clock tolerance
is stamped, and its Pod was seen            those of that Pod; its first one whatever  the last of them ended, or
                                            its start                                  the next in that Pod started
is stamped, and its Pod was never seen      nobody whom we know                        the watch began, or its last
                                                                                       gap ended ("at least since")
is from before the watch, or from a gap     whoever started by its creation, and       the watch began, or its last
                                            somebody unseen                            gap ended ("at least since")
==========================================  =========================================  ==========================
"""

from collections.abc import Iterable, Mapping

from ssh_session_gc.core.candidates import NOBODY
from ssh_session_gc.core.connections import UNHEARD, Connection
from ssh_session_gc.core.gauge import Idle
from ssh_session_gc.core.model import Ownership, Session
from ssh_session_gc.core.owners import Owners


def ownership(session: Session, known: Owners, tolerance: float, connection: Connection = UNHEARD) -> Ownership:
    """Which owner could have created this session, and since when there is none alive.

    ``tolerance`` (seconds) is how far the kubelet's ``startedAt`` may run ahead of the API server's
    ``creationTimestamp``. ``connection`` is what owners' logs say of the session.
    """
    if told := by_log(session, known, connection, tolerance):
        return told
    created, dated, stamp = session.created, session.dated, session.stamp_uid
    latest = (created if dated is None or dated < created else dated) + tolerance  # created_by, which is asked often
    candidates = known.by_pod.get(stamp, NOBODY) if stamp else known.anybody
    alive = candidates.alive(latest)
    if alive is not None and alive.idle is None:
        return alive
    last = candidates.last(latest, session.created - tolerance)
    since = session.created if last is None else max(session.created, last.finished or 0.0)
    exact = True
    if stamp in known.by_pod:
        if last is None:
            # Its incarnation was overwritten in lastState. It had ended when the next in that Pod started.
            later = [o.earliest_start for o in known.owners if o.pod_uid == stamp and o.earliest_start > latest]
            since = max(since, min(later, default=since))
    else:
        if known.watched_since > since:
            since, exact = known.watched_since, False
        gap = known.last_gap
        if gap and session.created_by + tolerance >= gap.start and gap.end > since:
            since, exact = gap.end, False
    if alive is not None and alive.idle is not None:
        # Those that have ended could have created it, too: their users had somebody to be connected to until then.
        return Ownership(alive.owner, None, True, Idle(max(alive.idle.since, since), alive.idle.until))
    return Ownership(last, since, exact)


def is_owner(session: Session, known: Owners) -> bool:
    """Whether it is a Pod of ContainerSSH's own, or may be: no session, whatever matches it."""
    return session.foreign or session.uid in known.by_pod


def by_log(session: Session, known: Owners, connection: Connection, tolerance: float) -> Ownership | None:
    """The ownership by the incarnation whose log names the session's connection; None where no log tells it.

    The log and the incarnations have their times from the same node's clock, unless another Pod of the same name ran
    elsewhere. Where two could have written it, it is taken for that of the younger one, which may be alive. The stamp
    is worth more than the log.
    """
    if connection.speaker is None or connection.contested:
        return None
    for began, owner, owned in known.by_name.get(connection.speaker, ()):  # noqa: B007 - it is what was found
        if began <= connection.first and session.stamp_uid in ("", owner.pod_uid):
            break
    else:
        return None
    if owned is not None:
        return owned
    ended = owner.finished or 0.0
    if not owner.confirmed or connection.first > ended or session.created > ended + tolerance:
        # Its Pod only vanished; or somebody wrote it, and made the session, whom no status tells of (yet).
        return None
    return Ownership(owner, max(session.created, ended), True)


def to_look_up(sessions: Iterable[Session], known: Owners, tolerance: float) -> Mapping[str, str]:
    """Pods (uid → name) to look up by name before these sessions may die as Ownerless.

    They are the owners whose end nobody saw, only their Pod's absence, and the stamped creators that were never seen,
    which may be Pods that the workload's selector does not match. The name is "" where the stamp has none.
    """
    uids = {o.pod_uid for o in known.owners}
    unconfirmed = {o.pod_uid: o for o in known.owners if not o.confirmed}
    found: dict[str, str] = {}
    for session in sessions:
        if session.stamp_uid:
            if session.stamp_uid not in uids:
                found[session.stamp_uid] = session.stamp_name
            elif owner := unconfirmed.get(session.stamp_uid):
                found[owner.pod_uid] = owner.pod
        else:
            found |= {
                uid: o.pod for uid, o in unconfirmed.items() if o.earliest_start <= session.created_by + tolerance
            }
    return found


def needs_full_list(sessions: Iterable[Session], known: Owners) -> bool:
    """Whether even Pods that the workload's selector does not match must be looked at before these sessions may die
    as Ownerless: somebody whom nobody has seen may own one of them.

    Only a stamp by a Pod that was seen rules that out. One that lost its label serves on, whether that was before
    anybody looked or after, and may have made any session without a stamp.
    """
    return any(session.stamp_uid not in known.by_pod for session in sessions)
