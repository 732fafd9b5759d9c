"""Dumps of a real cluster's recordings, as kubectl prints them."""

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from ssh_session_gc.sandbox import Replay
from ssh_session_gc.sandbox.api.objects import DEPLOYMENTS, PODS
from ssh_session_gc.sandbox.api.storage import Store
from tests.support import SkippingLoop, advance

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"
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
