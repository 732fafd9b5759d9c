"""The program ``ssh-session-gc``: its commands, each in a file of its name.

A new command is a file and a line here. ``completion`` adds itself, because it completes all of them.
"""

import click

from ssh_session_gc import __version__
from ssh_session_gc.cli.check import check
from ssh_session_gc.cli.demo import demo
from ssh_session_gc.cli.discover import discover
from ssh_session_gc.cli.explain import explain
from ssh_session_gc.cli.plan import plan
from ssh_session_gc.cli.run import run

PROGRAM = "ssh-session-gc"


@click.group(
    commands=[check, demo, discover, explain, plan, run],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """Deletes ContainerSSH session Pods that have lost their owner, and only those."""
