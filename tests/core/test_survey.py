"""How many sessions and owners stand where: what the gauges show."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.connections import UNHEARD, Connection, Moment
from ssh_session_gc.core.gauge import Idle
from ssh_session_gc.core.model import Action, ConnectionState, OwnerState, Reason, Session, SessionState
from ssh_session_gc.core.owners import Owners, Span
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from ssh_session_gc.core.survey import STUCK_AFTER, session_state, survey
from tests.builders import ALIVE, NOBODY, T, owner_pod, owners_of, session, verdict
from tests.core.strategies import instants, known_owners, policies, sessions


@given(st.lists(sessions()), known_owners(), policies, instants)
def test_a_survey_counts_every_session_once(ss: list[Session], owners: Owners, policy: Policy, now: float) -> None:
    judged = [(s, judge(s, owners, policy, now), UNHEARD) for s in ss]
    counts = survey(judged, owners, policy, now)
    assert sum(counts.sessions.values()) == len(ss)
    assert sum(counts.orphans.values()) == sum(v.action is Action.COLLECT for _, v, _ in judged)
    assert all(late >= 0 for late in counts.longest_due.values())


def test_states_of_sessions() -> None:
    policy = Policy()

    def state(s: Session, owners: Owners, now: float) -> SessionState:
        return session_state(s, judge(s, owners, policy, now), now)

    assert state(session(), ALIVE, T + 1) is SessionState.OWNED
    assert state(session(), NOBODY, T + 1) is SessionState.WAITING
    assert state(session(), ALIVE, T + 3600) is SessionState.WAITING
    assert state(session(keep=True), NOBODY, T + 1e6) is SessionState.EXEMPT
    assert state(session(persistent=True), NOBODY, T + 1e6) is SessionState.EXEMPT
    assert state(session(persistent=True, phase="Failed", finished=T), NOBODY, T + 1) is SessionState.WAITING
    assert state(session(deletion=T + 30), NOBODY, T + 60) is SessionState.TERMINATING
    assert state(session(deletion=T + 30), NOBODY, T + 91) is SessionState.STUCK


def test_nothing_is_exempt_for_having_no_due() -> None:
    policy = Policy(max_age=0.0)
    verdict = judge(session(), ALIVE, policy, T + 1)
    assert verdict.reason is None
    assert session_state(session(), verdict, T + 1) is SessionState.OWNED


def test_what_is_counted() -> None:
    policy = Policy(max_age=100.0, force_after=10.0)
    owners = owners_of(owner_pod("a", running=T), owner_pod("b", terminated=Span(T, T + 5), terminating=True))
    now = T + 230.0

    found = [session(T + 30), session(T + 10), session(T, keep=True), session(T + 200)]
    counts = survey([(s, judge(s, owners, policy, now), UNHEARD) for s in found], owners, policy, now)
    assert counts.sessions == {SessionState.WAITING: 2, SessionState.EXEMPT: 1, SessionState.OWNED: 1}
    assert counts.orphans == {Reason.OVER_AGE: 2}
    assert counts.longest_due == {Reason.OVER_AGE: 120.0}
    assert counts.oldest == 230.0
    assert counts.owners == {OwnerState.RUNNING: 1, OwnerState.ENDED: 1}
    assert counts.owner_known is True
    just_due = survey([(found[0], judge(found[0], owners, policy, T + 130.5), UNHEARD)], owners, policy, T + 130.5)
    assert just_due.longest_due == {Reason.OVER_AGE: 0.5}
    nothing = survey([], Owners(unknown="x"), policy, now)
    assert (nothing.owner_known, nothing.oldest) == (False, 0.0)


def test_connections_are_counted_by_what_is_known_of_them() -> None:
    def counted(owners: Owners, *said: Connection) -> dict[ConnectionState, int]:
        judged = [(session(), judge(session(), owners, Policy(), T + 60, each), each) for each in said]
        return survey(judged, owners, Policy(), T + 60).connections

    opened = Connection("ssh-a", T, opened=Moment(T, T))
    ended = msgspec.structs.replace(opened, closed=Moment(T + 20, T + 20))
    assert counted(ALIVE, opened, ended, UNHEARD, opened, ended, ended) == {
        ConnectionState.OPEN: 2,
        ConnectionState.ENDED: 3,
        ConnectionState.UNKNOWN: 1,
    }
    # By its owners: they have ended, or nobody is connected to them.
    assert counted(NOBODY, UNHEARD) == {ConnectionState.ENDED: 1}
    idle = msgspec.structs.replace(ALIVE, idle={ALIVE.owners[0].run: Idle(T + 10, T + 20)})
    assert counted(idle, UNHEARD, opened) == {ConnectionState.ENDED: 1, ConnectionState.OPEN: 1}


def test_stuck_begins_after_a_minute() -> None:
    going, kept = session(deletion=T + 30), verdict(action=Action.KEEP, reason=None, due=None)
    assert session_state(going, kept, T + 30 + STUCK_AFTER) is SessionState.TERMINATING
    assert session_state(going, kept, T + 30.1 + STUCK_AFTER) is SessionState.STUCK


def test_the_longest_due_counts_in_whatever_order_they_come() -> None:
    policy, owners, now = Policy(max_age=100.0), Owners(unknown="x"), T + 230
    found = [session(T + 10), session(T + 30)]
    for order in (found, found[::-1]):
        counts = survey([(s, judge(s, owners, policy, now), UNHEARD) for s in order], owners, policy, now)
        assert counts.longest_due == {Reason.OVER_AGE: 120.0}
