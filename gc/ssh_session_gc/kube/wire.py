"""Kubernetes' wire format, as much of it as the policy needs, and its translation into core facts.

Knows the JSON of Pods, workloads, lists, watch events and Status objects. The structs are narrow: what is not
named here is skipped by the decoder without being built, so a Pod with hundreds of kilobytes of annotations
costs no more than it takes to scan it. Does not know where the bytes come from.

Text that somebody else wrote is made printable and short here, once (``core.text``).
"""

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from ssh_session_gc.core import model
from ssh_session_gc.core.model import Session
from ssh_session_gc.core.owners import OwnerPod, Span
from ssh_session_gc.core.text import printable
from ssh_session_gc.core.times import parse_duration

T = TypeVar("T")


class Malformed(Exception):
    """Bytes that are no answer of an API server: broken JSON, or JSON of another shape. Says what is wrong."""


class Wire(msgspec.Struct, gc=False, rename="camel"):
    """What every struct of the wire has in common: Kubernetes' spelling of names."""


class Annotations(Wire):
    """The annotations that mean something here."""

    keep: str | None = msgspec.field(default=None, name=model.KEEP)
    ttl: str | None = msgspec.field(default=None, name=model.TTL)
    owner_pod_uid: str | None = msgspec.field(default=None, name=model.OWNER_POD_UID)
    owner_pod_name: str | None = msgspec.field(default=None, name=model.OWNER_POD_NAME)
    client_ip: str = msgspec.field(default="", name="containerssh_ip")


class Labels(Wire):
    """The labels that ContainerSSH puts on every Pod (its source, ``kubernetes/networkHandler.go``)."""

    connection_id: str = msgspec.field(default="", name="containerssh_connection_id")
    username: str = msgspec.field(default="", name="containerssh_username")


class Meta(Wire):
    """``ObjectMeta``."""

    name: str
    uid: str
    resource_version: str
    creation_timestamp: datetime
    deletion_timestamp: datetime | None = None
    labels: Labels | None = None
    annotations: Annotations | None = None


class Running(Wire):
    """``ContainerStateRunning``."""

    started_at: datetime | None = None


class Terminated(Wire):
    """``ContainerStateTerminated``."""

    exit_code: int = 0
    reason: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Waiting(Wire):
    """``ContainerStateWaiting``."""

    reason: str = ""


class State(Wire):
    """``ContainerState``: at most one of the three is set."""

    running: Running | None = None
    terminated: Terminated | None = None
    waiting: Waiting | None = None


class ContainerStatus(Wire):
    """``ContainerStatus``."""

    name: str
    state: State | None = None
    last_state: State | None = None
    restart_count: int = 0


class Condition(Wire):
    """``PodCondition``."""

    type: str
    status: str
    reason: str = ""
    last_transition_time: datetime | None = None


class Container(Wire):
    """``Container``: its name is all that counts."""

    name: str


class PodSpec(Wire):
    """``PodSpec``."""

    containers: list[Container]


class PodStatus(Wire):
    """``PodStatus``."""

    phase: str = ""
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None


class Pod(Wire):
    """``Pod``."""

    metadata: Meta
    spec: PodSpec
    status: PodStatus = msgspec.field(default_factory=PodStatus)


class Requirement(Wire):
    """``LabelSelectorRequirement``."""

    key: str
    operator: str
    values: list[str] | None = None


class LabelSelector(Wire):
    """``LabelSelector``."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Requirement] | None = None


class WorkloadSpec(Wire):
    """What Deployment, StatefulSet and DaemonSet have in common."""

    selector: LabelSelector


class Workload(Wire):
    """The owner workload."""

    metadata: Meta
    spec: WorkloadSpec


class Details(Wire):
    """``StatusDetails``."""

    retry_after_seconds: float | None = None


class Status(Wire):
    """``Status``: what the API server says when something is wrong."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: Details | None = None


