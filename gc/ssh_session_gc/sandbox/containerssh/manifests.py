"""The objects that make ContainerSSH in a cluster: its Deployment and configuration, and the Pod of a session.

Knows their fields, as a hardened configuration has them. Creates nothing: ``process`` and the world do.
"""

import json
import re
from collections.abc import Mapping
from typing import Literal

import yaml

from ssh_session_gc.sandbox.api.objects import Object, copied
from ssh_session_gc.sandbox.containerssh.log import Login
from ssh_session_gc.sandbox.node.nodes import UNREACHABLE
from ssh_session_gc.sandbox.node.programs import PROGRAM

OWNER = "containerssh"
OWNER_NAMESPACE = "containerssh"
CONTAINER = "containerssh"
"""The container in which a process runs."""
CONSOLE = "shell"
"""The container of a session in which the user's program runs."""
CONFIGURATION = "containerssh-config"
"""The ConfigMap that has ContainerSSH's configuration, and the volume that brings it into the container."""
FOLDER = "/etc/containerssh"
FILE = "config.yaml"
Mode = Literal["connection", "session", "persistent"]
"""ContainerSSH's ``pod.mode``: a Pod for each connection, for each program, or for each user."""


def deployment(replicas: int, *, drain: float, grace: int, sidecar: bool, configured: bool) -> Object:
    """The Deployment; ``drain`` is the seconds from SIGTERM to the end of a process, ``grace`` the most it gets.
    ``configured``: it mounts the ConfigMap of ``configuration``."""
    sidecars = [{"name": "audit-log", "image": "example/audit-log:v1"}] if sidecar else []
    container: Object = {"name": CONTAINER, "image": "containerssh/containerssh:v0.5.2"}
    volumes: Object = {}
    if configured:
        container |= {"volumeMounts": [{"name": CONFIGURATION, "mountPath": FOLDER, "readOnly": True}]}
        volumes = {"volumes": [{"name": CONFIGURATION, "configMap": {"name": CONFIGURATION}}]}
    template = {
        "metadata": {
            "labels": {"app": OWNER},
            "annotations": {PROGRAM: json.dumps({"drain": drain})},
        },
        "spec": {
            "terminationGracePeriodSeconds": grace,
            "containers": [*sidecars, container],
            **volumes,
            "tolerations": [
                {
                    "key": UNREACHABLE,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 10,
                }
            ],
        },
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": OWNER}}, "template": template}
    return {"metadata": {"name": OWNER}, "spec": spec}


def configuration(
    namespace: str, mode: Mode, *, pod_start: float, log_level: str, metrics_port: int | None
) -> Object:
    """The ConfigMap with the configuration of a ContainerSSH that makes its sessions in this namespace.
    ``metrics_port`` None: it serves no metrics."""
    content = {
        "ssh": {"hostkeys": [f"{FOLDER}/keys/ssh_host_ed25519_key"]},
        "auth": {"password": {"method": "webhook", "webhook": {"url": "http://127.0.0.1:8080"}}},
        "log": {"level": log_level, "format": "ljson"},
        "metrics": {"enable": True, "listen": f"0.0.0.0:{metrics_port}"} if metrics_port else {"enable": False},
        "backend": "kubernetes",
        "kubernetes": {
            "timeouts": {"podStart": f"{pod_start:g}s"},
            "pod": {
                "mode": mode,
                "metadata": {"namespace": namespace, "labels": _POD["metadata"]["labels"]},
                "spec": {"restartPolicy": "Never", "containers": [{"name": CONSOLE, "image": "example/shell:v1"}]},
            },
        },
    }
    return {"metadata": {"name": CONFIGURATION}, "data": {FILE: yaml.safe_dump(content, sort_keys=False)}}


def session(
    login: Login,
    image: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    mode: Mode,
) -> Object:
    """The Pod of a session."""
    pod = copied(_POD)
    pod["metadata"]["labels"] |= {**_labels(login.user, login.connection), **labels}
    pod["metadata"]["annotations"] = {"containerssh_ip": login.address, **annotations}
    container = pod["spec"]["containers"][0]
    container["image"] = image
    if mode == "session":
        container["command"] = ["/usr/bin/containerssh-agent", "console", "--wait", "--pid", "--", "/bin/sh"]
        container |= {"stdin": True, "stdinOnce": True, "tty": True}
    if mode == "persistent":
        pod["metadata"]["name"] = home(login.user)
    return pod


def home(user: str) -> str:
    """The name of a user's persistent Pod."""
    return "home-" + re.sub(r"[^a-z0-9]", "-", user.lower())


def _labels(user: str, connection: str) -> dict[str, str]:
    """The labels that say who connected. ContainerSSH leaves out what is longer than the 63 characters of a label."""
    labels = {"containerssh_connection_id": connection, "containerssh_username": re.sub(r"[^A-Za-z0-9|.]", "-", user)}
    return {name: value for name, value in labels.items() if len(value) <= 63}


_POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "generateName": "containerssh-",
        "labels": {"app.kubernetes.io/managed-by": "containerssh", "containerssh.io/session": "true"},
    },
    "spec": {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": CONSOLE,
                "image": "",
                "command": ["/usr/bin/containerssh-agent", "wait-signal", "--signal", "INT", "--signal", "TERM"],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "runAsNonRoot": True,
                    "capabilities": {"drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "resources": {
                    "requests": {"cpu": "100m", "memory": "128Mi"},
                    "limits": {"cpu": "500m", "memory": "512Mi"},
                },
                "volumeMounts": [
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a path in the session
                    {"name": "home", "mountPath": "/home/user"},
                ],
            }
        ],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "100Mi"}},
            {"name": "home", "emptyDir": {"sizeLimit": "1Gi"}},
        ],
    },
}
