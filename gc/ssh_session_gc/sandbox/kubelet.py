"""A small kubelet: runs the Pods of one node and reports what becomes of them.

Knows the life of a container (pull, start, run, end, restart) and the status that a kubelet writes at each step, in
the order in which the recordings in tests/data show it. Does not know what the programs are for: it is told how each
behaves, and tells who asks when one starts and ends.
"""

import asyncio
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace

from ssh_session_gc.sandbox.store import PODS, ApiError, Change, Object, Store, timestamp

PROGRAM = "sandbox/program"
"""Annotation that describes a Pod's program as JSON, such as ``{"exits_after": 5, "exit_code": 3}``."""

PULL_RETRY = 10.0
"""Seconds between attempts to pull an image that is not there (recorded: 10 to 13)."""
CRASH_BACKOFF = 10.0
"""Seconds before the second restart; doubled each time, 300 at the most (Kubernetes' "Pod Lifecycle")."""
STABLE = 600.0
"""Seconds that a container has to run for its back-off to be forgotten (ibid.)."""
KILLED = 137


@dataclass(frozen=True, slots=True)
class Program:
    """How a container behaves. Times in seconds."""

    pull: float = 0.3
    missing: bool = False
    """The image cannot be pulled."""
    start: float = 0.2
    exits_after: float = math.inf
    exit_code: int = 0
    out_of_memory: bool = False
    drain: float = 0.5
    """From SIGTERM to its end; infinity where it ignores the signal."""

    @classmethod
    def of(cls, pod: Object, default: "Program") -> "Program":
        """As the Pod's annotation says, or by its image: a tag "missing" cannot be pulled."""
        told = json.loads(pod["metadata"].get("annotations", {}).get(PROGRAM, "{}"))
        known = {f.name for f in fields(cls)}
        missing = pod["spec"]["containers"][0].get("image", "").endswith(":missing")
        base = replace(default, missing=True) if missing else default
        return replace(base, **{key: value for key, value in told.items() if key in known})


@dataclass(eq=False)
class Process:
    """One run of a container. Times are the node's clock, uncut."""

    pod: str
    pod_uid: str
    namespace: str
    container: str
    started: float
    ended: float | None = None
    exit_code: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    terminating: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at SIGTERM."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.ended is None


