"""The argument POD: one session Pod by name, completed from the cluster."""

import click
from click.shell_completion import CompletionItem

from ssh_session_gc.cli.cluster import cluster
from ssh_session_gc.cli.common import CommonOptions
from ssh_session_gc.cli.options import read as read_options
from ssh_session_gc.core.names import parse_name

PATIENCE = 3.0
"""Seconds in which the cluster has to answer; after that nothing is offered."""


def pod_name(text: str) -> str:
    """Returns the name of a Pod, with or without kubectl's ``pod/`` before it. Raises click.UsageError."""
    name = text.removeprefix("pod/")
    try:
        return parse_name(name)
    except ValueError as error:
        raise click.UsageError(f"{name!r} is no name of a Pod: {error}") from None


def _complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offers the session Pods; stays silent where anything is wrong."""
    import asyncio

    from ssh_session_gc.preview.snapshot import CannotRead, read
    from ssh_session_gc.telemetry.metrics import Metrics

    async def names() -> list[CompletionItem]:
        common = read_options(CommonOptions, context)
        settings = common.settings()
        async with asyncio.timeout(PATIENCE), cluster(common.target, Metrics(dry_run=True)) as api:
            snapshot = await read(api, settings)
        return [CompletionItem(s.name, help=s.user) for s in snapshot.sessions if s.name.startswith(incomplete)]

    try:
        return asyncio.run(names())
    except (click.ClickException, CannotRead, TimeoutError):
        return []


POD = click.Argument(["pod"], shell_complete=_complete)
