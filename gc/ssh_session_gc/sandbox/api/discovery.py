"""Discovery: the server's versions, groups and resources, and as much OpenAPI as kubectl asks for.

Knows the documents of Kubernetes' "API discovery". The OpenAPI ones hold no schemas. They tell kubectl that the
server takes its ``fieldValidation`` parameter; otherwise kubectl validates by itself, and needs the schemas.
"""

from typing import Any

from ssh_session_gc.sandbox.api.objects import (
    CONFIGMAPS,
    DAEMONSETS,
    DEPLOYMENTS,
    EVENTS,
    LEASES,
    PODS,
    REPLICASETS,
    RESOURCES,
    SECRETS,
    STATEFULSETS,
    Object,
    Resource,
)

_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_REVIEWS = {
    ("authorization.k8s.io", "v1"): "SelfSubjectAccessReview",
    ("authentication.k8s.io", "v1"): "SelfSubjectReview",
}
_NO_STATUS = (EVENTS, LEASES, CONFIGMAPS, SECRETS)
_SCALED = (DEPLOYMENTS, STATEFULSETS, REPLICASETS)
_IN_ALL = (PODS, DEPLOYMENTS, STATEFULSETS, DAEMONSETS, REPLICASETS)  # what `kubectl get all` means


def subresources(res: Resource) -> tuple[str, ...]:
    """The subresources that an object of this resource has."""
    status = () if res in _NO_STATUS else ("log", "status") if res is PODS else ("status",)
    return (*status, "scale") if res in _SCALED else status


def documents(version: str) -> dict[str, Object]:
    """The JSON documents by their paths, for a server of this version ("v1.36.2")."""
    versions = sorted({(res.group, res.version) for res in RESOURCES} | set(_REVIEWS))
    groups = [_group(*each) for each in versions if each[0]]
    roots = {_root(*each): each for each in versions}
    found: dict[str, Object] = {
        "/version": _version(version),
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
        "/openapi/v3": {"paths": {root[1:]: {"serverRelativeURL": f"/openapi/v3{root}"} for root in roots}},
    }
    for root, each in roots.items():
        found[root] = _resource_list(*each)
        found[f"/openapi/v3{root}"] = _open_api(root, *each)
    found.update((f"/apis/{group['name']}", {"kind": "APIGroup", "apiVersion": "v1", **group}) for group in groups)
    return found


def _root(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def _version(version: str) -> Object:
    major, minor, _ = version.lstrip("v").split(".", 2)
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": version,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "sandbox",
    }


def _group(group: str, version: str) -> Object:
    served = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [served], "preferredVersion": served}


def _resource_list(group: str, version: str) -> Object:
    listed: list[Object] = []
    for res in _resources(group, version):
        entry: Object = {"name": res.plural, "singularName": res.kind.lower(), "namespaced": res.namespaced}
        entry |= {"kind": res.kind, "verbs": _VERBS, "shortNames": list(res.short_names)}
        listed.append(entry | ({"categories": ["all"]} if res in _IN_ALL else {}))
        for sub in subresources(res):
            scale = (
                {"group": "autoscaling", "version": "v1", "kind": "Scale"} if sub == "scale" else {"kind": res.kind}
            )
            name = {"name": f"{res.plural}/{sub}", "singularName": "", "namespaced": res.namespaced}
            verbs = ["get"] if sub == "log" else ["get", "patch", "update"]
            listed.append(name | scale | {"verbs": verbs})
    if review := _REVIEWS.get((group, version)):
        name = {"name": f"{review.lower()}s", "singularName": review.lower(), "namespaced": False}
        listed.append(name | {"kind": review, "verbs": ["create"]})
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": listed,
    }


def _open_api(root: str, group: str, version: str) -> Object:
    parameter = {"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    paths: dict[str, Any] = {}
    for res in _resources(group, version):
        kind = {"group": group, "version": version, "kind": res.kind}
        about = {"x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": kind, "parameters": [parameter]}
        scope = "/namespaces/{namespace}" if res.namespaced else ""
        paths[f"{root}{scope}/{res.plural}/{{name}}"] = {"patch": about}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": version}, "paths": paths}


def _resources(group: str, version: str) -> list[Resource]:
    return [res for res in RESOURCES if (res.group, res.version) == (group, version)]
