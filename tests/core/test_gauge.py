"""What follows from counts: that nobody was there, and never that somebody was not."""

from typing import NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.connections import UNHEARD, presence
from ssh_session_gc.core.gauge import Count, Idle, common, counted
from ssh_session_gc.core.model import Action, Ownership, Reason, Session
from ssh_session_gc.core.owners import Owners, Span
from ssh_session_gc.core.ownership import ownership
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from tests.builders import T, owner_pod, owners_of, session

STAY = 1000
"""Seconds of a story."""
GRACE = 60.0
POLICY = Policy(max_age=0.0, abandoned_grace=GRACE)


def test_somebody_is_connected() -> None:
    assert counted(None, Count(1, 1), T, T + 1) is None
    assert counted(Idle(T, T + 60, 1), Count(1, 2), T + 75, T + 76) is None


def test_nobody_is_connected_since_the_first_count_came_and_until_the_last_was_asked_for() -> None:
    first = counted(None, Count(0, 3), T, T + 1)
    assert first == Idle(T + 1, T, 3)
    assert counted(first, Count(0, 3), T + 15, T + 16) == Idle(T + 1, T + 15, 3)


def test_a_connection_in_between_voids_it() -> None:
    assert counted(Idle(T, T + 60, 3), Count(0, 4), T + 75, T + 76) == Idle(T + 76, T + 75, 4)


def test_a_counter_that_begins_anew_voids_it() -> None:
    assert counted(Idle(T, T + 60, 3), Count(0, 0), T + 75, T + 76) == Idle(T + 76, T + 75, 0)


def test_of_several_owners_the_time_counts_in_which_nobody_was_at_any() -> None:
    assert common([Idle(T, T + 50, 1), Idle(T + 10, T + 40, 2)]) == Idle(T + 10, T + 40)
    assert common([Idle(T, T + 50), None]) is None
    assert common([]) is None


class Visit(NamedTuple):
    """One connection to one owner: when it began, when its Pod was created, when it ended."""

    owner: int
    begun: float
    made: float
    ended: float


class Look(NamedTuple):
    """A question to one owner, when it read its gauge, and when the answer came."""

    owner: int
    asked: float
    read: float
    came: float


@st.composite
def visits(draw: st.DrawFn) -> list[Visit]:
    """Some connections, to two owners."""
    found = []
    for _ in range(draw(st.integers(1, 5))):
        begun = draw(st.integers(0, STAY))
        made = begun + draw(st.integers(0, 20))
        found.append(Visit(draw(st.integers(0, 1)), begun, made, begun + draw(st.integers(0, 300))))
    return found


@st.composite
def looks(draw: st.DrawFn) -> list[Look]:
    """Questions in the order of their answers. Some take long, some are lost."""
    found = []
    for owner in (0, 1):
        at = float(draw(st.integers(0, 100)))
        for wait in draw(st.lists(st.integers(0, 90), max_size=20)):
            read = at + draw(st.integers(0, 5))
            came = read + draw(st.integers(0, 5))
            found.append(Look(owner, at, read, came))
            at = came + wait
    return sorted(found, key=lambda look: look.came)


def count_of(visits: list[Visit], owner: int, at: float) -> Count:
    """What this owner counts at this moment."""
    begun = [visit for visit in visits if visit.owner == owner and visit.begun <= at]
    return Count(sum(visit.ended > at for visit in begun), len(begun))


def pods(visits: list[Visit]) -> list[Session]:
    """The Pods of the connections. Their times are cut to seconds, as are those here."""
    return [session(T + visit.made, uid=str(number)) for number, visit in enumerate(visits)]


OWNERS = owners_of(owner_pod("a", running=T - 100), owner_pod("b", running=T - 100), at=T - 50)


