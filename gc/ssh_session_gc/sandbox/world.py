"""A whole simulated cluster: store, API server, nodes, controllers and ContainerSSH, started and ended together.

Knows how the parts fit and offers what one does to a cluster as verbs. Adds no behaviour of its own.

All parts wait on the event loop's clock alone and draw from one seed: the same calls at the same times make the same
cluster, in real time and in a loop that skips time.
"""

import asyncio
import random
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from ssh_session_gc.sandbox.api.authorization import Identity, Roles
from ssh_session_gc.sandbox.api.faults import Faults
from ssh_session_gc.sandbox.api.objects import (
    CONFIGMAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    Object,
    timestamp,
)
from ssh_session_gc.sandbox.api.server import BOOKMARK_SECONDS, ApiServer
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.containerssh import manifests
from ssh_session_gc.sandbox.containerssh.layouts import ARTICLE, Layout, Mode
from ssh_session_gc.sandbox.containerssh.leaks import panic
from ssh_session_gc.sandbox.containerssh.log import LogLevel
from ssh_session_gc.sandbox.containerssh.metrics import MetricsPorts, Says
from ssh_session_gc.sandbox.containerssh.process import POD_START, ContainerSSH
from ssh_session_gc.sandbox.containerssh.removal import Obstacle
from ssh_session_gc.sandbox.containerssh.truth import TrueSession
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from ssh_session_gc.sandbox.node.controllers import DeploymentController
from ssh_session_gc.sandbox.node.kubelet import Kubelet
from ssh_session_gc.sandbox.node.nodes import NodeController, Scheduler, disrupted
from ssh_session_gc.sandbox.node.podstatus import StatusWriter
from ssh_session_gc.sandbox.node.programs import Process, Program

EPOCH = 1_795_402_800.0
"""2026-11-23T03:00:00Z, the beginning of a cluster that is not told another one."""


