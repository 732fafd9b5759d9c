"""What the collectors of a world are told by its owners: by their logs, by their metrics, by both or by neither.

It follows from the seed alone, so that the other decisions about a world stay what they are.
"""

from typing import NamedTuple

from ssh_session_gc.sandbox.containerssh.layouts import Mode
from ssh_session_gc.sandbox.containerssh.log import LogLevel


class Telling(NamedTuple):
    """The ways in which owners tell something, and how they make sessions."""

    logs: bool
    gauge: bool
    level: LogLevel = "debug"
    mode: Mode = "connection"
    leaks: float = 0.0
    """The share of the sessions that a living owner leaves behind."""

    @classmethod
    def of(cls, seed: int) -> "Telling":
        """That of this seed. With logs or metrics most mistakes about owners do no harm: a quarter goes without."""
        if seed % 4 == 1:
            return cls(logs=False, gauge=False)
        mode: Mode = {6: "session", 12: "persistent"}.get(seed % 16, "connection")  # type: ignore[assignment]
        level: LogLevel = "notice" if seed % 8 == 4 else "debug"
        return cls(logs=seed % 2 == 0, gauge=seed % 4 in (0, 3), level=level, mode=mode, leaks=0.3)
