"""The lines of ContainerSSH's own log, as version 0.6 writes them with ``log.format: json`` (recorded).

Knows their form. Does not know when they are written: ``process`` does.
"""

import json
from collections.abc import Mapping
from typing import Literal, NamedTuple

from ssh_session_gc.sandbox.api.objects import timestamp

Level = Literal["debug", "info", "error"]
LogLevel = Literal["debug", "notice"]
"""ContainerSSH's ``log.level``: what is less than this is not written."""


class Login(NamedTuple):
    """Somebody who has connected; ``connection`` is an id, ``address`` the user's."""

    connection: str
    address: str
    user: str


class Entry(NamedTuple):
    """One line, before it has a time."""

    level: Level
    code: str
    message: str
    details: Mapping[str, str | int]

    def text(self, now: float) -> str:
        """The line, without its end."""
        told = {
            "timestamp": timestamp(now),
            "level": self.level,
            "code": self.code,
            "message": self.message,
            "details": dict(sorted(self.details.items())),
        }
        line = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        for special in "<>&\u2028\u2029":  # Go escapes these
            line = line.replace(special, f"\\u{ord(special):04x}")
        return line

    def passes(self, level: LogLevel) -> bool:
        """Whether it is written at this level. None of the lines here is a notice or a warning."""
        return level == "debug" or self.level == "error"


def start() -> list[Entry]:
    """A process has started and takes connections."""
    server = {"module": "service", "service": "SSH server"}
    return [
        Entry("debug", "CORE_CONFIG_FILE", "Using configuration file /etc/containerssh/config.yaml...", {}),
        Entry("info", "SERVICE_POOL_STARTING", "Services are starting...", {"module": "service"}),
        Entry("info", "SERVICE_STARTING", "SSH server is starting...", server),
        Entry("info", "SERVICE_RUNNING", "SSH server is running.", server),
        Entry("info", "SSH_AVAILABLE", "SSH server running on 0.0.0.0:2222", {"module": "ssh"}),
        Entry("info", "SERVICE_POOL_RUNNING", "All services are now running.", {"module": "service"}),
    ]


def connected(login: Login) -> list[Entry]:
    """Somebody has connected and shown who it is; a Pod is asked for."""
    allowed = f"Public key authentication for user {login.user} successful."
    return [
        Entry("debug", "SSH_CONNECTED", "Client connected", _ssh(login)),
        Entry("info", "SSH_AUTH_SUCCESSFUL", allowed, {**_ssh(login), **_name(login), "method": "public key"}),
        Entry("debug", "KUBERNETES_POD_CREATE", "Creating pod", _backend(login)),
    ]


def waits(login: Login, pod: str) -> Entry:
    """The Pod is made."""
    return Entry("debug", "KUBERNETES_POD_WAIT", "Waiting for pod to come up...", _backend(login, pod))


def is_up(login: Login, pod: str) -> list[Entry]:
    """The Pod runs, and the user's program in it."""
    of_pod = _backend(login, pod)
    return [
        Entry("debug", "SSH_HANDSHAKE_SUCCESSFUL", "SSH handshake successful", {**_ssh(login), **_name(login)}),
        Entry("debug", "KUBERNETES_EXEC", "Creating and attaching to pod exec...", of_pod),
        Entry("debug", "KUBERNETES_PID_RECEIVED", "Received PID 12 from agent", of_pod),
    ]


def came_too_late(login: Login, pod: str) -> list[Entry]:
    """The Pod was waited for in vain; the user is sent away."""
    reason = "Failed to wait for pod to come up. (timed out waiting for the condition)"
    return [
        Entry("error", "KUBERNETES_POD_WAIT_FAILED", reason, _backend(login, pod)),
        *not_created(login, reason),
    ]


def not_created(login: Login, reason: str) -> list[Entry]:
    """There is no Pod for the user, who is sent away."""
    created = f"Failed to create pod, giving up ({reason})"
    rejected = f"The backend has rejected the user after successful authentication. ({created})"
    return [
        Entry("error", "KUBERNETES_POD_CREATE_FAILED", created, _backend(login)),
        Entry("error", "SSH_BACKEND_REJECTED_HANDSHAKE", rejected, _ssh(login)),
        Entry("info", "SSH_HANDSHAKE_FAILED", f"SSH handshake failed ({rejected})", _ssh(login)),
        # Only a handshake that succeeds gives the connection a name.
        Entry("debug", "SSH_DISCONNECTED", "Client disconnected", _ssh(login)),
    ]


def exited(login: Login, code: int) -> Entry:
    """The user's program has ended."""
    details = {**_ssh(login), **_name(login), "channelId": 0, "exitCode": code}
    return Entry("debug", "SSH_EXIT", f"Program exited with status {code}", details)


def disconnected(login: Login) -> Entry:
    """The user is gone."""
    return Entry("debug", "SSH_DISCONNECTED", "Client disconnected", {**_ssh(login), **_name(login)})


def removes(login: Login, pod: str) -> Entry:
    """The Pod is about to be deleted."""
    return Entry("debug", "KUBERNETES_POD_REMOVE", "Removing pod...", _backend(login, pod))


def removed(login: Login, pod: str) -> Entry:
    """The API server has taken the deletion."""
    return Entry("debug", "KUBERNETES_POD_REMOVE_SUCCESSFUL", "Pod removed.", _backend(login, pod))


def not_removed(login: Login, pod: str, reason: str, *, last: bool) -> Entry:
    """The deletion failed. ``last``: it is not tried again."""
    level: Level = "error" if last else "debug"
    goes_on = "giving up." if last else "retrying in 10 seconds..."
    message = f"Failed to remove pod, {goes_on} ({reason})"
    return Entry(level, "KUBERNETES_POD_REMOVE_FAILED", message, _backend(login, pod))


def unreachable(namespace: str, pod: str) -> str:
    """Why a deletion failed, in the words of Go's client (not recorded)."""
    server = "10.96.0.1:443"
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
    return f'Delete "https://{server}{path}": dial tcp {server}: connect: no route to host'


def _ssh(login: Login) -> dict[str, str | int]:
    return {"connectionId": login.connection, "module": "ssh", "remoteAddr": login.address}


def _name(login: Login) -> dict[str, str | int]:
    return {"username": login.user}


def _backend(login: Login, pod: str = "") -> dict[str, str | int]:
    details = {**_ssh(login), **_name(login), "authenticatedUsername": login.user}
    details |= {"backend": "kubernetes", "module": "backend"}
    return details | {"podName": pod} if pod else details
