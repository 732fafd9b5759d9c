"""The objects that every figure is measured with: Pods as a real cluster wrote them, with other names and times.

Knows the recording ``crash`` and what in it tells one session from another. Equal parts are shared, so that a hundred
thousand Pods fit into memory; on the wire each is as long as the recorded one.
"""

import hashlib
import json
import math
import uuid
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from ssh_session_gc.core.times import format_instant
from ssh_session_gc.sandbox.api.objects import ChangeType

Object = dict[str, Any]

RECORDING = Path(__file__).parents[1] / "data" / "recordings" / "crash.jsonl"
SESSIONS, OWNERS = "ssh-sessions", "containerssh"
"""The namespaces."""
SELECTOR = "containerssh_connection_id"
AGE = 600.0
"""The default age of sessions in seconds, at which no rule is near."""
LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def session(number: int, created: float, *, owner: int = 0, ttl: float = 0.0) -> Object:
    """A running session Pod, made by the owner of that number. It is bound to no node, so that a deletion ends it
    without a kubelet. ``created``: epoch seconds. ``ttl``: its own limit of age in seconds, 0 for none."""
    pod = _running(math.floor(created))
    made = {"ssh-session-gc/owner-pod-name": owner_name(owner), "ssh-session-gc/owner-pod-uid": owner_uid(owner)}
    limit = {"ssh-session-gc/ttl": f"{ttl:.3f}s"} if ttl else {}
    metadata = pod["metadata"] | {
        "name": name(number),
        "uid": str(uuid.UUID(_digest(number))),
        "labels": pod["metadata"]["labels"]
        | {"containerssh_connection_id": connection(number), "containerssh_username": f"user{number}"},
        "annotations": {"containerssh_ip": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
        | made
        | limit,
    }
    return pod | {"metadata": metadata}


def connection(number: int) -> str:
    """The connection of the session of that number."""
    return _digest(number)[::-1]


def name(number: int) -> str:
    """The name of the session Pod of that number."""
    text = ""
    for _ in range(5):
        number, digit = divmod(number, len(LETTERS))
        text = LETTERS[digit] + text
    return f"containerssh-{text}"


def deployment() -> Object:
    """ContainerSSH's Deployment."""
    found: Object = _recorded("deployment")[0]
    return found | {"kind": "Deployment", "apiVersion": "apps/v1"}


def owner(number: int, created: float, *, restarts: int = 0, restarted: float = 0.0) -> Object:
    """An owner Pod, whose container was killed and started again ``restarts`` times, at last at ``restarted``."""
    pod: Object = json.loads(json.dumps(_recorded("owner-pods")[-1]))
    pod["metadata"] |= {"name": owner_name(number), "uid": owner_uid(number), "creationTimestamp": _time(created)}
    status = pod["status"]["containerStatuses"][0]
    status["restartCount"] = restarts
    status["state"] = {"running": {"startedAt": _time(restarted if restarts else created)}}
    ended = {"exitCode": 137, "reason": "Error", "startedAt": _time(created), "finishedAt": _time(restarted)}
    status["lastState"] = {"terminated": ended} if restarts else {}
    for each in pod["status"]["conditions"]:
        each["lastTransitionTime"] = _time(max(created, restarted))
    for each in pod["metadata"]["managedFields"]:
        each["time"] = _time(max(created, restarted))
    return pod


def owner_name(number: int) -> str:
    """The name of the owner Pod of that number."""
    return f"containerssh-64549bbb-{LETTERS[number // len(LETTERS) % len(LETTERS)]}{LETTERS[number % len(LETTERS)]}"


def owner_uid(number: int) -> str:
    """The uid of the owner Pod of that number."""
    return f"15710cff-0dd2-4058-903c-{number:012x}"


def life(number: int, created: float, *, owner: int = 0) -> list[tuple[ChangeType, Object]]:
    """The recorded events of one session from its creation to its end, as types and Pods. Its user leaves after the
    fifth event."""
    told: list[tuple[ChangeType, Object]] = []
    for kind, recorded in _life():
        pod = json.loads(_moved(recorded, math.floor(created)))
        own = session(number, created, owner=owner)["metadata"]
        for field in ("name", "uid", "labels", "annotations"):
            pod["metadata"][field] = own[field]
        pod["spec"].pop("nodeName", None)
        told.append((kind, pod))
    return told


def _digest(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


@cache
def _life() -> list[tuple[ChangeType, Object]]:
    """The events of the recorded session that its user left."""
    lines = RECORDING.with_name("session-lifecycle.jsonl").read_text().splitlines()
    events = [
        line["event"] for line in map(json.loads, lines) if "event" in line and line["stream"] == "session-pods"
    ]
    left = "containerssh-wsxnv"
    return [(each["type"], each["object"]) for each in events if each["object"]["metadata"]["name"] == left]


@cache
def _recorded(stream: str) -> list[Object]:
    """The objects of one stream, in the order of the recording."""
    found: list[Object] = []
    for line in map(json.loads, RECORDING.read_text().splitlines()):
        if line.get("stream") == stream:
            found += line["list"]["items"] or [] if "list" in line else [line["event"]["object"]]
    return found


@cache
def _running(created: int) -> Object:
    """A running session, created then."""
    last = next(each for each in reversed(_recorded("session-pods")) if each["status"]["phase"] == "Running")
    pod: Object = json.loads(_moved(last, created))
    del pod["spec"]["nodeName"]
    return pod


def _moved(pod: Object, created: int) -> str:
    """The Pod's JSON with all its times moved as far as its creation."""
    times = sorted(set(_times(pod)))
    begin = _seconds(pod["metadata"]["creationTimestamp"])
    text = json.dumps(pod)
    for at in times:
        text = text.replace(f'"{at}"', f'"\0{_time(created + _seconds(at) - begin)}"')
    return text.replace("\0", "")


def _times(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [at for each in value.values() for at in _times(each)]
    if isinstance(value, list):
        return [at for each in value for at in _times(each)]
    return [value] if isinstance(value, str) and len(value) == 20 and value[10] == "T" and value[-1] == "Z" else []


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


_time = format_instant
