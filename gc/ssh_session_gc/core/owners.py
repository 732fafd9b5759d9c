"""Who may own a session: the incarnations of the ContainerSSH container, past and present.

Knows how incarnations follow from what the owner Pods say over time, and which of them could have created a
given session. Does not know where the Pods come from (a watch, a fresh list, a file) or what becomes of a
session without an owner (``policy``).

The facts behind it, from Kubernetes' Pod lifecycle documentation and the recordings:

* a restart in place keeps the Pod and moves the old incarnation to ``lastState``, which holds only one;
* a Terminating Pod runs on until its container has terminated, so a draining replica still owns;
* when a node is cut off, the node controller turns the Ready condition to False and nobody touches the
  container's state: Ready is False while ContainersReady and the container's own ``ready`` are still true.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

import msgspec

from ssh_session_gc.core.model import Owner, OwnerState, Session

REMEMBERED = 256
"""Ended incarnations kept in memory. Forgetting older ones can only move ``since`` of sessions that have been
without an owner for long."""


class Span(msgspec.Struct, frozen=True, gc=False):
    """One run of a container that is over; either end may be missing from the status."""

    started: float | None
    finished: float | None
    ending: str = ""


class OwnerPod(msgspec.Struct, frozen=True, gc=False):
    """What the policy needs of one Pod of the owner workload.

    At most one of ``running`` (the start of the container now running) and ``terminated`` is set; with neither
    the container waits, or has no status yet. ``last`` is the run before.
    """

    name: str
    uid: str
    created: float
    container: str
    running: float | None = None
    terminated: Span | None = None
    last: Span | None = None
    over: bool = False
    """Phase Succeeded or Failed: no container of it runs or will run again."""
    first: bool = False
    """Its container has not been restarted yet: what runs, or ran, is the first."""
    leaving: bool = False
    """It has a deletionTimestamp: its container will not be restarted."""
    cut_off: bool = False
    """Its node does not report: the Ready condition says so against the container's own status."""
    ahead: float = 0.0
    """Seconds by which its node's clock is known to run ahead of the API server's."""


class Gap(NamedTuple):
    """A stretch of time that nobody watched: an owner may have come and gone in it unseen."""

    start: float
    end: float


class Owners(msgspec.Struct, frozen=True, dict=True):
    """Everything known of the owners. A value: each new fact makes a new one.

    ``began`` is the moment of the first complete list; an owner that was gone by then was never seen.
    ``gap`` is the latest interruption of the watch that lost events (the one before it is forgotten), ``missed`` the
    beginning of the first.
    ``unknown`` says why nothing can be said of owners at present; while it is set nobody is Ownerless.
    """

    owners: tuple[Owner, ...] = ()
    began: float = 0.0
    gap: Gap | None = None
    unknown: str = ""
    missed: float = math.inf

    @cached_property
    def anybody(self) -> "Candidates":
        """Who could have created a session that does not say so."""
        return Candidates((owner.born, owner) for owner in self.owners)

    @cached_property
    def by_pod(self) -> Mapping[str, "Candidates"]:
        """For each Pod (uid) who in it could have created a session that is stamped as made by it. Its first one
        could, whatever the clocks say."""
        found: dict[str, list[tuple[float, Owner]]] = {}
        for owner in self.owners:
            found.setdefault(owner.pod_uid, []).append((-math.inf if owner.first else owner.born, owner))
        return {uid: Candidates(owners) for uid, owners in found.items()}

    def saw(self, pod: OwnerPod, at: float) -> "Owners":
        """With what this Pod says at ``at``."""
        before = tuple(o for o in self.owners if o.pod_uid == pod.uid)
        after = incarnations(pod, before, at)
        if after == before:
            return self
        others = tuple(o for o in self.owners if o.pod_uid != pod.uid)
        return msgspec.structs.replace(self, owners=_pruned(others + after))

    def lost(self, pod_uid: str, at: float) -> "Owners":
        """Without this Pod, which was there no longer at ``at``.

        What was alive until then nobody saw end. A Pod that lost its label, or that was removed by force
        while its node is cut off, looks the same from here: ``doubts`` has it looked up before anybody dies
        of it.
        """
        owners = (
            _ended(o, at, "its Pod is gone", confirmed=False) if o.pod_uid == pod_uid else o for o in self.owners
        )
        return msgspec.structs.replace(self, owners=_pruned(tuple(owners)))

    def listed(self, pods: Iterable[OwnerPod], at: float, since: float | None = None) -> "Owners":
        """After a complete list of the Pods at ``at``: those that are not in it are gone.

        ``since`` is when the Pods were last known before it; None for the first list of all.
        """
        gap = Gap(since, at) if since is not None and since < at else self.gap
        missed = min(self.missed, gap.start) if gap else math.inf
        known = msgspec.structs.replace(self, began=at if since is None else self.began, gap=gap, missed=missed)
        present = set()
        for pod in pods:
            known = known.saw(pod, at)
            present.add(pod.uid)
        for uid in {o.pod_uid for o in known.owners if o.alive} - present:
            known = known.lost(uid, at)
        return known


