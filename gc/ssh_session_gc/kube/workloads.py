"""What a Deployment, StatefulSet or DaemonSet on the wire says: which Pods are its own, and which container in them
is ContainerSSH's.

Knows the forms of a selector. Does not know which of its Pods own a session (``core.ownership``).
"""

from typing import NamedTuple

from ssh_session_gc.core.text import printable
from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.kube.pods import likely_owner
from ssh_session_gc.kube.wire import Name, Wire, Workload, WorkloadSpec


class MadeContainer(Wire):
    """``Container``, in a template."""

    name: Name


class MadeSpec(Wire):
    """``PodSpec``, in a template."""

    containers: list[MadeContainer] | None = None


class MadePod(Wire):
    """``PodTemplateSpec``."""

    spec: MadeSpec | None = None


class MakerSpec(WorkloadSpec):
    """A workload's spec, with the template of its Pods."""

    template: MadePod | None = None


class Maker(Workload):
    """The owner workload, with the template of its Pods."""

    spec: MakerSpec


class Replicas(NamedTuple):
    """How the Pods of a workload are found, and in which of their containers ContainerSSH runs. Either is "" where
    nobody says."""

    selector: str
    container: str


def replicas_of(workload: Maker) -> Replicas:
    """What the workload says of its Pods. Raises Malformed, see ``selector_of``."""
    template = workload.spec.template
    made = template and template.spec
    names = [container.name for container in (made and made.containers) or ()]
    return Replicas(selector_of(workload), likely_owner(names))


def selector_of(workload: Workload) -> str:
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
