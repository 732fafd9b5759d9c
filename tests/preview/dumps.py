"""Dumps of a real cluster's recordings, as kubectl prints them, with the logs where these were recorded."""

import asyncio
import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ssh_session_gc.sandbox import Replay
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, PODS
from ssh_session_gc.sandbox.api.storage import Store
from tests.support import SkippingLoop, advance

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"
REAL = RECORDINGS / "real"
MOMENTS = {
    "crash": "03:10:30",
    "rollout": "03:10:40",
    "scale-to-zero": "03:11:22",
    "deployment-deleted": "03:12:30",
    "node-lost": "03:13:40",
    "session-lifecycle": "03:14:00",
}
"""A moment in each recording at which there is something to see."""


def instant(clock: str) -> float:
    """The instant of a time of day in the recordings."""
    return datetime.fromisoformat(f"2026-11-23T{clock}Z").timestamp()


def listed(store: Store) -> dict[str, Any]:
    """The list that ``kubectl get pods,deployments -A -o json`` prints."""
    return {"apiVersion": "v1", "kind": "List", "items": [*store.list(PODS), *store.list(DEPLOYMENTS)]}


def recorded(name: str, clock: str, *, stamped: bool = True) -> bytes:
    """The dump of a recording at a time of day."""

    async def play() -> bytes:
        async with Replay(RECORDINGS / f"{name}.jsonl", strip_stamp=not stamped) as replay:
            await advance(instant(clock) - replay.store.now())
            return json.dumps(listed(replay.store)).encode()

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(play())


class Dump(NamedTuple):
    """A state of a recording with real clients, and what ContainerSSH had logged by then."""

    data: bytes
    logs: dict[str, list[list[bytes]]]
    """The lines of each run, with the kubelet's time, by the Pod's name."""
    at: float


def recorded_with_logs(name: str, seconds: float = math.inf) -> Dump:
    """The dump of a recording with real clients, so many seconds after its start; at its end without them."""
    lines = (REAL / f"{name}.jsonl").read_text().splitlines()
    first, *entries = [entry for entry in map(json.loads, lines) if entry["t"] <= seconds]
    there: dict[str, dict[str, Any]] = {}
    runs: dict[str, dict[int, list[bytes]]] = {}
    for entry in entries:
        if "line" in entry:
            runs.setdefault(entry["pod"], {}).setdefault(entry["restartCount"], []).append(entry["line"].encode())
        for item in entry.get("list", {}).get("items", ()):
            there[item["metadata"]["uid"]] = {"kind": entry["list"]["kind"].removesuffix("List"), **item}
        if "event" in entry and entry["event"]["type"] != "BOOKMARK":
            item = entry["event"]["object"]
            there[item["metadata"]["uid"]] = item
            if entry["event"]["type"] == "DELETED":
                del there[item["metadata"]["uid"]]
    data = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(there.values())}).encode()
    began = datetime.fromisoformat(first["wall"]).timestamp()
    return Dump(data, {pod: list(each.values()) for pod, each in runs.items()}, began + entries[-1]["t"])
