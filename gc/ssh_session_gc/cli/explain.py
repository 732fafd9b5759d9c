"""The command ``explain``: one session, and everything that decides about it."""

import click

from ssh_session_gc.cli.cluster import ClusterOptions, cluster
from ssh_session_gc.cli.command import command
from ssh_session_gc.cli.common import CommonOptions
from ssh_session_gc.cli.pods import POD, pod_name
from ssh_session_gc.cli.work import work
from ssh_session_gc.settings import Settings


@command(POD, examples=[(" containerssh-4c95c", "why this one is kept or deleted, and when")])
def explain(common: CommonOptions, pod: str) -> int:
    """Show everything that decides about the session POD; delete nothing."""
    return work(_explain(common.target, common.settings(), pod_name(pod)), common.logging)


async def _explain(target: ClusterOptions, settings: Settings, name: str) -> int:
    from rich.console import Console

    from ssh_session_gc.core.connections import UNHEARD
    from ssh_session_gc.core.explain import explain as take_apart
    from ssh_session_gc.preview import text
    from ssh_session_gc.preview.snapshot import CannotRead, find_one
    from ssh_session_gc.telemetry.metrics import Metrics

    async with cluster(target, Metrics(dry_run=True)) as api:
        try:
            snapshot = await find_one(api, settings, name)
        except CannotRead as error:
            raise click.ClickException(str(error)) from None
    owners, now = snapshot.owners, snapshot.now
    session = snapshot.sessions[0]
    said = snapshot.connections.get(session.uid, UNHEARD)
    explanation = take_apart(session, owners, settings.policy, now, said)
    console = Console(highlight=False, soft_wrap=True)
    for line in text.lines(explanation, owners, settings, now):
        console.print(line)
    return 0
