"""Defaults: the fields that an API server fills into a new object.

Knows the values of Kubernetes' API reference and of the recorded answers. Names and uids, ``names`` knows, and times,
``storage``.
"""

from typing import Any

Object = dict[str, Any]

_POD_SPEC: Object = {
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
}
_TOLERATIONS = [
    {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for what in ("not-ready", "unreachable")
]
_ADMITTED: Object = {  # set by admission, so a Pod has them and a template does not
    "serviceAccountName": "default",
    "serviceAccount": "default",
    "priority": 0,
    "preemptionPolicy": "PreemptLowerPriority",
    "enableServiceLinks": True,
}


def fill(plural: str, obj: Object) -> None:
    """Fills the defaults of this resource into an object, in place."""
    if plural == "pods":
        _pod(obj)
    elif plural in ("deployments", "statefulsets", "daemonsets", "replicasets"):
        _workload(plural, obj)
    elif plural == "events":
        obj.setdefault("source", {})
        for key, value in _EVENT.items():
            obj.setdefault(key, value)
    elif plural == "namespaces":
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
        obj.setdefault("spec", {"finalizers": ["kubernetes"]})
        obj.setdefault("status", {}).setdefault("phase", "Active")
    elif plural in ("nodes", "resourcequotas"):
        obj.setdefault("status", {})


_EVENT: Object = {
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
}


def _pod(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _pod_spec(spec)
    for key, value in _ADMITTED.items():
        spec.setdefault(key, value)
    tolerated = {each.get("key") for each in spec.setdefault("tolerations", [])}
    # A new list: the object's own may be shared with the template that it came from.
    spec["tolerations"] = [*spec["tolerations"], *(t for t in _TOLERATIONS if t["key"] not in tolerated)]
    status = obj.setdefault("status", {})
    status.setdefault("phase", "Pending")
    status.setdefault("qosClass", _qos_class(spec))


def _pod_spec(spec: Object) -> None:
    spec.setdefault("restartPolicy", "Always")
    for key, value in _POD_SPEC.items():
        spec.setdefault(key, value)
    spec.setdefault("securityContext", {})
    for container in [*spec.get("initContainers", ()), *spec.get("containers", ())]:
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        tag = container.get("image", "").rpartition("/")[2].partition(":")[2] or "latest"
        container.setdefault("imagePullPolicy", "Always" if tag == "latest" else "IfNotPresent")


def _qos_class(spec: Object) -> str:
    """The class as in Kubernetes' "Pod Quality of Service Classes"."""
    wanted = [container.get("resources") or {} for container in spec.get("containers", ())]
    if not any(each.get("requests") or each.get("limits") for each in wanted):
        return "BestEffort"
    for each in wanted:
        limits = each.get("limits") or {}
        if not {"cpu", "memory"} <= limits.keys() or (each.get("requests") or limits) != limits:
            return "Burstable"
    return "Guaranteed"


def _workload(plural: str, obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))
    obj.setdefault("status", {})
    if plural != "daemonsets":
        spec.setdefault("replicas", 1)
    if plural == "deployments":
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)
        rolling = {"maxUnavailable": "25%", "maxSurge": "25%"}
        spec.setdefault("strategy", {"type": "RollingUpdate", "rollingUpdate": rolling})
