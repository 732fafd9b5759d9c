"""The command ``explain``: one session, and everything that decides about it."""

from typing import Any

import click
from rich.console import Console

from ssh_session_gc.cli.cluster import cluster
from ssh_session_gc.core.explain import explain as take_apart
from ssh_session_gc.preview import text
from ssh_session_gc.preview.snapshot import CannotRead, find_one
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics


async def explain(given: dict[str, Any], settings: Settings, name: str) -> int:
    """Shows it. Raises click.ClickException with one line."""
    async with cluster(given, Metrics(dry_run=True)) as api:
        try:
            snapshot = await find_one(api, settings, name)
        except CannotRead as error:
            raise click.ClickException(str(error)) from None
    owners, now = snapshot.owners, snapshot.now
    explanation = take_apart(snapshot.sessions[0], owners, settings.policy, now)
    console = Console(highlight=False, soft_wrap=True)
    for line in text.lines(explanation, owners, settings, now):
        console.print(line)
    return 0
