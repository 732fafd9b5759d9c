"""The command ``run``: the daemon against the API server that the options name, stopped by a signal."""

import asyncio
import signal

import click
import structlog

from ssh_session_gc.daemon.daemon import Daemon, StartError
from ssh_session_gc.daemon.settings import DryRun, Settings
from ssh_session_gc.kube.client import ConfigError, connect, loader
from ssh_session_gc.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger()


async def run(settings: Settings, kubeconfig: str | None, context: str | None, host: str, port: int) -> None:
    """Runs the daemon until SIGTERM or SIGINT. Raises click.ClickException with one line."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    metrics = Metrics(dry_run=settings.dry_run is not DryRun.NONE)
    try:
        async with connect(loader(kubeconfig, context), metrics) as api:
            await Daemon(settings, api, metrics).run(stop, host, port)
    except (ConfigError, StartError) as error:
        raise click.ClickException(str(error)) from None
    except Exception as error:
        # A mistake of ours. One line with all that a report needs, in the log's own format.
        log.critical("crashed", error=str(error), exc_info=True)
        raise click.ClickException(f"crashed by a bug: {error}; please report it with the log line above") from None
