"""The command ``run``: the daemon, until a signal stops it."""

import gc
from dataclasses import replace

import click

from ssh_session_gc.cli.cluster import ClusterOptions, cluster
from ssh_session_gc.cli.command import command
from ssh_session_gc.cli.common import CommonOptions
from ssh_session_gc.cli.lease import LeaseOptions
from ssh_session_gc.cli.options import Section, option, option_class
from ssh_session_gc.cli.values import LISTEN, Address, OneOf
from ssh_session_gc.cli.work import stopped, work
from ssh_session_gc.core.text import printable
from ssh_session_gc.settings import DryRun, Settings

_SETTINGS = Settings()


@option_class
class RunOptions:
    """The options of ``run``."""

    common: CommonOptions = CommonOptions()
    dry_run: DryRun = option(
        "Delete nothing: 'client' only says what it would delete, 'server' also asks the API server. "
        "Without a value: client.",
        OneOf(DryRun),
        Section.DELETION,
        default=DryRun.NONE.value,
        bare=DryRun.CLIENT.value,
    )
    concurrency: int = option(
        "Deletions at once.", click.IntRange(1, 1000), Section.DELETION, default=str(_SETTINGS.concurrency)
    )
    max_deletes_per_minute: int = option(
        "The most deletions in any minute; 0 for no limit.",
        click.IntRange(0, 1_000_000),
        Section.DELETION,
        default=str(_SETTINGS.max_deletes_per_minute),
    )
    listen: Address = option("Address for /metrics, /healthz and /readyz.", LISTEN, Section.SERVICE, default=":8080")
    election: LeaseOptions = LeaseOptions()

    def settings(self) -> Settings:
        """Returns what they set. Raises click.UsageError where they contradict each other."""
        return replace(
            self.common.settings(),
            dry_run=self.dry_run,
            concurrency=self.concurrency,
            max_deletes_per_minute=self.max_deletes_per_minute,
            lease=self.election.lease(self.common.session_namespace),
        )


@command(
    examples=[
        (" --dry-run", "log what would be deleted, from a laptop"),
        (" --dry-run --sandbox", "the same on a simulated cluster"),
        (" --owner statefulset/ssh/containerssh", "ContainerSSH runs in a StatefulSet"),
    ],
    defaults={"log_level": "info"},
)
def run(options: RunOptions) -> int:
    """Watch the cluster and delete what is due, until stopped."""
    return work(_run(options.common.target, options.settings(), options.listen), options.common.logging)


async def _run(target: ClusterOptions, settings: Settings, listen: Address) -> int:
    from ssh_session_gc.daemon.daemon import Daemon, StartError
    from ssh_session_gc.telemetry.metrics import Metrics

    # What was imported stays for good, and looking for garbage in it takes 50 ms each time, in one go.
    gc.freeze()
    stop = stopped()
    dry = settings.dry_run is not DryRun.NONE
    metrics = Metrics(dry_run=dry)
    try:
        async with cluster(target, metrics, lively=True) as api:
            if dry:
                _announce_dry_run(api.host)
            await Daemon(settings, api, metrics).run(stop, *listen)
    except StartError as error:
        raise click.ClickException(str(error)) from None
    return 0


def _announce_dry_run(server: str) -> None:
    """Tells people on a terminal that nothing is deleted; in a Pod, the log says it."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        console.rule(Text(f"dry run on {printable(server)}: nothing is deleted, Ctrl-C ends it", "bold yellow"))
