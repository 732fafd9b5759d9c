"""The command ``completion``, and the completion of ``kubectl session-gc``.

Knows click's machinery and kubectl's protocol for plugins (KEP-2379, "Shell Completion Support"). Stays silent where
anything is wrong: a completion that complains spoils the line that somebody is writing.
"""

import sys
from typing import Literal, get_args

import click
from click.shell_completion import ShellComplete, get_completion_class

from ssh_session_gc.cli.command import command
from ssh_session_gc.cli.program import PROGRAM, cli

Shell = Literal["bash", "zsh", "fish"]

VARIABLE = "_SSH_SESSION_GC_COMPLETE"
"""The environment variable by which a shell asks for completions."""
_NO_FILES, _FILES = ":4", ":0"  # cobra's ShellCompDirectiveNoFileComp and ShellCompDirectiveDefault


@command(click.Argument(["shell"], type=click.Choice(get_args(Shell))))
def completion(shell: Shell) -> int:
    """Print the completion script for SHELL, to be sourced.

    For bash: source <(ssh-session-gc completion bash). As a kubectl plugin it completes by itself.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"there is no completion for {shell}")
    try:
        click.echo(kind(cli, {}, PROGRAM, VARIABLE).source())
    except RuntimeError as error:  # bash is too old for it
        raise click.ClickException(str(error)) from None
    return 0


cli.add_command(completion)


def kubectl() -> None:
    """The entry point ``kubectl_complete-session_gc``: completes the words that kubectl passes on."""
    words = sys.argv[1:] or [""]
    found = ShellComplete(cli, {}, PROGRAM, VARIABLE).get_completions(words[:-1], words[-1])
    for item in found:
        if item.type == "plain":
            print(f"{item.value}\t{item.help}" if item.help else item.value)  # noqa: T201 - the protocol
    print(_FILES if any(item.type != "plain" for item in found) else _NO_FILES)  # noqa: T201
