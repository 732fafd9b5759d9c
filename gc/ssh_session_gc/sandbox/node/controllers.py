"""The controller of Deployments: replicas, rollouts, and the end of a Deployment.

Knows what Kubernetes' own does, as far as the recordings show it. Keeps no ReplicaSets: a Pod's owner reference names
one that nobody reads.
"""

import asyncio
import hashlib
import json
import uuid
from collections.abc import Callable, Iterable

from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, PODS, Change, Object, copied, timestamp
from ssh_session_gc.sandbox.api.storage import Store

HASH_LABEL = "pod-template-hash"
_HASH_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class DeploymentController:
    """Keeps as many Pods of each Deployment as it asks for, and replaces those of an older template."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending = False
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begins to reconcile."""
        self._unsubscribe = self._store.subscribe(self._heard)

    def stop(self) -> None:
        """Ends all work."""
        self._unsubscribe()
        self._pending = True  # a call that is under way does nothing

    def _heard(self, change: Change) -> None:
        if change.resource is DEPLOYMENTS and change.type == "DELETED":
            # The garbage collector follows owner references and deletes what the Deployment owned.
            for pod in self._owned(change.object):
                self._delete(pod)
        elif not self._pending and (change.resource is DEPLOYMENTS or _references(change.object)):
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


def template_hash(deployment: Object) -> str:
    """A hash that tells the Pods of one template from those of another."""
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
    # Pods that are not ready come before ready ones and young before old, as the ReplicaSet controller ranks them.
    return sorted(sorted(pods, key=lambda p: str(p["metadata"]["creationTimestamp"]), reverse=True), key=_ready)
