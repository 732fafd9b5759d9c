"""What a Pod on the wire says, in the core's terms: a session, or a Pod of the owner's.

Knows how Kubernetes states each fact and what is missing when. Does not know what follows from it (``core.rules``).
Nothing in a Pod is trusted: text that somebody else wrote is made printable and short here, once (``core.text``), and
what is to become part of a path is checked.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import NamedTuple

import msgspec

from ssh_session_gc.containerssh.labels import address
from ssh_session_gc.core import model
from ssh_session_gc.core.model import Session
from ssh_session_gc.core.names import LONGEST_NAME, is_name, is_uid
from ssh_session_gc.core.owners import OwnerPod, Span
from ssh_session_gc.core.text import printable
from ssh_session_gc.core.times import parse_duration
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.kube.shells import FINAL, shell, status_of
from ssh_session_gc.kube.wire import (
    Annotations,
    Container,
    ContainerStatus,
    Labels,
    Pod,
    State,
    Terminated,
)

_SUFFIX = frozenset("bcdfghjklmnpqrstvwxz2456789")
"""Kubernetes' alphabet for generated names (k8s.io/apimachinery, ``util/rand``)."""
_NO_NOTES, _NO_LABELS = Annotations(), Labels()
_TRUE = frozenset(("1", "t", "true", "y", "yes", "on"))
_FALSE = frozenset(("", "0", "f", "false", "n", "no", "off"))
# As many Pods have the same phase, they share one text (Kubernetes documentation, "Pod phase").
_PHASES = {phase: phase for phase in ("Pending", "Running", "Succeeded", "Failed", "Unknown")}
OWNER_CONTAINER = "containerssh"
"""The container in which ContainerSSH runs, unless an operator names another."""
STATUS_LAG = 120.0
"""Seconds for which what a kubelet writes may be out of date. It writes the latest that it knows, within seconds, but
what it knows is from before the work that it is at: a long pull, a hook, a request that it has to repeat."""
LONGEST = LONGEST_NAME + 1
"""Characters that are looked at of what should be a name or uid: one more than either may have."""


def session_of(pod: Pod, container: str = "", *, shared: bool = False) -> Session:
    """The session that this Pod is. ``container``: see ``session_container``. ``shared``: its namespace is that of
    ContainerSSH as well, so that it may be no session at all (``Session.foreign``).

    Annotations that cannot be read are named in ``invalid``. Whoever wrote ``keep`` or ``ttl`` meant something: where
    that cannot be read, the session is spared (``Session.spared``), or its limit is the longest that there is.
    """
    meta, status = pod.metadata, pod.status
    notes, labels = meta.annotations or _NO_NOTES, meta.labels or _NO_LABELS
    created = meta.creation_timestamp.timestamp()
    phase = _PHASES.get(status.phase) or printable(status.phase, 32)
    invalid: tuple[str, ...] = ()
    ttl = None
    keep = _yes_or_no(notes.keep)
    if notes.keep is not None and keep is None:
        invalid = (model.KEEP,)
    if notes.ttl is not None and not (ttl := _limit(notes.ttl)):
        ttl, invalid = math.inf, (*invalid, model.TTL)
    stamp_uid, stamp_name = notes.owner_pod_uid or "", notes.owner_pod_name or ""
    if stamp_uid and not (stamp_uid := _uid(stamp_uid[:LONGEST])):
        invalid = (*invalid, model.OWNER_POD_UID)
    if stamp_name and not (stamp_name := _name(stamp_name[:LONGEST])):
        invalid = (*invalid, model.OWNER_POD_NAME)
    said = shell(pod, session_container(pod, container), _clock_ahead(pod))
    return Session(
        uid=meta.uid,
        name=meta.name,
        resource_version=meta.resource_version,
        created=created,
        phase=phase,
        user=printable(labels.username),
        connection_id=printable(labels.connection_id),
        client_ip=printable(address(notes.client_ip)),
        started=said.started,
        waiting=printable(said.waiting),
        finished=_finished(pod, created) if phase in FINAL else said.finished,
        stopped=said.stopped,
        never_ready=said.never_ready,
        deletion=_seconds(meta.deletion_timestamp),
        keep=keep is True,
        spared=notes.keep is not None and keep is None,
        ttl=ttl,
        stamp_uid=stamp_uid,
        stamp_name=stamp_name,
        invalid=invalid,
        persistent=bool(labels.connection_id) and not _generated(meta.name, meta.generate_name),
        attached=any(container.stdin_once for container in pod.spec.containers),
        foreign=shared and not labels.connection_id,
    )


