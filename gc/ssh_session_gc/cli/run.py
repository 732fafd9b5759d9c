"""The command ``run``: the daemon against the API server that the options name, stopped by a signal."""

import asyncio
import signal
from typing import Any

import click

from ssh_session_gc.cli.cluster import cluster
from ssh_session_gc.daemon.daemon import Daemon, StartError
from ssh_session_gc.daemon.settings import DryRun, Settings
from ssh_session_gc.telemetry.metrics import Metrics


async def run(given: dict[str, Any], settings: Settings, host: str, port: int) -> int:
    """Runs the daemon until SIGTERM or SIGINT. Raises click.ClickException with one line."""
    stop = stopped()
    metrics = Metrics(dry_run=settings.dry_run is not DryRun.NONE)
    try:
        async with cluster(given, metrics, lively=True) as api:
            await Daemon(settings, api, metrics).run(stop, host, port)
    except StartError as error:
        raise click.ClickException(str(error)) from None
    return 0


def stopped() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set, in place of what they would do otherwise."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    return stop