class Kubelet:
    """One node's kubelet. Runs Pods from ``start`` to ``stop``."""

    def __init__(self, store: Store, node: str, *, default: Program = Program(), skew: float = 0.0) -> None:
        """``skew`` is how many seconds the node's clock runs ahead of the API server's."""
        self.store, self.node, self.default, self.skew = store, node, default, skew
        self.started: list[Callable[[Process], None]] = []
        self.ended: list[Callable[[Process], None]] = []
        """Told of each process, in the moment it starts and ends, whether or not anybody can be told of it."""
        self.processes: dict[str, Process] = {}
        """The latest process of each Pod, by the Pod's uid."""
        self.connected = asyncio.Event()
        self.connected.set()
        self._rng = random.Random(node)  # noqa: S311 - container ids
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._deletions: dict[str, asyncio.Event] = {}
        self._statuses: dict[str, _Status] = {}
        self._addresses = 0
        self._unlisten: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begins to run Pods."""
        self._unlisten = self.store.listen(self._heard)

    async def stop(self) -> None:
        """Ends all work; processes end without a word."""
        self._unlisten()
        for worker in self._workers.values():
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    def now(self) -> float:
        """The node's clock, in seconds since the epoch."""
        return self.store.now() + self.skew

    def cut_off(self) -> None:
        """Cuts the node off: processes go on, but nothing is reported and nothing heard."""
        self.connected.clear()

    def heal(self) -> None:
        """Ends ``cut_off``: what happened meanwhile is heard and reported now."""
        self.connected.set()
        for pod in self.store.list(PODS):
            if (status := self._statuses.get(pod["metadata"]["uid"])) is not None:
                status.report()
            self._look_at(pod)

    def kill(self, pod_uid: str, exit_code: int = KILLED) -> None:
        """Ends the Pod's process at once, as SIGKILL does. No such process: nothing happens."""
        process = self.processes.get(pod_uid)
        if process is not None:
            self._end(process, exit_code)

    def _heard(self, change: Change) -> None:
        if change.resource is PODS and self.connected.is_set():
            self._look_at(change.object)
            if change.type == "DELETED":
                self._forget(change.object["metadata"]["uid"])

    def _forget(self, uid: str) -> None:
        # Removed by force: the kubelet kills what it still runs.
        self.kill(uid)
        if (worker := self._workers.get(uid)) is not None and worker is not asyncio.current_task():
            worker.cancel()

    def _look_at(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if pod["spec"].get("nodeName") != self.node:
            return
        if uid not in self._workers and pod["status"].get("phase") not in ("Succeeded", "Failed"):
            self._deletions[uid] = asyncio.Event()
            worker = self._workers[uid] = asyncio.create_task(
                self._run(pod), name=f"kubelet {pod['metadata']['name']}"
            )
            worker.add_done_callback(lambda done: self._worker_ended(uid, done))
        if "deletionTimestamp" in pod["metadata"] and uid in self._deletions:
            self._deletions[uid].set()

    def _worker_ended(self, uid: str, worker: asyncio.Task[None]) -> None:
        self._workers.pop(uid, None)
        for per_pod in (self._deletions, self._statuses, self.processes):
            per_pod.pop(uid, None)
        if not worker.cancelled() and (error := worker.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "kubelet failed", "exception": error})

    async def _run(self, pod: Object) -> None:
        """The life of one Pod on this node."""
        status = self._statuses[pod["metadata"]["uid"]] = _Status(self, pod)
        deleted = self._deletions[pod["metadata"]["uid"]]
        program = Program.of(pod, self.default)
        try:
            await status.write(state={"waiting": {"reason": "ContainerCreating"}})
            await asyncio.sleep(program.pull / 2)
            await status.write(sandbox=True)
            if program.missing:
                await self._pull_in_vain(status, deleted)
            else:
                await asyncio.sleep(program.pull / 2 + program.start)
                await self._run_containers(status, program, deleted)
            await deleted.wait()
            await status.acknowledge()
            await self.connected.wait()
            self.store.delete(PODS, status.namespace, status.name, grace=0, uid=status.uid)
        except ApiError as error:
            if error.code not in (404, 409):  # removed by force meanwhile, or its name has a new owner
                raise

    async def _pull_in_vain(self, status: "_Status", deleted: asyncio.Event) -> None:
        image = status.image
        failure = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": not found'
        backing_off = f'Back-off pulling image "{image}": ErrImagePull: {failure}'
        while not deleted.is_set():
            for reason, message in (("ErrImagePull", failure), ("ImagePullBackOff", backing_off)):
                await status.write(state={"waiting": {"reason": reason, "message": message}})
                await _wait(deleted, PULL_RETRY)
        await status.write(phase="Failed", state=_terminated(KILLED, None), sandbox=False)

    async def _run_containers(self, status: "_Status", program: Program, deleted: asyncio.Event) -> None:
        restarts = crashes = 0
        while True:
            process = self._begin(status)
            await status.write(phase="Running", state={"running": {"startedAt": timestamp(process.started)}})
            await self._until_over(status, process, program, deleted)
            ended = _terminated(process.exit_code, process, program.out_of_memory)
            ran = (process.ended or 0.0) - process.started
            if deleted.is_set() or status.restart_policy == "Never":
                failed = "Failed" if process.exit_code else "Succeeded"
                if not deleted.is_set():
                    await status.write(state=ended)
                    await asyncio.sleep(min(1.0, program.pull))
                await status.write(phase=failed, state=ended, sandbox=False)
                return
            await status.write(state=ended)
            crashes = 0 if ran > STABLE else crashes + 1
            restarts += 1
            if crashes > 1:
                pause = min(CRASH_BACKOFF * 2 ** (crashes - 2), 300.0)
                message = f"back-off {pause:g}s restarting failed container={status.container}"
                waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
                await status.write(state=waiting, last=ended, restarts=restarts - 1)
                await _wait(deleted, pause)
                if deleted.is_set():
                    await status.write(phase="Failed", state=ended, sandbox=False)
                    return
            status.become(last=ended, restarts=restarts)

    def _begin(self, status: "_Status") -> Process:
        process = Process(status.name, status.uid, status.namespace, status.container, self.now())
        self.processes[status.uid] = process
        for listener in self.started:
            listener(process)
        return process

    def _end(self, process: Process, exit_code: int) -> None:
        if process.alive:
            process.ended, process.exit_code = self.now(), exit_code
            process.over.set()
            for listener in self.ended:
                listener(process)

    async def _until_over(
        self, status: "_Status", process: Process, program: Program, deleted: asyncio.Event
    ) -> None:
        over, gone = asyncio.create_task(process.over.wait()), asyncio.create_task(deleted.wait())
        lifetime = None if math.isinf(program.exits_after) else program.exits_after
        try:
            await asyncio.wait({over, gone}, timeout=lifetime, return_when=asyncio.FIRST_COMPLETED)
            if not process.alive:
                return
            if not deleted.is_set():
                self._end(process, KILLED if program.out_of_memory else program.exit_code)
                return
            await status.acknowledge()
            process.terminating.set()
            grace = float(
                self.store.get(PODS, status.namespace, status.name)["metadata"]["deletionGracePeriodSeconds"]
            )
            await asyncio.wait({over}, timeout=min(program.drain, grace))
            self._end(process, 0 if program.drain <= grace else KILLED)
        finally:
            over.cancel()
            gone.cancel()
            # What runs when the kubelet itself is stopped ends with it.
            self._end(process, KILLED)

    def address(self) -> str:
        """An address for the next Pod."""
        self._addresses += 1
        return f"10.244.{self._addresses // 250}.{self._addresses % 250 + 2}"

    def container_id(self) -> str:
        """An id as containerd makes them."""
        return f"containerd://{self._rng.getrandbits(256):064x}"


