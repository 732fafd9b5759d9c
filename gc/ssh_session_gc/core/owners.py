"""The history of owners: the incarnations of the ContainerSSH container, past and present.

Knows how incarnations follow from what the owner Pods say over time. Does not know where the Pods come from (a watch,
a fresh list, a file) or which incarnation could have created a given session (``ownership``).

The facts are from Kubernetes' Pod lifecycle documentation and the recordings:

=============================================  ===========  ==========================================================
the container's status                         incarnation  from, until
=============================================  ===========  ==========================================================
``state.running``                              Running      ``startedAt``
``state.running``, but Ready turned False      Unreachable  ``startedAt``; nobody touches the state of a container
behind the kubelet's back                                   on a node that is cut off
``state.running`` in phase Succeeded, Failed   Ended        ``startedAt``, until it was first seen so
``state.terminated``                           Ended        ``startedAt``, until ``finishedAt``, or first seen so
the same, and its Pod goes on                  Starting     besides: the end of the one before; where that was not
                                                            said, its start
``state.waiting``, or no status yet            Starting     the Pod's creation, or the end of the one before
the same, and it has certainly never run       Starting     until when that is certain
no status, as its Pod has no node yet          Starting     not before it has one: infinity
``lastState.terminated``                       Ended        a restart in place keeps the Pod, and holds only one
no longer in the status                        Ended        until its successor started
the Pod is gone                                Ended        until then, unconfirmed: it may only have lost its label
=============================================  ===========  ==========================================================

A Terminating Pod runs on until its container has terminated, so a draining replica still owns.
"""

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

import msgspec

from ssh_session_gc.core.candidates import Candidates
from ssh_session_gc.core.gauge import Idle
from ssh_session_gc.core.model import Incarnation, Ownership, OwnerState, Run

REMEMBERED = 256
"""Ended incarnations kept in memory, and as many of those whose end nobody saw. Forgetting older ones can only move
``since`` of sessions that have been without an owner for long: whoever lives on is found by the last look, which
knows Pods by their owner container (``ownership.needs_full_list``)."""


AHEAD = 1.0
"""Seconds by which what is seen may lie in the future: times are cut to whole seconds, and clocks a little apart."""


class Span(msgspec.Struct, frozen=True, gc=False):
    """One run of a container that is over; either end may be missing from the status."""

    started: float | None
    finished: float | None
    ending: str = ""


class OwnerPod(msgspec.Struct, frozen=True, gc=False):
    """What is needed of one Pod of the owner workload.

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
    final: bool = False
    """Phase Succeeded or Failed: no container of it runs or will run again."""
    first: bool = False
    """Its container has not been restarted yet: what runs, or ran, is the first."""
    terminating: bool = False
    """It has a deletionTimestamp: its container will not be restarted."""
    unreachable: bool = False
    """Its node does not report: the Ready condition says so against the container's own status."""
    clock_ahead: float = 0.0
    """Seconds by which its node's clock is known to run ahead of the API server's."""
    address: str = ""
    """Its IP address, "" where it has none (yet)."""
    never_run: float = -math.inf
    """Until when its container has certainly never run; infinity where it has no node yet, which could run it."""


class Gap(NamedTuple):
    """A stretch of time that nobody watched: an owner may have come and gone in it unseen."""

    start: float
    end: float


class Writer(NamedTuple):
    """An incarnation, as one that may have written a line of a log."""

    began: float
    """When it started by its node's clock, which is that of the line as well."""
    owner: Incarnation
    owned: Ownership | None
    """The ownership by it, if it lives. Sessions share this object."""


