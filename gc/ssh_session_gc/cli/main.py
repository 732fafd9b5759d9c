"""The entry point: turns every end of a command into an exit status.

0 fine, 1 it failed (one line on stderr says what and what to do), 2 bad usage; 3 is ``plan``'s. No command imports
what only its work needs before it runs: ``--version`` and ``--help`` answer at once.
"""

import io
import signal
import sys
from pathlib import Path
from typing import NoReturn

import click

from ssh_session_gc.cli.completion import VARIABLE
from ssh_session_gc.cli.program import PROGRAM, cli
from ssh_session_gc.cli.work import hang_up
from ssh_session_gc.core.text import printable


def main() -> None:
    """Runs the command that the command line names."""
    program = "kubectl session-gc" if Path(sys.argv[0]).name.startswith("kubectl-") else PROGRAM
    for stream in (sys.stdout, sys.stderr):
        # Where the terminal's character set has no ✓, it gets an escape in its place, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        # What a command returns, or the status that --help and --version end with.
        status = cli.main(prog_name=program, standalone_mode=False, complete_var=VARIABLE)
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
        hang_up()
    except (click.Abort, KeyboardInterrupt):
        sys.exit(128 + signal.SIGINT)


def _fail(program: str, message: str, status: int) -> NoReturn:
    print(f"{program}: {printable(' '.join(message.split()), 1000)}", file=sys.stderr)  # noqa: T201 - the one line
    sys.exit(status)
