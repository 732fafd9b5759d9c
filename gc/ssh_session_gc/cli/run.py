"""The command ``run``: the daemon against the API server that the options name, stopped by a signal."""

import asyncio
import gc
import signal
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from ssh_session_gc.cli.cluster import cluster
from ssh_session_gc.core.text import printable
from ssh_session_gc.daemon.daemon import Daemon, StartError
from ssh_session_gc.settings import DryRun, Settings
from ssh_session_gc.telemetry.metrics import Metrics


async def run(given: dict[str, Any], settings: Settings, host: str, port: int) -> int:
    """Runs the daemon until SIGTERM or SIGINT. Raises click.ClickException with one line."""
    # What was imported stays for good, and looking for garbage in it takes 50 ms each time, in one go.
    gc.freeze()
    stop = stopped()
    metrics = Metrics(dry_run=settings.dry_run is not DryRun.NONE)
    try:
        async with cluster(given, metrics, lively=True) as api:
            if settings.dry_run is not DryRun.NONE:
                _announce(api.host)
            await Daemon(settings, api, metrics).run(stop, host, port)
    except StartError as error:
        raise click.ClickException(str(error)) from None
    return 0


def _announce(server: str) -> None:
    """Says once more to people that this is only a try; in a Pod, the log says it."""
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        console.rule(Text(f"dry run on {printable(server)}: nothing is deleted, Ctrl-C ends it", "bold yellow"))


def stopped() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set, in place of what they would do otherwise."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    return stop
