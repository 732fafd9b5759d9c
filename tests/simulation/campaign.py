"""One run: a random world, somebody who breaks things, and the real collectors, held to the truth after every step.

Everything comes from one seed. The collectors go by an API server that is cut off, slow, forgetful and lying in the
ways that real ones are. What they do is judged where the API server accepts it.
"""

import asyncio
import random
import tempfile
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import EventDict

from ssh_session_gc.core.election import holder
from ssh_session_gc.core.model import Session, Verdict
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.daemon.daemon import Daemon, StartError
from ssh_session_gc.daemon.deletion import Result
from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.objects import LEASES, PODS, Change, Object, Resource
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.settings import DryRun, LeaseRef, Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.harness import connected
from tests.simulation.happenings import IMAGES, Happenings
from tests.simulation.leftovers import Broken, Replica, compare, tasks
from tests.simulation.setting import Setting
from tests.simulation.telling import Telling
from tests.simulation.truth import Truth
from tests.simulation.virtual import CALLER, WHO, VirtualLoop

STEPS = 60
METRICS_PORT = 9100
LEASE = LeaseRef("containerssh", "ssh-session-gc")
BOUND = 300.0
"""Seconds after the last fault in which every orphan that can be told must be gone: the longest grace, a lease that
has to run out, the silence after which a watch or a log is taken for dead, and the longest back-off of a stream."""
PROMPT = 1.5
"""Seconds in which a session is heard of that appears on a stream in step."""
GLANCE = 5.0
"""Seconds between two looks at who is connected, in a world without faults."""
QUIET = 100.0
"""Seconds after which nothing is under way any more and spare connections are closed."""
SPARE = 15
"""Connections that a collector may keep open to ask for the lease, one a second: each is spare for 15 s."""
CLOCKS = (*[(0.0,)] * 8, *[(0.0, -0.1, -0.4)] * 4, (3600.0, 0.0, 0.0))
"""Seconds by which the clocks of the API servers are ahead, one or three of them, which answer in turn."""
SKEWS = (0.0, -1.0, -15.0, 0.9, 1.9, 1.9)
"""Seconds by which a node's clock may be ahead: no more than the clock tolerance."""


@dataclass
class Report:
    """What happened in one run."""

    seed: int
    done: Counter[str] = field(default_factory=Counter)
    """How often each thing was done to the world."""
    collected: Counter[str] = field(default_factory=Counter)
    """How many sessions went for which reason."""
    seconds: float = 0.0
    """The virtual time that it took."""


