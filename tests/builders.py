"""One builder for each kind of value that tests make: plain defaults, and keywords for what a test is about.

Knows what a healthy cluster looks like at three o'clock. Does not know any cluster (``harness`` runs one).
"""

import json
from collections.abc import Mapping
from typing import Any

from ssh_session_gc.core.model import Action, Reason, Session, Verdict
from ssh_session_gc.core.owners import OwnerPod, Owners
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.wire import Pod
from ssh_session_gc.kube.workloads import Maker

T = 1_795_402_800.0
"""2026-11-23T03:00:00Z, when sessions and owner Pods are created unless a test says otherwise."""
TOLERANCE = 2.0
"""The clock tolerance of a Policy, unless told otherwise."""
STAMPED = "ssh-p"
"""The name in the stamps of ``session``. No Pod of ``owner_pod`` has it, so it shows where a name came from."""


def session(created: float = T, stamp: str = "", **fields: Any) -> Session:
    """A session that runs since a second after its creation; ``stamp`` is the uid of the Pod that made it."""
    made: dict[str, Any] = {
        "uid": "u",
        "name": "s",
        "resource_version": "1",
        "phase": "Running",
        "started": created + 1,
        "stamp_uid": stamp,
        "stamp_name": stamp and STAMPED,
    }
    return Session(created=created, **made | fields)


def owner_pod(uid: str = "a", **fields: Any) -> OwnerPod:
    """A Pod of the owner workload, ``ssh-a``, whose container has no status yet."""
    made: dict[str, Any] = {"name": f"ssh-{uid}", "created": T, "container": "containerssh"}
    return OwnerPod(uid=uid, **made | fields)


def owners_of(*pods: OwnerPod, at: float = T) -> Owners:
    """What is known of the owners after these Pods were listed first of all, at ``at``."""
    return Owners().listed(pods, at)


NOBODY = owners_of(at=T - 1000)
"""Somebody has watched for long, and there is no owner."""
ALIVE = owners_of(owner_pod(created=T - 600, running=T - 590), at=T - 500)
"""One owner runs since ten minutes before."""


def verdict(**fields: Any) -> Verdict:
    """The verdict on a session that is over age since long ago: delete it."""
    made: dict[str, Any] = {"action": Action.COLLECT, "reason": Reason.OVER_AGE, "due": 0.0}
    return Verdict(**made | fields)


def pod(**fields: Any) -> dict[str, Any]:
    """A Pod that runs, as JSON. ``metadata``, ``spec`` and ``status`` are merged into those that it has."""
    metadata = {
        "name": "containerssh-abcde",
        "uid": "u",
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-23T03:00:00Z",
    }
    running = [{"name": "shell", "restartCount": 0, "state": {"running": {"startedAt": "2026-11-23T03:00:01Z"}}}]
    return {
        "kind": "Pod",
        "metadata": metadata | fields.pop("metadata", {}),
        "spec": {"containers": [{"name": "shell"}], **fields.pop("spec", {})},
        "status": {"phase": "Running", "containerStatuses": running, **fields.pop("status", {})},
        **fields,
    }


def new_pod(
    name: str = "", *, node: str = "", labels: Mapping[str, str] | None = None, **metadata: Any
) -> dict[str, Any]:
    """A Pod to create, as JSON, bound to a node if one is given."""
    named = {"name": name} if name else {"generateName": "containerssh-"}
    spec: dict[str, Any] = {"containers": [{"name": "shell", "image": "shell:1"}]} | (
        {"nodeName": node} if node else {}
    )
    return {"metadata": named | {"labels": dict(labels or {})} | metadata, "spec": spec}


def wire_pod(**fields: Any) -> Pod:
    """A Pod as ``pod`` makes it, decoded."""
    return PODS.object(json.dumps(pod(**fields)).encode())


def wire_workload(*containers: str, **selector: Any) -> Maker:
    """A workload with this selector, decoded; where containers are named, with a template that has them."""
    template = {"template": {"spec": {"containers": [{"name": name} for name in containers]}}} if containers else {}
    made = {"metadata": pod()["metadata"], "spec": {"selector": selector, **template}}
    return WORKLOADS.object(json.dumps(made).encode())


PODS, WORKLOADS = Decoder(Pod), Decoder(Maker)
"""Read whole objects."""