class ListMeta(Wire):
    """``ListMeta``."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _BookmarkMeta(Wire):
    resource_version: str


class _Bookmark(Wire):
    metadata: _BookmarkMeta


class _Items(Wire):
    metadata: ListMeta
    items: list[msgspec.Raw] | None


class _PodItems(Wire):
    metadata: ListMeta
    items: list[Pod] | None


class _Change(Wire):
    type: str
    object: msgspec.Raw


class Page(msgspec.Struct, Generic[T]):
    """One page of a list. ``broken`` says what is wrong with items that could not be read."""

    resource_version: str
    continue_: str
    items: Sequence[T]
    broken: list[str]


class Event(msgspec.Struct, Generic[T], frozen=True):
    """One event of a watch.

    ``object`` is set for ADDED, MODIFIED and DELETED, ``status`` for ERROR. An object that could not be read
    leaves ``object`` None and says why in ``broken``.
    """

    type: str
    resource_version: str = ""
    object: T | None = None
    status: Status | None = None
    broken: str = ""


class Decoder(Generic[T]):
    """Decodes lists and watch events of one kind of object."""

    def __init__(self, kind: type[T]) -> None:
        self._object = msgspec.json.Decoder(kind)
        # A page of Pods in one go; items one by one, a quarter slower, only where that fails.
        self._page = msgspec.json.Decoder(_PodItems) if kind is Pod else None

    def object(self, data: bytes | msgspec.Raw) -> T:
        """One object. Raises Malformed."""
        try:
            return self._object.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(str(error)) from None

    def page(self, data: bytes) -> "Page[T]":
        """One page of a list. Raises Malformed where not even the list around the items can be read."""
        if self._page is not None:
            try:
                pods = self._page.decode(data)
                return Page(pods.metadata.resource_version, pods.metadata.continue_, pods.items or [], [])  # type: ignore[arg-type]
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass
        try:
            raw = _items.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(str(error)) from None
        page: Page[T] = Page(raw.metadata.resource_version, raw.metadata.continue_, [], [])
        items: list[T] = []
        for item in raw.items or []:
            try:
                items.append(self.object(item))
            except Malformed as error:
                page.broken.append(str(error))
        page.items = items
        return page

    def event(self, line: bytes) -> "Event[T]":
        """One line of a watch. Raises Malformed where it is no event at all."""
        try:
            change = _change.decode(line)
            if change.type == "BOOKMARK":
                return Event("BOOKMARK", _bookmark.decode(change.object).metadata.resource_version)
            if change.type == "ERROR":
                return Event("ERROR", status=_status.decode(change.object))
            version = _bookmark.decode(change.object).metadata.resource_version
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(str(error)) from None
        try:
            return Event(change.type, version, self.object(change.object))
        except Malformed as error:
            return Event(change.type, version, broken=str(error))


_items = msgspec.json.Decoder(_Items)
_change = msgspec.json.Decoder(_Change)
_bookmark = msgspec.json.Decoder(_Bookmark)
_status = msgspec.json.Decoder(Status)


def status(data: bytes) -> Status | None:
    """The Status in an error's body; None where a proxy or a load balancer wrote the body."""
    try:
        return _status.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("", "0", "f", "F", "FALSE", "false", "False"))
# RFC 1123 subdomain, the form of Pod names (Kubernetes documentation, "Object Names and IDs").
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_UID = re.compile(r"[0-9A-Za-z][-0-9A-Za-z]{0,63}\Z")


def session(pod: Pod) -> Session:
    """The session that this Pod is.

    ``keep`` takes what Go's ``strconv.ParseBool`` takes. Annotations that cannot be read are ignored and named
    in ``invalid``.
    """
    meta, phase = pod.metadata, sys.intern(pod.status.phase[:32])
    notes = meta.annotations or Annotations()
    labels = meta.labels or Labels()
    created = meta.creation_timestamp.timestamp()
    invalid: list[str] = []
    if notes.keep is not None and notes.keep not in _TRUE | _FALSE:
        invalid.append(model.KEEP)
    ttl = None
    if notes.ttl is not None:
        with suppress(ValueError):
            ttl = parse_duration(notes.ttl) or None
        if ttl is None:
            invalid.append(model.TTL)
    stamp_uid, stamp_name = notes.owner_pod_uid or "", notes.owner_pod_name or ""
    if stamp_uid and not _UID.match(stamp_uid):
        invalid.append(model.OWNER_POD_UID)
        stamp_uid = ""
    if stamp_name and not _NAME.match(stamp_name):
        invalid.append(model.OWNER_POD_NAME)
        stamp_name = ""
    main = _status_of(pod, pod.spec.containers[0].name if pod.spec.containers else "")
    waiting = main.state.waiting if main and main.state else None
    return Session(
        uid=meta.uid,
        name=meta.name,
        resource_version=meta.resource_version,
        created=created,
        phase=phase,
        user=printable(labels.username),
        connection_id=printable(labels.connection_id),
        client_ip=printable(notes.client_ip),
        started=_first_start(main, created),
        waiting=printable(waiting.reason) if waiting else "",
        finished=_finished(pod, created) if phase in _OVER else None,
        deletion=_seconds(meta.deletion_timestamp),
        keep=notes.keep in _TRUE,
        ttl=ttl,
        stamp_uid=stamp_uid,
        stamp_name=stamp_name,
        invalid=tuple(invalid),
    )


