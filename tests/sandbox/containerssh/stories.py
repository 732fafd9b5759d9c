"""What ContainerSSH's log and metrics told, of a world and of a recording, in the same form. Holds no tests."""

import json
from typing import Any

from ssh_session_gc.sandbox import TrueSession


def told(session: TrueSession) -> list[dict[str, Any]]:
    """The lines of JSON that the session's process has logged."""
    return [json.loads(line.text) for line in session.creator.log.lines if line.text.startswith(b"{")]


def codes(session: TrueSession) -> list[str]:
    """The codes of the lines about the session's connection."""
    return [line["code"] for line in told(session) if line["details"].get("connectionId") == session.connection]