def incarnations(pod: OwnerPod, before: tuple[Owner, ...], at: float) -> tuple[Owner, ...]:
    """The incarnations in one Pod, oldest first, from its status now and from those known ``before``."""
    # Of two that began in the same second it tells of the earlier one: what is known of the other is in the status.
    known = {o.started: o for o in reversed(before)}

    def earliest(moment: float) -> float:
        """A moment by the node's clock as early as it can have been by the API server's: an owner that began too
        late would lose its sessions."""
        # What is seen has happened by then; less than a second is in the cut of the times, not in the clocks.
        seen = at if moment > at + 1.0 else moment
        prior = known.get(moment)
        # Whatever the clocks say, it is no older than its Pod.
        return max(pod.created, min(moment - pod.ahead, seen, moment if prior is None else prior.born))

    def ended(started: float | None, finished: float | None, ending: str) -> Owner:
        if finished is None:
            # The status does not say when. The first moment at which it was over stands, however often
            # the Pod is seen after that.
            prior = known.get(started)
            finished = at if prior is None or prior.finished is None else prior.finished
        born = pod.created if started is None else earliest(started)
        state, prior = OwnerState.ENDED, known.get(started)
        first = prior.first if prior is not None else pod.first
        return Owner(pod.name, pod.uid, pod.container, state, born, started, max(finished, born), ending, first)

    told = [ended(s.started, s.finished, s.ending) for s in (pod.last, pod.terminated) if s is not None]
    if pod.running is not None and pod.over:
        told.append(ended(pod.running, None, "its Pod is over"))
    elif pod.running is not None:
        state = OwnerState.UNREACHABLE if pod.cut_off else OwnerState.RUNNING
        born = earliest(pod.running)
        told.append(Owner(pod.name, pod.uid, pod.container, state, born, pod.running, first=pod.first))
    elif not (pod.over or (pod.leaving and pod.terminated)):
        # Waiting, without a status, or terminated with a restart to come. The next incarnation may be up
        # before its status says so, and cannot be older than the end of the one before it.
        born = max([pod.created, *(earliest(o.finished) for o in told if o.finished is not None)])
        told.append(Owner(pod.name, pod.uid, pod.container, OwnerState.STARTING, born))

    starts = {o.started for o in told}
    for prior in before:
        if prior.started in starts or (told and prior.state is OwnerState.STARTING):
            continue  # told better now; and what was starting is what runs now, or never ran
        # Its end was in a status that has been overwritten. It had ended when its successor started.
        later = (o for o in told if o.started is None or prior.started is None or o.started > prior.started)
        successors = [o.born for o in later if o.born >= prior.born]
        told.append(_ended(prior, min(successors, default=at), "restarted"))
    return tuple(sorted(told, key=lambda o: (o.born, o.alive)))


def _ended(owner: Owner, at: float, ending: str, *, confirmed: bool = True) -> Owner:
    if not owner.alive and owner.confirmed:
        return owner
    return msgspec.structs.replace(
        owner, state=OwnerState.ENDED, finished=max(at, owner.born), ending=ending, confirmed=confirmed
    )


def _pruned(owners: tuple[Owner, ...]) -> tuple[Owner, ...]:
    # One whose end nobody saw may live on: it is kept until somebody has looked.
    ended = [o for o in owners if not o.alive and o.confirmed]
    excess = len(ended) - REMEMBERED
    if excess <= 0:
        return owners
    oldest = sorted(ended, key=lambda o: o.finished or 0.0)[:excess]
    gone = {id(o) for o in oldest}
    return tuple(o for o in owners if id(o) not in gone)