def owner_pod(pod: Pod, wanted: str) -> OwnerPod:
    """What this Pod of the owner workload says of the owner container.

    The container is ``wanted``; where that is empty, ``containerssh`` if there is one, otherwise the first. A
    container that the Pod does not have counts as not started yet, which keeps what the Pod may own.
    """
    names = [container.name for container in pod.spec.containers]
    name = wanted or ("containerssh" if "containerssh" in names or not names else names[0])
    found = _status_of(pod, name)
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
        over=pod.status.phase in _OVER,
        leaving=pod.metadata.deletion_timestamp is not None,
        cut_off=_cut_off(pod),
    )


def selector(workload: Workload) -> str:
    """The workload's selector in the form of the ``labelSelector`` parameter. Raises Malformed for an operator
    that Kubernetes' documentation does not name: with half a selector, half the owners would be missed."""
    chosen = workload.spec.selector
    parts = [f"{key}={value}" for key, value in sorted((chosen.match_labels or {}).items())]
    for requirement in chosen.match_expressions or ():
        key, values = requirement.key, ",".join(requirement.values or ())
        match requirement.operator:
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case "DoesNotExist":
                parts.append(f"!{key}")
            case other:
                raise Malformed(f"the workload's selector has an unknown operator {printable(other)}")
    return ",".join(parts)


_OVER = frozenset(("Succeeded", "Failed"))


def _status_of(pod: Pod, name: str) -> ContainerStatus | None:
    # The kubelet sorts the statuses by name: position says nothing.
    return next((s for s in pod.status.container_statuses or () if s.name == name), None)


def _cut_off(pod: Pod) -> bool:
    """Whether the node controller turned Ready to False behind the kubelet's back. The kubelet itself says so
    only with a readiness gate (Kubernetes documentation, "Pod readiness")."""
    conditions = {c.type: c for c in pod.status.conditions or ()}
    ready, containers = conditions.get("Ready"), conditions.get("ContainersReady")
    if ready is None or containers is None or pod.status.phase == "Unknown":
        return pod.status.phase == "Unknown"
    return ready.status != "True" and containers.status == "True" and ready.reason != "ReadinessGatesNotReady"


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _span(terminated: Terminated | None) -> Span | None:
    if terminated is None:
        return None
    reason = printable(terminated.reason, 32)
    ending = f"exit {terminated.exit_code}" + (f", {reason}" if reason else "")
    return Span(_seconds(terminated.started_at), _seconds(terminated.finished_at), ending)


def _first_start(main: ContainerStatus | None, created: float) -> float | None:
    """When the session's container first started. The status remembers two runs; where it had more, the first
    start is unknown and the session gets the benefit of the doubt."""
    if main is None or main.state is None:
        return None
    last = main.last_state.terminated if main.last_state else None
    first = main.state.running or main.state.terminated if main.restart_count == 0 else last
    if main.restart_count > 1:
        return created
    if first is not None:
        return created if first.started_at is None else first.started_at.timestamp()
    return created if main.restart_count else None


def _finished(pod: Pod, created: float) -> float:
    """When a Pod in a final phase ended. An evicted Pod may have no container status: then the last word of its
    conditions counts, and its creation where it has none."""
    states = [s.state.terminated for s in pod.status.container_statuses or () if s.state and s.state.terminated]
    ends = [t.finished_at for t in states if t.finished_at]
    if not ends:
        ends = [c.last_transition_time for c in pod.status.conditions or () if c.last_transition_time]
    return max((end.timestamp() for end in ends), default=created)
