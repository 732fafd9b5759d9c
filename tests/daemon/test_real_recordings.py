"""What a real ContainerSSH did with real clients, served again to the real daemon: who was left behind, and who not.

With the log as it was (level debug), with the lines that the default level writes, and without any log.
"""

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.core.policy import Policy
from ssh_session_gc.sandbox import Fault, Replay
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
WITHOUT = WITH_NOTICE | {"delete-fails": {}, "late-ready": {"alice": "StartTimeout"}}
# Where nobody at all is connected any more, the gauge tells it.
BY_GAUGE: dict[str, Collected] = {
    "pty-command": {"alice": "Abandoned"},
    "exec-hangs": {"alice": "Abandoned", "bob": "Abandoned"},
}
# Nobody is counted from the 23rd second on, and the start times out in the 122nd: the first question to the gauge
# falls between the 23rd and the 38th, so either is due first.
EITHER = {("late-ready", "none"): [{"alice": "StartTimeout"}, {"alice": "Abandoned"}]}


@pytest.mark.parametrize("name", WITH_DEBUG)
@pytest.mark.parametrize("gauge", [False, True], ids=["no gauge", "gauge"])
@pytest.mark.parametrize(("level", "expected"), [(DEBUG, WITH_DEBUG), (NOTICE, WITH_NOTICE), ("none", WITHOUT)])
async def test_who_is_collected(
    name: str, gauge: bool, level: str, expected: dict[str, Collected], tmp_path: Path
) -> None:
    found = await played(recording(name, tmp_path, at_level(level)), tmp_path, gauge=gauge)
    right = expected[name] | (BY_GAUGE.get(name, {}) if gauge else {})
    assert found in (EITHER.get((name, level), [right]) if gauge else [right])


@pytest.mark.parametrize("gauge", [False, True], ids=["no gauge", "gauge"])
@pytest.mark.parametrize(("level", "expected"), [(DEBUG, WITH_DEBUG), (NOTICE, {}), ("none", {})])
async def test_who_comes_after_the_crash(
    gauge: bool, level: str, expected: dict[str, Collected], tmp_path: Path
) -> None:
    # The first replica's process was killed in the eighth second.
    path = recording("crash", tmp_path, at_level(level))
    assert await played(path, tmp_path, gauge=gauge, late=15.0) == expected.get("crash", {})


@pytest.mark.parametrize("name", WITH_DEBUG)
@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_lost_repeated_or_late_nobody_more_is_collected(
    name: str, seed: int, tmp_path: Path
) -> None:
    rng = random.Random(f"{name} {seed}")  # the same each time
    path = spoilt(recording(name, tmp_path, at_level(DEBUG)), rng)
    async with (
        Replay(path, metrics_port=0) as replay,
        running(replay.server.url, tmp_path, policy=POLICY, owner_metrics_port=replay.metrics_port) as gc,
    ):
        await gc.synced()
        left = replay.length + 250.0
        while left > 0:
            stretch = rng.uniform(1.0, 60.0)
            await advance(stretch)
            left -= stretch
            strike(replay, rng)
        found = await collected(gc)
    allowed = WITH_DEBUG[name] | BY_GAUGE.get(name, {})
    assert found.keys() <= allowed.keys()


def strike(replay: Replay, rng: random.Random) -> None:
    """Spoils the logs that are being read, or the next requests for them."""
    faults = replay.faults
    match rng.randrange(7):
        case 0:
            faults.cut_watches(resource="pods/log", after_bytes=rng.randint(0, 900))
        case 1:
            faults.stall_watches(resource="pods/log")
        case 2:
            faults.end_watches(resource="pods/log")
        case 3:
            faults.repeat_watches(resource="pods/log")
        case 4:
            faults.delay_watches(rng.uniform(1.0, 40.0), resource="pods/log")
        case 5:
            faults.garble_watches(resource="pods/log")
        case _:
            faults.add(Fault("status", resource="pods/log", code=rng.choice([403, 404, 429, 500]), times=2))


def spoilt(path: Path, rng: random.Random) -> Path:
    """The recording with lines of logs lost, said again, late, and in another order, and with metrics that fail."""
    kept: list[tuple[float, str]] = []
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        if entry.get("stream") == "owner-log" and "line" in entry:
            for _ in range(rng.choice([0, 1, 1, 1, 1, 1, 2])):
                at = entry["t"] + rng.choice([0.0, 0.0, 0.0, rng.uniform(0.0, 30.0)])
                kept.append((at, json.dumps(entry | {"t": at})))
            continue
        if entry.get("stream") == "owner-metrics" and rng.random() < 0.3:
            line = json.dumps(entry | {"status": "ClientConnectorError", "text": ""})
        kept.append((entry.get("t", 0.0), line))
    path.write_text("\n".join(line for _, line in sorted(kept, key=lambda each: each[0])) + "\n")
    return path
