"""What a real ContainerSSH did with real clients, served again to the real daemon: who was left behind, and who not.

With the log as it was (level debug), with the lines that the default level writes, and without any log.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.core.policy import Policy
from ssh_session_gc.sandbox import Replay
from tests.harness import Running, running
from tests.support import advance, eventually

REAL = Path(__file__).parents[1] / "data" / "recordings" / "real"
NOTICE, DEBUG = "notice", "debug"
POLICY = Policy(max_age=0.0)
"""Without OverAge, so that nothing but the rules about their ends may end them."""

Collected = dict[str, str]


def recording(name: str, folder: Path, keep: Callable[[dict[str, Any]], bool]) -> Path:
    """The recording, with those lines of the owner's log that are kept."""

    def kept(entry: dict[str, Any]) -> bool:
        return entry.get("stream") != "owner-log" or "line" not in entry or keep(said(entry))

    lines = [line for line in (REAL / f"real-{name}.jsonl").read_text().splitlines() if kept(json.loads(line))]
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def said(entry: dict[str, Any]) -> dict[str, Any]:
    """What a line of the owner's log says."""
    decoded: dict[str, Any] = json.loads(entry["line"].partition(" ")[2])
    return decoded


def at_level(level: str) -> Callable[[dict[str, Any]], bool]:
    """Which lines ContainerSSH writes at this level."""
    return lambda line: level == DEBUG or (level == NOTICE and line["level"] not in (DEBUG, "info"))


async def played(
    path: Path, folder: Path, *, gauge: bool = False, late: float = 0.0, watched: float = 250.0
) -> Collected:
    """Whom the daemon collects, and why, when it comes so many seconds into the recording and stays for a while."""
    async with Replay(path, metrics_port=0) as replay:
        await advance(late)
        port = replay.metrics_port if gauge else 0
        async with running(replay.server.url, folder, policy=POLICY, owner_metrics_port=port) as gc:
            await gc.synced()
            await advance(replay.length + watched - late)
            return await collected(gc)


async def collected(gc: Running) -> Collected:
    """Whom the daemon has collected, once nothing is under way."""
    await eventually(lambda: not gc.daemon.collector.queue.processing, "the deletions")
    await asyncio.sleep(0)
    return gc.collected()


WITH_DEBUG: dict[str, Collected] = {
    "pty-command": {"alice": "Abandoned"},
    "exec-hangs": {"alice": "Abandoned", "bob": "Abandoned"},
    "delete-fails": {"alice": "Abandoned"},
    "bad-image": {"alice": "StartTimeout"},
    "late-ready": {"alice": "Abandoned"},
    "session-mode": {"alice": "Finished", "carol": "Abandoned"},
    "persistent": {},
    "crash": {"alice": "Ownerless", "bob": "Ownerless"},
    "rollout": {},
    "life": {},
}
WITH_NOTICE = WITH_DEBUG | {
    "pty-command": {},
    "exec-hangs": {},
    "session-mode": {"alice": "Finished"},
    # The second replica is as old as alice's and bob's session: nobody else can tell.
    "crash": {},
}
WITHOUT = WITH_NOTICE | {"delete-fails": {}, "late-ready": {}}
# Where nobody at all is connected any more, the gauge tells it.
BY_GAUGE: dict[str, Collected] = {
    "pty-command": {"alice": "Abandoned"},
    "exec-hangs": {"alice": "Abandoned", "bob": "Abandoned"},
    "late-ready": {"alice": "Abandoned"},
}


@pytest.mark.parametrize("name", WITH_DEBUG)
@pytest.mark.parametrize("gauge", [False, True], ids=["no gauge", "gauge"])
@pytest.mark.parametrize(("level", "expected"), [(DEBUG, WITH_DEBUG), (NOTICE, WITH_NOTICE), ("none", WITHOUT)])
async def test_who_is_collected(
    name: str, gauge: bool, level: str, expected: dict[str, Collected], tmp_path: Path
) -> None:
    found = await played(recording(name, tmp_path, at_level(level)), tmp_path, gauge=gauge)
    assert found == expected[name] | (BY_GAUGE.get(name, {}) if gauge else {})
