"""The status of one Pod as its kubelet knows it, and how that is written.

Knows which conditions and reasons go with which state, as in the recordings in tests/data. Does not know why a
container is in its state: ``podworker`` does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ssh_session_gc.sandbox.api.objects import PODS, Object, timestamp
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.node.programs import Process

KILLED = 137
"""The exit code after SIGKILL."""
UNKNOWN: Object = {
    "terminated": {
        "exitCode": KILLED,
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
        "startedAt": None,
        "finishedAt": None,
    }
}
"""The end of a container that was never begun (kubernetes/kubernetes, ``pkg/kubelet/status``, TerminatePod)."""


@dataclass
class ContainerReport:
    """What its node reports of one container."""

    state: Object = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last: Object = field(default_factory=dict)
    restarts: int = 0
    id: str = ""
    passes: bool = True
    """Whether its readiness probe succeeds, or there is none."""

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return "running" in self.state

    @property
    def ready(self) -> bool:
        """Whether it is ready."""
        return self.running and self.passes


class StatusWriter:
    """Writes the status of one Pod: its attributes are changed, then written all at once."""

    def __init__(self, pod: Object, store: Store, now: Callable[[], float]) -> None:
        """``now`` is the node's clock."""
        metadata = pod["metadata"]
        self.namespace, self.name, self.uid = metadata["namespace"], metadata["name"], metadata["uid"]
        self.phase = "Pending"
        self.sandbox = False
        """Whether the Pod has a sandbox to run containers in."""
        self.ip = ""
        self.containers = {container["name"]: ContainerReport() for container in pod["spec"]["containers"]}
        self._store, self._now = store, now
        self._began = timestamp(now())

    @property
    def over(self) -> bool:
        """Whether each container has ended."""
        return all("terminated" in each.state for each in self.containers.values())

    @property
    def failed(self) -> bool:
        """Whether a container has ended with an error."""
        ends = (each.state.get("terminated", {}) for each in self.containers.values())
        return any(end.get("exitCode") for end in ends)

    def write(self) -> None:
        """Writes the status. Raises Refusal: 404 where the Pod is gone, 409 where another one has its name."""
        self._store.update(PODS, self.namespace, self.name, self._fill)

    def _fill(self, pod: Object) -> None:
        if pod["metadata"]["uid"] != self.uid:
            raise Refusal(409, "Conflict", "another Pod has the name now")
        address = {"podIP": self.ip, "podIPs": [{"ip": self.ip}]} if self.ip else {}
        status = {
            "observedGeneration": pod["metadata"].get("generation", 1),
            "phase": self.phase,
            "conditions": self._conditions(pod),
            "hostIP": "10.244.0.1",
            "hostIPs": [{"ip": "10.244.0.1"}],
            **address,
            "startTime": self._began,
            # In the order of their names, whatever the order in the spec.
            "containerStatuses": [
                self._container(each) for each in sorted(pod["spec"]["containers"], key=lambda c: str(c["name"]))
            ],
            "qosClass": pod["status"].get("qosClass", "BestEffort"),
        }
        if status != pod["status"]:
            pod["status"] = status
            # Of all managed fields these alone tell when the kubelet last wrote, by the API server's clock.
            wrote = {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "subresource": "status"}
            pod["metadata"]["managedFields"] = [wrote | {"time": timestamp(self._store.now())}]

    def _container(self, spec: Object) -> Object:
        status = self.containers[spec["name"]]
        return {
            "name": spec["name"],
            "state": status.state,
            "lastState": status.last,
            "ready": status.ready,
            "restartCount": status.restarts,
            "image": spec.get("image", ""),
            "imageID": "sha256:" + "4" * 64 if status.id else "",
            **({"containerID": status.id} if status.id else {}),
            "started": status.running,
        }

    def _conditions(self, pod: Object) -> list[Object]:
        # Which reasons go with which end: recordings "session-lifecycle" and "crash".
        unready = [name for name, each in self.containers.items() if not each.ready]
        over = self.over and (self.phase in ("Succeeded", "Failed") or pod["spec"]["restartPolicy"] == "Never")
        completed = over and not self.failed
        reason, message = "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
        if over:
            reason, message = "PodCompleted" if completed else "PodFailed", ""
        wanted = [
            ("PodReadyToStartContainers", self.sandbox, "", ""),
            ("Initialized", True, "PodCompleted" if completed else "", ""),
            ("Ready", not unready, reason if unready else "", message if unready else ""),
            ("ContainersReady", not unready, reason if unready else "", message if unready else ""),
            ("PodScheduled", True, "", ""),
        ]
        before = {c["type"]: c for c in pod["status"].get("conditions", ())}
        make = partial(condition, before, self._now(), pod["metadata"].get("generation", 1))
        own = {name for name, *_ in wanted}
        # The conditions that others have set stay.
        return [c for name, c in before.items() if name not in own] + [make(*each) for each in wanted]


def condition(
    before: dict[str, Object],
    now: float,
    generation: int,
    kind: str,
    value: bool,
    reason: str = "",
    message: str = "",
) -> Object:
    """A Pod's condition. The time of its last transition moves only where its status differs from ``before``."""
    status, old = "True" if value else "False", before.get(kind, {})
    changed = old["lastTransitionTime"] if old.get("status") == status else timestamp(now)
    return {
        "type": kind,
        "observedGeneration": generation,
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": changed,
        **({"reason": reason} if reason else {}),
        **({"message": message} if message else {}),
    }


def running(process: Process) -> Object:
    """The state of a container that runs."""
    return {"running": {"startedAt": timestamp(process.started)}}


def terminated(process: Process, container_id: str) -> Object:
    """The state of a container that has ended."""
    code = process.exit_code
    out_of_memory = process.program.out_of_memory and code == KILLED
    reason = "OOMKilled" if out_of_memory else "Error" if code else "Completed"
    ended = process.started if process.ended is None else process.ended
    times = {"startedAt": timestamp(process.started), "finishedAt": timestamp(ended)}
    return {"terminated": {"exitCode": code, "reason": reason, **times, "containerID": container_id}}


def waiting(reason: str, message: str) -> Object:
    """The state of a container that does not run yet, or not again."""
    return {"waiting": {"reason": reason, "message": message}}