class Owners(msgspec.Struct, frozen=True, dict=True):
    """Everything known of the owners. A value: each new fact makes a new one."""

    owners: tuple[Incarnation, ...] = ()
    watched_since: float = 0.0
    """The moment of the first complete list. An owner that was gone by then was never seen."""
    last_gap: Gap | None = None
    """The latest interruption of the watch that lost events. The one before it is forgotten."""
    unknown: str | None = None
    """Why nothing can be said of owners at present. While it is set nobody is Ownerless."""
    containers: tuple[str, ...] = ()
    """The names that the owner container has had, the first known first. By them an owner is told that the selector
    does not match."""
    idle: Mapping[Run, Idle] = msgspec.field(default_factory=dict)
    """When nobody was connected to whom, as their gauges say; only of those who have nobody at present."""

    @cached_property
    def anybody(self) -> "Candidates":
        """Whoever could have created a session without a stamp."""
        return Candidates(((owner.earliest_start, owner) for owner in self.owners), self.idle)

    @cached_property
    def by_pod(self) -> Mapping[str, "Candidates"]:
        """By Pod uid, the incarnations that could have created a session with that Pod's stamp. The first one could,
        whatever the clocks say."""
        found: dict[str, list[tuple[float, Incarnation]]] = {}
        for owner in self.owners:
            found.setdefault(owner.pod_uid, []).append((-math.inf if owner.first else owner.earliest_start, owner))
        return {uid: Candidates(owners, self.idle) for uid, owners in found.items()}

    @cached_property
    def by_name(self) -> Mapping[str, list["Writer"]]:
        """By the Pod's name, the incarnations that may have written a line of its log: who lives first, and then the
        youngest. Several Pods may have had a name, one after the other."""
        found: dict[str, list[Writer]] = {}
        for owner in self.owners:
            began = owner.earliest_start if owner.started is None else owner.started
            owned = Ownership(owner, None, True, self.idle.get(owner.run)) if owner.alive else None
            found.setdefault(owner.pod, []).append(Writer(began, owner, owned))
        for writers in found.values():
            writers.sort(key=lambda writer: (not writer.owner.alive, -writer.began))
        return found

    def named(self, container: str) -> "Owners":
        """Remembers that the owner container is called so; "" says nothing."""
        if not container or container in self.containers:
            return self
        return msgspec.structs.replace(self, containers=(*self.containers, container))

    def saw(self, pod: OwnerPod, at: float) -> "Owners":
        """Adds what this Pod says at ``at``."""
        known = self.named(pod.container)
        before = tuple(o for o in known.owners if o.pod_uid == pod.uid)
        after = incarnations(pod, before, at)
        if after == before:
            return known
        others = tuple(o for o in known.owners if o.pod_uid != pod.uid)
        return msgspec.structs.replace(known, owners=_pruned(others + after))

    def lost(self, pod_uid: str, at: float) -> "Owners":
        """Ends what lived in this Pod, which was there no longer at ``at``.

        Nobody saw it end. A Pod that lost its label, or that was removed by force while its node is cut off, looks
        the same from here: ``ownership.to_look_up`` names it, so that it is looked up before anybody dies of it.
        """
        owners = (
            _ended(o, at, "its Pod is gone", confirmed=False) if o.pod_uid == pod_uid else o
            for o in self.owners
            if o.pod_uid != pod_uid or o.earliest_start < math.inf  # that one never was
        )
        return msgspec.structs.replace(self, owners=_pruned(tuple(owners)))

    def listed(self, pods: Iterable[OwnerPod], at: float, since: float | None = None) -> "Owners":
        """Takes in a complete list of the Pods at ``at``. Those that are not in it are gone.

        ``since`` is when the Pods were last known before it; None for the first list of all.
        """
        gap = Gap(since, at) if since is not None and since < at else self.last_gap
        known = msgspec.structs.replace(self, watched_since=at if since is None else self.watched_since, last_gap=gap)
        present = set()
        for pod in pods:
            known = known.saw(pod, at)
            present.add(pod.uid)
        for uid in {o.pod_uid for o in known.owners if o.alive} - present:
            known = known.lost(uid, at)
        return known


