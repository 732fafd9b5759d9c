"""What an operator can set, checked. Does not know the flags (``cli``)."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from ssh_session_gc.core.model import CONNECTION_ID
from ssh_session_gc.core.names import parse_name
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.kube.resources import DAEMONSETS, DEPLOYMENTS, STATEFULSETS, Resource

KINDS = {"deployment": DEPLOYMENTS, "statefulset": STATEFULSETS, "daemonset": DAEMONSETS}
"""The workloads that ContainerSSH may run in, as an operator spells them."""


class DryRun(StrEnum):
    """How much of a deletion is done, in kubectl's words."""

    NONE = "none"
    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class OwnerRef:
    """The workload that ContainerSSH runs in."""

    kind: str
    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "OwnerRef":
        """Parses ``kind/namespace/name``. Raises ValueError with a sentence for the user."""
        parts = text.split("/")
        if len(parts) != 3 or not all(parts):
            raise ValueError("write it as kind/namespace/name, such as deployment/containerssh/containerssh, or none")
        kind, namespace, name = parts
        kind = kind.lower()
        if kind not in KINDS:
            raise ValueError(f"the kind is one of {', '.join(KINDS)}")
        return cls(kind, parse_name(namespace), parse_name(name))

    @property
    def resource(self) -> Resource:
        """The API's resource for this kind."""
        return KINDS[self.kind]

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class LeaseRef(NamedTuple):
    """The lease that replicas compete for."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one run. Either ``owner`` or ``owner_selector`` is set; neither is where the Ownerless rule is
    off."""

    session_namespace: str = "ssh-sessions"
    session_selector: str = CONNECTION_ID
    session_container: str = ""
    """Name or number of the container in which the shell is; with "" the first."""
    owner: OwnerRef | None = OwnerRef("deployment", "containerssh", "containerssh")
    owner_selector: str = ""
    owner_namespace: str = "containerssh"
    owner_container: str = ""
    owner_logs: bool = True
    """Whether the owners' logs are followed."""
    owner_metrics_port: int = 0
    """The port on which the owners serve their metrics; 0: they are not asked."""
    policy: Policy = field(default_factory=Policy)
    deletion_grace: int = 30
    """``gracePeriodSeconds`` of each deletion."""
    dry_run: DryRun = DryRun.NONE
    concurrency: int = 32
    max_deletes_per_minute: int = 0
    """0 means no limit."""
    lease: LeaseRef | None = None
    """None without an election: this is the only replica."""

    @property
    def shared_namespace(self) -> bool:
        """Whether sessions lie where ContainerSSH runs, so that a selector may match both."""
        return self.session_namespace == self.owner_namespace
