"""Kubernetes' wire format, as much of it as the policy needs.

Knows the fields of Pods, workloads, reviews and Status objects. The structs are narrow: what is not named here is
skipped by the decoder without being built, so a Pod with hundreds of kilobytes of annotations costs no more than it
takes to scan it. Does not know how bytes become structs (``decoder``, ``lenient``) or what they mean (``pods``,
``workloads``).

What has a default is optional. In a ``Lenient`` struct such a field never makes the whole unreadable: null counts as
absent, and so does what cannot be read. Where absence would speak against a session, the field says what else an
unreadable one counts as (``odd``), or that nothing can be said without it (``needed``).
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec

from ssh_session_gc.core import model, names

# Names become part of paths and of commands, so what is none is not read at all. An API server has no others.
Name = Annotated[str, msgspec.Meta(pattern=names.NAME, max_length=names.LONGEST_NAME)]
Uid = Annotated[str, msgspec.Meta(pattern=names.UID, max_length=names.LONGEST_UID)]
# One without an offset would be in the time zone of this machine, and cannot be compared with the others.
Time = Annotated[datetime, msgspec.Meta(tz=True)]


ODD = "odd"
NEEDED = msgspec.Meta(extra={"needed": True})
"""Of an optional field that makes the struct unreadable where it is there and cannot be read."""


def odd(make: Callable[[], Any]) -> msgspec.Meta:
    """Of an optional field that counts as this where it is there and cannot be read."""
    return msgspec.Meta(extra={ODD: make})


class Wire(msgspec.Struct, gc=False, rename="camel"):
    """The base of all structs of the wire: Kubernetes' spelling of names."""


class Lenient(Wire):
    """The base of those whose optional fields are read as far as they can be (``lenient``)."""


class Annotations(Lenient):
    """The annotations that mean something here."""

    keep: str | None = msgspec.field(default=None, name=model.KEEP)
    ttl: str | None = msgspec.field(default=None, name=model.TTL)
    owner_pod_uid: str | None = msgspec.field(default=None, name=model.OWNER_POD_UID)
    owner_pod_name: str | None = msgspec.field(default=None, name=model.OWNER_POD_NAME)
    client_ip: str = msgspec.field(default="", name="containerssh_ip")


class Labels(Lenient):
    """The labels that ContainerSSH puts on every Pod (its source, ``kubernetes/networkHandler.go``)."""

    connection_id: str = msgspec.field(default="", name=model.CONNECTION_ID)
    username: str = msgspec.field(default="", name="containerssh_username")


class ManagedFields(Lenient):
    """``ManagedFieldsEntry``: who wrote last, and when by the API server's clock."""

    manager: str = ""
    subresource: str = ""
    time: Time | None = None


class Meta(Lenient):
    """``ObjectMeta``."""

    name: Name
    uid: Uid
    resource_version: str
    creation_timestamp: Time
    generate_name: str = ""
    deletion_timestamp: Annotated[Time | None, NEEDED] = None
    # What is there may exempt the session: it is spared to the longest limit, and not taken for one by a connection.
    labels: Annotated[Labels | None, odd(lambda: Labels(connection_id="?"))] = None
    annotations: Annotated[Annotations | None, odd(lambda: Annotations(keep="?"))] = None
    managed_fields: list[ManagedFields] | None = None


class Running(Lenient):
    """``ContainerStateRunning``."""

    started_at: Time | None = None


class Terminated(Lenient):
    """``ContainerStateTerminated``."""

    # What ended well may have ended for good.
    exit_code: Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31), odd(lambda: -1)] = 0
    reason: str = ""
    started_at: Time | None = None
    finished_at: Time | None = None


class Waiting(Lenient):
    """``ContainerStateWaiting``."""

    reason: str = ""


class State(Lenient):
    """``ContainerState``: at most one of the three is set."""

    running: Annotated[Running | None, NEEDED] = None
    terminated: Annotated[Terminated | None, NEEDED] = None
    waiting: Annotated[Waiting | None, NEEDED] = None


class ContainerStatus(Lenient):
    """``ContainerStatus``."""

    name: str = ""
    # Nobody knows that it does not run, that it never has, or that it runs for the first time.
    state: Annotated[State | None, odd(lambda: State(running=Running()))] = None
    last_state: Annotated[State | None, odd(lambda: State(terminated=Terminated(exit_code=-1)))] = None
    restart_count: Annotated[int, odd(lambda: 2)] = 0


class Condition(Lenient):
    """``PodCondition``."""

    type: str = ""
    status: str = ""
    reason: str = ""
    last_transition_time: Time | None = None


class Container(Lenient):
    """``Container``."""

    name: Name
    # Of several such Pods with one connection none is superseded.
    stdin_once: Annotated[bool | None, odd(lambda: True)] = False
    restart_policy: str | None = None
    # There are rules by which it may be restarted.
    restart_policy_rules: Annotated[list[msgspec.Raw] | None, odd(lambda: [msgspec.Raw()])] = None


class PodSpec(Lenient):
    """``PodSpec``."""

    containers: list[Container]
    restart_policy: str | None = None


class PodStatus(Lenient):
    """``PodStatus``."""

    phase: str = ""
    pod_ip: str | None = msgspec.field(default=None, name="podIP")
    conditions: list[Condition] | None = None
    # It has one: the Pod may be past its beginning.
    container_statuses: Annotated[list[ContainerStatus] | None, odd(lambda: [ContainerStatus()])] = None


class Pod(Lenient):
    """``Pod``."""

    metadata: Meta
    spec: PodSpec
    status: PodStatus = msgspec.field(default_factory=PodStatus)


class LabelSelectorRequirement(Wire):
    """``LabelSelectorRequirement``."""

    key: str
    operator: str
    values: list[str] | None = None


class LabelSelector(Wire):
    """``LabelSelector``."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[LabelSelectorRequirement] | None = None


class WorkloadSpec(Wire):
    """What Deployment, StatefulSet and DaemonSet have in common."""

    selector: LabelSelector


class Workload(Lenient):
    """The owner workload."""

    metadata: Meta
    spec: WorkloadSpec


class VersionInfo(Wire):
    """The answer at ``/version``."""

    git_version: str


class AccessStatus(Lenient):
    """``SubjectAccessReviewStatus``."""

    allowed: bool = False


class AccessReview(Lenient):
    """``SelfSubjectAccessReview``."""

    status: AccessStatus


class UserInfo(Lenient):
    """``UserInfo``."""

    username: str = ""


class SelfReviewStatus(Lenient):
    """``SelfSubjectReviewStatus``."""

    user_info: UserInfo


class SelfReview(Lenient):
    """``SelfSubjectReview``."""

    status: SelfReviewStatus


class CronJobSpec(Lenient):
    """``CronJobSpec``."""

    suspend: bool | None = None
    schedule: str = ""


class CronJob(Lenient):
    """``CronJob``."""

    spec: CronJobSpec


class Details(Lenient):
    """``StatusDetails``."""

    retry_after_seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None


class Status(Lenient):
    """``Status``: what the API server says when something is wrong."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: Details | None = None


class ListMeta(Lenient):
    """``ListMeta``."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")
