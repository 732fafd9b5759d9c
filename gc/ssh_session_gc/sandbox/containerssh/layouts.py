"""How ContainerSSH is laid out in a cluster: what is called how, where its configuration is, what its sessions are.

Knows three layouts that are in use. Makes no objects of them (``manifests``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ssh_session_gc.sandbox.api.objects import Object

Mode = Literal["connection", "session", "persistent"]
"""ContainerSSH's ``pod.mode``: a Pod for each connection, for each program, or for each user."""
CONSOLE = "shell"
"""The container of a session in which the user's program runs."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to install it. What is not said is as the official quick-start has it."""

    session_namespace: str
    spec: Object
    """The Pod of a session, as ``kubernetes.pod.spec`` gives it, but for the image and what the mode adds."""
    owner: str = "containerssh"
    owner_namespace: str = "containerssh"
    owner_labels: Mapping[str, str] = field(default_factory=lambda: {"app": "containerssh"})
    container: str = "containerssh"
    """The container in which a process runs."""
    image: str = "containerssh/containerssh:v0.6"
    sidecars: Mapping[str, str] = field(default_factory=dict)
    """Containers that stand beside it, each with its image."""
    config_kind: Literal["ConfigMap", "Secret"] = "ConfigMap"
    """What has its configuration."""
    config_name: str = "containerssh-config"
    sub_path: bool = True
    """Whether the one file is mounted, rather than its folder."""
    mode: Mode = "connection"
    session_labels: Mapping[str, str] = field(default_factory=dict)
    """Those that the configuration puts onto sessions, beside ContainerSSH's own."""

    @property
    def console(self) -> int:
        """The number of the container in which the user's program runs."""
        return [each["name"] for each in self.spec["containers"]].index(CONSOLE)


ARTICLE = Layout(
    "ssh-sessions",
    {
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
    image="containerssh/containerssh:v0.5.2",
    sub_path=False,
    session_labels={"app.kubernetes.io/managed-by": "containerssh", "containerssh.io/session": "true"},
)
"""Hardened, with labels of its own."""

QUICK_START = Layout(
    "containerssh-guests",
    {"containers": [{"name": CONSOLE}]},
    sidecars={"containerssh-authconfig": "containerssh/containerssh-test-authconfig:v0.6"},
)
"""The project's manifest for trying it out: sessions have nothing but what ContainerSSH gives them, and restart."""

RELEASE = Layout(
    "ssh-gateway",
    {"restartPolicy": "Always", "containers": [{"name": "motd", "image": "example/motd:v1"}, {"name": CONSOLE}]},
    owner="blue-ssh-gateway",
    owner_namespace="ssh-gateway",
    owner_labels={"app.kubernetes.io/name": "ssh-gateway", "app.kubernetes.io/instance": "blue"},
    container="ssh-gateway",
    config_kind="Secret",
    config_name="blue-ssh-gateway",
    sub_path=False,
    mode="persistent",
)
"""Somebody's chart: everything is named after the release, all in its namespace, each user has a Pod that stays, and
the shell is not the first container."""

LAYOUTS = {"article": ARTICLE, "quick-start": QUICK_START, "release": RELEASE}
