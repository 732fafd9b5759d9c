"""Burst: one crash of an owner orphans all its sessions.

The rate is the server's own: from the first deletion that it carried out to the last.
"""

import itertools
import subprocess
from pathlib import Path

from tests import tools
from tests.bench.programs import Daemon, bare
from tests.bench.report import Row, Sample, beside, growth
from tests.bench.setting import Bench, SteeredServer

CONCURRENCY = 32
"""The daemon's default."""
MANY = 1_000
"""The number of orphans from which the rate is measured well."""
GRACE = 1.3
OLD = 7200.0
"""An age in seconds at which the CronJob deletes."""
LOOP = """
cutoff=$(date -u -d "$CUTOFF" +%Y-%m-%dT%H:%M:%SZ)
"$KUBECTL" get pods -n ssh-sessions -l containerssh_connection_id --field-selector=status.phase=Running \
  -o jsonpath='{range .items[*]}{.metadata.name}{"\\t"}{.metadata.creationTimestamp}{"\\n"}{end}' |
while IFS=$'\\t' read -r name created; do
  if [ "$created" \\< "$cutoff" ]; then
    "$KUBECTL" delete pod "$name" -n ssh-sessions --grace-period=30
  fi
done
"""
"""The CronJob's script."""


def figures(bench: Bench) -> list[Row]:
    """Measures, for each number of orphans, the daemon, a bare loop, and one with models; the CronJob's loop once."""
    rows: list[Row] = []
    points = []
    # Each burst has an owner of its own: a session of one that crashed before would be an orphan from the start.
    owners = itertools.count(1)
    with bench.server(owners=bench.scale.repeats * len(bench.scale.orphans) + 1) as server:
        cron = Sample("/s", [_cron(bench, server, bench.scale.kubectl)])
        for size in bench.scale.orphans:
            ours, limit, models, total = (Sample(unit, []) for unit in ("/s", "/s", "/s", "s"))
            for _ in range(max(1, min(bench.scale.repeats, 20_000 // size)) if size >= MANY else 1):
                rate, seconds = _collected(bench, server, size, next(owners))
                ours.values.append(rate)
                total.values.append(seconds)
                limit.values.append(_deleted(bench, server, size, models=False))
                models.values.append(_deleted(bench, server, size, models=True))
            what = f"{size:,} orphans at once"
            limited = beside("burst", what, ours, "bare loop", limit, size=size)
            scripted = beside("burst", what, ours, "kubectl loop", cron, size=size)
            if size >= MANY:  # with fewer, making connections takes most of the time
                limited.goal, scripted.goal = "≥ 0.8 × a bare loop", "≥ 20 × kubectl"
                limited.at_least(0.8)
                scripted.at_least(20)
            rows += [
                limited,
                beside("burst", what, ours, "bare loop with models", models, size=size),
                scripted,
                Row("burst", f"{what}: from due to the last", total, size),
            ]
            points.append((size, size / ours.value))
    rows.append(growth("burst", "time to delete all", points))
    return rows


def _collected(bench: Bench, server: SteeredServer, size: int, owner: int) -> tuple[float, float]:
    """Orphans so many sessions. Gives the rate, and the seconds from due to the last."""
    server.empty()
    server.fill(size, owner=owner)
    options = ("--max-age", "24h", "--owner-grace", f"{GRACE}s", "--concurrency", str(CONCURRENCY))
    with Daemon(server.kubeconfig, bench.folder, *options) as daemon:
        daemon.deleting()
        due = server.crash(owner) + GRACE
        accepted = server.accepted(size)
    return _rate(accepted), max(accepted.values()) - due


def _deleted(bench: Bench, server: SteeredServer, size: int, *, models: bool) -> float:
    server.empty()
    names = server.fill(size)
    with bare(server.kubeconfig, bench.folder, CONCURRENCY, models=models) as peer:
        peer.line()
        peer.ask(" ".join(names))
    return _rate(server.accepted(size))


def _cron(bench: Bench, server: SteeredServer, size: int) -> float:
    server.empty()
    server.fill(size, age=OLD)
    loop(bench.folder, server.kubeconfig, server.cutoff)
    return _rate(server.accepted(size))


def loop(home: Path, kubeconfig: Path, cutoff: str) -> None:
    """Runs the CronJob's loop once."""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "KUBECONFIG": str(kubeconfig), "KUBECTL": str(tools.kubectl())}
    env["CUTOFF"] = cutoff
    subprocess.run(["bash", "-c", LOOP], env=env, check=True, capture_output=True)


def _rate(accepted: dict[str, float]) -> float:
    times = sorted(accepted.values())
    return (len(times) - 1) / (times[-1] - times[0])
