"""Nodes and the Pods on them: where a Pod goes, and what becomes of it where its node is lost.

Knows which nodes there are and whether they report, as in the recording "node-lost" and Kubernetes' "Nodes" and
"Taints and Tolerations". Does not know what runs on them: the kubelets do.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial

from ssh_session_gc.sandbox.api.objects import NODES, PODS, Change, Object, timestamp
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.node.podstatus import condition

UNREACHABLE = "node.kubernetes.io/unreachable"
DISRUPTED = "DisruptionTarget"
QUARANTINE = 40.0
"""Seconds for which a node has to be gone before its Pods are removed (kubernetes/kubernetes, ``podgc``)."""


class Scheduler:
    """Binds each new Pod to the node with the fewest Pods, or notes on it that there is no node."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._load: Counter[str] = Counter()
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begins to schedule."""
        self._unsubscribe = self._store.subscribe(self._heard)

    def stop(self) -> None:
        """Schedules nothing more."""
        self._unsubscribe()

    def _heard(self, change: Change) -> None:
        if change.resource is NODES and change.type != "DELETED":
            # Pods that had no room may have it now.
            for pod in self._store.list(PODS):
                self._schedule(pod)
        elif change.resource is PODS:
            before = change.previous["spec"].get("nodeName") if change.previous else None
            after = change.object["spec"].get("nodeName") if change.type != "DELETED" else None
            self._load.update({after: 1} if after and not before else {before: -1} if before and not after else {})
            if change.type == "ADDED":
                self._schedule(change.object)

    def _schedule(self, pod: Object) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        bound = spec.get("nodeName") or spec.get("schedulerName") != "default-scheduler"
        if bound or "deletionTimestamp" in metadata:
            return
        nodes = self._store.list(NODES)
        names = [node["metadata"]["name"] for node in nodes if _schedulable(node)]
        before = {c["type"]: c for c in pod["status"].get("conditions", ())}
        make = partial(condition, before, self._store.now(), metadata.get("generation", 1), "PodScheduled")
        if names:
            scheduled = make(True)
            del scheduled["observedGeneration"]  # a binding has none (recorded)
        else:
            message = f"0/{len(nodes)} nodes are available: {len(nodes)} node(s) had untolerated taint(s)."
            scheduled = make(False, "Unschedulable", message)

        def bind(new: Object) -> None:
            if names:
                new["spec"]["nodeName"] = min(names, key=lambda name: self._load[name])
            new["status"]["conditions"] = [scheduled]

        self._store.update(PODS, metadata["namespace"], metadata["name"], bind)


class NodeController:
    """Marks nodes that no longer report, evicts their Pods when those tolerate it no longer, and removes the Pods of
    nodes that are gone."""

    def __init__(self, store: Store, *, silence: float = 40.0) -> None:
        """``silence`` is how many seconds a node may be silent (Kubernetes' node-monitor-grace-period: 40 or 50)."""
        self._store, self._silence = store, silence
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begins to look after nodes."""
        self._unsubscribe = self._store.subscribe(self._heard)

    async def stop(self) -> None:
        """Ends all work."""
        self._unsubscribe()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def lost(self, node: str) -> None:
        """Takes note that the node has stopped reporting."""
        self._begin(node, self._miss(node))

    def found(self, node: str) -> None:
        """Takes note that the node reports again."""
        if (task := self._tasks.pop(node, None)) is not None:
            task.cancel()
        self._change_node(node, "True", "KubeletReady", "kubelet is posting ready status")

    def _begin(self, node: str, work: Coroutine[None, None, None]) -> None:
        if (task := self._tasks.pop(node, None)) is not None:
            task.cancel()
        self._tasks[node] = asyncio.create_task(work, name=f"node controller {node}")

    def _heard(self, change: Change) -> None:
        if change.resource is NODES and change.type == "DELETED":
            self._begin(change.object["metadata"]["name"], self._collect(change.object["metadata"]["name"]))

    async def _miss(self, node: str) -> None:
        await asyncio.sleep(self._silence)
        self._change_node(node, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
        for pod in self._on(node):
            self._update(pod, _not_ready)
        waited = 0.0
        # A session tolerates five minutes by default; its owner may have a toleration of its own.
        for seconds in sorted({_tolerates(pod) for pod in self._on(node)}):
            await asyncio.sleep(seconds - waited)
            waited = seconds
            for pod in self._on(node):
                if _tolerates(pod) <= seconds and "deletionTimestamp" not in pod["metadata"]:
                    self._update(
                        pod, disrupted("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
                    )
                    self._delete(pod)

    async def _collect(self, node: str) -> None:
        """Removes by force what was on a node that is gone, as Kubernetes' Pod garbage collector does."""
        await asyncio.sleep(QUARANTINE)
        for pod in self._on(node):
            self._update(pod, disrupted("DeletionByPodGC", "PodGC: node no longer exists", phase="Failed"))
            self._delete(pod, grace=0)

    def _on(self, node: str) -> list[Object]:
        return [pod for pod in self._store.list(PODS) if pod["spec"].get("nodeName") == node]

    def _update(self, pod: Object, change: Callable[[Object, float], None]) -> None:
        metadata, now = pod["metadata"], self._store.now()
        self._store.update(PODS, metadata["namespace"], metadata["name"], lambda new: change(new, now))

    def _delete(self, pod: Object, grace: int | None = None) -> None:
        metadata = pod["metadata"]
        try:
            self._store.delete(PODS, metadata["namespace"], metadata["name"], grace=grace, uid=metadata["uid"])
        except Refusal as error:
            if error.code != 404:  # it was Terminating already and went when it was marked
                raise

    def _change_node(self, node: str, status: str, reason: str, message: str) -> None:
        changed = {
            "lastHeartbeatTime": timestamp(self._store.now()),
            "lastTransitionTime": timestamp(self._store.now()),
        }
        ready = {"type": "Ready", "status": status, **changed, "reason": reason, "message": message}
        effects = () if status == "True" else ("NoSchedule", "NoExecute")

        def change(new: Object) -> None:
            spec = new.setdefault("spec", {})
            kept = [taint for taint in spec.get("taints", ()) if taint["key"] != UNREACHABLE]
            spec["taints"] = [*kept, *({"key": UNREACHABLE, "effect": effect} for effect in effects)]
            new["status"]["conditions"] = [ready]

        try:
            self._store.update(NODES, None, node, change)
        except Refusal as error:
            if error.code != 404:  # somebody has deleted the node
                raise


def _tolerates(pod: Object) -> float:
    """Seconds for which a Pod stays bound to a node that is unreachable."""
    times = [
        float(t.get("tolerationSeconds", 1e9))
        for t in pod["spec"].get("tolerations", ())
        if t.get("key") == UNREACHABLE
    ]
    return min(times, default=0.0)


def _not_ready(pod: Object, now: float) -> None:
    for each in pod["status"].get("conditions", ()):
        if each["type"] == "Ready" and each["status"] == "True":
            each |= {"status": "False", "lastTransitionTime": timestamp(now)}


def disrupted(reason: str, message: str, *, phase: str | None = None) -> Callable[[Object, float], None]:
    """The change that marks a Pod before the cluster deletes it (Kubernetes' "Disruptions")."""

    def change(pod: Object, now: float) -> None:
        status, generation = pod["status"], pod["metadata"].get("generation", 1)
        kept = [c for c in status.get("conditions", ()) if c["type"] != DISRUPTED]
        status["conditions"] = [*kept, condition({}, now, generation, DISRUPTED, True, reason, message)]
        if phase and status["phase"] not in ("Succeeded", "Failed"):
            status["phase"] = phase

    return change


def _schedulable(node: Object) -> bool:
    spec = node.get("spec", {})
    return not spec.get("unschedulable") and not spec.get("taints")
