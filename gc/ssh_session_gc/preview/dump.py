"""The cluster as a file tells of it: what ``kubectl get pods,deployments -A -o json`` (or ``-o yaml``) printed.

Chooses among the objects by namespace and selector, as the API server would, and reads them as the daemon does
(``kube.wire``, ``kube.pods``). Does not know in which forms kubectl prints them (``objects``), or how the logs that
go with them are read (``dump_logs``).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

from ssh_session_gc.cluster.reads import with_unselected
from ssh_session_gc.core.model import CONNECTION_ID, Session
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.ownership import needs_full_list
from ssh_session_gc.core.plan import Snapshot
from ssh_session_gc.core.text import counted, printable
from ssh_session_gc.core.times import format_duration, format_instant
from ssh_session_gc.kube import lenient
from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.kube.pods import any_pod, owner_pod, session_of
from ssh_session_gc.kube.wire import Pod
from ssh_session_gc.kube.workloads import Maker, replicas_of
from ssh_session_gc.preview import dump_logs
from ssh_session_gc.preview.elsewhere import hint
from ssh_session_gc.preview.objects import PRINT, Found, Objects, find
from ssh_session_gc.preview.snapshot import CannotRead, annotation_remarks, no_sessions
from ssh_session_gc.selectors import BadSelector, Selector
from ssh_session_gc.settings import Settings

T = TypeVar("T")

STALE = 600.0
"""Seconds after which a file is old enough for a remark, counted from the newest fact in it."""


def read(
    data: bytes,
    source: str,
    settings: Settings,
    now: float,
    *,
    at: float | None = None,
    logs: Sequence[tuple[str, str]] = (),
) -> Snapshot:
    """The snapshot that a file holds, to be judged at ``at``, or else ``now`` (epoch seconds).

    ``source`` is its name for people. ``logs`` are names of owner Pods, each with a file of what it has logged.
    Raises CannotRead.
    """
    objects = find(data, source)
    others = objects.count_others()
    if not objects.pods:
        held = f" (but {others})" if others else ""
        raise CannotRead(f"{source} holds no Pod{held}: {PRINT}")
    moment = now if at is None else at
    pods, remarks = _sessions(objects, source, settings)
    shared = settings.shared_namespace
    sessions = [session_of(pod, settings.session_container, shared=shared) for pod in pods]
    owners = _owners(objects, source, settings, sessions, moment)
    if others:
        remarks.append(f"left aside, as they play no part: {others}")
    connections, silent = dump_logs.read(logs, source, settings, owners, sessions)
    remarks += silent
    remarks += _dated(source, sessions, owners, dump_logs.moments(connections.values()), now, at)
    remarks += annotation_remarks(sessions)
    return Snapshot(tuple(sessions), owners, moment, connections, tuple(remarks))


def _sessions(objects: Objects, source: str, settings: Settings) -> tuple[list[Pod], list[str]]:
    selected = _select(objects.pods, settings.session_namespace, settings.session_selector, "--session-selector")
    pods: list[Pod] = []
    remarks: list[str] = []
    for found in selected:
        try:
            pods.append(_convert(found, Pod))
        except Malformed as error:
            remarks.append(f"Pod {found.name} cannot be read and is left alone: {error}")
            continue
        if not found.content.get("status"):
            remarks.append(f"Pod {found.name} has no status and counts as not started: is it a manifest? {PRINT}")
    if not selected:
        there = Counter(found.namespace for found in objects.pods)
        where = hint(Counter(found.namespace for found in objects.pods if CONNECTION_ID in found.labels), settings)
        tail = f"; {where}" if where else ""
        if settings.session_namespace in there:
            count = there[settings.session_namespace]
            remarks.append(no_sessions(settings, f"none of {counted(count, 'Pod')} of {source}") + tail)
        else:
            names = ", ".join(list(there)[:5]) + (", …" if len(there) > 5 else "")
            remarks.append(f"{no_sessions(settings, f'no Pod of {source}')}; its Pods are in {names}{tail}")
    return pods, remarks


def _owners(objects: Objects, source: str, settings: Settings, sessions: list[Session], at: float) -> Owners:
    """What a daemon that starts at that moment knows of the owners."""
    owner, selector, namespace = settings.owner, settings.owner_selector, settings.owner_namespace
    if not settings.policy.ownerless:
        return Owners()
    replicas, known = 1, Owners()
    if owner is not None:
        found = objects.workloads.get((owner.kind, owner.namespace, owner.name))
        if found is None:
            return Owners(unknown=f"{owner} is not in {source} (--owner)")
        try:
            selector, container = replicas_of(_convert(found, Maker))
        except Malformed as error:
            return Owners(unknown=f"{owner} cannot be read: {error}")
        replicas, known = _replicas(found), known.named(container)
    chosen = _select(objects.pods, namespace, selector, "--owner-selector")
    if replicas and not chosen:
        # The file lacks the owner's Pods, which does not mean that they have ended.
        return Owners(unknown=f"{source} holds no Pod in namespace {namespace} that matches {selector}")
    try:
        names = known.containers
        pods = [owner_pod(_convert(found, Pod), settings.owner_container, names) for found in chosen]
        known = known.listed(pods, at)
        if needs_full_list(sessions, known):
            # A session's creator may be a Pod that the selector does not match; the daemon looks for it as well.
            stamps = {session.stamp_uid for session in sessions}
            selected = {found.name for found in chosen}
            there = [each for each in objects.pods if each.namespace == namespace and each.name not in selected]
            others = [any_pod(msgspec.json.encode(each.content)) for each in there]
            known = with_unselected(known, others, stamps, settings, at)
    except Malformed as error:
        return Owners(unknown=f"an owner Pod cannot be read: {error}")
    return known


def _replicas(workload: Found) -> int:
    """The number of Pods that the workload's status tells of."""
    status = workload.content.get("status")
    known = status if isinstance(status, dict) else {}
    count = known.get("replicas", known.get("currentNumberScheduled"))  # a DaemonSet's
    return count if isinstance(count, int) else 0