class Campaign:
    """The run of one seed: a world, its collectors and what must hold of both."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # decides everything
        self.report = Report(seed)
        self.history: list[str] = []
        """What was done, with the virtual time, for whoever looks into a failure."""
        self._stamped = self.rng.random() < 0.5
        self._elections = self.rng.random() < 0.3
        self._telling, self._setting = Telling.of(seed), Setting.of(seed)
        self._world = World(
            seed=seed,
            nodes=3,
            stamp=self._stamped,
            skews={f"node{n + 1}": self.rng.choice(SKEWS) for n in range(3)},
            images=IMAGES,
            clean_shutdown=self.rng.random() < 0.5,
            node_silence=40.0,
            mode=self._telling.mode,
            log_level=self._telling.level,
            leaks=self._telling.leaks,
            metrics_port=METRICS_PORT if self._telling.gauge else None,
        )
        self._world.faults.clocks = self.rng.choice(CLOCKS)
        self._truth = Truth(self._world, self._setting.policy, self._telling)
        self._replicas: list[Replica] = []
        self._started = 0
        self._policies: dict[str, Policy] = {}
        """The limits by which a collector goes."""
        self._intended: dict[tuple[str, str], tuple[Verdict, float]] = {}
        """By which verdict a collector deletes a session, and since when it is about to."""
        self._accepted: set[str] = set()
        """uids of the sessions whose deletion by a collector was accepted."""
        self._broken: list[str] = []
        self._idle = Counter[str]()
        """The tasks of a world in which nothing has happened yet."""

    async def run(self) -> Report:
        """Runs it. Raises Broken."""
        random.seed(self.report.seed)
        structlog.configure(processors=[self._hear])
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop = loop
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            await stack.enter_async_context(self._world)
            self._kubeconfig = folder / "kubeconfig"
            self._happenings = Happenings(
                self.rng,
                self._world,
                self._kubeconfig,
                lambda: [each.name for each in self._replicas],
                telling=self._telling,
                clock_set=self._truth.clock_set,
            )
            self._truth.hidden, self._truth.unread = self._happenings.quarantined, self._happenings.garble.rotated
            self._truth.misdated, self._truth.late = (
                self._happenings.upheaval.unknowable,
                self._happenings.upheaval.late,
            )
            self._stand_between()
            self._happenings.deploy()
            await self._world.ready()
            for _ in range(2 if self._elections else 1):
                await self._start()
            stack.push_async_callback(self._stop_all)
            await asyncio.sleep(QUIET)
            self._idle = tasks() - self._logs()
            for _ in range(STEPS):
                await self._step()
                await self._revive()
                self._check()
            await self._settle()
            self.report.seconds = loop.time()
        return self.report

    async def _step(self) -> None:
        actions, weights = self._happenings.weighted()
        action = self.rng.choices([*actions, self.restart_collector], [*weights, 1.0])[0]
        with suppress(LookupError, Refusal, ValueError):
            outcome = action()
            if asyncio.iscoroutine(outcome):
                await outcome
            self.report.done[action.__name__] += 1
            self.history.append(f"{self._loop.time():.1f} {action.__name__}")
        await asyncio.sleep(self.rng.choice([0.0, 0.1, 0.7, 1.0, 3.0, 10.0, 30.0, 61.0, 120.0]))

    # The collectors

    async def restart_collector(self) -> None:
        """A collector stops, or is killed, and another one starts, now and then with a wrong date at first."""
        replica = self.rng.choice(self._replicas)
        self._happenings.nemesis.reach_all()
        self._world.faults.clear()
        await self._end(replica, kill=self.rng.random() < 0.5)
        if self.rng.random() < 0.3:
            self._world.faults.clock_offset = self._happenings.nemesis.any_date()
            self._loop.call_later(2.0, self._world.faults.clear)
        await self._start()

    async def _start(self) -> None:
        self._happenings.upheaval.collector_begins()
        name = f"collector{self._started}"
        self._started += 1
        WHO.set(name)
        chosen = self._setting.upgraded(self.rng)
        self._policies[name] = chosen.policy
        settings = Settings(
            policy=chosen.policy,
            owner=chosen.owner,
            owner_selector=chosen.owner_selector,
            max_deletes_per_minute=chosen.max_deletes_per_minute,
            dry_run=chosen.dry_run,
            deletion_grace=5,
            lease=LEASE if self._elections else None,
            owner_logs=self._telling.logs,
            owner_metrics_port=self._world.metrics_port or 0,
        )
        stop, made = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def live() -> None:
            dry = settings.dry_run is not DryRun.NONE
            async with connected(self._kubeconfig, observer=Metrics(dry_run=dry)) as api:
                daemon = Daemon(settings, api, Metrics(dry_run=dry))
                self._take_down_reasons(name, daemon)
                made.set_result(daemon)
                await daemon.run(stop, "127.0.0.1", 0)

        task = asyncio.create_task(live(), name=name)
        self._replicas.append(Replica(name, stop, task, await made))
        WHO.set("")

    async def _revive(self) -> None:
        """A collector that could not start ends with a message, and the kubelet starts another one."""
        for replica in list(self._replicas):
            if replica.task.done() and isinstance(replica.task.exception(), StartError):
                self._replicas.remove(replica)
                await self._start()

    async def _end(self, replica: Replica, *, kill: bool) -> None:
        self._replicas.remove(replica)
        if kill:
            replica.task.cancel()
        else:
            replica.stop.set()
        await asyncio.wait({replica.task}, timeout=60)
        if not replica.task.done():
            raise Broken(f"{replica.name} does not stop")
        if not replica.task.cancelled() and (error := replica.task.exception()):
            raise Broken(f"{replica.name} ended with {error!r}") from error

    async def _stop_all(self) -> None:
        self._happenings.nemesis.reach_all()
        for replica in list(self._replicas):
            replica.stop.set()
            await asyncio.wait({replica.task}, timeout=60)

    # What they do, at the moment at which the API server is asked for it

    def _take_down_reasons(self, name: str, daemon: Daemon) -> None:
        deleter = daemon.collector.workers.deleter
        delete = deleter.delete

        async def noted(session: Session, verdict: Verdict) -> Result:
            self._intended[name, session.uid] = verdict, self._loop.time()
            return await delete(session, verdict)

        deleter.delete = noted  # type: ignore[method-assign]

    def _stand_between(self) -> None:
        delete = self._world.store.delete

        def judged(res: Resource, namespace: str | None, name: str, **options: Any) -> Object:
            # Nobody but the API server, which works for a collector, has a caller.
            wrong = self._wrong(CALLER.get(), name, **options) if CALLER.get() else ""
            deleted = delete(res, namespace, name, **options)
            if CALLER.get() and not options.get("dry_run"):
                self._accepted.add(deleted["metadata"]["uid"])
                if self._setting.dry_run is not DryRun.NONE:
                    wrong = wrong or "it is a dry run"
            if wrong:
                self._broken.append(f"{self._loop.time():.1f} {CALLER.get()} deletes {namespace}/{name}, but {wrong}")
            return deleted

        self._world.store.delete = judged  # type: ignore[method-assign]
        self._world.store.subscribe(self._lease_changed)
        self._world.store.subscribe(self._pod_came)

    def _pod_came(self, change: Change) -> None:
        """Looks a moment later whether every collector has seen a session appear. How old it is, whoever hears of it
        late cannot know."""
        if change.resource is PODS and change.type == "ADDED":
            self._loop.call_later(PROMPT, self._look_who_saw, change.object["metadata"]["uid"])

    def _look_who_saw(self, uid: str) -> None:
        for replica in self._replicas:
            sessions = replica.daemon.cluster.sessions
            # As soon as a watch goes on it may bring what happened before.
            if uid not in sessions.by_uid or self._loop.time() - PROMPT < sessions._backlog[0]:
                self._happenings.upheaval.heard_late(uid)

    def _lease_changed(self, change: Change) -> None:
        """Whoever takes the lease must be alone: nobody else thinks that it may delete."""
        if change.resource is LEASES:
            others = [each for each in self._replicas if each.daemon.elector.identity != holder(change.object)]
            for other in others:
                if other.daemon.elector.leads():
                    self._broken.append(f"{self._loop.time():.1f} {other.name} leads without the lease")

    def _wrong(self, who: str, name: str, *, uid: str | None, resource_version: str | None, **_: object) -> str:
        """What is wrong with a deletion by this collector at this moment; "" where nothing is."""
        if not uid or not resource_version:
            return "says not exactly which"
        try:
            pod = self._world.store.get(PODS, "ssh-sessions", name)
        except Refusal:
            return ""  # it will not be accepted
        if (who, uid) not in self._intended:
            return "never judged it"
        verdict, since = self._intended[who, uid]
        if self._elections and self._leader() != self._identity(who):
            # What was begun before a pause, or was on its way when the network broke, cannot be called back.
            if since >= self._happenings.nemesis.disturbed.get(who, -1.0):
                return f"{self._leader() or 'nobody'} leads"
            self.report.done["late deletion"] += 1
        wrong = self._truth.wrong(pod, verdict, self._policies[who], stranger=self._is_stranger(who, uid))
        return wrong and f"{verdict.reason} is not true: {wrong}"

    def _leader(self) -> str:
        with suppress(Refusal):
            return holder(self._world.store.get(LEASES, LEASE.namespace, LEASE.name))
        return ""

    def _identity(self, who: str) -> str:
        return next((each.daemon.elector.identity for each in self._replicas if each.name == who), who)

    def _is_stranger(self, who: str, uid: str) -> bool:
        """Whether this collector cannot have known the session's owner but by name: it came and went while its events
        were still on their way, or lost, or it was in no list any more when the collector came."""
        clusters = (each.daemon.cluster for each in self._replicas if each.name == who)
        known = {owner.pod_uid for cluster in clusters for owner in cluster.owners.owners}
        session = self._world.containerssh.sessions.get(uid)
        if session is None or session.creator.pod_uid in known:
            return False
        return self._stamped or session.creator.pod_uid in self._happenings.quarantined

    def _hear(self, _: object, __: str, line: EventDict) -> str:
        if line["event"] == "session_collected":
            self.report.collected[line["reason"]] += 1
            if line["uid"] not in self._accepted:
                self._broken.append(f"nobody has accepted that: {line}")
        elif line["event"] == "crashed":
            self._broken.append(f"a bug: {line}")
        raise structlog.DropEvent

    # After every step, and in the end

    def _check(self) -> None:
        if self._broken:
            raise Broken(self._broken[0])
        for replica in self._replicas:
            if replica.task.done():
                raise Broken(f"{replica.name} has ended: {replica.task}")
        requests = self._world.server.requests
        while requests:
            asked = requests.popleft()
            if asked.verb in ("get", "list") and "resourceVersion=" in asked.path:
                raise Broken(f"may be answered from a cache that lags: {asked.path}")

    async def _settle(self) -> None:
        """No more faults: every orphan must go, and nothing may be left behind in memory."""
        await self._happenings.calm()
        self.history.append(f"{self._loop.time():.1f} settle")
        await asyncio.sleep(1)
        await self._revive()
        for _ in range(int(BOUND / GLANCE)):
            await asyncio.sleep(GLANCE)
            self._truth.look()
        self._check()
        # In a dry run whatever is there stays, and where API servers are an hour apart nobody knows how old it is.
        collects = self._setting.dry_run is DryRun.NONE and max(self._world.faults.clocks) < 1.0
        if collects:
            self._look_for_orphans()
        # What cannot be told from the outside waits for its age.
        await asyncio.sleep(self._setting.policy.max_age + BOUND)
        self._check()
        if collects and self._setting.policy.max_age:
            for session in self._world.orphans():
                if not self._truth.excepted(session) and session.uid not in self._truth.misdated:
                    raise Broken(f"{session.name} outlived max-age")
        for _ in range(10):
            try:
                return self._compare()
            except Broken as error:
                broken = error
            await asyncio.sleep(7)  # something may just be going on
        raise broken

    def _look_for_orphans(self) -> None:
        for session in self._world.orphans():
            if self._truth.tellable(session, stamped=self._stamped, bound=BOUND - 2 * GLANCE):
                raise Broken(f"{session.name} is still there {BOUND:g} s after the last fault")

    def _compare(self) -> None:
        for replica in self._replicas:
            compare(replica, self._world)
        # Whoever asks for the lease again and again does so on one spare connection after the other.
        # Whoever is not sure of the time asks for it once more on a new one.
        asked = 1 if max(self._world.faults.clocks) < 1.0 else 30
        spare = Counter({"RequestHandler.start": SPARE * len(self._replicas) if self._elections else asked})
        streams = 2 if self._setting.owner is None else 3
        watches = Counter({"watches": self._world.server.watches - streams * len(self._replicas)})
        if left := tasks() + watches - self._idle - spare - self._logs():
            raise Broken(f"tasks are left behind: {dict(left)}")
        running = sum(owner.alive for replica in self._replicas for owner in replica.daemon.cluster.owners.owners)
        if (followed := tasks()["OwnerLogs._follow"]) > running:
            raise Broken(f"{followed} logs are followed, of {running} owners")

    def _logs(self) -> Counter[str]:
        """What it takes to follow the logs, those of a kubelet that does not answer included."""
        names = ("OwnerLogs._follow", "RequestHandler._handle_request", "RequestHandler.start")
        return Counter(dict.fromkeys(names, tasks()["OwnerLogs._follow"]))
