"""What options are made of: the texts that they accept, the headings that they stand under, help with examples.

Knows the forms of values and click's ways. Does not know which options there are (``options``).
"""

import inspect
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

import click

from ssh_session_gc.core.names import parse_name
from ssh_session_gc.core.times import parse_duration
from ssh_session_gc.settings import OwnerRef

F = TypeVar("F", bound=Callable[..., Any])


class Parsed(click.ParamType[object]):
    """An option whose text is read by a function that raises ValueError with a sentence for the user."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """The value; texts that cannot be read end in a usage error."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


def _grace(text: str) -> int:
    seconds = parse_duration(text)
    if seconds < 1 or seconds != int(seconds):
        raise ValueError("a whole number of seconds, at least 1s: 0 would remove Pods whose containers run on")
    return int(seconds)


def _positive(text: str) -> float:
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError("must be more than 0")
    return seconds


def _owner(text: str) -> OwnerRef | str:
    return text if text == "none" else OwnerRef.parse(text)


def _selector(text: str) -> str:
    if not text.strip():
        raise ValueError("an empty selector would match every Pod of the namespace")
    return text


def parse_listen(text: str) -> tuple[str, int]:
    """``host:port``, ``:port`` or ``[::1]:port``. Raises ValueError with a sentence for the user."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("write it as host:port or :port, such as :8080")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _instant(text: str) -> float:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("write it as 2026-11-23T03:10:00Z") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


DURATION = Parsed("duration", parse_duration)
POSITIVE_DURATION = Parsed("duration", _positive)
GRACE = Parsed("duration", _grace)
OWNER = Parsed("kind/namespace/name", _owner)
NAME = Parsed("name", parse_name)
SELECTOR = Parsed("selector", _selector)
INSTANT = Parsed("time", _instant)
LISTEN = Parsed("host:port", parse_listen)


class Group(StrEnum):
    """The headings under which ``--help`` lists options, in this order."""

    CLUSTER = "Cluster"
    WHO = "Sessions and owners"
    RULES = "Rules"
    DELETION = "Deletion"
    SERVICE = "Service"
    LEASE = "Leader election"
    FILTER = "Filter"
    OUTPUT = "Output"
    OTHER = "Options"


class Option(click.Option):
    """An option under a heading."""

    def __init__(self, *args: Any, group: Group = Group.OTHER, **more: Any) -> None:
        super().__init__(*args, **more)
        self.group = group


class Command(click.Command):
    """A command whose help has examples, and its options under headings."""

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self._examples = examples
        # click would cut it where the line of the terminal ends.
        self.short_help = " ".join(inspect.cleandoc(self.help or "").partition("\n\n")[0].split())
        if any(param.name == "max_age" for param in self.params):
            self.epilog = "Every option has a variable, too: SSH_SESSION_GC_MAX_AGE is --max-age. The option wins."

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the examples and the options."""
        if self._examples:
            with formatter.section("Examples"):
                for args, text in self._examples:
                    formatter.write_text(f"# {text}")
                    formatter.write_text(f"{ctx.command_path}{args}")
        options = [
            (getattr(param, "group", Group.OTHER), param.get_help_record(ctx))
            for param in self.get_params(ctx)
            if not isinstance(param, click.Argument)  # the usage line has these
        ]
        for group in Group:
            if records := [record for each, record in options if each is group and record is not None]:
                with formatter.section(group):
                    formatter.write_dl(records)


def option(name: str, text: str, *short: str, **settings: Any) -> Callable[[F], F]:
    """A click option with its environment variable and its default shown."""
    variable = "SSH_SESSION_GC_" + name.removeprefix("--").replace("-", "_").upper()
    default = settings.get("default")
    shown = default is not None and default != ""
    return click.option(*short, name, cls=Option, envvar=variable, show_default=shown, help=text, **settings)
