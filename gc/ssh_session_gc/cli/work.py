"""How a command does its work: with the log set up, until it ends or a signal stops it."""

import os
import signal
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Literal, NoReturn, get_args

import click

from ssh_session_gc.cli.options import Section, option, option_class

if TYPE_CHECKING:
    import asyncio

# As in telemetry.log, whose import takes time that --help does not have.
LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]

_FORMATS: click.Choice[LogFormat] = click.Choice(get_args(LogFormat))
_LEVELS: click.Choice[LogLevel] = click.Choice(get_args(LogLevel))


@option_class
class LogOptions:
    """The options of the log."""

    log_format: LogFormat = option("Form of the log.", _FORMATS, Section.OUTPUT, default="auto")
    log_level: LogLevel = option("Least level logged.", _LEVELS, Section.OUTPUT, default="warning")


def work(task: Coroutine[None, None, int], logging: LogOptions) -> int:
    """Does the work and returns its exit status.

    A mistake of ours becomes one line on stderr, with a traceback in the log for the report.
    """
    import asyncio

    import structlog

    from ssh_session_gc.telemetry.log import configure

    log = structlog.stdlib.get_logger()
    configure(logging.log_format, logging.log_level)
    try:
        return asyncio.run(task)
    except BrokenPipeError:
        hang_up()  # here, because click would make a failure of it
    except (click.ClickException, click.Abort):
        raise
    except Exception as error:
        log.critical("crashed", error=str(error), exc_info=True)
        raise click.ClickException(f"crashed by a bug: {error}; please report it with the log line above") from None


def stopped() -> "asyncio.Event":
    """Returns an event that SIGTERM and SIGINT set, in place of what they would do otherwise."""
    import asyncio

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    return stop


def hang_up() -> NoReturn:
    """Ends as other programs do whose reader has seen enough."""
    # Python would complain once more while it closes stdout.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(128 + signal.SIGPIPE)
