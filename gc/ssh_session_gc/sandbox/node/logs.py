"""The output of containers: what each run wrote, line by line, and when.

Knows lines and their times. How they are asked for, ``sandbox.api.logs`` knows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ssh_session_gc.sandbox.api.listeners import Listeners


class LogLine(NamedTuple):
    """One line, without its end. ``at`` is the node's clock, in seconds since the epoch, uncut."""

    at: float
    text: bytes


@dataclass(eq=False)
class ContainerLog:
    """What one run of a container wrote to its output."""

    now: Callable[[], float]
    """The node's clock."""
    lines: list[LogLine] = field(default_factory=list)
    ended: bool = False
    """Whether the run is over, so that nothing follows."""
    changed: Listeners["ContainerLog"] = field(default_factory=Listeners)
    """Told after each line, and at the end."""

    def write(self, text: str | bytes) -> None:
        """Adds a line."""
        self.lines.append(LogLine(self.now(), text.encode() if isinstance(text, str) else text))
        self.changed.tell(self)

    def end(self) -> None:
        """Ends the run."""
        self.ended = True
        self.changed.tell(self)