def session_container(pod: Pod, wanted: str) -> Container | None:
    """The container in which the shell is: the one of that name, or number (from 0, as ContainerSSH's
    ``consoleContainerNumber``); with "" the first. None where the Pod has none such."""
    containers = pod.spec.containers
    if wanted and not wanted.isdecimal():
        return next((each for each in containers if each.name == wanted), None)
    number = int(wanted or 0)
    return containers[number] if number < len(containers) else None


def _yes_or_no(text: str | None) -> bool | None:
    """What a person means by it; None where that cannot be told. YAML's words and Go's ``strconv.ParseBool``."""
    word = "" if text is None else text[:LONGEST].strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _limit(text: str) -> float:
    """A limit of age in seconds, 0 where it is none. A number alone is one of seconds."""
    word = text[:LONGEST].strip().lower()
    with suppress(ValueError):
        return parse_duration(f"{word}s" if word.isdecimal() else word)
    return 0.0


def _generated(name: str, prefix: str) -> bool:
    """Whether Kubernetes made this name. ContainerSSH leaves the prefix in Pods that it names itself, and those are
    the persistent ones (seen in the recordings)."""
    prefix = prefix[:58]  # a longer one is cut, so that a label could hold the name
    return len(name) == len(prefix) + 5 and name.startswith(prefix) and _SUFFIX.issuperset(name[-5:])


@lru_cache(maxsize=256)  # all sessions of one owner say the same, and share the text
def _uid(text: str) -> str:
    return text if is_uid(text) else ""


@lru_cache(maxsize=256)
def _name(text: str) -> str:
    return text if is_name(text) else ""


@lru_cache(maxsize=8)
def sessions(container: str, *, shared: bool = False) -> Decoder[Session]:
    """Reads Pods and keeps the sessions that they are: a tenth of what a Pod takes. ``container``, ``shared``: see
    ``session_of``."""
    return Decoder(Pod, partial(session_of, container=container, shared=shared))


WHOLE_PODS = Decoder(Pod)
"""Reads Pods and keeps all that is decoded of them."""


class Unread(NamedTuple):
    """A Pod that cannot be read, and what can be read of it all the same."""

    why: str
    name: str
    """Its name, "" where that is none."""
    uid: str | None
    containers: tuple[str, ...] | None
    """The names of its containers, as somebody wrote them; None where not all can be read."""


def any_pod(data: bytes | msgspec.Raw) -> Pod | Unread:
    """A Pod that may be anybody's. What is broken in a stranger's is no matter, where it is known to be one."""
    try:
        return WHOLE_PODS.object(data)
    except Malformed as error:
        name, uid = _text(data, "metadata", "name"), _text(data, "metadata", "uid")
        return Unread(
            str(error),
            name if name is not None and is_name(name) else "",
            uid if uid is not None and is_uid(uid) else None,
            _container_names(data),
        )


ANY_PODS = Decoder(msgspec.Raw, any_pod)
"""Reads Pods, also those that cannot be read."""
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _part(data: bytes | msgspec.Raw, *path: str) -> bytes | msgspec.Raw | None:
    """What is there, still encoded; None where nothing can be found there."""
    for key in path:
        try:
            data = msgspec.json.decode(data, type=dict[str, msgspec.Raw])[key]
        except (*_BROKEN, KeyError):
            return None
    return data


def _text(data: bytes | msgspec.Raw, *path: str) -> str | None:
    part = _part(data, *path)
    with suppress(*_BROKEN):
        return None if part is None else msgspec.json.decode(part, type=str)
    return None


def _container_names(data: bytes | msgspec.Raw) -> tuple[str, ...] | None:
    part = _part(data, "spec", "containers")
    try:
        each = [] if part is None else msgspec.json.decode(part, type=list[msgspec.Raw])
    except _BROKEN:
        return None
    names = [name for container in each if (name := _text(container, "name")) is not None]
    return tuple(names) if names and len(names) == len(each) else None


def likely_owner(containers: Sequence[str]) -> str:
    """Of the names of a Pod's containers, ContainerSSH's where nobody says which: ``containerssh``, or the first; ""
    where there is none."""
    return OWNER_CONTAINER if OWNER_CONTAINER in containers else next(iter(containers), "")


