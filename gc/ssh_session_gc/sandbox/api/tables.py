"""Tables: objects as the rows that ``kubectl get`` prints.

Knows the columns, and how Kubernetes words a Pod's status and an age (pkg/printers/internalversion and
apimachinery's duration). Who wants a table, ``responses`` and ``handlers`` know.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from ssh_session_gc.sandbox.api.objects import Object, Resource

Cells = list[Any]


def table(res: Resource, objects: Iterable[Object], now: float, metadata: Object, include: str) -> Object:
    """A ``Table`` of meta.k8s.io/v1. ``include`` is the request's ``includeObject``: Metadata, Object or None."""
    columns, cells = _TABLES.get(res.plural, (_GENERIC, lambda obj, now: [_name(obj), _age(obj, now)]))
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_column(each) for each in columns],
        "rows": [{"cells": cells(obj, now), "object": _shown(obj, include)} for obj in objects],
    }


def partial(obj: Object) -> Object:
    """The object's metadata alone, as ``PartialObjectMetadata``."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def duration(seconds: float) -> str:
    """A span of time as kubectl shows it: the longer, the less precise."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _pair(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _pair(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return _pair(days // 365, "y", days % 365, "d") if days < 2920 else f"{days // 365}y"


def _pair(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}{small}{small_unit}" if small else f"{large}{unit}"


def pod_status(pod: Object) -> str:
    """The STATUS column of a Pod."""
    status = pod.get("status", {})
    reason = str(status.get("reason") or status.get("phase") or "")
    starting = _init_reason(pod)
    if starting:
        reason = starting
    else:
        running = False
        for container in reversed(status.get("containerStatuses") or []):
            state = container.get("state") or {}
            if (state.get("waiting") or {}).get("reason"):
                reason = state["waiting"]["reason"]
            elif "terminated" in state:
                reason = _ended(state["terminated"])
            elif container.get("ready") and "running" in state:
                running = True
        if reason == "Completed" and running:
            reason = "Running" if _condition(pod, "Ready") == "True" else "NotReady"
    if "deletionTimestamp" in pod["metadata"]:
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return reason


def _init_reason(pod: Object) -> str | None:
    """The status while init containers run, None once they are through."""
    statuses = pod.get("status", {}).get("initContainerStatuses") or []
    for index, container in enumerate(statuses):
        state = container.get("state") or {}
        ended = state.get("terminated")
        if ended and ended["exitCode"] == 0:
            continue
        if ended:
            return f"Init:{_ended(ended)}"
        waiting = (state.get("waiting") or {}).get("reason")
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{index}/{len(pod['spec']['initContainers'])}"
    return None


def _ended(terminated: Object) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    return (
        f"Signal:{terminated['signal']}" if terminated.get("signal") else f"ExitCode:{terminated.get('exitCode', 0)}"
    )


def _condition(obj: Object, kind: str) -> str:
    conditions = obj.get("status", {}).get("conditions") or []
    return next((str(each["status"]) for each in conditions if each["type"] == kind), "Unknown")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _since(text: str | None, now: float) -> str:
    return duration(now - _seconds(text)) if text else "<unknown>"


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _age(obj: Object, now: float) -> str:
    return _since(obj["metadata"].get("creationTimestamp"), now)


def _pod(pod: Object, now: float) -> Cells:
    status, spec = pod.get("status", {}), pod.get("spec", {})
    statuses = status.get("containerStatuses") or []
    ready = sum(bool(each.get("ready") and "running" in (each.get("state") or {})) for each in statuses)
    count = sum(each.get("restartCount", 0) for each in statuses)
    ends = [((each.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for each in statuses]
    last = max(filter(None, ends), default="")
    restarts = f"{count} ({_since(last, now)} ago)" if count and last else str(count)
    shown = [_name(pod), f"{ready}/{len(spec.get('containers') or [])}", pod_status(pod), restarts, _age(pod, now)]
    return [*shown, status.get("podIP") or "<none>", spec.get("nodeName") or "<none>", "<none>", "<none>"]


def _workload(obj: Object) -> tuple[int, int, Cells]:
    """The wanted replicas, the ready ones, and the cells that -o wide adds."""
    spec, status = obj.get("spec", {}), obj.get("status", {})
    containers = spec.get("template", {}).get("spec", {}).get("containers") or []
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    joined = [",".join(str(each.get(field)) for each in containers) for field in ("name", "image")]
    wide = [*joined, ",".join(f"{key}={value}" for key, value in labels.items()) or "<none>"]
    return spec.get("replicas", 1), status.get("readyReplicas", 0), wide


def _deployment(obj: Object, now: float) -> Cells:
    wanted, ready, wide = _workload(obj)
    status = obj.get("status", {})
    counts = [status.get("updatedReplicas", 0), status.get("availableReplicas", 0)]
    return [_name(obj), f"{ready}/{wanted}", *counts, _age(obj, now), *wide]


def _stateful_set(obj: Object, now: float) -> Cells:
    wanted, ready, wide = _workload(obj)
    return [_name(obj), f"{ready}/{wanted}", _age(obj, now), *wide[:2]]


def _replica_set(obj: Object, now: float) -> Cells:
    wanted, ready, wide = _workload(obj)
    return [_name(obj), wanted, obj.get("status", {}).get("replicas", 0), ready, _age(obj, now), *wide]


def _event(obj: Object, now: float) -> Cells:
    about, source = obj.get("involvedObject") or {}, obj.get("source") or {}
    seen = [obj.get("firstTimestamp") or obj.get("eventTime"), obj.get("lastTimestamp") or obj.get("eventTime")]
    target = f"{about.get('kind', '').lower()}/{about.get('name', '')}"
    who = ", ".join(filter(None, (source.get("component") or obj.get("reportingComponent"), source.get("host"))))
    first, last = _since(seen[0], now), _since(seen[1] or seen[0], now)
    short = [last, obj.get("type", ""), obj.get("reason", ""), target, about.get("fieldPath", ""), who]
    return [*short, str(obj.get("message", "")).strip(), first, obj.get("count", 1), _name(obj)]


def _node(obj: Object, now: float) -> Cells:
    ready = {"True": "Ready", "False": "NotReady"}.get(_condition(obj, "Ready"), "NotReady")
    ready += ",SchedulingDisabled" if obj.get("spec", {}).get("unschedulable") else ""
    version = (obj.get("status", {}).get("nodeInfo") or {}).get("kubeletVersion", "")
    return [_name(obj), ready, "<none>", _age(obj, now), version]


def _namespace(obj: Object, now: float) -> Cells:
    return [_name(obj), obj.get("status", {}).get("phase", ""), _age(obj, now)]


def _lease(obj: Object, now: float) -> Cells:
    return [_name(obj), obj.get("spec", {}).get("holderIdentity", ""), _age(obj, now)]


def _column(title: str) -> Object:
    """A column's definition. A title with a + is for -o wide only, one with a # for numbers."""
    name = title.lstrip("+#")
    kind = "integer" if "#" in title else "string"
    form = "name" if name == "Name" and title == "Name" else ""
    return {"name": name, "type": kind, "format": form, "description": "", "priority": int(title.startswith("+"))}


def _shown(obj: Object, include: str) -> Object | None:
    return None if include == "None" else obj if include == "Object" else partial(obj)


_GENERIC = ("Name", "Age")
_WIDE = ("+Containers", "+Images", "+Selector")
_TABLES: dict[str, tuple[Sequence[str], Callable[[Object, float], Cells]]] = {
    "pods": (
        ("Name", "Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node", "+Readiness Gates"),
        _pod,
    ),
    "deployments": (("Name", "Ready", "#Up-to-date", "#Available", "Age", *_WIDE), _deployment),
    "replicasets": (("Name", "#Desired", "#Current", "#Ready", "Age", *_WIDE), _replica_set),
    "statefulsets": (("Name", "Ready", "Age", "+Containers", "+Images"), _stateful_set),
    "events": (
        (
            "Last Seen",
            "Type",
            "Reason",
            "Object",
            "+Subobject",
            "+Source",
            "Message",
            "+First Seen",
            "+#Count",
            "+Name",
        ),
        _event,
    ),
    "nodes": (("Name", "Status", "Roles", "Age", "Version"), _node),
    "namespaces": (("Name", "Status", "Age"), _namespace),
    "leases": (("Name", "Holder", "Age"), _lease),
}
