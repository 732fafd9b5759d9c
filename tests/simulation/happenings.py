"""What happens in a world: what people and the cluster do, each with a weight.

Draws from one generator and acts on the world only. Knows nothing of the API server's failures (``nemesis``).
"""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, PODS, Object
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.node.programs import PROGRAM, Process, Program
from ssh_session_gc.selectors import Selector
from tests.simulation.garble import Garble
from tests.simulation.nemesis import Nemesis
from tests.simulation.oddities import Oddities
from tests.simulation.telling import Telling
from tests.simulation.upheaval import Upheaval

OWNERS = Selector.parse("app=containerssh")
IMAGES = {"slow": Program(pull=100.0), "sluggish": Program(pull=30.0, start=5.0), "late": Program(pull=125.0)}


class Happenings:
    """Does things to a world, each as often as its weight says."""

    def __init__(
        self,
        rng: random.Random,
        world: World,
        kubeconfig: Path,
        collectors: Callable[[], Sequence[str]],
        *,
        telling: Telling,
        clock_set: Callable[[], Any],
    ) -> None:
        """``collectors`` names those that run. ``telling``: what they are told by owners. ``clock_set`` is told when
        an API server's clock was set."""
        self._rng, self._world = rng, world
        self._loop = asyncio.get_running_loop()
        self._dead = False
        self.quarantined: set[str] = set()
        """uids of the owner Pods that have lost their label."""
        self.nemesis = Nemesis(rng, world, kubeconfig, collectors)
        self.garble = Garble(rng, world, logs=telling.logs, gauge=telling.gauge)
        self._mode = telling.mode
        self._oddities = Oddities(rng, world)
        self.upheaval = Upheaval(rng, world, self.open, clock_set)
        for kubelet in world.kubelets.values():
            kubelet.started.subscribe(self._reconnect)

    def weighted(self) -> tuple[list[Callable[[], Any]], list[float]]:
        """Everything that may happen, and how often in proportion."""
        weights: dict[Callable[[], Any], float] = {
            # Users
            self.open: 40,
            self.close: 12,
            self.leave: 6,
            # Owners
            self.crash: 9,
            self.crash_sidecar: 1,
            self.rollout: 2,
            self.scale: 3,
            self.evict_owner: 2,
            self.evict_owners: 1,
            self.delete_owner: 2,
            self.recreate_owner: 1,
            self.quarantine_owner: 2,
            self.come_and_go: 1.5,
            self.redeploy: 1,
            # Sessions
            self.evict_session: 1,
            self.delete_session: 1,
            self.annotate: 4,
            self.replace: 2,
            self.relabel: 1,
            # Nodes
            self.cut_off: 3,
            self.slow_status: 4,
            self.heal: 2,
            self.kill_node: 0.5,
            **self.nemesis.weights(),
            **self.garble.weights(),
            **self.upheaval.weights(),
            **self._oddities.weights(),
        }
        if self._mode == "session":
            weights |= {self.hang_up: 8, self.start_another: 8}
        return list(weights), list(weights.values())

    async def calm(self) -> None:
        """Ends everything that is wrong, on the way and in the nodes."""
        await self.nemesis.calm()
        self.garble.calm()
        self.heal()

    # Users

    def open(self) -> None:
        """Somebody connects."""
        notes: dict[str, str] = {}
        if self._maybe(0.05):
            notes["ssh-session-gc/keep"] = self._rng.choice(["true", "false", "perhaps"])
        if self._maybe(0.1):
            notes["ssh-session-gc/ttl"] = self._rng.choice(["90s", "10m", "3h", "90d", "-1s"])
        if self._maybe(0.1):
            notes[PROGRAM] = json.dumps(
                {"exits_after": self._rng.choice([2, 50]), "exit_code": self._rng.choice([0, 3])}
            )
        image = self._rng.choice(["", "", "", "", "", "slow", "sluggish", "late", "x:missing"])
        user = f"user{len(self._world.containerssh.sessions)}"
        self._world.open(user, image=image, annotations=notes, replica=self._server())

    def _server(self) -> int:
        """Which of those that take connections: the newest, as a rule, or the oldest.

        A Pod that has lost its label is in no Service any more, and may open some all the same: another session on an
        old connection, or through a port of its node.
        """
        taking = [r for r in self._world.containerssh.replicas if r.online and not r.process.terminating.is_set()]
        return self._rng.choice([len(taking) - 1, len(taking) - 1, 0])

    def close(self) -> None:
        """Somebody leaves."""
        self._world.close(self._rng.choice(self._world.live()))

    def leave(self) -> None:
        """Somebody is gone after a command with a terminal, and ContainerSSH leaves the Pod there."""
        self._world.leave(self._rng.choice(self._world.live()))

    def hang_up(self) -> None:
        """Somebody's client goes, and the program runs on."""
        self._world.hang_up(self._rng.choice(self._world.live()))

    def start_another(self) -> None:
        """Somebody starts another program on the same connection."""
        self._world.start_another(self._rng.choice(self._world.live()))

    def _reconnect(self, process: Process) -> None:
        """Whoever was thrown out is back as soon as there is a server again."""
        if process.namespace == "containerssh" and process.container == "containerssh" and self._maybe(0.7):
            self._loop.call_later(self._rng.choice([0.0, 0.2, 0.5, 1.0, 20.0]), self._open_if_possible)

    def _open_if_possible(self) -> None:
        with suppress(LookupError):  # nobody takes connections
            self.open()

    # Owners

    def crash(self) -> None:
        """A ContainerSSH process dies and is started again in its Pod."""
        self._world.crash(self._rng.choice(self._world.containerssh.replicas).process)

    def crash_sidecar(self) -> None:
        """A sidecar of ContainerSSH dies, which means nothing."""
        replica = self._rng.choice(self._world.containerssh.replicas)
        replica.kubelet.kill(replica.process.pod_uid, container="audit-log")

    def rollout(self) -> None:
        """All replicas are replaced, one after the other."""
        self._world.rollout()

    def scale(self) -> None:
        """More or fewer replicas, or none."""
        self._world.scale(self._rng.randint(0, 4))

    def evict_owner(self) -> None:
        """A node is drained."""
        self._world.evict("containerssh", self._owner_pod()["metadata"]["name"])

    def evict_owners(self) -> None:
        """All nodes are drained at once."""
        for pod in self._world.store.list(PODS, "containerssh"):
            self._world.evict("containerssh", pod["metadata"]["name"])

    def delete_owner(self) -> None:
        """An owner Pod is deleted, now and then by force."""
        pod = self._owner_pod()
        if self._maybe(0.3):
            self._remove(pod)
        else:
            self._world.store.delete(PODS, "containerssh", pod["metadata"]["name"])

    def recreate_owner(self) -> None:
        """An owner Pod goes by force, and another one gets its name, as in a StatefulSet."""
        old = self._owner_pod()
        self._remove(old)
        kept = ("name", "labels", "annotations", "ownerReferences")
        metadata = {key: value for key, value in old["metadata"].items() if key in kept}
        spec = {key: value for key, value in old["spec"].items() if key != "nodeName"}
        made = self._world.store.create(PODS, "containerssh", {"metadata": metadata, "spec": spec})
        if old["metadata"]["uid"] in self.quarantined:
            self.quarantined.add(made["metadata"]["uid"])

    def quarantine_owner(self) -> None:
        """Somebody takes an owner Pod out of its workload, to have a look at it in peace. It runs on, or restarts."""
        replica = self._rng.choice(self._world.containerssh.replicas)

        def change(pod: Object) -> None:
            pod["metadata"]["labels"] = {"quarantined": "true"}
            pod["metadata"].pop("ownerReferences", None)

        self._world.store.update(PODS, "containerssh", replica.process.pod, change)
        self.quarantined.add(replica.process.pod_uid)
        if self._maybe(0.5):
            self._loop.call_later(self._rng.choice([5.0, 40.0]), self._world.crash, replica.process)

    async def come_and_go(self) -> None:
        """An owner comes, takes somebody in and goes while nobody watches; then the API server forgets about it."""
        deployment = self._world.store.get(DEPLOYMENTS, "containerssh", "containerssh")
        before = {replica.process.pod for replica in self._world.containerssh.replicas}
        self._world.faults.stall_watches(namespace="containerssh")
        self._world.scale(deployment["spec"]["replicas"] + 1)
        await asyncio.sleep(3)
        self.open()
        await asyncio.sleep(self._rng.choice([1.0, 20.0, 50.0]))
        self._world.scale(deployment["spec"]["replicas"])
        for pod in self._world.store.list(PODS, "containerssh"):
            if pod["metadata"]["name"] not in before:
                self._remove(pod)
        self._world.compact()

    async def redeploy(self) -> None:
        """The Deployment goes, and another one of its name comes."""
        self._world.delete_deployment()
        await asyncio.sleep(self._rng.choice([0.0, 5.0, 90.0]))
        self.deploy()

    def deploy(self) -> None:
        """ContainerSSH is installed."""
        drain = self._rng.choice([0.5, 8.0, 25.0])
        self._world.deploy(self._rng.randint(1, 4), drain=drain, sidecar=self._maybe(0.3))

    def _remove(self, pod: Object) -> None:
        # By force while its process runs on is a lie to the API server: the truth is that the process is killed.
        for kubelet in self._world.kubelets.values():
            kubelet.kill(pod["metadata"]["uid"])
        with suppress(Refusal):  # with its process it may have gone by itself
            self._world.store.delete(PODS, "containerssh", pod["metadata"]["name"], grace=0)

    def _owner_pod(self) -> Object:
        return self._rng.choice(self._world.store.list(PODS, "containerssh"))

    # Sessions

    def evict_session(self) -> None:
        """The cluster itself ends a session."""
        self._world.evict("ssh-sessions", self._rng.choice(self._world.live()).name)

    def delete_session(self) -> None:
        """An administrator ends a session."""
        self._world.store.delete(PODS, "ssh-sessions", self._rng.choice(self._world.live()).name)

    def annotate(self) -> None:
        """An operator exempts a session, or does so no longer, or gives it another limit."""
        note = self._rng.choice(
            [("keep", "true"), ("keep", "false"), ("ttl", "3h"), ("ttl", "90s"), ("ttl", "nonsense")]
        )
        sessions = [each for each in self._world.containerssh.sessions.values() if not each.gone]

        def change(pod: Object) -> None:
            pod["metadata"].setdefault("annotations", {})[f"ssh-session-gc/{note[0]}"] = note[1]

        self._world.store.update(PODS, "ssh-sessions", self._rng.choice(sessions).name, change)

    def replace(self) -> None:
        """A session's Pod is deleted by force, and another Pod gets its name: nobody's session."""
        session = self._rng.choice(self._world.live())
        old = self._world.store.get(PODS, "ssh-sessions", session.name)
        self._world.store.delete(PODS, "ssh-sessions", session.name, grace=0)
        metadata = {"name": session.name, "labels": old["metadata"]["labels"]}
        metadata["annotations"] = {"ssh-session-gc/keep": "true"}
        self._world.store.create(
            PODS, "ssh-sessions", {"metadata": metadata, "spec": {"containers": [{"name": "x"}]}}
        )

    def relabel(self) -> None:
        """Somebody takes the label off a session: it is no session any more."""

        def change(pod: Object) -> None:
            pod["metadata"]["labels"].pop("containerssh_connection_id", None)

        self._world.store.update(PODS, "ssh-sessions", self._rng.choice(self._world.live()).name, change)

    # Nodes

    def cut_off(self) -> None:
        """A node does not report any more; what runs on it runs on."""
        self._world.cut_off(self._rng.choice(["node1", "node2"]))

    def slow_status(self) -> None:
        """Kubelets are busy and write what they know late."""
        lag = self._rng.choice([3.0, 20.0, 90.0, 90.0])
        for kubelet in self._world.kubelets.values():
            if self._maybe(0.6):
                kubelet.lag = lag

    def heal(self) -> None:
        """All nodes report again, and at once."""
        for name, kubelet in self._world.kubelets.items():
            kubelet.lag = 0.0
            if not kubelet.dead:
                self._world.heal(name)

    def kill_node(self) -> None:
        """A node loses its power, for good, and an administrator removes it."""
        if not self._dead:
            self._dead = True
            self._world.kill_node("node3")
            self._world.remove_node("node3")

    def _maybe(self, chance: float) -> bool:
        return self._rng.random() < chance
