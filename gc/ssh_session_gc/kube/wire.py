"""Kubernetes' wire format, as much of it as the policy needs.

Knows the JSON of Pods, workloads, lists, watch events and Status objects. The structs are narrow: what is not
named here is skipped by the decoder without being built, so a Pod with hundreds of kilobytes of annotations
costs no more than it takes to scan it. Does not know where the bytes come from or what they mean (``facts``).
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar, overload

import msgspec

from ssh_session_gc.core import model, names
from ssh_session_gc.core.text import printable

T = TypeVar("T")
W = TypeVar("W")


class Malformed(Exception):
    """Bytes that are no answer of an API server: broken JSON, or JSON of another shape. Says what is wrong."""


# What msgspec raises; the last where something is nested too deeply, be it in what is skipped.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


# Names become part of paths and of commands, so what is none is not read at all. An API server has no others.
Name = Annotated[str, msgspec.Meta(pattern=names.NAME, max_length=names.LONGEST_NAME)]
Uid = Annotated[str, msgspec.Meta(pattern=names.UID, max_length=names.LONGEST_UID)]
# One without an offset would be in the time zone of this machine, and cannot be compared with the others.
Time = Annotated[datetime, msgspec.Meta(tz=True)]


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


class ManagedFields(Wire):
    """``ManagedFieldsEntry``: who wrote last, and when by the API server's clock."""

    manager: str = ""
    subresource: str = ""
    time: Time | None = None


class Meta(Wire):
    """``ObjectMeta``."""

    name: Name
    uid: Uid
    resource_version: str
    creation_timestamp: Time
    deletion_timestamp: Time | None = None
    labels: Labels | None = None
    annotations: Annotations | None = None
    managed_fields: list[ManagedFields] | None = None


class Running(Wire):
    """``ContainerStateRunning``."""

    started_at: Time | None = None


class Terminated(Wire):
    """``ContainerStateTerminated``."""

    exit_code: Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)] = 0
    reason: str = ""
    started_at: Time | None = None
    finished_at: Time | None = None


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
    last_transition_time: Time | None = None


class Container(Wire):
    """``Container``: its name is all that counts."""

    name: Name


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


class VersionInfo(Wire):
    """The answer at ``/version``."""

    git_version: str


class AccessStatus(Wire):
    """``SubjectAccessReviewStatus``."""

    allowed: bool = False


class AccessReview(Wire):
    """``SelfSubjectAccessReview``."""

    status: AccessStatus


class UserInfo(Wire):
    """``UserInfo``."""

    username: str = ""


class SelfReviewStatus(Wire):
    """``SelfSubjectReviewStatus``."""

    user_info: UserInfo


class SelfReview(Wire):
    """``SelfSubjectReview``."""

    status: SelfReviewStatus


class LeaseSpec(Wire):
    """``LeaseSpec``."""

    holder_identity: str | None = None
    renew_time: Time | None = None


class Lease(Wire):
    """``Lease``."""

    spec: LeaseSpec = msgspec.field(default_factory=LeaseSpec)


class CronJobSpec(Wire):
    """``CronJobSpec``."""

    suspend: bool | None = None
    schedule: str = ""


class CronJob(Wire):
    """``CronJob``."""

    spec: CronJobSpec


class Details(Wire):
    """``StatusDetails``."""

    retry_after_seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None


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


class _NamedMeta(Wire):
    name: str


class _Named(Wire):
    metadata: _NamedMeta


class _BookmarkMeta(Wire):
    resource_version: str


class _Bookmark(Wire):
    metadata: _BookmarkMeta


class _Items(Wire, Generic[W]):
    metadata: ListMeta
    items: list[W] | None


class _Change(Wire, Generic[W]):
    type: str
    object: W


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
    """Decodes lists and watch events of one kind of object, and keeps of each what is wanted of it."""

    @overload
    def __init__(self: "Decoder[W]", kind: type[W]) -> None: ...

    @overload
    def __init__(self, kind: type[W], wanted: Callable[[W], T]) -> None: ...

    def __init__(self, kind: type[Any], wanted: Callable[[Any], Any] = lambda whole: whole) -> None:
        """``wanted`` says what is kept of an object, and raises nothing; the whole of it unless told."""
        self._wanted = wanted
        self._object = msgspec.json.Decoder(kind)
        # Pages and events in one go; in parts, which takes longer, only where that fails.
        self._page: msgspec.json.Decoder[_Items[Any]] = msgspec.json.Decoder(_Items[kind])  # type: ignore[valid-type]
        self._change: msgspec.json.Decoder[_Change[Any]] = msgspec.json.Decoder(_Change[kind])  # type: ignore[valid-type]

    def object(self, data: bytes | msgspec.Raw) -> T:
        """One object. Raises Malformed, with the object's name where that much can be read."""
        try:
            return self._wanted(self._object.decode(data))  # type: ignore[no-any-return]
        except _UNREADABLE as error:
            raise Malformed(f"{_name(data)}{error}") from None

    def page(self, data: bytes) -> "Page[T]":
        """One page of a list. Raises Malformed where not even the list around the items can be read."""
        try:
            whole = self._page.decode(data)
        except _UNREADABLE:
            return self._page_in_parts(data)
        kept = [self._wanted(item) for item in whole.items or ()]
        return Page(whole.metadata.resource_version, whole.metadata.continue_, kept, [])

    def _page_in_parts(self, data: bytes) -> "Page[T]":
        try:
            raw = _items.decode(data)
        except _UNREADABLE as error:
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
            whole = self._change.decode(line)
            if whole.type in _CHANGES:
                return Event(whole.type, whole.object.metadata.resource_version, self._wanted(whole.object))
        except _UNREADABLE:
            pass  # a bookmark, an error, or something that cannot be read
        return self._event_in_parts(line)

    def _event_in_parts(self, line: bytes) -> "Event[T]":
        try:
            change = _change.decode(line)
            if change.type == "BOOKMARK":
                return Event("BOOKMARK", _bookmark.decode(change.object).metadata.resource_version)
            if change.type == "ERROR":
                return Event("ERROR", status=_status.decode(change.object))
            version = _bookmark.decode(change.object).metadata.resource_version
        except _UNREADABLE as error:
            raise Malformed(str(error)) from None
        try:
            return Event(change.type, version, self.object(change.object))
        except Malformed as error:
            return Event(change.type, version, broken=str(error))


_CHANGES = frozenset(("ADDED", "MODIFIED", "DELETED"))
_items = msgspec.json.Decoder(_Items[msgspec.Raw])
_change = msgspec.json.Decoder(_Change[msgspec.Raw])
_bookmark = msgspec.json.Decoder(_Bookmark)
_status = msgspec.json.Decoder(Status)
_named = msgspec.json.Decoder(_Named)


def _name(data: bytes | msgspec.Raw) -> str:
    try:
        return f"{printable(_named.decode(data).metadata.name)}: "
    except _UNREADABLE:
        return ""


def status(data: bytes) -> Status | None:
    """The Status in an error's body; None where a proxy or a load balancer wrote the body."""
    try:
        return _status.decode(data)
    except _UNREADABLE:
        return None
