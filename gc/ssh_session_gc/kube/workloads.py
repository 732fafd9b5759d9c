"""What a Deployment, StatefulSet or DaemonSet on the wire says: which Pods are its own.

Knows the forms of a selector. Does not know which of its Pods own a session (``core.ownership``).
"""

from ssh_session_gc.core.text import printable
from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.kube.wire import Workload


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