class World:
    """One cluster, which runs while it is entered as an async context manager."""

    def __init__(
        self,
        *,
        seed: int = 0,
        nodes: int = 1,
        began: float = EPOCH,
        skews: Mapping[str, float] | None = None,
        layout: Layout = ARTICLE,
        mode: Mode | None = None,
        stamp: bool = False,
        pod_start: float = POD_START,
        node_silence: float = 40.0,
        program: Program | None = None,
        images: Mapping[str, Program] | None = None,
        clean_shutdown: bool = False,
        log_level: LogLevel = "debug",
        leaks: float = 0.0,
        metrics_port: int | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        tokens: Mapping[str, Identity] | None = None,
        roles: Roles | None = None,
        bookmark_seconds: float = BOOKMARK_SECONDS,
    ) -> None:
        """``began``: epoch seconds at which the cluster's clock starts. ``skews``: seconds that a node's clock is
        ahead. ``layout``: how ContainerSSH is installed; ``mode``: for what it makes Pods, in place of the layout's.
        ``stamp``: sessions carry their creator's name and uid.
        ``node_silence``: seconds until a node that is cut off counts as unreachable. ``program``: how containers
        behave; ``images``: where theirs says otherwise. ``clean_shutdown``, ``log_level``, ``leaks``: see
        ``ContainerSSH``. ``metrics_port``: where each of its processes serves its metrics, on its Pod's address;
        None: nowhere. ``port``, ``metrics_port``: 0 takes a free one."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        self.clock_offset = 0.0
        """Seconds to add to the cluster's clock, as if somebody had set it."""
        self.store = Store(
            lambda: began + self.clock_offset + loop.time() - start,
            true_now=lambda: began + loop.time() - start,
            rng=random.Random(seed),  # noqa: S311
        )
        self.faults = Faults()
        self._metrics = None if metrics_port is None else MetricsPorts(metrics_port)
        self.kubelets = {
            name: Kubelet(
                self.store,
                name,
                default=program or Program(),
                images=images or {},
                skew=(skews or {}).get(name, 0.0),
                addresses=self._owner_address,
            )
            for name in (f"node{n + 1}" for n in range(nodes))
        }
        self.server = ApiServer(
            self.store,
            faults=self.faults,
            tls=tls,
            tokens=tokens,
            roles=roles,
            bookmark_seconds=bookmark_seconds,
            nodes=self.kubelets.get,
        )
        rng = random.Random(seed + 1)  # noqa: S311 - names
        self.containerssh = ContainerSSH(
            self.store,
            layout=layout,
            mode=mode,
            stamp=stamp,
            pod_start=pod_start,
            clean_shutdown=clean_shutdown,
            log_level=log_level,
            metrics=self._metrics,
            leaks=leaks,
            rng=rng,
        )
        self._clean, self._port = clean_shutdown, port
        self.layout = layout
        self._pod_start, self._log_level = pod_start, log_level
        self._scheduler = Scheduler(self.store)
        self._deployments = DeploymentController(self.store)
        self._node_controller = NodeController(self.store, silence=node_silence)

    async def __aenter__(self) -> Self:
        for namespace in dict.fromkeys(("default", self.layout.session_namespace, self.layout.owner_namespace)):
            self.store.create(NAMESPACES, None, {"metadata": {"name": namespace}})
        if self._metrics is not None:
            await self._metrics.start()
        # The truth is told of a change before anybody reacts to it, and a kubelet before what depends on it.
        self.containerssh.start()
        for kubelet in self.kubelets.values():
            self.containerssh.serve(kubelet)
            self.store.create(NODES, None, _node(kubelet.node, self.store.now()))
            kubelet.start()
        self._scheduler.start()
        self._deployments.start()
        self._node_controller.start()
        await self.server.start(port=self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deployments.stop()
        self._scheduler.stop()
        await self._node_controller.stop()
        await self.containerssh.stop()
        for kubelet in self.kubelets.values():
            await kubelet.stop()
        if self._metrics is not None:
            await self._metrics.stop()
        await self.server.stop()

    @property
    def metrics_port(self) -> int | None:
        """The port on which ContainerSSH's Pods serve their metrics, each on its own address; None: they do not."""
        return None if self._metrics is None else self._metrics.port

    @property
    def url(self) -> str:
        """The API server's address."""
        return self.server.url

    def kubeconfig(self, path: Path, *, token: str = "", certificate_authority: str = "") -> Path:
        """Writes a kubeconfig for this cluster. The authority is the path of a PEM file."""
        return write_kubeconfig(path, self.url, token=token, certificate_authority=certificate_authority)

    def deploy(
        self,
        replicas: int = 1,
        *,
        drain: float = 0.5,
        grace: int = 30,
        sidecar: bool = False,
        configured: bool = False,
    ) -> None:
        """Creates ContainerSSH's Deployment. ``drain``: seconds from SIGTERM to the end of its process, which a clean
        shutdown decides by itself; ``grace``: the most that it gets. ``configured``: with its configuration, as it
        is found in a real cluster; nothing in a simulated one reads it."""
        drain = 2.0 * grace if self._clean else drain
        if configured:
            config = manifests.configuration(
                self.layout,
                self.containerssh.register.mode,
                pod_start=self._pod_start,
                log_level=self._log_level,
                metrics_port=self.metrics_port,
            )
            resource = CONFIGMAPS if self.layout.config_kind == "ConfigMap" else SECRETS
            self.store.create(resource, self.layout.owner_namespace, config)
        made = manifests.deployment(
            self.layout, replicas, drain=drain, grace=grace, sidecar=sidecar, configured=configured
        )
        self.store.create(DEPLOYMENTS, self.layout.owner_namespace, made)

    async def ready(self, replicas: int = 1) -> None:
        """Waits until so many ContainerSSH processes run and their Pods are Ready."""
        # The condition spans several objects and is waited for at start-up only.
        while sum(self._is_ready(replica.process) for replica in self.containerssh.replicas) < replicas:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    def open(
        self,
        user: str,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        image: str | None = None,
        replica: int = -1,
        lost_answer: bool = False,
    ) -> TrueSession:
        """Connects a user, by default to the newest replica. ``lost_answer``: ContainerSSH does not hear of the Pod
        and makes another one 10 seconds later. Raises LookupError where none takes connections."""
        return self.containerssh.arrivals.open(
            user, labels=labels, annotations=annotations, image=image, replica=replica, lost_answer=lost_answer
        )

    def start_another(self, session: TrueSession) -> TrueSession:
        """Has a session's user start another program on the same connection, in mode ``session``. Raises LookupError
        where nobody sits in the session."""
        return self.containerssh.arrivals.start_another(session)

    def probe(self, *, replica: int = -1) -> None:
        """Has somebody open ContainerSSH's port and go again, by default the newest replica's, which counts as a
        connection. Raises LookupError where none takes connections."""
        self.containerssh.arrivals.probe(replica=replica)

    def close(self, session: TrueSession) -> None:
        """Has the session's user end the program and leave."""
        self.containerssh.close(session)

    def hang_up(self, session: TrueSession) -> None:
        """Has the client of the session's user go while the program runs, which in mode ``session`` runs on."""
        self.containerssh.hang_up(session)

    def leave(self, session: TrueSession) -> None:
        """Has the session's user be gone after ``ssh -t HOST true``; ContainerSSH logs it and leaves the Pod."""
        self.containerssh.leave(session)

    def leave_unsaid(self, session: TrueSession) -> None:
        """Has the session's user leave while ContainerSSH cannot write its audit log; only the gauge tells of it, and
        the Pod stays."""
        self.containerssh.leave_unsaid(session)

    def fail_execs(self, fail: bool = True) -> None:
        """Has no program start in a Pod that comes up, until ``fail`` is False."""
        self.containerssh.arrivals.exec_fails = fail

    def fail_deletions(self, obstacle: Obstacle | None = "forbidden") -> None:
        """Has what ContainerSSH deletes from now on be refused, or not arrive; None: no longer."""
        self.containerssh.removal.obstacle = obstacle

    def panic(self, process: Process) -> None:
        """Has a ContainerSSH process panic, which it tells in lines that are no JSON; the kubelet starts it again."""
        panic(self.containerssh.register.replica(process))

    def crash(self, process: Process | None = None) -> None:
        """Kills a ContainerSSH process, the oldest by default; the kubelet starts it again in the same Pod."""
        process = process or self.containerssh.replicas[0].process
        for kubelet in self.kubelets.values():
            kubelet.kill(process.pod_uid, container=process.container)

    def gauge_says(self, process: Process, says: Says | None) -> None:
        """Has a process's metrics port answer something else than what it counts; None: the truth again. A process
        that starts later says the truth."""
        self.containerssh.register.replica(process).counts.says = says

    def evict(self, namespace: str, name: str) -> None:
        """Deletes a Pod as the eviction API does, which ``kubectl drain`` uses. Raises Refusal 404."""
        mark = disrupted("EvictionByEvictionAPI", "Eviction API: evicting")
        self.store.update(PODS, namespace, name, lambda pod: mark(pod, self.store.now()))
        self.store.delete(PODS, namespace, name)

    def rollout(self) -> None:
        """Restarts the Deployment as ``kubectl rollout restart`` does."""

        def restart(deployment: Object) -> None:
            template = deployment["spec"]["template"]
            annotations = template.setdefault("metadata", {}).setdefault("annotations", {})
            # The time alone would not tell two rollouts in one second apart.
            annotations["kubectl.kubernetes.io/restartedAt"] = timestamp(self.store.now())
            annotations["sandbox/revision"] = str(int(annotations.get("sandbox/revision", "1")) + 1)

        self.store.update(DEPLOYMENTS, self.layout.owner_namespace, self.layout.owner, restart)

    def scale(self, replicas: int) -> None:
        """Sets the number of replicas."""
        self.store.update(
            DEPLOYMENTS,
            self.layout.owner_namespace,
            self.layout.owner,
            lambda deployment: deployment["spec"].update(replicas=replicas),
        )

    def delete_deployment(self) -> None:
        """Deletes the Deployment; its Pods follow."""
        self.store.delete(DEPLOYMENTS, self.layout.owner_namespace, self.layout.owner)

    def cut_off(self, node: str = "node1") -> None:
        """Cuts a node off: all that runs on it goes on, unseen."""
        self.kubelets[node].cut_off()
        self._node_controller.lost(node)

    def heal(self, node: str = "node1") -> None:
        """Ends ``cut_off``. Raises ValueError for a dead node."""
        self.kubelets[node].heal()
        self._node_controller.found(node)

    def kill_node(self, node: str = "node1") -> None:
        """Cuts a node's power for good: all that runs on it ends, unseen."""
        self.kubelets[node].die()
        self._node_controller.lost(node)

    def set_clock(self, seconds: float, *, nodes: bool = True) -> None:
        """Moves the API server's clock, as an administrator does or a time server; ``nodes``: theirs as well."""
        self.clock_offset += seconds
        for kubelet in self.kubelets.values() if not nodes else ():
            kubelet.skew -= seconds

    def remove_node(self, node: str = "node1") -> None:
        """Deletes the Node, as an administrator does who knows that it is dead; its Pods follow 40 s later."""
        self.store.delete(NODES, None, node)

    def compact(self) -> None:
        """Forgets every change up to now: a watch from an older version is answered 410."""
        self.store.compact()

    async def restart_api(self, down: float = 0.0) -> None:
        """Restarts the API server: every connection is reset, nothing listens for ``down`` seconds, and earlier
        changes are forgotten. Its address and the objects stay."""
        port = urlsplit(self.url).port or 0
        await self.server.stop()
        self.compact()
        await asyncio.sleep(down)
        await self.server.start(port=port)

    def live(self) -> list[TrueSession]:
        """The sessions with somebody in them that nobody has deleted."""
        return [s for s in self.containerssh.sessions.values() if s.live and s.deleted is None]

    def orphans(self) -> list[TrueSession]:
        """The sessions that are there with nobody in them and that nobody has deleted yet."""
        return [session for session in self.containerssh.sessions.values() if session.orphan]

    def lost_live(self) -> list[TrueSession]:
        """The sessions that somebody other than the cluster deleted while a user sat in them."""
        return [s for s in self.containerssh.sessions.values() if s.was_live and not s.evicted]

    def _owner_address(self, pod: StatusWriter) -> str:
        owner = pod.namespace == self.layout.owner_namespace and self.layout.container in pod.containers
        return self._metrics.address(pod.uid) if owner and self._metrics is not None else ""

    def _is_ready(self, process: Process) -> bool:
        pods = {pod["metadata"]["uid"]: pod for pod in self.store.list(PODS, self.layout.owner_namespace)}
        conditions = pods.get(process.pod_uid, {}).get("status", {}).get("conditions", ())
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _node(name: str, now: float) -> Object:
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": timestamp(now)}
    return {
        "metadata": {"name": name},
        "spec": {},
        "status": {"conditions": [ready], "nodeInfo": {"kubeletVersion": "v1.36.2"}},
    }
