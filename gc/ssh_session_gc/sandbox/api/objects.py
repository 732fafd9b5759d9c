"""Resources, objects and changes: the words that the whole API uses.

Knows their names in Kubernetes. How a refusal is worded, ``refusals`` knows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

import msgspec

Object = dict[str, Any]
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of the API."""

    group: str
    version: str
    plural: str
    kind: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The group and version as objects spell them: ``v1``, ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The name in messages: ``pods``, ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def key(self, namespace: str | None, name: str) -> str:
        """The key of an object; lists are in the order of the keys."""
        return f"{namespace or 'default'}/{name}" if self.namespaced else name


PODS = Resource("", "v1", "pods", "Pod", ("po",))
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", ("deploy",))
STATEFULSETS = Resource("apps", "v1", "statefulsets", "StatefulSet", ("sts",))
DAEMONSETS = Resource("apps", "v1", "daemonsets", "DaemonSet", ("ds",))
REPLICASETS = Resource("apps", "v1", "replicasets", "ReplicaSet", ("rs",))
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", ("ns",), namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", ("no",), namespaced=False)
EVENTS = Resource("", "v1", "events", "Event", ("ev",))
CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap", ("cm",))
SECRETS = Resource("", "v1", "secrets", "Secret")
CRONJOBS = Resource("batch", "v1", "cronjobs", "CronJob", ("cj",))
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
RESOURCEQUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota", ("quota",))
RESOURCES = (
    *(PODS, DEPLOYMENTS, STATEFULSETS, DAEMONSETS, REPLICASETS),
    *(NAMESPACES, NODES, EVENTS, LEASES, CRONJOBS, RESOURCEQUOTAS, CONFIGMAPS, SECRETS),
)


def timestamp(seconds: float) -> str:
    """RFC 3339 in whole seconds, cut and not rounded, as metav1.Time is."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def copied(value: T) -> T:
    """A deep copy of JSON, which shares the strings: a version of an object costs little memory."""
    return cast(T, _copied(value))


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


@dataclass(frozen=True)
class Change:
    """One commit: an object as it now is (or last was, if DELETED) and as it was before."""

    type: ChangeType
    resource: Resource
    object: Object
    previous: Object | None
    rv: int

    @cached_property
    def encoded(self) -> bytes:
        """The object as JSON, encoded once for all watches."""
        return msgspec.json.encode(self.object)

    @cached_property
    def encoded_previous(self) -> bytes:
        """The previous object at this change's version, for watches whose selector the object has left."""
        last = self.object if self.previous is None else self.previous
        return msgspec.json.encode(last | {"metadata": last["metadata"] | {"resourceVersion": str(self.rv)}})