class _Status:
    """The status of one Pod as the kubelet knows it, and how it is written."""

    def __init__(self, kubelet: Kubelet, pod: Object) -> None:
        metadata, container = pod["metadata"], pod["spec"]["containers"][0]
        self._kubelet, self._pod = kubelet, pod
        self.namespace, self.name, self.uid = metadata["namespace"], metadata["name"], metadata["uid"]
        self.container, self.image = container["name"], container.get("image", "")
        self.restart_policy = pod["spec"].get("restartPolicy", "Always")
        self._phase, self._sandbox, self._ip = "Pending", False, ""
        self._state: Object = {}
        self._last: Object = {}
        self._restarts = 0
        self._container_id = ""
        self._began = timestamp(kubelet.now())

    def become(self, *, last: Object | None = None, restarts: int | None = None) -> None:
        """Takes note of what the next ``write`` will say."""
        self._last = self._last if last is None else last
        self._restarts = self._restarts if restarts is None else restarts

    async def write(
        self,
        *,
        phase: str | None = None,
        state: Object | None = None,
        last: Object | None = None,
        restarts: int | None = None,
        sandbox: bool | None = None,
    ) -> None:
        """Writes the status as it is with these changes, as soon as the node is connected."""
        self.become(last=last, restarts=restarts)
        self._phase = phase or self._phase
        self._sandbox = self._sandbox if sandbox is None else sandbox
        if state is not None:
            self._state = state
            if "running" in state:
                self._container_id = self._kubelet.container_id()
            if "running" in state or "ErrImagePull" in state.get("waiting", {}).values():
                self._ip = self._ip or self._kubelet.address()
        await self.acknowledge()

    async def acknowledge(self) -> None:
        """Writes the status with the generation that the kubelet has now seen."""
        await self._kubelet.connected.wait()
        self.report()

    def report(self) -> None:
        """Writes the status now."""
        self._kubelet.store.update(PODS, self.namespace, self.name, self._fill)

    def _fill(self, pod: Object) -> None:
        if pod["metadata"]["uid"] != self.uid:
            raise ApiError(409, "Conflict", "another Pod has the name now")
        running = "running" in self._state
        statuses = [
            {
                "name": container["name"],
                "state": self._state,
                "lastState": self._last if container["name"] == self.container else {},
                "ready": running,
                "restartCount": self._restarts if container["name"] == self.container else 0,
                "image": container.get("image", ""),
                "imageID": "sha256:" + "4" * 64 if self._container_id else "",
                **({"containerID": self._container_id} if self._container_id else {}),
                "started": running,
            }
            for container in sorted(pod["spec"]["containers"], key=lambda c: str(c["name"]))
        ]
        generation = pod["metadata"].get("generation", 1)
        address = {"podIP": self._ip, "podIPs": [{"ip": self._ip}]} if self._ip else {}
        pod["status"] = {
            "observedGeneration": generation,
            "phase": self._phase,
            "conditions": self._conditions(pod, generation, running),
            "hostIP": "10.0.0.1",
            "hostIPs": [{"ip": "10.0.0.1"}],
            **address,
            "startTime": self._began,
            "containerStatuses": statuses,
            "qosClass": pod["status"].get("qosClass", "BestEffort"),
        }

    def _conditions(self, pod: Object, generation: int, running: bool) -> list[Object]:
        # Which reasons go with which end: recordings "session-lifecycle" and "crash".
        over = "terminated" in self._state and (
            self.restart_policy == "Never" or self._phase in ("Succeeded", "Failed")
        )
        completed = over and self._state["terminated"]["exitCode"] == 0
        names = ", ".join(str(c["name"]) for c in pod["spec"]["containers"])
        reason, message = "ContainersNotReady", f"containers with unready status: [{names}]"
        if over:
            reason, message = "PodCompleted" if completed else "PodFailed", ""
        wanted = [
            ("PodReadyToStartContainers", self._sandbox, "", ""),
            ("Initialized", True, "PodCompleted" if completed else "", ""),
            ("Ready", running, "" if running else reason, "" if running else message),
            ("ContainersReady", running, "" if running else reason, "" if running else message),
            ("PodScheduled", True, "", ""),
        ]
        before = {c["type"]: c for c in pod["status"].get("conditions", ())}
        own = {name for name, *_ in wanted}
        kept = [c for c in before.values() if c["type"] not in own]
        for name, value, why, text in wanted:
            status = "True" if value else "False"
            old = before.get(name, {})
            changed = timestamp(self._kubelet.now()) if old.get("status") != status else old["lastTransitionTime"]
            kept.append(
                {
                    "type": name,
                    "observedGeneration": generation,
                    "status": status,
                    "lastProbeTime": None,
                    "lastTransitionTime": changed,
                    **({"reason": why} if why else {}),
                    **({"message": text} if text else {}),
                }
            )
        return kept


def _terminated(code: int, process: Process | None, out_of_memory: bool = False) -> Object:
    reason = "OOMKilled" if out_of_memory and code == KILLED else "Error" if code else "Completed"
    times = (
        {}
        if process is None
        else {
            "startedAt": timestamp(process.started),
            "finishedAt": timestamp(process.ended or process.started),
        }
    )
    return {"terminated": {"exitCode": code, "reason": reason, **times}}


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
