"""Mistakes made on purpose about what owners say and count, for ``sabotage``, which knows what they are for."""

import math
import re
from typing import Any

import msgspec

from ssh_session_gc.cluster import connections, owner_gauge, owner_logs
from ssh_session_gc.cluster.connections import Connections
from ssh_session_gc.cluster.owner_logs import OwnerLogs
from ssh_session_gc.containerssh import log
from ssh_session_gc.core import candidates, gauge, ownership
from ssh_session_gc.core import connections as facts
from ssh_session_gc.core.connections import Connection, Line, Said
from ssh_session_gc.core.gauge import Count, Idle
from ssh_session_gc.core.model import Ownership, Session
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.rules import abandoned, judge
from ssh_session_gc.core.rules.rule import no_fresh_read
from ssh_session_gc.kube import logs
from tests.simulation.replacing import replace

SABOTAGES: dict[str, int] = {
    "silence_is_an_end": 2,
    "any_id_in_a_line": 42,
    "oldest_run_wrote_it": 4,
    "superseded_in_session_mode": 6,
    "persistent_is_abandoned": 12,
    "waits_for_a_silent_log": 90,
    "no_room_for_lines": 152,
    "one_count_for_ever": 139,
    "one_owner_suffices": 19,
    "no_answer_is_nobody": 3,
    "younger_than_the_count": 112,
    "somebody_in_between": 7,
    "counts_without_a_fresh_read": 143,
    "had_nobody_when_it_ended": 23,
}
"""Their names, each with the first seed that notices it."""


# Logs


def silence_is_an_end() -> None:
    """When a log ends, so have the connections that it told of."""
    ended = OwnerLogs.ended

    def all_over(self: OwnerLogs, cause: str) -> None:
        ended(self, cause)
        now = self._time.now()
        for known in list(self.connections._known.values()):
            session = next(
                (each for uid, each in self._sessions.by_uid.items() if self.connections.of(uid) is known), None
            )
            if session is not None and known.speaker is not None:
                line = Line(Said.DISCONNECTED, session.connection_id, "", now, now)
                self.connections.hear(line, known.speaker)

    replace(OwnerLogs, "ended", all_over)


def any_id_in_a_line() -> None:
    """The id is looked for anywhere in a line, and the last one is taken."""

    def search(text: bytes, arrived: float | None) -> Line | None:
        found = log.parse(text, arrived)
        ids = re.findall(rb"connectionId\W+([0-9a-f]{32})", text)
        if found is None or not ids:
            return found
        return Line(found.said, ids[-1].decode(), found.pod_name, found.written, found.at)

    replace(owner_logs, "parse", search)


def oldest_run_wrote_it() -> None:
    """A line is taken for that of the first run of its Pod."""
    told = ownership.by_log

    def first(session: Session, known: Owners, connection: Connection, tolerance: float) -> Ownership | None:
        there = [each for each in known.owners if each.pod == connection.speaker and not each.alive]
        if there and not connection.contested:
            return Ownership(there[0], max(session.created, there[0].finished or 0.0), True)
        return told(session, known, connection, tolerance)

    replace(ownership, "by_log", first)


def superseded_in_session_mode() -> None:
    """A newer Pod of a connection is taken for a second attempt, in session mode, too."""
    told = facts.superseded

    def always(session: Session, others: Any) -> float | None:
        return told(_in_connection_mode(session), [_in_connection_mode(each) for each in others])

    replace(connections, "superseded", always)


def persistent_is_abandoned() -> None:
    """A session that is kept on purpose is treated like any other."""
    replace(judge, "_DUES_IF_PERSISTENT", judge._DUES)


def waits_for_a_silent_log() -> None:
    """A log that falls silent is waited for as long as it takes."""
    read = logs.read

    def patient(*args: Any, **more: Any) -> Any:
        return read(*args, **more, silence=math.inf)

    replace(owner_logs, "read", patient)


# Metrics


def no_room_for_lines() -> None:
    """What is said of a session that is not there yet is not kept."""
    replace(Connections, "_keep", lambda *_: None)


# Metrics


def one_count_for_ever() -> None:
    """A count of 0 is good until another one comes."""
    told = gauge.counted

    def for_ever(before: Idle | None, count: Count, asked: float, came: float) -> Idle | None:
        idle = told(before, count, asked, came)
        return None if idle is None else Idle(idle.since, math.inf, idle.total)

    replace(owner_gauge, "counted", for_ever)


def one_owner_suffices() -> None:
    """That nobody is connected to one owner is believed of all."""

    def any_of(idles: Any) -> Idle | None:
        return next((idle for idle in idles if idle is not None), None)

    replace(candidates, "common", any_of)


def no_answer_is_nobody() -> None:
    """An owner that does not answer counts nobody."""
    told = owner_gauge.ask

    async def nobody(*args: Any) -> Count:
        try:
            return await told(*args)
        except owner_gauge.Uncounted:
            return Count(0, 0)

    replace(owner_gauge, "ask", nobody)


def younger_than_the_count() -> None:
    """A count is held against sessions that came after it."""
    replace(facts, "empty_since", lambda _, idle, __: idle.since)


def somebody_in_between() -> None:
    """It is enough that nobody is connected at both ends of the grace."""
    told = gauge.counted

    def whoever_came(before: Idle | None, count: Count, asked: float, came: float) -> Idle | None:
        if before is not None and count.current:
            return before
        return told(before, Count(count.current, 0.0), asked, came)

    replace(owner_gauge, "counted", whoever_came)


def counts_without_a_fresh_read() -> None:
    """Counts are believed as the streams tell whose they are."""
    replace(abandoned, "needs_fresh_read", no_fresh_read)


def had_nobody_when_it_ended() -> None:
    """An owner that has ended is forgotten where another one counts nobody."""
    told = ownership.ownership

    def alive_only(session: Session, known: Owners, tolerance: float, *more: Connection) -> Ownership:
        owned = told(session, known, tolerance, *more)
        alive = known.anybody.alive(session.created + tolerance)
        return alive if alive is not None and owned.idle is not None and not session.stamp_uid else owned

    replace(ownership, "ownership", alive_only)
    replace(judge, "ownership", alive_only)


def _changed(session: Session, **fields: Any) -> Session:
    return msgspec.structs.replace(session, **fields)


def _in_connection_mode(session: Session) -> Session:
    return _changed(session, attached=False)
