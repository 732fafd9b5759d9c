"""The controllers that Pods and Deployments need: a scheduler, a Deployment controller, a node controller.

Each reacts to what changes in the store and writes back, as Kubernetes' own do. Knows replicas, rollouts and nodes
that stop reporting, as far as ContainerSSH's Deployment and the recordings show them. Does not run anything (the
kubelet does) and keeps no ReplicaSets: a Pod's owner reference names one that nobody needs to read.
"""

import asyncio
import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Sequence

from ssh_session_gc.sandbox.kubelet import Kubelet
from ssh_session_gc.sandbox.store import DEPLOYMENTS, PODS, ApiError, Change, Object, Store, copied, timestamp

UNREACHABLE = "node.kubernetes.io/unreachable"
HASH_LABEL = "pod-template-hash"
_HASH_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Scheduler:
    """Gives each new Pod to the node with the fewest Pods, or says that there is none."""

    def __init__(self, store: Store, kubelets: Sequence[Kubelet]) -> None:
        self._store, self._kubelets = store, kubelets
        self._unlisten: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begins to schedule."""
        self._unlisten = self._store.listen(self._heard)

    def stop(self) -> None:
        """Schedules nothing more."""
        self._unlisten()

    def retry(self) -> None:
        """Looks again at what could not be scheduled."""
        for pod in self._store.list(PODS):
            self._schedule(pod)

    def _heard(self, change: Change) -> None:
        if change.resource is PODS and change.type == "ADDED":
            self._schedule(change.object)

    def _schedule(self, pod: Object) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        if (
            spec.get("nodeName")
            or spec.get("schedulerName") != "default-scheduler"
            or "deletionTimestamp" in metadata
        ):
            return
        now = timestamp(self._store.now())
        scheduled = {"type": "PodScheduled", "lastProbeTime": None, "lastTransitionTime": now}
        reachable = [kubelet.node for kubelet in self._kubelets if kubelet.connected.is_set()]
        if not reachable:
            message = f"0/{len(self._kubelets)} nodes are available: untolerated taint(s)."
            scheduled |= {"status": "False", "reason": "Unschedulable", "message": message}
        else:
            load = dict.fromkeys(reachable, 0)
            for other in self._store.list(PODS):
                if (node := other["spec"].get("nodeName")) in load:
                    load[node] += 1
            scheduled["status"] = "True"

        def bind(new: Object) -> None:
            if reachable:
                new["spec"]["nodeName"] = min(load, key=lambda node: load[node])
            new["status"]["conditions"] = [scheduled]

        self._store.update(PODS, metadata["namespace"], metadata["name"], bind)


class DeploymentController:
    """Keeps as many Pods of each Deployment running as it asks for, and replaces those of an older template."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending = False
        self._unlisten: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begins to reconcile."""
        self._unlisten = self._store.listen(self._heard)

    def stop(self) -> None:
        """Reconciles nothing more."""
        self._unlisten()
        self._pending = True  # so that what is already called for does nothing

    def _heard(self, change: Change) -> None:
        if change.resource is DEPLOYMENTS and change.type == "DELETED":
            # The garbage collector follows owner references; what a Deployment owned goes with it.
            for pod in self._owned(change.object):
                self._delete(pod)
        elif (change.resource is DEPLOYMENTS or change.resource is PODS) and not self._pending:
            self._pending = True
            asyncio.get_running_loop().call_soon(self._reconcile_all)

    def _reconcile_all(self) -> None:
        self._pending = False
        for deployment in self._store.list(DEPLOYMENTS):
            self._reconcile(deployment)

    def _owned(self, deployment: Object) -> list[Object]:
        owner = deployment["metadata"]["uid"]
        return [
            pod
            for pod in self._store.list(PODS, deployment["metadata"]["namespace"])
            if any(ref.get("uid") == _replica_set(owner, _hash_of(pod)) for ref in _references(pod))
        ]

    def _reconcile(self, deployment: Object) -> None:
        wanted, current = deployment["spec"]["replicas"], template_hash(deployment)
        pods = self._owned(deployment)
        active = [pod for pod in pods if _active(pod)]
        new = [pod for pod in active if _hash_of(pod) == current]
        old = [pod for pod in active if _hash_of(pod) != current]
        # maxSurge 25 %, rounded up, and maxUnavailable 25 %, rounded down (Kubernetes' "Deployments").
        surge = -(-wanted // 4) if old else 0
        unavailable = wanted // 4
        for _ in range(min(wanted - len(new), wanted + surge - len(active))):
            self._create(deployment, current)
        for pod in _least_needed(new)[: max(0, len(new) - wanted)]:
            self._delete(pod)
        ready = sum(_ready(pod) for pod in active)
        for pod in _least_needed(old):
            if wanted and _ready(pod):
                if ready - 1 < wanted - unavailable:
                    break
                ready -= 1
            self._delete(pod)
        self._report(deployment, self._owned(deployment), current)

    def _create(self, deployment: Object, hashed: str) -> None:
        metadata, template = deployment["metadata"], copied(deployment["spec"]["template"])
        labels = {**template.get("metadata", {}).get("labels", {}), HASH_LABEL: hashed}
        name = f"{metadata['name']}-{hashed}"
        reference = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": name,
            "uid": _replica_set(metadata["uid"], hashed),
            "controller": True,
            "blockOwnerDeletion": True,
        }
        pod = {
            "metadata": {
                **template.get("metadata", {}),
                "generateName": f"{name}-",
                "labels": labels,
                "ownerReferences": [reference],
            },
            "spec": template["spec"],
        }
        self._store.create(PODS, metadata["namespace"], pod)

    def _delete(self, pod: Object) -> None:
        metadata = pod["metadata"]
        self._store.delete(PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"])

    def _report(self, deployment: Object, pods: list[Object], current: str) -> None:
        active = [pod for pod in pods if _active(pod)]
        ready = sum(_ready(pod) for pod in active)
        counts = {
            "replicas": len(active),
            "updatedReplicas": sum(_hash_of(pod) == current for pod in active),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(0, deployment["spec"]["replicas"] - ready),
        }
        terminating = sum("deletionTimestamp" in pod["metadata"] for pod in pods)
        available = ready >= deployment["spec"]["replicas"] - deployment["spec"]["replicas"] // 4

        def fill(new: Object) -> None:
            before = {c["type"]: c for c in new["status"].get("conditions", ())}
            now = timestamp(self._store.now())

            def condition(kind: str, value: bool, reason: str) -> Object:
                status = "True" if value else "False"
                old = before.get(kind, {})
                changed = old["lastTransitionTime"] if old.get("status") == status else now
                return {"type": kind, "status": status, "lastTransitionTime": changed, "reason": reason}

            new["status"] = {
                "observedGeneration": new["metadata"]["generation"],
                **{name: count for name, count in counts.items() if count},
                "terminatingReplicas": terminating,
                "conditions": [
                    condition("Progressing", True, "NewReplicaSetAvailable"),
                    condition("Available", available, f"MinimumReplicas{'A' if available else 'Una'}vailable"),
                ],
            }

        metadata = deployment["metadata"]
        self._store.update(DEPLOYMENTS, metadata["namespace"], metadata["name"], fill)


class NodeController:
    """Notices that a node does not report any more, and evicts its Pods after their tolerations."""

    def __init__(self, store: Store, *, silence: float = 40.0) -> None:
        """``silence`` is how many seconds a node may be silent (Kubernetes' node-monitor-grace-period: 40 or 50)."""
        self._store, self._silence = store, silence
        self._watched: dict[str, asyncio.Task[None]] = {}

    def lost(self, kubelet: Kubelet) -> None:
        """The node has stopped reporting now."""
        self._watched[kubelet.node] = asyncio.create_task(self._watch(kubelet.node), name=f"node {kubelet.node}")

    def found(self, kubelet: Kubelet) -> None:
        """The node reports again."""
        if (task := self._watched.pop(kubelet.node, None)) is not None:
            task.cancel()

    async def stop(self) -> None:
        """Watches nothing more."""
        for task in self._watched.values():
            task.cancel()
        await asyncio.gather(*self._watched.values(), return_exceptions=True)

    async def _watch(self, node: str) -> None:
        await asyncio.sleep(self._silence)
        for pod in self._on(node):
            self._update(pod, _not_ready)
        waited = 0.0
        for seconds in sorted({_tolerates(pod) for pod in self._on(node)}):
            await asyncio.sleep(seconds - waited)
            waited = seconds
            for pod in self._on(node):
                if _tolerates(pod) <= seconds and "deletionTimestamp" not in pod["metadata"]:
                    self._update(pod, _disrupted)
                    metadata = pod["metadata"]
                    self._store.delete(PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"])

    def _on(self, node: str) -> list[Object]:
        return [pod for pod in self._store.list(PODS) if pod["spec"].get("nodeName") == node]

    def _update(self, pod: Object, change: Callable[[Object, str], None]) -> None:
        metadata, now = pod["metadata"], timestamp(self._store.now())
        try:
            self._store.update(PODS, metadata["namespace"], metadata["name"], lambda new: change(new, now))
        except ApiError as error:
            if error.code != 404:
                raise


def template_hash(deployment: Object) -> str:
    """What tells the Pods of one template from those of another."""
    digest = hashlib.sha256(json.dumps(deployment["spec"]["template"], sort_keys=True).encode()).digest()
    return "".join(_HASH_ALPHABET[byte % len(_HASH_ALPHABET)] for byte in digest[:9])


def _replica_set(deployment_uid: str, hashed: str) -> str:
    return str(uuid.uuid5(uuid.UUID(deployment_uid), hashed))


def _hash_of(pod: Object) -> str:
    return str(pod["metadata"].get("labels", {}).get(HASH_LABEL, ""))


def _references(pod: Object) -> Iterable[Object]:
    references: list[Object] = pod["metadata"].get("ownerReferences", [])
    return references


def _active(pod: Object) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") not in ("Succeeded", "Failed")


def _ready(pod: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def _least_needed(pods: list[Object]) -> list[Object]:
    # Not ready before ready, young before old, as the ReplicaSet controller ranks them.
    return sorted(sorted(pods, key=lambda p: str(p["metadata"]["creationTimestamp"]), reverse=True), key=_ready)


def _tolerates(pod: Object) -> float:
    """Seconds that a Pod stays bound to a node that is unreachable."""
    times = [
        float(t.get("tolerationSeconds", 1e9))
        for t in pod["spec"].get("tolerations", ())
        if t.get("key") == UNREACHABLE
    ]
    return min(times, default=0.0)


def _not_ready(pod: Object, now: str) -> None:
    for condition in pod["status"].get("conditions", ()):
        if condition["type"] == "Ready" and condition["status"] == "True":
            condition |= {"status": "False", "lastTransitionTime": now}


def _disrupted(pod: Object, now: str) -> None:
    pod["status"].setdefault("conditions", []).append(
        {
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": now,
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
        }
    )