class Ownership(msgspec.Struct, frozen=True, gc=False):
    """Who owns a session: ``owner`` is alive and could have created it, or it is the last that could have.

    ``since`` is when the session lost its last owner; None while it may have one. ``exact`` is False where an
    owner may have lived that nobody saw, so that "since" is to be read as "at the latest since".
    """

    owner: Owner | None
    since: float | None
    exact: bool


class Candidates:
    """Owners in the order in which they began: one look tells who of them could have created a session, however many
    have come and gone."""

    def __init__(self, owners: Iterable[tuple[float, Owner]]) -> None:
        """``owners``: each with the moment from which it could have created sessions."""
        self._alive: tuple[float, Ownership | None] = math.inf, None
        self._began: list[float] = []
        self._last: list[Owner] = []
        """Of those that have ended and began by then, the one that ended last."""
        for began, owner in sorted(owners, key=lambda each: each[0]):
            if not owner.alive:
                last = self._last[-1] if self._last else owner
                self._began.append(began)
                self._last.append(owner if (owner.finished or 0.0) >= (last.finished or 0.0) else last)
            elif self._alive[1] is None:
                self._alive = began, Ownership(owner, None, True)

    def alive(self, latest: float) -> "Ownership | None":
        """What it means for a session that one of them lives and began by ``latest``; the same object for all."""
        began, owned = self._alive
        return owned if began <= latest else None

    def last(self, latest: float, earliest: float) -> Owner | None:
        """Who of them began by ``latest`` and ended last, and not before ``earliest``."""
        found = bisect_right(self._began, latest)
        last = self._last[found - 1] if found else None
        return last if last is not None and (last.finished or 0.0) >= earliest else None


NOBODY = Candidates(())


def ownership(session: Session, known: Owners, tolerance: float) -> Ownership:
    """Which owner could have created this session, and since when there is none alive.

    ``tolerance`` (seconds) is how far the kubelet's ``startedAt`` may run ahead of the API server's
    ``creationTimestamp``.
    """
    latest, stamp = session.created + tolerance, session.stamp_uid
    candidates = known.by_pod.get(stamp, NOBODY) if stamp else known.anybody
    if alive := candidates.alive(latest):
        return alive
    last = candidates.last(latest, session.created - tolerance)
    since = session.created if last is None else max(session.created, last.finished or 0.0)
    exact = True
    if stamp in known.by_pod:
        if last is None:
            # Its incarnation was overwritten in lastState. It had ended when the next in that Pod started.
            later = [o.born for o in known.owners if o.pod_uid == stamp and o.born > latest]
            since = max(since, min(later, default=since))
    else:
        if known.began > since:
            since, exact = known.began, False
        if known.gap and session.created + tolerance >= known.gap.start and known.gap.end > since:
            since, exact = known.gap.end, False
    return Ownership(last, since, exact)


def doubts(sessions: Iterable[Session], known: Owners, tolerance: float) -> Mapping[str, str]:
    """Pods (uid → name) to look up by name before these sessions may die as Ownerless.

    Owners whose end nobody saw, only their Pod's absence; and stamped creators that were never seen at all,
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
            found |= {uid: o.pod for uid, o in unconfirmed.items() if o.born <= session.created + tolerance}
    return found


def unplaced(sessions: Iterable[Session], known: Owners, tolerance: float) -> bool:
    """Whether one of these sessions may be owned by somebody whom nobody has seen yet, so that even Pods that the
    workload's selector does not match must be looked at before it dies as Ownerless.

    It is from before the first list, or from after a gap. Whoever else could have created it says nothing about that.
    """
    return any(
        not ownership(session, known, tolerance).exact
        or (not session.stamp_uid and _unwatched(session.created, known, tolerance))
        for session in sessions
    )


def _unwatched(created: float, known: Owners, tolerance: float) -> bool:
    return created <= known.began + tolerance or created + tolerance >= known.missed


def confirmed(known: Owners, pod_uid: str, at: float) -> Owners:
    """After a look-up by name that did not find the Pod at ``at``: it is gone for good.

    Nobody knows since when. It may have lost its label when it vanished, and have lived on until just now.
    """
    owners = (
        msgspec.structs.replace(o, finished=at, confirmed=True) if o.pod_uid == pod_uid and not o.confirmed else o
        for o in known.owners
    )
    return msgspec.structs.replace(known, owners=tuple(owners))
