"""The work on one Pod: pull, start, run, end, restart and removal, in the order in which the recordings show it.

Knows when a container starts and ends and when its status is written. What the status says, ``podstatus`` knows.
"""

import asyncio
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

from ssh_session_gc.sandbox.api.listeners import Listeners
from ssh_session_gc.sandbox.api.objects import PODS, Object
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.node.podstatus import KILLED, UNKNOWN, StatusWriter, terminated, waiting
from ssh_session_gc.sandbox.node.programs import Process, Program

PULL_RETRY = 10.0
"""Seconds between attempts to pull an image that is not there (recorded: 10 to 13)."""
CRASH_BACKOFF = 10.0
"""Seconds before the second restart; doubled each time, 300 at the most (Kubernetes' "Pod Lifecycle")."""
STABLE = 600.0
"""Seconds that a container has to run for its back-off to be forgotten (ibid.)."""
SETTLING = 1.0
"""Seconds at the most from a Pod's last container's end to its own (recorded: 1.1 to 1.3)."""


class Runtime(Protocol):
    """The node as a Pod's work sees it; ``Kubelet`` implements it."""

    store: Store
    default: Program
    images: Mapping[str, Program]
    stopping: Listeners[Process]
    processes: dict[tuple[str, str], Process]
    connected: asyncio.Event
    lag: float

    def now(self) -> float:
        """The node's clock."""

    def begin(self, status: StatusWriter, container: str, program: Program) -> Process:
        """Starts a process."""

    def end(self, process: Process, exit_code: int) -> None:
        """Ends a process."""

    def address(self, status: StatusWriter) -> str:
        """An address for a Pod."""


class PodWorker:
    """Runs one Pod on its node, from its arrival to its removal."""

    def __init__(self, kubelet: Runtime, pod: Object) -> None:
        self._kubelet, self._pod = kubelet, pod
        self._loop = asyncio.get_running_loop()
        self.status = StatusWriter(pod, kubelet.store, kubelet.now)
        self._deleted = asyncio.Event()
        self._grace = math.inf
        self._deadline = math.inf
        """The end of the grace, on the loop's clock. It runs from when the kubelet hears of the deletion."""
        self.task = asyncio.create_task(self._work(), name=f"kubelet {self.status.name}")

    def report(self) -> None:
        """Writes the status, if the node is connected; ``Kubelet.heal`` does it otherwise."""
        if self._kubelet.connected.is_set():
            if self._kubelet.lag:
                self._loop.call_later(self._kubelet.lag, self._report_late)
            else:
                self.status.write()

    def _report_late(self) -> None:
        """Writes the status of now, not of when it was asked for; a Pod that has gone meanwhile needs none."""
        if self._kubelet.connected.is_set():
            with suppress(Refusal):
                self.status.write()

    def asked_to_end(self, grace: float) -> None:
        """Notes a deletion, or a shorter grace (seconds) than the one before."""
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
            # The Pod was removed by force meanwhile, or another one has its name.
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
                # The status is written once all of the Pod's containers have ended.
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
                self.report()  # shows by its generation that the deletion is noticed (recorded)
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
        """Waits before a container that keeps crashing is restarted. Returns whether its Pod was deleted."""
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
        self.status.ip = self.status.ip or self._kubelet.address(self.status)
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
    """Waits for an event, for so long at the most."""
    try:
        async with asyncio.timeout(None if math.isinf(seconds) else seconds):
            await event.wait()
    except TimeoutError:
        pass
