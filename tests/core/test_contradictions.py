"""Which facts exclude each other, and which only seem to."""

import msgspec
import pytest

from ssh_session_gc.core.connections import UNHEARD, Connection, Moment
from ssh_session_gc.core.contradictions import WORDS, Contradiction, contradictions
from ssh_session_gc.core.gauge import Idle
from ssh_session_gc.core.model import Ownership, Session
from ssh_session_gc.core.policy import Policy
from tests.builders import ALIVE, T, session

POLICY = Policy()
A = "ssh-a"
OPEN = Connection(A, T, opened=Moment(T, T))
ENDED = msgspec.structs.replace(OPEN, closed=Moment(T + 20, T + 20))
REOPENED = msgspec.structs.replace(ENDED, opened=Moment(T + 30, T + 30))


def owned(since: float, until: float) -> Ownership:
    """Owned by an owner to which nobody was connected in this time."""
    return Ownership(ALIVE.owners[0], None, True, Idle(since, until))


@pytest.mark.parametrize(
    ("pod", "connection", "ownership", "expected"),
    [
        (session(), UNHEARD, owned(T, T + 900), set()),
        (session(), OPEN, None, set()),
        (session(), ENDED, owned(T, T + 900), set()),
        (session(stamp="a", stamp_name="ssh-a"), OPEN, None, set()),
        (session(stamp="b"), OPEN, None, {Contradiction.STAMP_LOG}),
        (session(stamp_uid="b"), OPEN, None, set()),
        (session(stamp="b"), msgspec.structs.replace(OPEN, contested=True), None, {Contradiction.LOGS}),
        (session(), REOPENED, None, {Contradiction.REOPENED}),
        (session(), msgspec.structs.replace(ENDED, opened=ENDED.closed), None, set()),
        (session(), OPEN, owned(T, T + 93), {Contradiction.LOG_GAUGE}),
        (session(), OPEN, owned(T + 10, T + 100), {Contradiction.LOG_GAUGE}),
        # Too young, not for long enough, or kept on purpose.
        (session(), OPEN, owned(T, T + 92.9), set()),
        (session(T + 50), OPEN, owned(T, T + 51), set()),
        (session(persistent=True), OPEN, owned(T, T + 900), set()),
        (session(stamp="b"), REOPENED, owned(T, T + 900), set(Contradiction) - {Contradiction.LOGS}),
    ],
)
def test_what_excludes_what(
    pod: Session, connection: Connection, ownership: Ownership | None, expected: set[Contradiction]
) -> None:
    assert set(contradictions(pod, connection, ownership, POLICY)) == expected


def test_each_has_its_words() -> None:
    assert WORDS.keys() == set(Contradiction)
