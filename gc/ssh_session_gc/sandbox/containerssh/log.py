"""The form of ContainerSSH's own log, as version 0.6 writes it with ``log.format: ljson`` (recorded).

Knows how a line is written, and at which level. What the lines say, ``lines`` knows.
"""

import json
from collections.abc import Mapping
from typing import Literal, NamedTuple

from ssh_session_gc.sandbox.api.objects import timestamp

Level = Literal["debug", "info", "error"]
LogLevel = Literal["debug", "notice"]
"""ContainerSSH's ``log.level``: what is less than this is not written."""


class Login(NamedTuple):
    """Somebody who has connected; ``connection`` is an id, ``address`` the user's."""

    connection: str
    address: str
    user: str


class Entry(NamedTuple):
    """One line, before it has a time."""

    level: Level
    code: str
    message: str
    details: Mapping[str, str | int]

    def text(self, now: float) -> str:
        """The line, without its end."""
        told = {
            "timestamp": timestamp(now),
            "level": self.level,
            "code": self.code,
            "message": self.message,
            "details": dict(sorted(self.details.items())),
        }
        line = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        for special in "<>&\u2028\u2029":  # Go escapes these
            line = line.replace(special, f"\\u{ord(special):04x}")
        return line

    def passes(self, level: LogLevel) -> bool:
        """Whether it is written at this level. None of the lines here is a notice or a warning."""
        return level == "debug" or self.level == "error"
