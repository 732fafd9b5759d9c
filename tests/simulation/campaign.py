"""One run: a random world, somebody who breaks things, and the real collectors, held to the truth after every step.

Everything comes from one seed. The truth is the simulated world's own: which processes live, who is in which session.
The collectors know nothing of it, and go by an API server that is cut off, slow, forgetful and lying in the ways that
real ones are.
"""

import asyncio
import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import EventDict

from ssh_session_gc.core.policy import Policy
from ssh_session_gc.daemon.daemon import Daemon, StartError
from ssh_session_gc.daemon.settings import LeaseRef, Settings
from ssh_session_gc.kube.client import connect, loader
from ssh_session_gc.sandbox import Fault, Program, Session, World
from ssh_session_gc.sandbox.nodes import DISRUPTED
from ssh_session_gc.sandbox.objects import ApiError
from ssh_session_gc.sandbox.programs import PROGRAM
from ssh_session_gc.sandbox.store import PODS, Object
from ssh_session_gc.telemetry.metrics import Metrics
from tests.simulation.virtual import WHO, VirtualLoop

STEPS = 60
NAMESPACES = ("ssh-sessions", "containerssh")
POLICY = Policy(max_age=1800.0, owner_grace=60.0, start_timeout=120.0, finished_grace=60.0)
BOUND = 240.0
"""Seconds after the last fault in which every orphan that can be told must be gone: the longest grace, a lease that
has to run out, and the longest back-off of a stream."""
IMAGES = {"slow": Program(pull=100.0), "sluggish": Program(pull=30.0, start=5.0)}


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass
class Replica:
    """One collector."""

    name: str
    stop: asyncio.Event
    task: asyncio.Task[None]
    daemon: Daemon


@dataclass
class Report:
    """What happened in one run."""

    seed: int
    done: Counter[str] = field(default_factory=Counter)
    """How often each thing was done to the world."""
    collected: Counter[str] = field(default_factory=Counter)
    """How many sessions went for which reason."""


