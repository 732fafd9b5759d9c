"""A small kubelet: runs the Pods of one node and reports what becomes of them.

Knows the life of a Pod (sandbox, pull, start, run, end, restart, removal) in the order in which the recordings in
tests/data show it. Does not know what the programs are for: it is told how each behaves, and tells who asks when one
starts, is asked to end, and ends.
"""

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType

from ssh_session_gc.sandbox.api.listeners import Listeners
from ssh_session_gc.sandbox.api.objects import PODS, Change, Object
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.node.podstatus import KILLED, UNKNOWN, PodStatus, running, terminated, waiting
from ssh_session_gc.sandbox.node.programs import Process, Program

PULL_RETRY = 10.0
"""Seconds between attempts to pull an image that is not there (recorded: 10 to 13)."""
CRASH_BACKOFF = 10.0
"""Seconds before the second restart; doubled each time, 300 at the most (Kubernetes' "Pod Lifecycle")."""
STABLE = 600.0
"""Seconds that a container has to run for its back-off to be forgotten (ibid.)."""
SETTLING = 1.0
"""Seconds at the most from a Pod's last container's end to its own (recorded: 1.1 to 1.3)."""


class Kubelet:
    """One node's kubelet. Runs Pods from ``start`` to ``stop``."""

    def __init__(
        self,
        store: Store,
        node: str,
        *,
        default: Program | None = None,
        images: Mapping[str, Program] = MappingProxyType({}),
        skew: float = 0.0,
    ) -> None:
        """``images``: the programs of images where it is not ``default``. ``skew``: how many seconds the node's
        clock runs ahead of the API server's."""
        self.store, self.node, self.skew = store, node, skew
        self.default, self.images = default or Program(), images
        self.started, self.stopping, self.ended = Listeners[Process](), Listeners[Process](), Listeners[Process]()
        """Told of each process in the moment it starts, gets SIGTERM and ends, though the cluster may not be told."""
        self.processes: dict[tuple[str, str], Process] = {}
        """The latest process of each container, by the Pod's uid and the container's name."""
        self.connected = asyncio.Event()
        self.connected.set()
        self.lag = 0.0
        """How many seconds late the status of a Pod is written, as by a kubelet that is busy or throttled."""
        self.dead = False
        self._rng = random.Random(node)  # noqa: S311 - container ids
        self._pods: dict[str, _PodWorker] = {}
        self._addresses = 0
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begins to run Pods."""
        self._unsubscribe = self.store.subscribe(self._heard)

    async def stop(self) -> None:
        """Ends all work. What runs is left as it is, for those who want to know how things stood in the end."""
        self._unsubscribe()
        workers = [pod.task for pod in self._pods.values()]
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    def now(self) -> float:
        """The node's clock, in seconds since the epoch."""
        return self.store.now() + self.skew

    def cut_off(self) -> None:
        """Cuts the node off: processes go on, but nothing is reported and nothing heard."""
        self.connected.clear()

    def heal(self) -> None:
        """Ends ``cut_off``: what happened meanwhile is heard and reported now. Raises ValueError for a dead node."""
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

    def die(self) -> None:
        """The node loses its power, for good: every process ends, and nobody is told."""
        self.dead = True
        self.connected.clear()
        for worker in self._pods.values():
            worker.task.cancel()
        for process in tuple(self.processes.values()):
            self.end(process, KILLED)

    def kill(self, pod_uid: str, exit_code: int = KILLED, *, container: str | None = None) -> None:
        """Ends the Pod's processes (or the one of this container) at once, as SIGKILL does. None there: nothing."""
        worker = self._pods.get(pod_uid)
        for name in worker.status.containers if worker is not None else ():
            process = self.processes.get((pod_uid, name))
            if process is not None and container in (None, name):
                self.end(process, exit_code)

    def begin(self, status: PodStatus, container: str, program: Program) -> Process:
        """Starts a process, now."""
        process = Process(status.name, status.uid, status.namespace, container, program, self.now())
        self.processes[status.uid, container] = process
        status.ip = status.ip or self.address()
        state = status.containers[container]
        state.state, state.id = running(process), f"containerd://{self._rng.getrandbits(256):064x}"
        self.started.tell(process)
        return process

    def end(self, process: Process, exit_code: int) -> None:
        """Ends a process now, if it has not ended yet."""
        if process.alive:
            process.ended, process.exit_code = self.now(), exit_code
            process.stirred.set()
            self.ended.tell(process)

    def address(self) -> str:
        """An address for the next Pod."""
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
            self._pods[uid] = worker = _PodWorker(self, pod)
            worker.task.add_done_callback(lambda done: self._worker_ended(uid, done))
        if "deletionTimestamp" in pod["metadata"] and uid in self._pods:
            self._pods[uid].asked_to_end(pod["metadata"]["deletionGracePeriodSeconds"])

    def _forget(self, uid: str) -> None:
        # Where it was removed by force, the kubelet kills what still runs.
        self.kill(uid)
        if (worker := self._pods.get(uid)) is not None and worker.task is not asyncio.current_task():
            worker.task.cancel()

    def _worker_ended(self, uid: str, task: asyncio.Task[None]) -> None:
        worker = self._pods.pop(uid)
        for container in worker.status.containers:
            self.processes.pop((uid, container), None)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "kubelet failed", "exception": error})


