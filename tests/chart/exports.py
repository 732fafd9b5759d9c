"""The series that Prometheus can be asked for: everything that the real daemon exports, and a few of others."""

from pathlib import Path
from typing import Any

import aiohttp

from ssh_session_gc.core.policy import Policy
from ssh_session_gc.sandbox import Fault, Replay, World
from tests.chart.promql import TARGET, Exported, exported
from tests.harness import Running, running
from tests.support import advance, eventually

CRASH = Path(__file__).parents[1] / "data/recordings/real/real-crash.jsonl"
QUOTA = {"namespace": "ssh-sessions", "resourcequota": "sessions", "resource": "pods"}
OTHERS = [
    # kube-state-metrics, docs/metrics/policy/resourcequota-metrics.md
    *(Exported("kube_resourcequota", TARGET | QUOTA | {"type": each}, "gauge") for each in ("hard", "used")),
    # ContainerSSH, reference/metrics
    Exported("containerssh_ssh_current_connections", TARGET | {"country": "XX"}, "gauge"),
]
"""The series of other programs that alerts and pictures may use, as their documentation has them."""
PROMETHEUS = [
    Exported("ALERTS", {"alertname": "SshSessionGcDown", "alertstate": "firing"}, "gauge"),
    Exported("up", TARGET, "gauge"),
]
"""The series that Prometheus itself makes."""


async def scrape(gc: Running) -> list[Exported]:
    """Scrapes the running daemon."""
    async with aiohttp.ClientSession() as http, http.get(f"http://{gc.daemon.server.address}/metrics") as answer:
        return exported(await answer.text())


async def everything(tmp_path: Path, **settings: Any) -> list[Exported]:
    """All series of the daemon, after it has deleted, been refused and lost its streams."""
    async with World() as world:
        world.deploy()
        await world.ready()
        world.faults.add(Fault("status", verb="create", resource="events", code=403))
        async with running(world.url, tmp_path, policy=Policy(max_age=60), **settings) as gc:
            await gc.synced()
            world.open("alice")
            await advance(90)
            await eventually(lambda: gc.logged("session_collected") and gc.logged("event_not_written"))
            world.faults.end_watches()
            labels = {"stream": "session-pods", "cause": "closed"}
            registry = gc.metrics.registry
            await eventually(lambda: registry.get_sample_value("ssh_session_gc_stream_restarts_total", labels))
            found = await scrape(gc)
    return [*found, *await asked_for(tmp_path)]


async def asked_for(tmp_path: Path) -> list[Exported]:
    """The series of what owners count, after one of them did not answer."""
    async with Replay(CRASH, metrics_port=0) as replay:
        port = replay.metrics_port
        async with running(replay.server.url, tmp_path, owner_logs=False, owner_metrics_port=port) as gc:
            await gc.synced()
            await advance(15)
            series, labels = "ssh_session_gc_stream_restarts_total", {"stream": "owner-metrics", "cause": "broken"}
            await eventually(lambda: gc.metrics.registry.get_sample_value(series, labels))
            return [each for each in await scrape(gc) if each.labels.get("stream") == "owner-metrics"]
