"""The output of containers: what each run wrote, line by line, and when.

Knows lines and their times. How they are asked for, ``sandbox.api.logs`` knows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ssh_session_gc.sandbox.api.listeners import Listeners
from ssh_session_gc.sandbox.api.objects import timestamp


class LogLine(NamedTuple):
    """One line, without its end. ``at`` is the node's clock, in seconds since the epoch, uncut."""

    at: float
    text: bytes
    exactly: str = ""
    """The time as the node wrote it, where that is known."""

    @property
    def stamp(self) -> str:
        """RFC 3339 with nine digits after the point."""
        nanoseconds = int(self.at % 1 * 1e9)
        return self.exactly or f"{timestamp(self.at)[:-1]}.{nanoseconds:09}Z"


@dataclass(eq=False)
class ContainerLog:
    """What one run of a container wrote to its output."""

    now: Callable[[], float]
    """The node's clock."""
    lines: list[LogLine] = field(default_factory=list)
    oldest: int = 0
    """The first line of the newest file: reading begins there (recorded), and what is being read goes on."""
    ended: bool = False
    """Whether the run is over, so that nothing follows."""
    changed: Listeners["ContainerLog"] = field(default_factory=Listeners)
    """Told after each line, and at the end."""

    def write(self, text: str | bytes) -> None:
        """Adds a line."""
        self.add(LogLine(self.now(), text.encode() if isinstance(text, str) else text))

    def add(self, line: LogLine) -> None:
        """Adds a line with a time of its own."""
        self.lines.append(line)
        self.changed.tell(self)

    def rotate(self) -> None:
        """Begins a new file."""
        self.oldest = len(self.lines)

    def end(self) -> None:
        """Ends the run."""
        self.ended = True
        self.changed.tell(self)