class _PodWorker:
    """Runs one Pod on its node, from its arrival to its removal."""

    def __init__(self, kubelet: Kubelet, pod: Object) -> None:
        self._kubelet, self._pod = kubelet, pod
        self._loop = asyncio.get_running_loop()
        self.status = PodStatus(pod, kubelet.store, kubelet.now)
        self._deleted = asyncio.Event()
        self._grace = math.inf
        self._deadline = math.inf
        """When the grace is over, on the loop's clock. It runs from when the kubelet hears of the deletion."""
        self.task = asyncio.create_task(self._work(), name=f"kubelet {self.status.name}")

    def report(self) -> None:
        """Writes the status, if the node is connected; otherwise that is done when it is again."""
        if self._kubelet.connected.is_set():
            if self._kubelet.lag:
                self._loop.call_later(self._kubelet.lag, self._report_late)
            else:
                self.status.write()

    def _report_late(self) -> None:
        """Writes how things stand by now, not how they stood; a Pod that is gone by now needs no status."""
        if self._kubelet.connected.is_set():
            with suppress(Refusal):
                self.status.write()

    def asked_to_end(self, grace: float) -> None:
        """Takes note of a deletion, or of a shorter grace (seconds) than the one before."""
        if grace < self._grace:
            self._grace, self._deadline = grace, self._loop.time() + grace
            self._deleted.set()
            for container in self.status.containers:
                if (process := self._kubelet.processes.get((self.status.uid, container))) is not None:
                    process.stirred.set()

    async def _work(self) -> None:
        status = self.status
        try:
            await self._live()
            await self._deleted.wait()
            if self._kubelet.lag:
                await asyncio.sleep(self._kubelet.lag)
            await self._kubelet.connected.wait()
            status.write()
            self._kubelet.store.delete(PODS, status.namespace, status.name, grace=0, uid=status.uid)
        except* Refusal as errors:
            # Removed by force meanwhile, or its name has a new owner.
            if errors.split(lambda error: isinstance(error, Refusal) and error.code in (404, 409))[1]:
                raise

    async def _live(self) -> None:
        status, spec = self.status, self._pod["spec"]
        programs = {
            container["name"]: Program.of(self._pod, container, self._kubelet.default, self._kubelet.images)
            for container in spec["containers"]
        }
        self.report()
        pull = max(program.pull for program in programs.values())
        if not await self._deleted_within(pull / 2):
            status.sandbox = True
            self.report()
            async with asyncio.TaskGroup() as containers:
                for container in spec["containers"]:
                    program = programs[container["name"]]
                    containers.create_task(self._run_container(container, program))
            if not self._deleted.is_set():
                await asyncio.sleep(min(SETTLING, pull))
        for each in status.containers.values():
            if "terminated" not in each.state:
                each.state = UNKNOWN
        status.phase, status.sandbox = "Failed" if status.failed else "Succeeded", False
        self.report()

    async def _run_container(self, container: Object, program: Program) -> None:
        if program.missing:
            await self._pull_in_vain(container)
            return
        if await self._deleted_within(program.pull / 2 + program.start):
            return
        status, name = self.status.containers[container["name"]], container["name"]
        crashes = 0
        while True:
            process = self._kubelet.begin(self.status, name, program)
            if all(each.id for each in self.status.containers.values()):
                self.status.phase = "Running"
            self.report()
            await self._until_over(process)
            ended = terminated(process, status.id)
            if self._deleted.is_set():
                # Nothing is written until all of the Pod's containers have ended.
                status.state = ended
                return
            status.state = ended
            self.report()
            policy = self._pod["spec"]["restartPolicy"]
            if policy == "Never" or (policy == "OnFailure" and not process.exit_code):
                return
            stable = (process.ended or 0.0) - process.started > STABLE
            crashes = 1 if stable else crashes + 1
            if crashes > 1 and await self._backed_off(name, crashes, ended):
                return
            status.last, status.restarts = ended, status.restarts + 1

    async def _until_over(self, process: Process) -> None:
        program, ends = process.program, self._loop.time() + process.program.exits_after
        while process.alive:
            process.stirred.clear()
            if self._deleted.is_set() and not process.terminating.is_set():
                self.report()  # that the deletion is noticed: the generation (recorded)
                process.terminating.set()
                ends = min(ends, self._loop.time() + program.drain)
                self._kubelet.stopping.tell(process)
            elif self._loop.time() >= min(ends, self._deadline):
                by_itself = KILLED if program.out_of_memory else program.exit_code
                in_time = 0 if process.terminating.is_set() else by_itself
                self._kubelet.end(process, in_time if ends <= self._deadline else KILLED)
            else:
                await _wait(process.stirred, min(ends, self._deadline) - self._loop.time())

    async def _backed_off(self, name: str, crashes: int, ended: Object) -> bool:
        """Waits before a container that crashes again and again is restarted. Returns whether its Pod was deleted."""
        pause = min(CRASH_BACKOFF * 2.0 ** min(crashes - 2, 10), 300.0)
        metadata, status = self._pod["metadata"], self.status.containers[name]
        place = f"pod={metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        status.last = ended
        status.state = waiting("CrashLoopBackOff", f"back-off {pause:g}s restarting failed container={name} {place}")
        self.report()
        deleted = await self._deleted_within(pause)
        if deleted:
            status.state = ended
        return deleted

    async def _pull_in_vain(self, container: Object) -> None:
        image, status = container.get("image", ""), self.status.containers[container["name"]]
        self.status.ip = self.status.ip or self._kubelet.address()
        failure = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": not found'
        backing_off = f'Back-off pulling image "{image}": ErrImagePull: {failure}'
        while True:
            for reason, message in (("ErrImagePull", failure), ("ImagePullBackOff", backing_off)):
                status.state = waiting(reason, message)
                self.report()
                if await self._deleted_within(PULL_RETRY):
                    return

    async def _deleted_within(self, seconds: float) -> bool:
        await _wait(self._deleted, seconds)
        return self._deleted.is_set()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Waits for an event, but not longer than that."""
    try:
        async with asyncio.timeout(None if math.isinf(seconds) else seconds):
            await event.wait()
    except TimeoutError:
        pass
