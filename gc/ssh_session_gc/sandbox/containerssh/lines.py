"""The lines of ContainerSSH's log, as version 0.6 writes them (recorded, where nothing else is said).

Knows their words and their order within a step. Does not know when a step is taken: ``process`` and its neighbours
do. What it says of its webhook for logins, and of what else it serves than SSH, is left out.
"""

from ssh_session_gc.sandbox.containerssh.log import Entry, Level, Login

TOO_LATE = "Failed to wait for pod to come up. (timed out waiting for the condition)"
"""Why there is no Pod where it has not come up in time."""


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


def stopping() -> list[Entry]:
    """SIGTERM has come."""
    server = {"module": "service", "service": "SSH server"}
    return [
        Entry("info", "SERVICE_POOL_STOPPING", "Services are now stopping...", {"module": "service"}),
        Entry("info", "SERVICE_STOPPING", "SSH server is stopping...", server),
    ]


def stopped() -> list[Entry]:
    """The process is about to end."""
    server = {"module": "service", "service": "SSH server"}
    return [
        Entry("info", "SERVICE_STOPPED", "SSH server has stopped.", server),
        Entry("info", "SERVICE_POOL_STOPPED", "All services have stopped.", {"module": "service"}),
    ]


def connected(login: Login) -> list[Entry]:
    """Somebody has connected and shown who it is."""
    allowed = f"Public key authentication for user {login.user} successful."
    return [
        Entry("debug", "SSH_CONNECTED", "Client connected", _ssh(login)),
        Entry("info", "SSH_AUTH_SUCCESSFUL", allowed, {**_ssh(login), **_name(login), "method": "public key"}),
    ]


def probed(login: Login) -> list[Entry]:
    """Somebody has opened the port and gone again (not recorded)."""
    return [
        Entry("debug", "SSH_CONNECTED", "Client connected", _ssh(login)),
        Entry("info", "SSH_HANDSHAKE_FAILED", "SSH handshake failed (EOF)", _ssh(login)),
        Entry("debug", "SSH_DISCONNECTED", "Client disconnected", _ssh(login)),
    ]


def admitted(login: Login) -> list[Entry]:
    """The user is let in and asks for a program."""
    return [
        Entry("debug", "SSH_HANDSHAKE_SUCCESSFUL", "SSH handshake successful", {**_ssh(login), **_name(login)}),
        Entry("debug", "SSH_NEW_CHANNEL", "New SSH channel", {**_channel(login), "type": "session"}),
        _request(login, ""),
    ]


def looked_up(login: Login, pod: str) -> list[Entry]:
    """There is no Pod of a name that was asked for three times."""
    missed = [
        Entry(
            "debug",
            "UNKNOWN_ERROR",
            f'[Error fetching pod: %v (retry %d) pods "{pod}" not found {number}]',
            _backend(login),
        )
        for number in (1, 2, 3)
    ]
    message = f"failed to find pod {pod} in namespace ssh-sessions after multiple retries"
    return [*missed, Entry("debug", "KUBERNETES_POD_NOT_FOUND", message, _backend(login))]


def creates(login: Login) -> Entry:
    """A Pod is asked for."""
    return Entry("debug", "KUBERNETES_POD_CREATE", "Creating pod", _backend(login))


def creates_again(login: Login, reason: str) -> Entry:
    """The creation has failed and is tried again later (not recorded)."""
    message = f"Failed to create pod, retrying in 10 seconds ({reason})"
    return Entry("debug", "KUBERNETES_POD_CREATE_FAILED", message, _backend(login))


def waits(login: Login, pod: str) -> Entry:
    """The Pod is made."""
    return Entry("debug", "KUBERNETES_POD_WAIT", "Waiting for pod to come up...", _backend(login, pod))


def executes(login: Login, pod: str) -> Entry:
    """A program is started in a Pod that runs."""
    return Entry("debug", "KUBERNETES_EXEC", "Creating and attaching to pod exec...", _backend(login, pod))


def attaches(login: Login, pod: str) -> Entry:
    """The program that the Pod is has started (mode ``session``)."""
    return Entry("debug", "KUBERNETES_POD_ATTACH", "attaching to pod...", _backend(login, pod))


def runs(login: Login, pod: str, pid: int = 12) -> list[Entry]:
    """The user's program runs."""
    return [
        Entry("debug", "KUBERNETES_PID_RECEIVED", f"Received PID {pid} from agent", _backend(login, pod)),
        _request(login, " successful"),
    ]


def came_too_late(login: Login, pod: str) -> Entry:
    """The Pod was waited for in vain."""
    return Entry("error", "KUBERNETES_POD_WAIT_FAILED", TOO_LATE, _backend(login, pod))


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


def not_started(login: Login, reason: str) -> list[Entry]:
    """There is no Pod for the user's program (mode ``session``; not recorded)."""
    created = f"Failed to create pod, giving up ({reason})"
    failed = f"exec channel request from client failed ({created})"
    return [
        Entry("error", "KUBERNETES_POD_CREATE_FAILED", created, _backend(login)),
        Entry("debug", "SSH_CHANNEL_REQUEST_FAILED", failed, {**_channel(login), "RequestType": "exec"}),
    ]


