"""Where two facts about a session exclude each other: which ones, and what follows from it.

Knows every pair that may. In each the session is favoured, by the functions that use the facts; here is only what
there is to say of it. Does not know who is told (``daemon.contradictions``).
"""

from collections.abc import Iterator
from enum import StrEnum

from ssh_session_gc.core.connections import Connection, empty_since
from ssh_session_gc.core.model import Ownership, Session
from ssh_session_gc.core.policy import Policy


class Contradiction(StrEnum):
    """What excludes what: the label of the ``contradictions_total`` counter."""

    STAMP_LOG = "stamp_log"
    LOGS = "logs"
    REOPENED = "reopened"
    LOG_GAUGE = "log_gauge"


WORDS = {
    Contradiction.STAMP_LOG: "the log of a Pod names its connection, and the stamp another Pod: the stamp counts",
    Contradiction.LOGS: "the logs of two Pods name its connection: neither counts",
    Contradiction.REOPENED: "a log says that its connection ended, and later that it was opened: it counts as open",
    Contradiction.LOG_GAUGE: "a log says that it is connected, and metrics that nobody is: it counts as connected",
}
"""Each in a sentence."""


def contradictions(
    session: Session, connection: Connection, ownership: Ownership | None, policy: Policy
) -> Iterator[Contradiction]:
    """What excludes each other of what is known of this session."""
    speaker, opened, closed = connection.speaker, connection.opened, connection.closed
    if connection.contested:
        yield Contradiction.LOGS
    elif session.stamp_uid and speaker is not None and session.stamp_name not in ("", speaker):
        yield Contradiction.STAMP_LOG
    if opened is not None and closed is not None and opened.written > closed.written:
        yield Contradiction.REOPENED
    if connection.open and not session.persistent and ownership is not None and ownership.idle is not None:
        since = empty_since(session, ownership.idle, policy.clock_tolerance)
        # The log's word for the end may be on its way still.
        if since is not None and ownership.idle.until >= since + policy.abandoned_grace:
            yield Contradiction.LOG_GAUGE
