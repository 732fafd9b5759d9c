"""Plans say what ``judge`` says: nothing is shown that is not so."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.connections import UNHEARD, UNKNOWN, Connection, Moment, Presence
from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.gauge import Idle
from ssh_session_gc.core.model import Action, Reason, Session
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.plan import Plan, Snapshot, Wanted, make
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from tests.builders import ALIVE, NOBODY, T, owner_pod, owners_of, session
from tests.core.strategies import known_owners, moments, policies, sessions, unknowns


@given(st.lists(sessions(), max_size=5), known_owners(), unknowns, policies, moments)
def test_a_plan_is_what_judge_says_the_most_urgent_first(
    given_sessions: list[Session], owners: Owners, unknown: str | None, policy: Policy, now: float
) -> None:
    owners = msgspec.structs.replace(owners, unknown=unknown)
    plan = make(Snapshot(tuple(given_sessions), owners, now), policy, "ssh-sessions")
    assert len(plan.rows) == plan.total == len(given_sessions)
    assert plan.summary.total() == len(given_sessions)
    assert plan.unknown == unknown
    for row in plan.rows:
        assert row.session in given_sessions
        assert row.verdict == judge(row.session, owners, policy, now)
        assert row.evidence == evidence(row.session, row.verdict, owners, policy, now)
    order = [row.verdict.due for row in plan.rows]
    dues = [due for due in order if due is not None]
    assert order == sorted(dues) + [None] * (len(order) - len(dues))
    actions = [row.verdict.action for row in plan.rows]
    assert actions == sorted(actions, key=[Action.COLLECT, Action.WAITING, Action.KEEP].index)


def named(name: str, **fields: Any) -> Session:
    """A session by this name, which is also its uid."""
    return session(name=name, uid=name, **fields)


def plan(*found: Session, wanted: Wanted | None = None) -> Plan:
    snapshot = Snapshot(found, Owners(unknown="not looked"), T + 4000.0)
    return make(snapshot, Policy(), "ssh-sessions", wanted)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(), {"old", "new", "exempt"}),
        (Wanted(actions=[Action.COLLECT]), {"old"}),
        (Wanted(actions=[Action.KEEP, Action.COLLECT]), {"old", "exempt"}),
        (Wanted(reasons=[Reason.OVER_AGE]), {"old", "new"}),
        (Wanted(users=["bob", "carol"]), {"new"}),
        (Wanted(reasons=[Reason.OVER_AGE], users=["alice"]), {"old"}),
        (Wanted(reasons=[Reason.FINISHED]), set()),
    ],
)
def test_filters(wanted: Wanted, names: set[str]) -> None:
    found = plan(
        named("old", user="alice"),
        named("new", user="bob", created=T + 3900),
        named("exempt", user="dave", keep=True),
        wanted=wanted,
    )
    assert {row.session.name for row in found.rows} == names
    assert found.total == 3


def test_a_plan_says_of_when_and_of_whom_it_is() -> None:
    pods = [owner_pod(name, running=T + at) for name, at in (("c", 5), ("b", 9), ("a", 9))]
    owners = owners_of(*pods, at=T + 10)
    made = make(Snapshot((), owners, T + 20), Policy(), "ssh-sessions")
    assert (made.now, made.namespace, made.unknown) == (T + 20, "ssh-sessions", None)
    assert [owner.pod for owner in made.owners] == ["ssh-c", "ssh-a", "ssh-b"]
    off = make(Snapshot((), owners, T + 20), Policy(ownerless=False), "ssh-sessions")
    assert off.unknown == "owner=none"


def test_what_is_never_due_comes_last_the_oldest_first() -> None:
    found = plan(
        named("b", keep=True, created=T + 20),
        named("a", keep=True, created=T + 20),
        named("c", keep=True, created=T + 10),
        named("d", created=T + 30),
    )
    assert [row.session.name for row in found.rows] == ["d", "c", "a", "b"]
    assert found.summary == {Action.COLLECT: 1, Action.KEEP: 3}


def test_what_was_said_of_a_connection_is_its_sessions() -> None:
    said = Connection("ssh-a", T, opened=Moment(T, T), closed=Moment(T + 20, T + 20))
    found, now = (named("heard"), named("unheard")), T + 300
    ended, other = make(Snapshot(found, ALIVE, now, {"heard": said}), Policy(), "ssh-sessions").rows
    assert ended.verdict == judge(found[0], ALIVE, Policy(), now, said)
    assert ended.verdict.reason is Reason.ABANDONED
    assert ended.evidence == evidence(found[0], ended.verdict, ALIVE, Policy(), now, said)
    assert (ended.connection, ended.presence) == (said, Presence(False, T + 20))
    assert other.verdict == judge(found[1], ALIVE, Policy(), now)
    assert (other.connection, other.presence) == (UNHEARD, UNKNOWN)


def test_whether_somebody_is_connected_is_told_by_owners_too() -> None:
    def shown(owners: Owners) -> Presence:
        (row,) = make(Snapshot((session(),), owners, T + 60), Policy(), "ssh-sessions").rows
        return row.presence

    assert shown(NOBODY) == Presence(False, T)
    counted = msgspec.structs.replace(ALIVE, idle={ALIVE.owners[0].run: Idle(T + 10, T + 20)})
    assert shown(counted) == Presence(False, T + 10)
