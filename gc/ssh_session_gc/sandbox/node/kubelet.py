"""A small kubelet: runs the Pods of one node and reports what becomes of them.

Knows which Pods and processes the node has and whether it reaches the API server. What happens in a Pod when,
``podworker`` knows. Does not know what the programs are for: their listeners do.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from types import MappingProxyType

from ssh_session_gc.sandbox.api.listeners import Listeners
from ssh_session_gc.sandbox.api.objects import PODS, Change, Object
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.node.logs import ContainerLog
from ssh_session_gc.sandbox.node.podstatus import KILLED, StatusWriter, running
from ssh_session_gc.sandbox.node.podworker import PodWorker
from ssh_session_gc.sandbox.node.programs import Process, Program


class Kubelet:
    """One node's kubelet, which runs Pods from ``start`` to ``stop``."""

    def __init__(
        self,
        store: Store,
        node: str,
        *,
        default: Program | None = None,
        images: Mapping[str, Program] = MappingProxyType({}),
        skew: float = 0.0,
        addresses: Callable[[StatusWriter], str] = lambda _: "",
    ) -> None:
        """``images``: the programs of images where it is not ``default``. ``skew``: how many seconds the node's
        clock runs ahead of the API server's. ``addresses``: the addresses of the Pods that get none of the node's
        own; empty for all others."""
        self.store, self.node, self.skew = store, node, skew
        self.default, self.images = default or Program(), images
        self.started, self.stopping, self.ended = Listeners[Process](), Listeners[Process](), Listeners[Process]()
        """Told of each process as it starts, gets SIGTERM and ends, even where the cluster cannot be told."""
        self.processes: dict[tuple[str, str], Process] = {}
        """The latest process of each container, by the Pod's uid and the container's name."""
        self.logs: dict[tuple[str, str], list[ContainerLog]] = {}
        """What each container's latest run wrote and the one before it, which comes first; by the same key."""
        self.connected = asyncio.Event()
        self.connected.set()
        self.lag = 0.0
        """Seconds by which a Pod's status is written late, as by a kubelet that is busy or throttled."""
        self.dead = False
        self._elsewhere = addresses
        self._rng = random.Random(node)  # noqa: S311 - container ids
        self._pods: dict[str, PodWorker] = {}
        self._addresses = 0
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begins to run Pods."""
        self._unsubscribe = self.store.subscribe(self._heard)

    async def stop(self) -> None:
        """Ends all work. The processes stay as they are, to be looked at afterwards."""
        self._unsubscribe()
        workers = [pod.task for pod in self._pods.values()]
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    def now(self) -> float:
        """The node's clock, in seconds since the epoch."""
        return self.store.now() + self.skew

    def cut_off(self) -> None:
        """Cuts the node off: its processes go on, but it reports nothing and hears nothing."""
        self.connected.clear()

    def heal(self) -> None:
        """Ends ``cut_off``: hears and reports now what happened meanwhile. Raises ValueError for a dead node."""
        if self.dead:
            raise ValueError(f"{self.node} is dead")
        self.connected.set()
        there = {pod["metadata"]["uid"]: pod for pod in self.store.list(PODS)}
        for uid in [uid for uid in self._pods if uid not in there]:
            self._forget(uid)
        for uid, pod in there.items():
            if (worker := self._pods.get(uid)) is not None:
                worker.report()
            self._look_at(pod)
        for log in [log for runs in self.logs.values() for log in runs]:
            log.changed.tell(log)  # those who read it hear of it only now

    def die(self) -> None:
        """Cuts the node's power for good: every process ends, and the cluster is not told."""
        self.dead = True
        self.connected.clear()
        for worker in self._pods.values():
            worker.task.cancel()
        for process in tuple(self.processes.values()):
            self.end(process, KILLED)

    def kill(self, pod_uid: str, exit_code: int = KILLED, *, container: str | None = None) -> None:
        """Ends the Pod's processes (or only this container's) at once, as SIGKILL does, if there are any."""
        worker = self._pods.get(pod_uid)
        for name in worker.status.containers if worker is not None else ():
            process = self.processes.get((pod_uid, name))
            if process is not None and container in (None, name):
                self.end(process, exit_code)

    def begin(self, status: StatusWriter, container: str, program: Program) -> Process:
        """Starts a process, now."""
        process = Process(status.name, status.uid, status.namespace, container, program, self.now())
        process.log = ContainerLog(self.now)
        self.processes[status.uid, container] = process
        runs = self.logs.setdefault((status.uid, container), [])
        runs.append(process.log)
        del runs[:-2]
        status.ip = status.ip or self.address(status)
        state = status.containers[container]
        state.passes = program.ready
        state.state, state.id = running(process), f"containerd://{self._rng.getrandbits(256):064x}"
        self.started.tell(process)
        return process

    def end(self, process: Process, exit_code: int) -> None:
        """Ends a process now, if it has not ended yet."""
        if process.alive:
            process.ended, process.exit_code = self.now(), exit_code
            process.log.end()
            process.stirred.set()
            self.ended.tell(process)

    @property
    def answers(self) -> bool:
        """Whether the API server reaches it."""
        return self.connected.is_set()

    def log(self, pod: Object, container: str, *, previous: bool) -> ContainerLog | None:
        """What a container's latest run wrote, or the one that ended before; None where there was none."""
        uid = pod["metadata"]["uid"]
        runs, worker = self.logs.get((uid, container), []), self._pods.get(uid)
        if not runs or worker is None or not previous:
            return runs[-1] if runs and worker is not None and not previous else None
        status = worker.status.containers[container]
        if not status.last:
            return None
        # While a container waits for its restart, its latest run is the one that ended before.
        return runs[-1] if "waiting" in status.state else runs[0]

    def address(self, status: StatusWriter) -> str:
        """An address for a Pod that has none yet."""
        if elsewhere := self._elsewhere(status):
            return elsewhere
        self._addresses += 1
        return f"10.244.{self._addresses // 250}.{self._addresses % 250 + 2}"

    def _heard(self, change: Change) -> None:
        if change.resource is PODS and self.connected.is_set():
            self._look_at(change.object)
            if change.type == "DELETED":
                self._forget(change.object["metadata"]["uid"])

    def _look_at(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if pod["spec"].get("nodeName") != self.node:
            return
        if uid not in self._pods and pod["status"].get("phase") not in ("Succeeded", "Failed"):
            self._pods[uid] = worker = PodWorker(self, pod)
            worker.task.add_done_callback(lambda done: self._worker_ended(uid, done))
        if "deletionTimestamp" in pod["metadata"] and uid in self._pods:
            self._pods[uid].asked_to_end(pod["metadata"]["deletionGracePeriodSeconds"])

    def _forget(self, uid: str) -> None:
        # After a removal by force, processes may still run.
        self.kill(uid)
        if (worker := self._pods.get(uid)) is not None and worker.task is not asyncio.current_task():
            worker.task.cancel()

    def _worker_ended(self, uid: str, task: asyncio.Task[None]) -> None:
        worker = self._pods.pop(uid)
        for container in worker.status.containers:
            self.processes.pop((uid, container), None)
            self.logs.pop((uid, container), None)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "kubelet failed", "exception": error})