def _dated(
    source: str, sessions: list[Session], owners: Owners, logged: list[float], now: float, at: float | None
) -> Iterator[str]:
    """Remarks on the time of judgement; ``logged`` are the moments that logs tell of. Raises CannotRead where it is
    before everything in the file."""
    starts = [s.created for s in sessions] + [o.started for o in owners.owners if o.started is not None]
    times = [*starts, *(t for s in sessions for t in (s.started, s.finished) if t is not None)]
    # An owner whose end only its absence tells of has ended at the moment of judgement, which is no fact of the file.
    times += [o.finished for o in owners.owners if o.finished is not None and o.ending]
    if not times:
        return
    times += logged
    told = f"{source} and the logs" if logged else source
    newest = format_instant(max(times))
    if at is None:
        if now - max(times) > STALE:
            age = format_duration(round(now - max(times)))
            yield f"nothing in {told} is newer than {newest}, {age} ago: --at {newest} judges as of then"
    elif at < min(starts):
        first = format_instant(min(starts))
        raise CannotRead(f"--at {format_instant(at)} is before everything in {source}: it begins at {first}")
    elif at < max(times):
        yield f"--at {format_instant(at)} is before the newest fact in {told}, of {newest}: it counts all the same"


def _select(pods: Iterable[Found], namespace: str, selector: str, option: str) -> list[Found]:
    try:
        wanted = Selector.parse(selector)
    except BadSelector as error:
        raise CannotRead(f"{printable(selector)}: {error}; check {option}") from None
    return [found for found in pods if found.namespace == namespace and wanted.matches(found.labels)]


def _convert(found: Found, kind: type[T]) -> T:
    with suppress(msgspec.ValidationError):
        return msgspec.convert(found.content, kind)
    try:
        return lenient.read(kind, msgspec.json.encode(found.content))
    except (*lenient.UNREADABLE, TypeError, ValueError) as error:
        raise Malformed(printable(str(error), 200)) from None