def exit_unknown(login: Login, pod: str, *, last: bool) -> Entry:
    """Nobody knows how the user's program ended. ``last``: nobody asks again."""
    level: Level = "error" if last else "debug"
    goes_on = "giving up" if last else "retrying in 10 seconds"  # it is one second
    message = f"failed to fetch pod exit status, {goes_on} (pod has not terminated yet)"
    return Entry(level, "KUBERNETES_EXIT_CODE_FAILED", message, _backend(login, pod))


def exited(login: Login, code: int) -> Entry:
    """The user's program has ended."""
    return Entry("debug", "SSH_EXIT", f"Program exited with status {code}", {**_channel(login), "exitCode": code})


def disconnected(login: Login) -> Entry:
    """The user is gone."""
    return Entry("debug", "SSH_DISCONNECTED", "Client disconnected", {**_ssh(login), **_name(login)})


def signals(login: Login, pod: str, signal: str, pid: int = 12) -> list[Entry]:
    """The user's program is sent a signal."""
    using = f"Using the exec facility to send signal {signal} to pid {pid}..."
    return [
        Entry("debug", "KUBERNETES_EXEC_SIGNAL", using, {**_backend(login, pod), "signal": signal}),
        executes(login, pod),
    ]


def signalled(login: Login, pod: str, signal: str) -> list[Entry]:
    """The signal has come through."""
    sent = f"Sent {signal} signal to pod {pod} pid 12"
    return [
        Entry("debug", "KUBERNETES_PID_RECEIVED", "Received PID 29 from agent", _backend(login, pod)),
        Entry("debug", "KUBERNETES_EXEC_SIGNAL_SUCCESSFUL", sent, {**_backend(login, pod), "signal": signal}),
    ]


def not_signalled(login: Login, pod: str) -> Entry:
    """The user's program goes with the Pod and is not sent a signal."""
    message = "Not sending signal to process, pod is already shutting down."
    return Entry("debug", "KUBERNETES_EXEC_SIGNAL_FAILED", message, {**_backend(login, pod), "signal": "KILL"})


def keeps(login: Login, pod: str) -> Entry:
    """The Pod is not deleted (mode ``persistent``)."""
    return Entry("debug", "KUBERNETES_POD_REMOVE", "Skipping pod removal in persistent mode", _backend(login, pod))


def not_asked(login: Login, pod: str) -> Entry:
    """Nobody asks how a program ended in a Pod that lives on (mode ``persistent``)."""
    return Entry(
        "debug", "KUBERNETES_POD_ATTACH", "Skipping exit code check in connection mode", _backend(login, pod)
    )


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


def forbidden(namespace: str, pod: str) -> str:
    """Why a deletion failed that the API server forbids."""
    return (
        f'pods "{pod}" is forbidden: User "system:serviceaccount:containerssh:containerssh" cannot delete resource '
        f'"pods" in API group "" in the namespace "{namespace}"'
    )


def unreachable(namespace: str, pod: str) -> str:
    """Why a deletion failed that the API server did not get, in the words of Go's client (not recorded)."""
    server = "10.96.0.1:443"
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
    return f'Delete "https://{server}{path}": dial tcp {server}: connect: no route to host'


def panic() -> list[str]:
    """What Go writes when it panics: lines that are no JSON (its form is Go's; this one was not recorded)."""
    package = "go.containerssh.io/containerssh/internal/kubernetes"
    return [
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x1a7e5c2]",
        "",
        "goroutine 231 [running]:",
        f"{package}.(*kubernetesExecutionImpl).resize(0xc0004be000, {{0x24f1a38, 0xc000122070}}, 0x50, 0x18)",
        "\t/build/internal/kubernetes/kubernetesExecutionImpl.go:87 +0x1c2",
        f"{package}.(*channelHandler).OnWindow(0xc0003f2000, 0x0?, 0x50, 0x18, 0x0, 0x0)",
        "\t/build/internal/kubernetes/channelHandler.go:310 +0x125",
    ]


def _request(login: Login, outcome: str) -> Entry:
    code = "SSH_CHANNEL_REQUEST_SUCCESSFUL" if outcome else "SSH_CHANNEL_REQUEST"
    return Entry(
        "debug", code, f"exec channel request from client{outcome}", {**_channel(login), "RequestType": "exec"}
    )


def _ssh(login: Login) -> dict[str, str | int]:
    return {"connectionId": login.connection, "module": "ssh", "remoteAddr": login.address}


def _name(login: Login) -> dict[str, str | int]:
    return {"username": login.user}


def _channel(login: Login) -> dict[str, str | int]:
    return {**_ssh(login), **_name(login), "channelId": 0}


def _backend(login: Login, pod: str = "") -> dict[str, str | int]:
    details = {**_ssh(login), **_name(login), "authenticatedUsername": login.user}
    details |= {"backend": "kubernetes", "module": "backend"}
    return details | {"podName": pod} if pod else details
