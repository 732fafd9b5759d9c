"""The command ``ssh-session-gc``: which commands there are, and how each ends.

Exit status 0 fine, 1 it failed (one line on stderr says what and what to do), 2 bad usage. Imports what a command
needs only when it runs: ``--version`` and ``--help`` answer at once.
"""

import asyncio
import signal
import sys
from typing import Any

import click

from ssh_session_gc import __version__
from ssh_session_gc.cli import options
from ssh_session_gc.core.text import printable

PROGRAM = "ssh-session-gc"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """Deletes ContainerSSH session Pods that have lost their owner, and only those."""


@cli.command()
@options.common
@options.run_only
def run(**given: Any) -> None:
    """Watch the cluster and delete what is due, until stopped.

    Try it from a laptop first: ssh-session-gc run --dry-run
    """
    from ssh_session_gc.cli.run import run as run_daemon
    from ssh_session_gc.telemetry.log import configure

    settings = options.settings(given)
    configure(given["log_format"], given["log_level"])
    host, port = given["listen"]
    asyncio.run(run_daemon(settings, given["kubeconfig"], given["context"], host, port))


@cli.command()
@click.option("--keep-running", is_flag=True, help="Go on after the story, with the metrics up, until stopped.")
@options.option("--listen", "Address for the metrics.", type=options.LISTEN, default="127.0.0.1:0")
def demo(keep_running: bool, listen: tuple[str, int]) -> None:
    """Show the daemon at work on a simulated cluster, in under a minute; no cluster is needed."""
    from ssh_session_gc.demo import play

    raise SystemExit(asyncio.run(play(*listen, keep_running=keep_running)))


def main() -> None:
    """The entry point: runs the command and turns every end into its exit status."""
    try:
        # What a command returns, or the status that --help and --version end with.
        sys.exit(cli.main(prog_name=PROGRAM, standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)  # noqa: T201 - nothing was asked: say what can be
        sys.exit(error.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else PROGRAM
        _fail(f"{error.format_message()} (see {command} --help)", error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(128 + signal.SIGINT)


def _fail(message: str, status: int) -> None:
    print(f"{PROGRAM}: {printable(' '.join(message.split()), 1000)}", file=sys.stderr)  # noqa: T201 - the one line
    sys.exit(status)
