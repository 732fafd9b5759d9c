"""An API server that keeps whatever helm sends: enough of one for install, upgrade and uninstall.

Knows paths, discovery and merging. Judges nothing: no schemas, no permissions, no owners of fields, and nothing runs.
The sandbox, where things run, serves the few resources that the collector speaks of.
"""

import base64
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ssh_session_gc.sandbox.api.protobuf import MAGIC, fields

Object = dict[str, Any]
Key = tuple[str, str, str]
"""Plural, namespace, name."""

RESOURCES = {
    "v1": {"namespaces": "Namespace", "pods": "Pod", "secrets": "Secret", "services": "Service"}
    | {"serviceaccounts": "ServiceAccount", "configmaps": "ConfigMap"},
    "apps/v1": {"deployments": "Deployment"},
    "batch/v1": {"cronjobs": "CronJob"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    "rbac.authorization.k8s.io/v1": {"roles": "Role", "rolebindings": "RoleBinding"},
}
PLURALS = {kind: plural for kinds in RESOURCES.values() for plural, kind in kinds.items()}
_PATH = re.compile(
    r"/apis?/(?P<version>v1|[^/]+/v1)(/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)(/(?P<name>.+))?"
)
_NAMESPACES = re.compile(r"/api/(?P<version>v1)/(?P<plural>namespaces)(/(?P<name>[^/]+))?")


class HelmCluster:
    """The objects that the server has, and its address."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.url = ""
        self.lock = threading.Lock()

    def add(self, obj: Object) -> None:
        """Adds an object, as ``kubectl create`` would."""
        metadata = obj["metadata"]
        metadata.setdefault("uid", f"uid-{len(self.objects)}")
        metadata["resourceVersion"] = str(len(self.objects) + 1)
        self.objects[PLURALS[obj["kind"]], metadata.get("namespace", ""), metadata["name"]] = obj

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        return self.objects.get((PLURALS[kind], namespace, name))

    def names(self, *, besides: str = "secrets") -> set[Key]:
        """The keys of all objects but the Secrets in which helm keeps its releases."""
        return {key for key in self.objects if key[0] != besides}


@contextmanager
def serving(cluster: HelmCluster) -> Iterator[HelmCluster]:
    """Serves the cluster on a free port, in threads of its own."""

    class Handler(_Handler):
        keeps = cluster

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    cluster.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield cluster
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    keeps: HelmCluster
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Logs nothing."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if (document := _discovery(url.path)) is not None:
            self._answer(200, document)
            return
        with self.keeps.lock:
            found = self._target()
            if found is None:
                self._refuse(404, "NotFound", "no such path")
                return
            (plural, namespace, name), kind, version = found
            if name:
                self._answer_with((plural, namespace, name))
                return
            wanted = dict(
                each.split("=", 1) for each in parse_qs(url.query).get("labelSelector", [""])[0].split(",") if each
            )
            items = [
                obj
                for (p, n, _), obj in self.keeps.objects.items()
                if p == plural and n in (namespace or n, namespace)
                if wanted.items() <= obj["metadata"].get("labels", {}).items()
            ]
            self._answer(200, {"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": items})

    def do_POST(self) -> None:
        with self.keeps.lock:
            obj, found = self._body(), self._target()
            assert found is not None
            (plural, namespace, _), _, _ = found
            key = (plural, namespace, obj["metadata"]["name"])
            if key in self.keeps.objects:
                self._refuse(409, "AlreadyExists", f'{plural} "{key[2]}" already exists')
                return
            self._keep(key, obj)
            self._answer(201, obj)

    def do_PUT(self) -> None:
        self._write(replace=True)

    def do_PATCH(self) -> None:
        self._write(replace=False)

    def do_DELETE(self) -> None:
        with self.keeps.lock:
            self._body()
            found = self._target()
            assert found is not None
            if self.keeps.objects.pop(found[0], None) is None:
                self._refuse(404, "NotFound", f"{found[0]} not found")
                return
            self._answer(200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})

    def _write(self, *, replace: bool) -> None:
        with self.keeps.lock:
            body, found = self._body(), self._target()
            assert found is not None
            key = found[0]
            # Only an apply creates a missing object.
            if key not in self.keeps.objects and "apply-patch" not in self.headers.get("Content-Type", ""):
                self._refuse(404, "NotFound", f"{key} not found")
                return
            self._keep(key, body if replace else _merged(self.keeps.objects.get(key, {}), body))
            self._answer_with(key)

    def _keep(self, key: Key, obj: Object) -> None:
        _, namespace, name = key
        obj["metadata"] |= {"name": name} | ({"namespace": namespace} if namespace else {})
        obj["metadata"]["creationTimestamp"] = "2026-11-23T03:00:00Z"
        self.keeps.add(obj)

    def _target(self) -> tuple[Key, str, str] | None:
        path = urlsplit(self.path).path
        match = _NAMESPACES.fullmatch(path) or _PATH.fullmatch(path)
        if match is None:
            return None
        at = match.groupdict()
        kind = RESOURCES.get(at["version"], {}).get(at["plural"])
        return ((at["plural"], at.get("namespace") or "", at["name"] or ""), kind, at["version"]) if kind else None

    def _body(self) -> Object:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if data.startswith(MAGIC):
            return _from_protobuf(data.removeprefix(MAGIC))
        return dict(json.loads(data or b"{}"))

    def _answer_with(self, key: Key) -> None:
        if obj := self.keeps.objects.get(key):
            self._answer(200, obj)
        else:
            self._refuse(404, "NotFound", f'{key[0]} "{key[2]}" not found')

    def _refuse(self, code: int, reason: str, message: str) -> None:
        head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        self._answer(code, head | {"reason": reason, "message": message, "code": code})

    def _answer(self, code: int, body: Mapping[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _from_protobuf(data: bytes) -> Object:
    """A Namespace or Secret, which helm sends as protobuf. Numbers: k8s.io/api/core/v1, apimachinery meta/v1."""
    envelope = dict(fields(data))
    version, kind = (value.decode() for _, value in fields(envelope[1]))
    message = list(fields(envelope[2]))
    obj: Object = {"apiVersion": version, "kind": kind, "metadata": {}}
    for number, value in message:
        if kind == "Secret" and number == 2:
            key, content = (each for _, each in fields(value))
            obj.setdefault("data", {})[key.decode()] = base64.b64encode(content).decode()
        elif kind == "Secret" and number == 3:
            obj["type"] = value.decode()
        elif number == 1:
            for part, text in fields(value):
                if part in (1, 3):
                    obj["metadata"][{1: "name", 3: "namespace"}[part]] = text.decode()
                elif part in (11, 12):
                    key, content = (each for _, each in fields(text))
                    where = obj["metadata"].setdefault({11: "labels", 12: "annotations"}[part], {})
                    where[key.decode()] = content.decode()
    return obj


def _merged(old: Object, new: Object) -> Object:
    merged = dict(old)
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        else:
            both = isinstance(value, dict) and isinstance(old.get(key), dict)
            merged[key] = _merged(old[key], value) if both else value
    return merged


def _discovery(path: str) -> Object | None:
    if path == "/version":
        return {"major": "1", "minor": "36", "gitVersion": "v1.36.2"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        named = [(version.split("/")[0], version) for version in RESOURCES if "/" in version]
        served = [(name, {"groupVersion": version, "version": "v1"}) for name, version in named]
        groups = [{"name": name, "versions": [each], "preferredVersion": each} for name, each in served]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    roots = {version: f"apis/{version}" if "/" in version else f"api/{version}" for version in RESOURCES}
    if path == "/openapi/v3":
        return {"paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}"} for root in roots.values()}}
    for version, root in roots.items():
        if path == f"/openapi/v3/{root}":
            return {
                "openapi": "3.0.0",
                "info": {"title": "", "version": ""},
                "paths": _field_validation(version, root),
            }
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if path.startswith("/api") and version in RESOURCES:
        verbs = ["create", "delete", "get", "list", "patch", "update"]
        listed = [
            {"name": plural, "kind": kind, "namespaced": kind != "Namespace", "singularName": "", "verbs": verbs}
            for plural, kind in RESOURCES[version].items()
        ]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}
    return None


def _field_validation(version: str, root: str) -> Object:
    """Tells helm that the server checks fields itself. It does not; other tests do, with Kubernetes' schemas."""
    group, _, number = version.rpartition("/")
    about = {"x-kubernetes-action": "patch", "parameters": [{"name": "fieldValidation", "in": "query", "schema": {}}]}
    return {
        f"/{root}/{plural}/{{name}}": {
            "patch": about | {"x-kubernetes-group-version-kind": {"group": group, "version": number, "kind": kind}},
        }
        for plural, kind in RESOURCES[version].items()
    }
