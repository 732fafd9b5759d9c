"""Kubernetes' wire format, as much of it as the policy needs.

Knows the fields of Pods, workloads, reviews and Status objects. The structs are narrow: what is not named here is
skipped by the decoder without being built, so a Pod with hundreds of kilobytes of annotations costs no more than it
takes to scan it. Does not know how bytes become structs (``decoder``) or what they mean (``pods``, ``workloads``).
"""

from datetime import datetime
from typing import Annotated

import msgspec

from ssh_session_gc.core import model, names

# Names become part of paths and of commands, so what is none is not read at all. An API server has no others.
Name = Annotated[str, msgspec.Meta(pattern=names.NAME, max_length=names.LONGEST_NAME)]
Uid = Annotated[str, msgspec.Meta(pattern=names.UID, max_length=names.LONGEST_UID)]
# One without an offset would be in the time zone of this machine, and cannot be compared with the others.
Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Wire(msgspec.Struct, gc=False, rename="camel"):
    """The base of all structs of the wire: Kubernetes' spelling of names."""


class Annotations(Wire):
    """The annotations that mean something here."""

    keep: str | None = msgspec.field(default=None, name=model.KEEP)
    ttl: str | None = msgspec.field(default=None, name=model.TTL)
    owner_pod_uid: str | None = msgspec.field(default=None, name=model.OWNER_POD_UID)
    owner_pod_name: str | None = msgspec.field(default=None, name=model.OWNER_POD_NAME)
    client_ip: str = msgspec.field(default="", name="containerssh_ip")


class Labels(Wire):
    """The labels that ContainerSSH puts on every Pod (its source, ``kubernetes/networkHandler.go``)."""

    connection_id: str = msgspec.field(default="", name=model.CONNECTION_ID)
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
    generate_name: str = ""
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
    """``Container``."""

    name: Name
    stdin_once: bool | None = False
    restart_policy: str | None = None
    restart_policy_rules: list[msgspec.Raw] | None = None


class PodSpec(Wire):
    """``PodSpec``."""

    containers: list[Container]
    restart_policy: str | None = None


class PodStatus(Wire):
    """``PodStatus``."""

    phase: str = ""
    pod_ip: str | None = msgspec.field(default=None, name="podIP")
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None


class Pod(Wire):
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