class Campaign:
    """One seed's run."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # decides everything
        self.report = Report(seed)
        self.history: list[str] = []
        """What was done, with the virtual time, for whoever looks into a failure."""
        self.stamp = self.rng.random() < 0.5
        skews = {f"node{n + 1}": self.rng.choice([0.0, 0.0, -1.0, 0.9]) for n in range(3)}
        self.world = World(
            seed=seed,
            nodes=3,
            stamp=self.stamp,
            skews=skews,
            images=IMAGES,
            clean_shutdown=self.rng.random() < 0.5,
            node_silence=40.0,
        )
        self.replicas: list[Replica] = []
        self.elections = self.rng.random() < 0.3
        self._started = 0
        self._own: set[str] = set()
        """uids of the sessions that were deleted by somebody else than a collector."""
        self._deleting: dict[str, str] = {}
        """Which collector waits for the answer to which deletion."""
        self._down: set[str] = set()
        self._dead: set[str] = set()

    async def run(self) -> Report:
        """Runs it. Raises Broken."""
        random.seed(self.report.seed)
        structlog.configure(processors=[self._hear])
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.network = loop.network
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            await stack.enter_async_context(self.world)
            self._kubeconfig = self.world.kubeconfig(folder / "kubeconfig")
            self.world.deploy(
                self.rng.randint(1, 4), drain=self.rng.choice([0.5, 8.0, 25.0]), sidecar=self._maybe(0.2)
            )
            await self.world.ready()
            for _ in range(2 if self.elections else 1):
                await self._start()
            stack.push_async_callback(self._stop_all)
            baseline = None
            for _ in range(STEPS):
                await self._step()
                await self._revive()
                self._check()
                baseline = baseline or len(asyncio.all_tasks())
            await self._settle()
        return self.report

    # What happens

    async def _step(self) -> None:
        happenings: list[tuple[float, Callable[[], Any]]] = [
            (40, self.open),
            (12, self.close),
            (7, self.crash),
            (2, self.rollout),
            (3, self.scale),
            (2, self.evict_owner),
            (2, self.delete_owner),
            (1, self.evict_session),
            (1, self.delete_session),
            (1, self.redeploy),
            (2, self.cut_off),
            (3, self.heal),
            (0.5, self.kill_node),
            (3, self.annotate),
            (2, self.replace),
            (1, self.relabel),
            (4, self.end_watches),
            (3, self.stall_watches),
            (2, self.expire),
            (3, self.refuse),
            (2, self.spoil),
            (1, self.wrong_date),
            (1.5, self.partition),
            (1, self.restart_collector),
        ]
        weights, actions = zip(*happenings, strict=True)
        action = self.rng.choices(actions, weights)[0]
        with suppress(LookupError, ApiError, ValueError):
            outcome = action()
            if asyncio.iscoroutine(outcome):
                await outcome
            self.report.done[action.__name__] += 1
            self.history.append(f"{asyncio.get_running_loop().time():.1f} {action.__name__}")
        await asyncio.sleep(self.rng.choice([0.0, 0.1, 0.7, 1.0, 3.0, 10.0, 30.0, 61.0, 120.0]))

    def open(self) -> None:
        """Somebody connects."""
        notes: dict[str, str] = {}
        if self._maybe(0.05):
            notes["ssh-session-gc/keep"] = self.rng.choice(["true", "false", "perhaps"])
        if self._maybe(0.1):
            notes["ssh-session-gc/ttl"] = self.rng.choice(["90s", "10m", "3h", "90d", "-1s"])
        if self._maybe(0.1):
            notes[PROGRAM] = json.dumps(
                {"exits_after": self.rng.choice([2, 50]), "exit_code": self.rng.choice([0, 3])}
            )
        image = self.rng.choice(["", "", "", "", "", "slow", "sluggish", "x:missing"])
        self.world.open(f"user{len(self.world.containerssh.sessions)}", image=image, annotations=notes, replica=-1)

    def close(self) -> None:
        """Somebody leaves."""
        self.world.close(self.rng.choice(self.world.live()))

    def crash(self) -> None:
        """A ContainerSSH process dies and is started again in its Pod."""
        self.world.crash(self.rng.choice(self.world.containerssh.replicas).process)

    def rollout(self) -> None:
        """All replicas are replaced, one after the other."""
        self.world.rollout()

    def scale(self) -> None:
        """More or fewer replicas, or none."""
        self.world.scale(self.rng.randint(0, 4))

    def evict_owner(self) -> None:
        """A node is drained."""
        self.world.evict("containerssh", self._owner_pod())

    def delete_owner(self) -> None:
        """An owner Pod is deleted, now and then by force."""
        force = self._maybe(0.3)
        name = self._owner_pod()
        if force:
            # By force while its process runs on is a lie to the API server: the truth is that the process is killed.
            for replica in self.world.containerssh.replicas:
                if replica.process.pod == name:
                    replica.kubelet.end(replica.process, 137)
        self.world.store.delete(PODS, "containerssh", name, grace=0 if force else None)

    def evict_session(self) -> None:
        """The cluster itself ends a session."""
        session = self.rng.choice(self.world.live())
        self._own.add(session.uid)
        self.world.evict("ssh-sessions", session.name)

    def delete_session(self) -> None:
        """An administrator ends a session."""
        session = self.rng.choice(self.world.live())
        self._own.add(session.uid)
        self.world.store.delete(PODS, "ssh-sessions", session.name)

    async def redeploy(self) -> None:
        """The Deployment goes, and another one of its name comes."""
        self.world.delete_deployment()
        await asyncio.sleep(self.rng.choice([0.0, 5.0, 90.0]))
        self.world.deploy(self.rng.randint(1, 3), drain=0.5)

    def cut_off(self) -> None:
        """A node does not report any more; what runs on it runs on."""
        node = self.rng.choice(["node1", "node2"])
        self.world.cut_off(node)
        self._down.add(node)

    def heal(self) -> None:
        """All nodes report again."""
        for node in self._down - self._dead:
            self.world.heal(node)
        self._down &= self._dead

    def kill_node(self) -> None:
        """A node loses its power, for good, and an administrator removes it."""
        if not self._dead:
            self.world.kill_node("node3")
            self._dead.add("node3")
            self._down.add("node3")
            self.world.remove_node("node3")

    def annotate(self) -> None:
        """An operator exempts a session, or gives it another limit."""
        note = self.rng.choice([("keep", "true"), ("ttl", "3h"), ("ttl", "nonsense")])
        session = self.rng.choice(self.world.live())

        def change(pod: Object) -> None:
            pod["metadata"].setdefault("annotations", {})[f"ssh-session-gc/{note[0]}"] = note[1]

        self.world.store.update(PODS, "ssh-sessions", session.name, change)

    def replace(self) -> None:
        """A session's Pod is deleted by force, and another Pod gets its name: nobody's session, and exempt."""
        session = self.rng.choice(self.world.live())
        self._own.add(session.uid)
        old = self.world.store.get(PODS, "ssh-sessions", session.name)
        self.world.store.delete(PODS, "ssh-sessions", session.name, grace=0)
        metadata = {"name": session.name, "labels": old["metadata"]["labels"]}
        metadata["annotations"] = {"ssh-session-gc/keep": "true", "simulation/precious": "true"}
        self.world.store.create(PODS, "ssh-sessions", {"metadata": metadata, "spec": {"containers": [{"name": "x"}]}})

    def relabel(self) -> None:
        """Somebody takes the label off a session: it is no session any more."""
        session = self.rng.choice(self.world.live())

        def change(pod: Object) -> None:
            pod["metadata"]["labels"].pop("containerssh.io/session", None)
            pod["metadata"].setdefault("annotations", {})["simulation/precious"] = "true"

        self.world.store.update(PODS, "ssh-sessions", session.name, change)

    def end_watches(self) -> None:
        """Watches end, cleanly or in the middle of a line."""
        faults = self.world.faults
        if self._maybe(0.5):
            faults.end_watches(namespace=self._namespace())
        else:
            faults.cut_watches(namespace=self._namespace(), after_bytes=self.rng.randint(0, 2000))

    def stall_watches(self) -> None:
        """Watches go silent with the connection open: what the collectors see grows old."""
        self.world.faults.stall_watches(namespace=self._namespace())

    def expire(self) -> None:
        """The API server forgets the past, and says so in the middle of a watch or when it is taken up again."""
        self.world.compact()
        if self._maybe(0.5):
            self.world.faults.expire_watches(namespace=self._namespace())
        else:
            self.world.faults.end_watches(namespace=self._namespace())

    def refuse(self) -> None:
        """Requests are refused for a while: throttled, failed, forbidden, or with a token that has expired."""
        code = self.rng.choice([429, 500, 503, 503, 401, 403, 404, 409])
        verb = self.rng.choice([None, "list", "watch", "get", "delete", "update"])
        times = self.rng.randint(1, 6)
        retry_after = self.rng.choice([None, 1, 40])
        fault = Fault("status", verb=verb, code=code, times=times, retry_after=retry_after)
        self.world.faults.add(fault)

    def spoil(self) -> None:
        """Answers are cut, broken, late, or never come."""
        kind: Any = self.rng.choice(["cut", "truncate", "malformed", "reset", "slow", "stall", "gone"])
        verb = self.rng.choice(["list", "watch", "get", "delete", "update"])
        self.world.faults.add(
            Fault(kind, verb=verb, times=self.rng.randint(1, 3), seconds=self.rng.choice([2.0, 20.0]))
        )

    async def wrong_date(self) -> None:
        """For a moment the API server's answers have another date."""
        self.world.faults.clock_offset = self.rng.choice([-7200.0, 7200.0])
        self.world.faults.end_watches()
        await asyncio.sleep(0.05)
        self.world.faults.clock_offset = 0.0

    def partition(self) -> None:
        """One collector is cut off from the API server, or all of it is over."""
        if self._maybe(0.5):
            self.network.cut(self.rng.choice(self.replicas).name)
        else:
            self.network.heal()

    async def restart_collector(self) -> None:
        """A collector stops, or is killed, and another one starts."""
        replica = self.rng.choice(self.replicas)
        self.network.heal()
        self.world.faults.clear()
        await self._end(replica, kill=self._maybe(0.5))
        await self._start()

    # The collectors

    async def _start(self) -> None:
        name = f"collector{self._started}"
        self._started += 1
        WHO.set(name)
        lease = LeaseRef("containerssh", "ssh-session-gc") if self.elections else None
        settings = Settings(policy=POLICY, deletion_grace=5, lease=lease)
        stop, made = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def live() -> None:
            async with connect(loader(str(self._kubeconfig), None), Metrics(dry_run=False)) as api:
                daemon = Daemon(settings, api, Metrics(dry_run=False))
                self._watch_deletions(name, daemon)
                made.set_result(daemon)
                await daemon.run(stop, "127.0.0.1", 0)

        task = asyncio.create_task(live())
        self.replicas.append(Replica(name, stop, task, await made))
        WHO.set("")

    async def _revive(self) -> None:
        """A collector that could not start ends with a message, and the kubelet starts another one."""
        for replica in list(self.replicas):
            if replica.task.done() and isinstance(replica.task.exception(), StartError):
                self.replicas.remove(replica)
                await self._start()

    def _watch_deletions(self, name: str, daemon: Daemon) -> None:
        deleter = daemon.collector.deleter
        send = deleter._send

        async def watched(pod: str, body: dict[str, object]) -> None:
            self._deleting[name] = pod
            others = [each for each in self._deleting if each != name]
            if others:
                raise Broken(f"{name} deletes {pod} while {others[0]} deletes {self._deleting[others[0]]}")
            try:
                await send(pod, body)
            finally:
                self._deleting.pop(name, None)

        deleter._send = watched  # type: ignore[method-assign, assignment]

    async def _end(self, replica: Replica, *, kill: bool) -> None:
        self.replicas.remove(replica)
        if kill:
            replica.task.cancel()
        else:
            replica.stop.set()
        await asyncio.wait({replica.task}, timeout=60)
        if not replica.task.done():
            raise Broken(f"{replica.name} does not stop")
        self._deleting.pop(replica.name, None)
        if not replica.task.cancelled() and (error := replica.task.exception()):
            raise Broken(f"{replica.name} ended with {error!r}") from error

    async def _stop_all(self) -> None:
        for replica in list(self.replicas):
            replica.stop.set()
            await asyncio.wait({replica.task}, timeout=60)

    # The truth

    def _hear(self, _: object, __: str, line: EventDict) -> str:
        if line["event"] == "session_collected":
            self.report.collected[line["reason"]] += 1
            self._judge(line)
        elif line["event"] == "crashed":
            raise Broken(f"a bug: {line}")
        raise structlog.DropEvent

    def _judge(self, line: EventDict) -> None:
        """Whether the reason given is true of the session at this moment."""
        session = self.world.containerssh.sessions.get(line["uid"])
        if session is None:
            raise Broken(f"no session of ours: {line}")
        age = self.world.store.now() - session.created
        match line["reason"]:
            case "Ownerless" if self._creator_lives(session):
                raise Broken(f"its owner lives: {line}")
            case "OverAge" if age < 88.0:
                raise Broken(f"it is {age} s old: {line}")
            case "Finished" if not session.finished:
                raise Broken(f"it has not finished: {line}")
            case "StartTimeout" if age < POLICY.start_timeout - 1.0:
                raise Broken(f"it had more time: {line}")
            case "StartTimeout" if self._started_in_time(session) and session.was_live:
                # On a node that does not report it may well have started, but nobody got in.
                raise Broken(f"it started in time: {line}")

    def _creator_lives(self, session: Session) -> bool:
        return session.creator.alive

    def _started_in_time(self, session: Session) -> bool:
        for kubelet in self.world.kubelets.values():
            process = kubelet.processes.get((session.uid, "shell"))
            if process is not None:
                return process.started - kubelet.skew - session.created <= POLICY.start_timeout
        return False

    def _check(self) -> None:
        for replica in self.replicas:
            if replica.task.done():
                raise Broken(f"{replica.name} has ended: {replica.task}")
        leaders = [replica.name for replica in self.replicas if replica.daemon.elector.leads()]
        if len(leaders) > 1:
            raise Broken(f"{leaders} lead at once")
        for pod in self.world.store.list(PODS, "ssh-sessions"):
            metadata = pod["metadata"]
            if "simulation/precious" in metadata.get("annotations", {}) and "deletionTimestamp" in metadata:
                session = self.world.containerssh.sessions.get(metadata["uid"])
                by_user = session is not None and session.closed
                by_cluster = any(c["type"] == DISRUPTED for c in pod["status"].get("conditions", ()))
                if not (by_user or by_cluster or metadata["uid"] in self._own):
                    raise Broken(f"{metadata['name']} was none of ours to delete")

    async def _settle(self) -> None:
        """No more faults: every orphan must go, and nothing may be left behind in memory."""
        self.network.heal()
        self.world.faults.clear()
        self.heal()
        self.history.append("settle")
        await asyncio.sleep(1)
        await self._revive()
        await asyncio.sleep(BOUND)
        self._check()
        left = [session for session in self.world.orphans() if self._tellable(session)]
        if left:
            raise Broken(f"{[s.name for s in left]} are still there {BOUND:g} s after the last fault")
        # What cannot be told from the outside waits for its age.
        await asyncio.sleep(POLICY.max_age + BOUND)
        left = [session for session in self.world.orphans() if not self._excepted(session)]
        if left:
            raise Broken(f"{[s.name for s in left]} outlived max-age")
        await asyncio.sleep(BOUND)
        self._check()
        for replica in self.replicas:
            collector, there = replica.daemon.collector, len(replica.daemon.view.sessions.by_uid)
            kept = (collector.verdicts, collector._looks, collector._not_before, collector._done, collector._failed)
            sizes = [*(len(each) for each in kept), len(collector._busy)]
            if max(sizes) > there or collector._busy:
                raise Broken(f"{replica.name} remembers {sizes} of {there} sessions")
        tasks = len(asyncio.all_tasks())
        if tasks > 40 + 60 * len(self.replicas) + 4 * len(self.world.store.list(PODS)):
            raise Broken(f"{tasks} tasks are left")

    def _excepted(self, session: Session) -> bool:
        """Whether somebody wants it to stay."""
        pod = self._pod(session)
        if pod is None:
            return True
        notes = pod["metadata"].get("annotations", {})
        longer = notes.get("ssh-session-gc/ttl") in ("3h", "90d")
        return notes.get("ssh-session-gc/keep") == "true" or "simulation/precious" in notes or longer

    def _tellable(self, session: Session) -> bool:
        """Whether the outside shows by now that it is an orphan."""
        if self._excepted(session):
            return False
        pod = self._pod(session)
        assert pod is not None
        if pod["status"].get("phase") in ("Succeeded", "Failed"):
            return True
        node = pod["spec"].get("nodeName")
        if node in self._dead:
            return False
        if not self._started_in_time(session):
            return self.world.store.now() - session.created > POLICY.start_timeout + BOUND
        if session.creator.alive or session.given_up or session.closed:
            return False  # its creator gave it up: nobody but its age can tell
        # Without the stamp, any owner that is old enough may have made it.
        others = [r.process for r in self.world.containerssh.replicas]
        if self.stamp:
            others = [process for process in others if process.pod_uid == session.creator.pod_uid]
        return all(process.started > session.created + 5.0 for process in others) and (
            self.world.store.now() - (session.creator.ended or 0.0) > BOUND
        )

    def _pod(self, session: Session) -> Object | None:
        with suppress(ApiError):
            pod = self.world.store.get(PODS, "ssh-sessions", session.name)
            if pod["metadata"]["uid"] == session.uid:
                return pod
        return None

    def _owner_pod(self) -> str:
        name: str = self.rng.choice(self.world.store.list(PODS, "containerssh"))["metadata"]["name"]
        return name

    def _namespace(self) -> str | None:
        return self.rng.choice([*NAMESPACES, None])

    def _maybe(self, chance: float) -> bool:
        return self.rng.random() < chance
