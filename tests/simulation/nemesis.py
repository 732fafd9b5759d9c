"""What goes wrong between the API server and the collectors, each with a weight.

Draws from the same generator as what happens in the world. Knows nothing of collectors but their names, by which it
cuts them off, pauses them and refuses them their lease.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.sandbox.api.authorization import ADMIN
from tests.simulation.virtual import CALLER, VirtualLoop

NAMESPACES = ("ssh-sessions", "containerssh")
PERMISSIONS = (
    *(("list", "pods"), ("watch", "pods"), ("get", "pods"), ("delete", "pods"), ("get", "pods/log")),
    *(("list", "deployments"), ("watch", "deployments"), ("get", "deployments"), ("create", "events")),
)
"""What the collectors may do, and may not for a while."""


class Nemesis:
    """Breaks what lies between the API server and the collectors, and mends it."""

    def __init__(
        self, rng: random.Random, world: World, kubeconfig: Path, collectors: Callable[[], Sequence[str]]
    ) -> None:
        """``collectors`` names those that run."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._rng, self._world, self._kubeconfig, self._collectors = rng, world, kubeconfig, collectors
        self._loop = loop
        self._tokens = 0
        self._restart: asyncio.Task[None] | None = None
        self.leaseless: set[str] = set()
        """Collectors whose requests for the lease are refused."""
        self.disturbed = dict[str, float]()
        """Until when a collector was cut off or paused: what it had begun by then may still arrive."""
        self.token(late=0.0)
        self._take, world.faults.take = world.faults.take, self._taken  # type: ignore[method-assign]

    def weights(self) -> dict[Callable[[], Any], float]:
        """Everything that may go wrong, and how often in proportion."""
        return {
            # Watches
            self.end_watches: 3,
            self.stall_watches: 3,
            self.delay_watches: 4,
            self.lag_watches: 2,
            self.repeat_watches: 2,
            self.expire: 2,
            # Requests
            self.refuse: 3,
            self.refuse_lease: 2,
            self.forbid: 2,
            self.spoil: 2,
            self.wrong_date: 1,
            self.rotate_token: 1,
            self.restart_api: 1,
            # One collector
            self.partition: 1.5,
            self.pause: 1,
        }

    async def calm(self) -> None:
        """Ends everything that goes wrong."""
        if self._restart is not None:
            await self._restart
        self.reach_all()
        self._world.faults.clear()
        self._world.faults.end_watches()
        self.token(late=0.0)

    def reach_all(self) -> None:
        """No collector is cut off, paused or refused any more."""
        for who in self._collectors():
            self._resume(who)
        self._mend()
        self.leaseless.clear()

    # Watches

    def end_watches(self) -> None:
        """Watches end, cleanly or in the middle of a line."""
        faults = self._world.faults
        if self._maybe(0.5):
            faults.end_watches(namespace=self._namespace())
        else:
            faults.cut_watches(namespace=self._namespace(), after_bytes=self._rng.randint(0, 2000))

    def stall_watches(self) -> None:
        """Watches go silent with the connection open: what the collectors see grows old."""
        self._world.faults.stall_watches(namespace=self._namespace())

    def delay_watches(self) -> None:
        """What one of the streams tells comes late: the collectors see things in another order than they happened."""
        seconds = self._rng.choice([0.5, 5.0, 30.0, 75.0])
        self._world.faults.delay_watches(seconds, namespace=self._rng.choice(NAMESPACES))

    def lag_watches(self) -> None:
        """The cache that watches are served from falls behind: those that run, and the next ones."""
        seconds = self._rng.choice([2.0, 15.0, 70.0])
        self._world.faults.delay_watches(seconds)
        self._world.faults.add(Fault("delay", verb="watch", seconds=seconds, times=self._rng.randint(1, 4)))

    def repeat_watches(self) -> None:
        """Events come twice, on watches that go on and on those that are taken up again."""
        self._world.faults.repeat_watches(namespace=self._namespace())

    def expire(self) -> None:
        """The API server forgets the past, and says so in the middle of a watch or when it is taken up again."""
        self._world.compact()
        if self._maybe(0.5):
            self._world.faults.expire_watches(namespace=self._namespace())
        else:
            self._world.faults.end_watches(namespace=self._namespace())

    def _namespace(self) -> str | None:
        return self._rng.choice([*NAMESPACES, None])

    # Requests

    def refuse(self) -> None:
        """Requests are refused for a while: throttled, failed or forbidden, or answered by a proxy."""
        code = self._rng.choice([429, 500, 503, 503, 401, 403, 404, 409])
        verb = self._rng.choice([None, "list", "watch", "get", "delete", "update"])
        times = self._rng.randint(1, 6)
        retry_after = self._rng.choice([None, 1, 40])
        self._world.faults.add(Fault("status", verb=verb, code=code, times=times, retry_after=retry_after))

    def forbid(self) -> None:
        """A permission is taken away, and granted again after a while."""
        verb, resource = self._rng.choice(PERMISSIONS)
        where = self._namespace() if resource.startswith("pods") else None
        fault = self._world.faults.add(Fault("status", verb=verb, resource=resource, namespace=where, code=403))
        self._loop.call_later(self._rng.choice([20.0, 90.0, 200.0]), self._world.faults.lift, fault)

    def refuse_lease(self) -> None:
        """One collector cannot read or write the lease for a while, and reaches everything else."""
        if collectors := self._collectors():
            who = self._rng.choice(collectors)
            self.leaseless.add(who)
            self._loop.call_later(self._rng.choice([8.0, 30.0, 120.0]), self.leaseless.discard, who)

    def _taken(self, verb: str, resource: str, namespace: str | None) -> Fault | None:
        if resource == "leases" and CALLER.get() in self.leaseless:
            return Fault("status", code=503)
        return self._take(verb, resource, namespace)

    def spoil(self) -> None:
        """Answers are cut, broken, late, or never come."""
        kind: Any = self._rng.choice(["cut", "truncate", "malformed", "reset", "slow", "stall", "gone"])
        verb = self._rng.choice(["list", "watch", "get", "delete", "update"])
        times, seconds = self._rng.randint(1, 3), self._rng.choice([2.0, 20.0])
        self._world.faults.add(Fault(kind, verb=verb, times=times, seconds=seconds))

    async def wrong_date(self) -> None:
        """For a moment the API server's answers have another date."""
        self._world.faults.clock_offset = self.any_date()
        self._world.faults.end_watches()
        await asyncio.sleep(self._rng.choice([0.05, 2.0]))
        self._world.faults.clock_offset = 0.0

    def any_date(self) -> float:
        """Seconds by which a date may be wrong: another one each time, as a second answer would confirm the first."""
        return self._rng.choice([-1.0, 1.0]) * self._rng.uniform(3600.0, 10800.0)

    def rotate_token(self) -> None:
        """The token is good no longer; the new one is there at once, or only after a while."""
        self.token(late=self._rng.choice([0.0, 0.0, 5.0, 45.0]))

    def token(self, late: float) -> None:
        """From now on another token counts, which the collectors find ``late`` seconds later."""
        self._tokens += 1
        token = f"token{self._tokens}"
        self._world.server.tokens = {token: ADMIN}
        if late:
            self._loop.call_later(late, self._write_token, token)
        else:
            self._write_token(token)

    def _write_token(self, token: str) -> None:
        if token == f"token{self._tokens}":
            self._world.kubeconfig(self._kubeconfig, token=token)

    def restart_api(self) -> None:
        """The API server restarts; life goes on without it."""
        if self._restart is None or self._restart.done():
            self._restart = self._loop.create_task(self._world.restart_api(self._rng.choice([0.0, 2.0, 45.0])))

    # One collector

    def partition(self) -> None:
        """One collector is cut off from the API server, watches and all, or all of it is over."""
        if self._maybe(0.5) and (collectors := self._collectors()):
            self._loop.network.cut(self._rng.choice(collectors))
        else:
            self._mend()

    def pause(self) -> None:
        """One collector's process stands still for a while, even the leader's."""
        running = [each for each in self._collectors() if not self._loop.is_paused(each)]
        if running:
            who = self._rng.choice(running)
            self._loop.pause(who)
            self._loop.call_later(self._rng.choice([3.0, 20.0, 100.0]), self._resume, who)

    def _resume(self, who: str) -> None:
        if self._loop.is_paused(who):
            self.disturbed[who] = self._loop.time()
            self._loop.resume(who)

    def _mend(self) -> None:
        for who in self._collectors():
            if self._loop.network.is_cut(who):
                self.disturbed[who] = self._loop.time()
        self._loop.network.heal()

    def _maybe(self, chance: float) -> bool:
        return self._rng.random() < chance