@given(visits(), looks(), st.floats(0, 0.999))
def test_whoever_is_collected_has_gone(visits: list[Visit], looks: list[Look], cut: float) -> None:
    idle: tuple[Idle | None, Idle | None] = None, None
    for look in looks:
        count = count_of(visits, look.owner, look.read - cut)
        now = counted(idle[look.owner], count, T + look.asked, T + look.came)
        idle = (now, idle[1]) if look.owner == 0 else (idle[0], now)
        known = with_idle(*idle)
        for visit, pod in zip(visits, pods(visits), strict=True):
            if pod.created > T + look.came:
                continue  # it is not there yet
            verdict = judge(pod, known, POLICY, T + look.came)
            there = presence(pod, UNHEARD, verdict.ownership, POLICY.clock_tolerance)
            gone = T + visit.ended <= T + look.came
            assert gone or there.connected is None
            assert gone or verdict.action is not Action.COLLECT
            if verdict.reason is Reason.ABANDONED:
                assert verdict.due is not None
                assert verdict.due <= T + look.came


@given(visits())
def test_whoever_has_gone_is_collected_when_both_owners_have_had_nobody_for_the_grace(visits: list[Visit]) -> None:
    last = max(max(visit.made, visit.ended) for visit in visits)
    idle: list[Idle | None] = [None, None]
    at = 0.0
    while at < last + GRACE + 3 + 30:
        for owner in (0, 1):
            idle[owner] = counted(idle[owner], count_of(visits, owner, at), T + at, T + at)
        at += 15.0
    for pod in pods(visits):
        verdict = judge(pod, with_idle(*idle), POLICY, T + at)
        assert (verdict.action, verdict.reason) == (Action.COLLECT, Reason.ABANDONED)


def test_an_owner_that_does_not_say_may_have_it() -> None:
    idle = Idle(T, T + 500)
    assert judge(session(), with_idle(idle, idle), POLICY, T + 600).action is Action.COLLECT
    assert judge(session(), with_idle(idle, None), POLICY, T + 600).action is Action.KEEP
    # The other one started later, and cannot have created it.
    young = owners_of(owner_pod("a", running=T - 100), owner_pod("b", created=T + 5, running=T + 6), at=T + 10)
    known = msgspec.structs.replace(young, idle={young.owners[0].run: idle})
    assert judge(session(), known, POLICY, T + 600).action is Action.COLLECT
    # The stamp says which one did.
    assert judge(session(stamp="a"), with_idle(idle, None), POLICY, T + 600).action is Action.COLLECT
    assert judge(session(stamp="b"), with_idle(idle, None), POLICY, T + 600).action is Action.KEEP


def test_what_a_run_counted_says_nothing_of_the_next_one() -> None:
    before = owners_of(owner_pod("a", created=T - 100, running=T - 90), at=T - 50)
    (run,) = (owner.run for owner in before.owners)
    after = before.saw(owner_pod("a", created=T - 100, running=T - 20, last=Span(T - 90, T - 21)), T - 10)
    after = msgspec.structs.replace(after, idle={run: Idle(T - 50, T + 500)})
    assert judge(session(), after, POLICY, T + 600).action is Action.KEEP
    (now,) = (owner.run for owner in after.owners if owner.alive)
    known = msgspec.structs.replace(after, idle={now: Idle(T - 10, T + 500)})
    assert judge(session(), known, POLICY, T + 600).action is Action.COLLECT


def test_whoever_an_owner_had_that_has_ended_was_there_until_then() -> None:
    ended = owner_pod("b", terminated=Span(T - 100, T + 400), final=True)
    known = owners_of(owner_pod("a", running=T - 100), ended, at=T - 50)
    known = msgspec.structs.replace(known, idle={known.owners[0].run: Idle(T - 50, T + 490)})
    assert [owner.pod_uid for owner in known.owners if owner.alive] == ["a"]
    assert ownership(session(), known, 2.0) == Ownership(known.owners[0], None, True, Idle(T + 400, T + 490))
    due = T + 400 + GRACE
    assert judge(session(), known, POLICY, T + 500).due == due
    before = msgspec.structs.replace(known, idle={known.owners[0].run: Idle(T - 50, due - 0.1)})
    assert judge(session(), before, POLICY, T + 500).action is Action.KEEP


def with_idle(a: Idle | None, b: Idle | None) -> Owners:
    """Two owners, and when nobody was connected to them."""
    runs = [owner.run for owner in OWNERS.owners]
    return msgspec.structs.replace(
        OWNERS, idle={run: idle for run, idle in zip(runs, (a, b), strict=True) if idle is not None}
    )
