"""The objects that make ContainerSSH in a cluster: its Deployment and configuration, and the Pod of a session.

Knows their fields. What is called how, and what a session's Pod is like, ``layouts`` says. Creates nothing:
``process`` and the world do.
"""

import base64
import json
import re
from collections.abc import Mapping

import yaml

from ssh_session_gc.sandbox.api.objects import Object, copied
from ssh_session_gc.sandbox.containerssh.layouts import Layout, Mode
from ssh_session_gc.sandbox.containerssh.log import Login
from ssh_session_gc.sandbox.node.nodes import UNREACHABLE
from ssh_session_gc.sandbox.node.programs import PROGRAM

FOLDER = "/etc/containerssh"
FILE = "config.yaml"
GENERATE_NAME = "containerssh-"


def deployment(layout: Layout, replicas: int, *, drain: float, grace: int, sidecar: bool, configured: bool) -> Object:
    """The Deployment; ``drain`` is the seconds from SIGTERM to the end of a process, ``grace`` the most it gets.
    ``sidecar``: another container comes before ContainerSSH's. ``configured``: it mounts ``configuration``."""
    container: Object = {"name": layout.container, "image": layout.image}
    volumes: Object = {}
    if configured:
        mount = {"name": "config", "mountPath": FOLDER, "readOnly": True}
        if layout.sub_path:
            mount |= {"mountPath": f"{FOLDER}/{FILE}", "subPath": FILE}
        kind, key = ("configMap", "name") if layout.config_kind == "ConfigMap" else ("secret", "secretName")
        container |= {"volumeMounts": [mount]}
        volumes = {"volumes": [{"name": "config", kind: {key: layout.config_name}}]}
    before = [{"name": "audit-log", "image": "example/audit-log:v1"}] if sidecar else []
    after = [{"name": name, "image": image} for name, image in layout.sidecars.items()]
    labels = dict(layout.owner_labels)
    template = {
        "metadata": {"labels": labels, "annotations": {PROGRAM: json.dumps({"drain": drain})}},
        "spec": {
            "terminationGracePeriodSeconds": grace,
            "containers": [*before, container, *after],
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
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": layout.owner}, "spec": spec}


def configuration(
    layout: Layout, mode: Mode, *, pod_start: float, log_level: str, metrics_port: int | None
) -> Object:
    """The ConfigMap or Secret with its configuration. ``metrics_port`` None: it serves no metrics."""
    pod: Object = {
        "mode": mode,
        "metadata": {"namespace": layout.session_namespace},
        "spec": copied(layout.spec),
    }
    pod["spec"]["containers"][layout.console]["image"] = "example/shell:v1"
    if layout.session_labels:
        pod["metadata"]["labels"] = dict(layout.session_labels)
    if layout.console:
        pod["consoleContainerNumber"] = layout.console
    if mode == "persistent":
        pod["createMissingPods"] = True
    content = {
        "ssh": {"hostkeys": [f"{FOLDER}/keys/ssh_host_ed25519_key"]},
        "auth": {"password": {"method": "webhook", "webhook": {"url": "http://127.0.0.1:8080"}}},
        "log": {"level": log_level, "format": "ljson"},
        "metrics": {"enable": True, "listen": f"0.0.0.0:{metrics_port}"} if metrics_port else {"enable": False},
        "backend": "kubernetes",
        "kubernetes": {"timeouts": {"podStart": f"{pod_start:g}s"}, "pod": pod},
    }
    text = yaml.safe_dump(content, sort_keys=False)
    if layout.config_kind == "Secret":
        text = base64.b64encode(text.encode()).decode()
    return {"metadata": {"name": layout.config_name}, "data": {FILE: text}}


def session(
    layout: Layout,
    login: Login,
    image: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    mode: Mode,
) -> Object:
    """The Pod of a session."""
    spec = copied(layout.spec)
    container = spec["containers"][layout.console]
    container["image"] = image
    container["command"] = ["/usr/bin/containerssh-agent", "wait-signal", "--signal", "INT", "--signal", "TERM"]
    if mode == "session":
        container["command"] = ["/usr/bin/containerssh-agent", "console", "--wait", "--pid", "--", "/bin/sh"]
        container |= {"stdin": True, "stdinOnce": True, "tty": True}
    metadata: Object = {
        "generateName": GENERATE_NAME,
        "labels": {**layout.session_labels, **_labels(login.user, login.connection), **labels},
        "annotations": {"containerssh_ip": login.address, **annotations},
    }
    if mode == "persistent":
        metadata["name"] = home(login.user)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def home(user: str) -> str:
    """The name of a user's persistent Pod."""
    return "home-" + re.sub(r"[^a-z0-9]", "-", user.lower())


def _labels(user: str, connection: str) -> dict[str, str]:
    """The labels that say who connected. ContainerSSH leaves out what is longer than the 63 characters of a label."""
    labels = {"containerssh_connection_id": connection, "containerssh_username": re.sub(r"[^A-Za-z0-9|.]", "-", user)}
    return {name: value for name, value in labels.items() if len(value) <= 63}
