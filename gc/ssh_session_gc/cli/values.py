"""The forms of values: which texts an option accepts, and the typed value that each becomes.

Knows how values are written. Does not know which options there are (``common`` and the commands do).
"""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any, Generic, Literal, TypeVar

import click

from ssh_session_gc.core.names import parse_name
from ssh_session_gc.core.times import parse_duration
from ssh_session_gc.settings import OwnerRef

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

Address = tuple[str, int]
"""A host, empty for all of this machine's addresses, and a port."""
PodFile = tuple[str, str]
"""The name of a Pod, and a file that tells of it."""


class Form(StrEnum):
    """The forms in which a plan can be printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


class Parsed(click.ParamType[T], Generic[T]):
    """A type of option whose text is read by a function that raises ValueError with a sentence for the user."""

    def __init__(self, name: str, parse: Callable[[str], T]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """Returns the value, or fails with a usage error."""
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


class OneOf(click.Choice[E]):
    """A type of option that takes the values of an enumeration, where click would take the names of its members."""

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """Returns the text that stands for this choice."""
        return super().normalize_choice(choice.value if isinstance(choice, Enum) else choice, ctx)


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


def _owner(text: str) -> OwnerRef | Literal["none"]:
    return "none" if text == "none" else OwnerRef.parse(text)


def _selector(text: str) -> str:
    if not text.strip():
        raise ValueError("an empty selector would match every Pod of the namespace")
    return text


def parse_listen(text: str) -> Address:
    """Reads ``host:port``, ``:port`` or ``[::1]:port``. Raises ValueError with a sentence for the user."""
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


def _pod_file(text: str) -> PodFile:
    pod, equals, file = text.partition("=")
    if not equals or not file:
        raise ValueError("write it as pod=file")
    if file == "-":
        raise ValueError("only --filename may be stdin: write the log to a file")
    return parse_name(pod), file


TEXT: click.ParamType[str, Any] = click.STRING
CONTAINER = Parsed("container", parse_name)
DURATION = Parsed("duration", parse_duration)
POSITIVE_DURATION = Parsed("duration", _positive)
GRACE = Parsed("duration", _grace)
OWNER = Parsed("kind/namespace/name", _owner)
NAME = Parsed("name", parse_name)
SELECTOR = Parsed("selector", _selector)
INSTANT = Parsed("time", _instant)
POD_FILE = Parsed("pod=file", _pod_file)
LISTEN = Parsed("host:port", parse_listen)
