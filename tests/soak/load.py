"""The load on the cluster in a soak: users who come and go, owners that end, and a nemesis on the API.

Knows what can happen and how often. Knows nothing of the collector but its annotations.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from ssh_session_gc.sandbox import Fault, TrueSession, World
from ssh_session_gc.sandbox.api.objects import PODS, Change, Object
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.node.programs import PROGRAM

TTL = "ssh-session-gc/ttl"
TICK = 0.02
"""Seconds between two checks of how many changes are due."""
TOLERANCE = 3.0
"""The collector's clock tolerance, and the second to which it knows times, in seconds."""
LAST_SILENCE = 150.0
"""Seconds before the end from which on nothing goes silent: it takes a minute and a half to notice that."""
HARM = {"list": 1, "watch": 1, "get": 3, "delete": 20, "create": 20}
"""How often in a row a request may fail. A stream waits longer each time; a deletion is one of many."""


class Plan(NamedTuple):
    """The size of a soak: seconds in all, changes a second, and the seconds (``grace``) after which an ownerless or
    finished session is to be deleted."""

    seconds: float
    sessions: int
    rate: float
    seed: int
    grace: int = 60


class Load:
    """Everything that happens to the cluster, from one seed."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world, self._plan, self._rng = world, plan, random.Random(plan.seed)
        self._time = asyncio.get_running_loop().time
        self._known: list[TrueSession] = []
        self._limits: dict[str, float] = {}
        self.changes = self.there = 0
        """Changes of session Pods by anyone, and the number of Pods that are there."""
        self.late = 0.0
        """The most seconds for which this process, and so the API server, was busy with one thing."""
        self.troubles = Counter[str]()
        """The number of troubles of each kind."""
        world.store.subscribe(self._heard)

    async def begin(self) -> None:
        """Deploys ContainerSSH and opens all sessions. Returns when they run."""
        replicas = max(10, self._plan.sessions // 250)
        self._world.deploy(replicas)
        await self._world.ready(replicas)
        for _ in range(self._plan.sessions):
            self._connect(plain=True)
            await asyncio.sleep(0)
        running = self._world.kubelets["node1"].processes
        while not all((session.uid, "shell") in running for session in self._known):  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    async def run(self) -> None:
        """Puts the load on the cluster for as long as planned."""
        self._end = self._time() + self._plan.seconds
        async with asyncio.TaskGroup() as group:
            for work in (self._users(), self._owners(), self._nemesis()):
                group.create_task(work)

    def lost(self) -> list[TrueSession]:
        """The sessions that were deleted with their users in them, and not for their own limit of age."""
        lost = self._world.lost_live()
        return [s for s in lost if (s.deleted or 0.0) < s.created + self._limits.get(s.uid, float("inf")) - 1.0]

    def orphans(self) -> list[TrueSession]:
        """Sessions that are there with nobody in them. Without those that may pass for another process's own, because
        it began in the same Pod within the clock tolerance: they wait for their age (docs/guarantees.md)."""
        starts = {replica.process.pod_uid: replica.process.started for replica in self._world.containerssh.replicas}
        orphans = self._world.orphans()
        return [s for s in orphans if s.creator.alive or starts.get(s.creator.pod_uid, 1e99) > s.created + TOLERANCE]

    async def _users(self) -> None:
        """Makes the planned changes a second; kubelets and deletions make more."""
        begun, done, total = self._time(), 0, self._plan.rate * self._plan.seconds
        while done < total:
            wanted = min(total, self._plan.rate * (self._time() - begun))
            while done < wanted:
                done += 1
                with suppress(LookupError, Refusal):  # nobody takes connections, or nobody is there
                    self._change()
            before = self._time()
            await asyncio.sleep(TICK)
            self.late = max(self.late, self._time() - before - TICK)

    def _change(self) -> None:
        chance = self._rng.random()
        if chance < 0.2 and self.there < self._plan.sessions:
            self._connect()
        elif chance < 0.23:
            self._world.close(self._somebody())
        else:
            self._world.store.update(PODS, self._world.layout.session_namespace, self._somebody().name, self._edit)

    def _connect(self, *, plain: bool = False) -> None:
        rng, grace = self._rng, self._plan.grace
        fate = "" if plain else rng.choices(["", "missing", "ends", "limit", "nonsense"], [90, 2, 4, 2, 2])[0]
        notes = {
            "ends": {PROGRAM: json.dumps({"exits_after": rng.uniform(0, grace), "exit_code": rng.choice([0, 3])})},
            "limit": {TTL: f"{3 * grace}s"},
            "nonsense": {TTL: "nonsense"},
        }.get(fate, {})
        image = "x:missing" if fate == "missing" else ""
        replica = rng.randrange(len(self._world.containerssh.replicas) or 1)
        session = self._world.open(f"user{rng.randrange(100_000)}", image=image, annotations=notes, replica=replica)
        self._known.append(session)
        if fate == "limit":
            self._limits[session.uid] = 3.0 * grace

    def _somebody(self) -> TrueSession:
        """A random session with its user in it. Raises LookupError."""
        while True:
            index = self._rng.randrange(len(self._known) or 1)
            session = self._known[index]
            if session.live and session.deleted is None:
                return session
            self._known[index] = self._known[-1]
            self._known.pop()

    def _edit(self, pod: Object) -> None:
        """Changes the Pod's annotations, and every other time its status."""
        pod["metadata"]["annotations"]["soak/changes"] = str(self.changes)
        for condition in pod["status"].get("conditions", ()):
            if condition["type"] == "Ready" and self.changes % 2:
                condition["status"] = "False" if condition["status"] == "True" else "True"

    def _heard(self, change: Change) -> None:
        if change.resource is PODS and change.object["metadata"]["namespace"] == self._world.layout.session_namespace:
            self.changes += 1
            self.there += {"ADDED": 1, "MODIFIED": 0, "DELETED": -1}[change.type]

    async def _owners(self) -> None:
        """Crashes or replaces an owner now and then, or several at once."""
        while self._time() < self._end:
            await asyncio.sleep(self._rng.uniform(0.5, 1.5) * min(20.0, self._plan.seconds / 5))
            for _ in range(self._rng.choice([1, 1, 1, 4])):
                with suppress(LookupError, Refusal):  # all are gone already, or this one is
                    process = self._rng.choice(self._world.containerssh.replicas).process
                    if self._rng.random() < 0.5:
                        self._world.crash(process)
                    else:
                        self._world.evict(process.namespace, process.pod)
                    self.troubles["owners ended"] += 1

    async def _nemesis(self) -> None:
        while self._time() < self._end:
            await asyncio.sleep(self._rng.uniform(0.5, 1.5) * min(4.0, self._plan.seconds / 10))
            await self._strike(silence=self._end - self._time() > LAST_SILENCE)

    async def _strike(self, *, silence: bool) -> None:
        rng, faults, layout = self._rng, self._world.faults, self._world.layout
        where = rng.choice([layout.session_namespace, layout.owner_namespace, None])
        verb, code, after = rng.choice([*HARM, "delete"]), rng.choice([429, 500, 503, 504]), rng.choice([None, 1, 5])
        times, seconds = rng.randint(1, HARM[verb]), rng.uniform(0.1, 3.0)
        spoils = ["cut", "truncate", "malformed", "reset", "slow", "gone", *(["stall"] if silence else [])]
        spoil: Any = rng.choice(spoils)
        ways: dict[str, Callable[[], object]] = {
            "compacted": self._world.compact,
            "cut": lambda: faults.cut_watches(namespace=where, after_bytes=rng.randrange(5000)),
            "ended": lambda: faults.end_watches(namespace=where),
            "expired": lambda: faults.expire_watches(namespace=where),
            "garbled": lambda: faults.garble_watches(namespace=where),
            "late": lambda: faults.delay_watches(seconds, namespace=where),
            "refused": lambda: faults.add(Fault("status", verb, code=code, retry_after=after, times=times)),
            "repeated": lambda: faults.repeat_watches(namespace=where),
            "restarted": lambda: self._world.restart_api(seconds),
            "silent": lambda: faults.stall_watches(namespace=where),
            "spoilt": lambda: faults.add(Fault(spoil, verb, times=times, seconds=seconds)),
        }
        way = rng.choice([each for each in (*ways, "refused", "spoilt") if silence or each != "silent"])
        happening = ways[way]()
        if asyncio.iscoroutine(happening):
            await happening
        self.troubles[way] += 1