def incarnations(pod: OwnerPod, before: tuple[Incarnation, ...], at: float) -> tuple[Incarnation, ...]:
    """The incarnations in one Pod, oldest first: what its status says now, and what was known ``before``."""
    # A Pod that is yet to be created, and is there, was dated by another clock: it may be of any age.
    born = 0.0 if pod.created > at + AHEAD else pod.created
    # Of two that started in the same second this is the earlier one. What is known of the other is in the status.
    known = {o.started: o for o in reversed(before)}

    def earliest(moment: float) -> float:
        """A moment of the node's clock, as early as it can have been by the API server's. An owner that seems to have
        started too late would lose its sessions."""
        prior, corrected = known.get(moment), moment - pod.clock_ahead
        if corrected > at + AHEAD:
            # It is seen, and yet to come: its clock, or the API server's, is wrong by nobody knows how much.
            return born
        # Whatever the clocks say, it is no older than its Pod.
        return max(born, corrected if prior is None else min(corrected, prior.earliest_start))

    def ended(started: float | None, finished: float | None, ending: str) -> Incarnation:
        if finished is None:
            # The status does not say when. The first moment at which it was over stands, however often
            # the Pod is seen after that.
            prior = known.get(started)
            finished = at if prior is None or prior.finished is None else prior.finished
        elif started is not None and started > at + AHEAD:
            # It is over, and yet to come: when it ended is what was seen of it.
            prior = known.get(started)
            finished = at if prior is None or prior.finished is None else min(at, prior.finished)
        start = born if started is None else earliest(started)
        state, prior = OwnerState.ENDED, known.get(started)
        first = prior.first if prior is not None else pod.first
        return Incarnation(
            pod.name, pod.uid, pod.container, state, start, started, max(finished, start), ending, first
        )

    def over(run: Span) -> float:
        """The earliest moment at which this run can have been over, and the next one begin."""
        if run.finished is not None:
            return earliest(run.finished)
        # When it was first seen to be over says nothing: the next one may have run by then. Only that it had begun is
        # certain, and so had whoever was seen to run before.
        starts = [o.earliest_start for o in before if o.state is not OwnerState.STARTING]
        return max(starts, default=born) if run.started is None else max([earliest(run.started), *starts])

    spans = [span for span in (pod.last, pod.terminated) if span is not None]
    told = [ended(span.started, span.finished, span.ending) for span in spans]
    if pod.running is not None and pod.final:
        told.append(ended(pod.running, None, "its Pod is over"))
    elif pod.running is not None:
        state = OwnerState.UNREACHABLE if pod.unreachable else OwnerState.RUNNING
        start = earliest(pod.running)
        told.append(
            Incarnation(
                pod.name, pod.uid, pod.container, state, start, pod.running, first=pod.first, address=pod.address
            )
        )
    elif not (pod.final or (pod.terminating and pod.terminated)):
        # Waiting, without a status, or terminated with a restart to come. The next incarnation may be up
        # before its status says so, and cannot be older than the end of the one before it.
        start = max([born, pod.never_run, *map(over, spans)])
        told.append(Incarnation(pod.name, pod.uid, pod.container, OwnerState.STARTING, start))

    starts = {o.started for o in told}
    for prior in before:
        if prior.started in starts or (told and prior.state is OwnerState.STARTING):
            continue  # told better now; and what was starting is what runs now, or never ran
        if prior.earliest_start == math.inf:
            continue  # it never had a node
        # Its end was in a status that has been overwritten. It had ended when its successor started, if that is said.
        begun = [o for o in told if o.started is not None]
        later = (o for o in begun if prior.started is None or (o.started or 0.0) > prior.started)
        successors = [
            o.earliest_start for o in later if o.earliest_start and o.earliest_start >= prior.earliest_start
        ]
        told.append(_ended(prior, min(successors, default=at), "restarted"))
    return tuple(sorted(told, key=lambda o: (o.earliest_start, o.alive)))


def _ended(owner: Incarnation, at: float, ending: str, *, confirmed: bool = True) -> Incarnation:
    if not owner.alive and owner.confirmed:
        return owner
    return msgspec.structs.replace(
        owner,
        state=OwnerState.ENDED,
        finished=max(at, owner.earliest_start),
        ending=ending,
        confirmed=confirmed,
        address="",
    )


def _pruned(owners: tuple[Incarnation, ...]) -> tuple[Incarnation, ...]:
    # One whose end nobody saw may live on, however many others have ended since.
    gone = _excess([o for o in owners if not o.alive and o.confirmed])
    gone |= _excess([o for o in owners if not o.alive and not o.confirmed])
    return tuple(o for o in owners if id(o) not in gone) if gone else owners


def _excess(ended: list[Incarnation]) -> set[int]:
    """Those that ended first, of more than are remembered."""
    excess = len(ended) - REMEMBERED
    return {id(o) for o in sorted(ended, key=lambda o: o.finished or 0.0)[:excess]} if excess > 0 else set()


def confirmed(known: Owners, pod_uid: str, at: float) -> Owners:
    """Ends what lived in a Pod that a look-up by name did not find at ``at``: it is gone for good.

    Since when nobody knows. It may have lost its label when it vanished, and have lived on until just now.
    """
    owners = (
        msgspec.structs.replace(o, finished=at, confirmed=True) if o.pod_uid == pod_uid and not o.confirmed else o
        for o in known.owners
    )
    return msgspec.structs.replace(known, owners=tuple(owners))