def owner_pod(pod: Pod, wanted: str, names: Sequence[str] = ()) -> OwnerPod:
    """What this Pod of the owner workload says of the owner container.

    The container is ``wanted``; a Pod that does not have that one counts as not started yet, which keeps what the Pod
    may own. Where it is empty, the container is the first of ``names`` that the Pod has, or ``containerssh``, or the
    Pod's first.
    """
    there = [container.name for container in pod.spec.containers]
    name = wanted or next((each for each in names if each in there), "") or likely_owner(there) or OWNER_CONTAINER
    found = status_of(pod, name)
    state = (found and found.state) or State()
    last = (found and found.last_state) or State()
    return OwnerPod(
        name=pod.metadata.name,
        uid=pod.metadata.uid,
        created=pod.metadata.creation_timestamp.timestamp(),
        container=name,
        running=_seconds(state.running.started_at) if state.running else None,
        terminated=_span(state.terminated),
        last=_span(last.terminated),
        first=found is not None and found.restart_count == 0 and last.terminated is None,
        final=pod.status.phase in FINAL,
        terminating=pod.metadata.deletion_timestamp is not None,
        unreachable=_unreachable(pod),
        clock_ahead=_clock_ahead(pod),
        address=_address(pod.status.pod_ip),
        never_run=_never_run(pod, found),
    )


def _never_run(pod: Pod, found: ContainerStatus | None) -> float:
    """Until when the container has certainly never run; see ``OwnerPod``.

    What the kubelet says is as old as its writing, and may have been out of date by then. A Pod that has no node yet,
    which the scheduler says, has nobody who could run it.
    """
    if found is None:
        scheduled = next((c.status for c in pod.status.conditions or () if c.type == "PodScheduled"), "")
        return math.inf if pod.status.phase == "Pending" and scheduled == "False" else -math.inf
    state, last = found.state or State(), found.last_state or State()
    if state.waiting is None or state.running or state.terminated or last != State() or found.restart_count:
        return -math.inf
    written = _written(pod)
    return -math.inf if written is None else written.timestamp() - STATUS_LAG


def _address(text: str | None) -> str:
    """The address, "" where the text is none: it becomes part of a URL, where a zone could be anything."""
    try:
        return str(ip_address(text)) if text and "%" not in text else ""
    except ValueError:
        return ""


def _unreachable(pod: Pod) -> bool:
    """Whether the node controller turned Ready to False behind the kubelet's back. The kubelet itself says so
    only with a readiness gate (Kubernetes documentation, "Pod readiness")."""
    conditions = {c.type: c for c in pod.status.conditions or ()}
    ready, containers = conditions.get("Ready"), conditions.get("ContainersReady")
    if ready is None or containers is None or pod.status.phase == "Unknown":
        return pod.status.phase == "Unknown"
    return ready.status != "True" and containers.status == "True" and ready.reason != "ReadinessGatesNotReady"


def _clock_ahead(pod: Pod) -> float:
    """Seconds by which the clock of the Pod's node runs ahead of the API server's, at the least; 0 where nothing
    shows that it does.

    The API server notes when the kubelet wrote the status (``managedFields``); the kubelet cannot have seen anything
    later than that. Both times are cut to whole seconds, which with equal clocks leaves nothing over.
    """
    written = _written(pod)
    if written is None:
        return 0.0
    seen = written
    for status in pod.status.container_statuses or ():
        for state in (status.state, status.last_state):
            if state is None:
                continue
            if (run := state.running) is not None and run.started_at is not None and run.started_at > seen:
                seen = run.started_at
            if (end := state.terminated) is not None:
                seen = max(seen, end.started_at or seen, end.finished_at or seen)
    for condition in pod.status.conditions or ():
        if condition.type == "ContainersReady":  # the one that nobody but the kubelet sets
            seen = max(seen, condition.last_transition_time or seen)
            break
    # It was written a moment after it was seen, and each time may have lost most of a second.
    return (seen - written).total_seconds() + 1.0 if seen > written else 0.0


def _written(pod: Pod) -> datetime | None:
    """When the kubelet last wrote the status, by the API server's clock."""
    fields = pod.metadata.managed_fields or ()
    times = [f.time for f in fields if f.manager == "kubelet" and f.subresource == "status" and f.time]
    return max(times, default=None)


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _span(terminated: Terminated | None) -> Span | None:
    if terminated is None:
        return None
    reason = printable(terminated.reason, 32)
    ending = f"exit {terminated.exit_code}" + (f", {reason}" if reason else "")
    return Span(_seconds(terminated.started_at), _seconds(terminated.finished_at), ending)


def _finished(pod: Pod, created: float) -> float:
    """When a Pod in a final phase ended. An evicted Pod may have no container status: then the last word of its
    conditions counts, and its creation where it has none."""
    states = [s.state.terminated for s in pod.status.container_statuses or () if s.state and s.state.terminated]
    ends = [t.finished_at for t in states if t.finished_at]
    if not ends:
        ends = [c.last_transition_time for c in pod.status.conditions or () if c.last_transition_time]
    return max((end.timestamp() for end in ends), default=created)
