"""Completion in shells, for the command itself and for ``kubectl session-gc``.

Knows click's machinery and kubectl's protocol for plugins (KEP-2379, "Shell Completion Support"). Stays silent where
anything is wrong: a completion that complains spoils the line that somebody is writing.
"""

import asyncio
import sys

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

VARIABLE = "_SSH_SESSION_GC_COMPLETE"
"""The environment variable by which a shell asks for completions."""
SHELLS = ("bash", "zsh", "fish")
PATIENCE = 3.0
"""Seconds in which the cluster has to answer; after that nothing is offered."""
_NO_FILES, _FILES = ":4", ":0"  # cobra's ShellCompDirectiveNoFileComp and ShellCompDirectiveDefault


def script(cli: click.Command, program: str, shell: str) -> str:
    """What a shell sources. Raises click.ClickException where this shell is too old for it."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"there is no completion for {shell}")
    try:
        return kind(cli, {}, program, VARIABLE).source()
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None


def kubectl() -> None:
    """The entry point ``kubectl_complete-session_gc``: completes the words that kubectl passes on."""
    from ssh_session_gc.cli.main import PROGRAM, cli

    words = sys.argv[1:] or [""]
    found = ShellComplete(cli, {}, PROGRAM, VARIABLE).get_completions(words[:-1], words[-1])
    for item in found:
        if item.type == "plain":
            print(f"{item.value}\t{item.help}" if item.help else item.value)  # noqa: T201 - the protocol
    print(_FILES if any(item.type != "plain" for item in found) else _NO_FILES)  # noqa: T201


def sessions(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The session Pods, for ``explain``."""
    # Only here: a completion of options should not load all this.
    from ssh_session_gc.cli import options
    from ssh_session_gc.cli.cluster import cluster
    from ssh_session_gc.preview.snapshot import CannotRead, read
    from ssh_session_gc.telemetry.metrics import Metrics

    async def names() -> list[CompletionItem]:
        settings = options.settings(context.params, context)
        async with asyncio.timeout(PATIENCE), cluster(context.params, Metrics(dry_run=True)) as api:
            snapshot = await read(api, settings)
        return [CompletionItem(s.name, help=s.user) for s in snapshot.sessions if s.name.startswith(incomplete)]

    try:
        return asyncio.run(names())
    except (click.ClickException, CannotRead, TimeoutError):
        return []
