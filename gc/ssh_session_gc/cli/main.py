"""The command ``ssh-session-gc``: which commands there are, and how each ends.

Exit status 0 fine, 1 it failed (one line on stderr says what and what to do), 2 bad usage; 3 is ``plan``'s. Imports
what a command needs only when it runs: ``--version`` and ``--help`` answer at once.
"""

import asyncio
import io
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NoReturn

import click

from ssh_session_gc import __version__
from ssh_session_gc.cli import completion, options, params
from ssh_session_gc.core.text import printable

PROGRAM = "ssh-session-gc"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """Deletes ContainerSSH session Pods that have lost their owner, and only those."""


@cli.command(
    cls=params.Command,
    examples=[
        (" --dry-run", "log what would be deleted, from a laptop"),
        (" --dry-run --sandbox", "the same on a simulated cluster"),
        (" --owner statefulset/ssh/containerssh", "ContainerSSH runs in a StatefulSet"),
    ],
)
@options.common(log_level="info")
@options.run_only
@options.lease
@click.pass_context
def run(call: click.Context, /, **given: Any) -> None:
    """Watch the cluster and delete what is due, until stopped."""
    from ssh_session_gc.cli.run import run as run_daemon

    _work(run_daemon(given, options.settings(given, call), *given["listen"]), given)


@cli.command(
    cls=params.Command,
    examples=[
        ("", "what would be deleted now, and what later"),
        (" -o wide", "with the evidence for each"),
        (" --watch", "as the cluster changes"),
        (" --verdict collect -o name", "only the names of what would be deleted now"),
        (" -f dump.json --at 2026-11-23T03:10:00Z", "judge a dump of the cluster, as of then"),
    ],
)
@options.common(log_level="warning")
@options.plan_only
@click.pass_context
def plan(call: click.Context, /, **given: Any) -> int:
    """Show what would happen to every session, and why; delete nothing."""
    from ssh_session_gc.cli.plan import plan as show_plan

    return _work(show_plan(given, options.settings(given, call)), given)


@cli.command(cls=params.Command, examples=[(" containerssh-4c95c", "why this one is kept or deleted, and when")])
@click.argument("pod", shell_complete=completion.sessions)
@options.common(log_level="warning")
@click.pass_context
def explain(call: click.Context, /, pod: str, **given: Any) -> None:
    """Show everything that decides about the session POD; delete nothing."""
    from ssh_session_gc.cli.explain import explain as show_explanation

    _work(show_explanation(given, options.settings(given, call), options.pod_name(pod)), given)


@cli.command(
    cls=params.Command,
    examples=[
        ("", "would the daemon find what it needs, and be allowed to do it?"),
        (" --leader-elect --lease-namespace ssh-gc", "with its lease"),
    ],
)
@options.common(log_level="warning")
@options.lease
@click.pass_context
def check(call: click.Context, /, **given: Any) -> int:
    """Check everything that the daemon depends on; change nothing."""
    from ssh_session_gc.cli.check import check as show_findings

    return _work(show_findings(given, options.settings(given, call)), given)


@cli.command(cls=params.Command)
@click.option("--keep-running", is_flag=True, help="Go on after the story, with the metrics up, until stopped.")
@params.option("--listen", "Address for the metrics.", type=params.LISTEN, default="127.0.0.1:0")
def demo(keep_running: bool, listen: tuple[str, int]) -> int:
    """Show the daemon at work on a simulated cluster, in under a minute; no cluster is needed."""
    from ssh_session_gc.demo import play

    return asyncio.run(play(*listen, keep_running=keep_running))


@cli.command("completion", cls=params.Command)
@click.argument("shell", type=click.Choice(completion.SHELLS))
def complete(shell: str) -> None:
    """Print the completion script for SHELL, to be sourced.

    For bash: source <(ssh-session-gc completion bash). As a kubectl plugin it completes by itself.
    """
    click.echo(completion.script(cli, PROGRAM, shell))


def _work(work: Coroutine[None, None, int], given: dict[str, Any]) -> int:
    """Does it; returns the exit status. A mistake of ours becomes one line, and one in the log for the report."""
    import structlog

    from ssh_session_gc.telemetry.log import configure

    log = structlog.stdlib.get_logger()
    configure(given["log_format"], given["log_level"])
    try:
        return asyncio.run(work)
    except BrokenPipeError:
        _hang_up()  # here, because click would make a failure of it
    except (click.ClickException, click.Abort):
        raise
    except Exception as error:
        log.critical("crashed", error=str(error), exc_info=True)
        raise click.ClickException(f"crashed by a bug: {error}; please report it with the log line above") from None


def main() -> None:
    """The entry point: runs the command and turns every end into its exit status."""
    program = "kubectl session-gc" if Path(sys.argv[0]).name.startswith("kubectl-") else PROGRAM
    for stream in (sys.stdout, sys.stderr):
        # Where the terminal's character set has no ✓, it gets an escape in its place, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        # What a command returns, or the status that --help and --version end with.
        status = cli.main(prog_name=program, standalone_mode=False, complete_var=completion.VARIABLE)
        sys.stdout.flush()
        sys.exit(status)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)  # noqa: T201 - nothing was asked: say what can be
        sys.exit(error.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else program
        _fail(program, f"{error.format_message()} (see {command} --help)", error.exit_code)
    except click.ClickException as error:
        _fail(program, error.format_message(), error.exit_code)
    except BrokenPipeError:
        _hang_up()
    except (click.Abort, KeyboardInterrupt):
        sys.exit(128 + signal.SIGINT)


def _hang_up() -> NoReturn:
    """Ends as other programs do whose reader has seen enough."""
    # Python would complain once more while it closes stdout.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(128 + signal.SIGPIPE)


def _fail(program: str, message: str, status: int) -> NoReturn:
    print(f"{program}: {printable(' '.join(message.split()), 1000)}", file=sys.stderr)  # noqa: T201 - the one line
    sys.exit(status)
