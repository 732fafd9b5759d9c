"""The edges of the rules, one comparison each: every one of these was once changed without a test noticing."""

import msgspec
import pytest

from ssh_session_gc.core.clock import DRIFT, ServerClock
from ssh_session_gc.core.model import Action, OwnerState, Reason, Session, SessionState
from ssh_session_gc.core.owners import REMEMBERED, Gap, Owners, Span, confirmed, doubts, ownership
from ssh_session_gc.core.policy import STUCK_AFTER, Policy, Verdict, judge, session_state, survey
from tests.core.test_owners import T, pod, session

TOLERANCE = 2.0


def test_an_owner_that_ended_within_the_tolerance_before_the_session_was_its_last() -> None:
    owners = Owners().listed([pod("a", terminated=Span(T - 50, T + 9), leaving=True)], T + 9)
    for created, last in ((T + 10, True), (T + 11, True), (T + 11.5, False)):
        owned = ownership(session(created), owners, TOLERANCE)
        assert (owned.owner is not None) == last
        assert owned.since == created


def test_of_two_that_ended_the_later_one_counts() -> None:
    owners = Owners().listed(
        [
            pod("a", terminated=Span(T, T + 40), leaving=True),
            pod("b", terminated=Span(T, T + 60), leaving=True),
            pod("c", terminated=Span(T, T + 50), leaving=True),
        ],
        T + 5,
    )
    owned = ownership(session(T + 10), owners, TOLERANCE)
    assert owned.owner is not None
    assert (owned.owner.pod_uid, owned.since) == ("b", T + 60)


@pytest.mark.parametrize(
    ("created", "since", "exact"),
    [
        (T + 96, T + 100, True),
        (T + 98, T + 200, False),  # within the tolerance, somebody in the gap may have made it
        (T + 150, T + 200, False),
        (T + 250, T + 250, True),
    ],
)
def test_whom_a_gap_concerns(created: float, since: float, exact: bool) -> None:
    known = Owners().listed([pod("a", terminated=Span(T, T + 100), leaving=True)], T + 100)
    known = msgspec.structs.replace(known, began=T, gap=Gap(T + 100, T + 200))
    owned = ownership(session(created), known, TOLERANCE)
    assert (owned.since, owned.exact) == (since, exact)


def test_a_gap_that_was_over_before_the_owner_ended_changes_nothing() -> None:
    known = Owners().listed([pod("a", terminated=Span(T, T + 200), leaving=True)], T + 200)
    known = msgspec.structs.replace(known, began=T, gap=Gap(T + 100, T + 200))
    owned = ownership(session(T + 150), known, TOLERANCE)
    assert (owned.since, owned.exact) == (T + 200, True)


def test_whoever_may_own_it_is_exact() -> None:
    owned = ownership(session(T + 10), Owners().listed([pod("a", running=T)], T + 5), TOLERANCE)
    assert (owned.since, owned.exact) == (None, True)


def test_the_restart_of_the_stamped_pod_counts_and_no_other_start() -> None:
    known = Owners().listed([pod("a", running=T + 600), pod("b", running=T + 300)], T + 700)
    assert ownership(session(T + 10, "a"), known, TOLERANCE).since == T + 600


def test_the_first_container_of_the_stamped_pod_made_it_though_it_has_ended() -> None:
    # Its node's clock is ahead, which nobody saw: it seems to have started after the session.
    ended = pod("a", terminated=Span(T + 11, T + 30), first=True, leaving=True)
    owned = ownership(session(T + 3, "a"), Owners().listed([ended], T + 500), TOLERANCE)
    assert owned.owner is not None
    assert (owned.since, owned.exact) == (T + 30, True)
    # It stays the first when its successor has pushed it into lastState.
    running = pod("a", running=T + 31, last=Span(T + 11, T + 30))
    later = Owners().listed([pod("a", running=T + 11, first=True)], T + 20).saw(running, T + 500)
    assert [owner.first for owner in later.owners] == [True, False]


@pytest.mark.parametrize(
    ("started", "born"),
    [(T + 9, T + 9), (T + 10.5, T + 10.5), (T + 11, T + 11), (T + 11.5, T + 10), (T + 15, T + 10)],
)
def test_what_is_seen_running_has_started(started: float, born: float) -> None:
    (owner,) = Owners().listed([pod("a", running=started)], T + 10).owners
    assert (owner.born, owner.started) == (born, started)


def test_an_incarnation_is_no_older_than_its_pod() -> None:
    (owner,) = Owners().listed([pod("a", running=T + 5, ahead=60.0)], T + 10).owners
    assert owner.born == T


def test_a_container_without_a_start_may_have_run_since_its_pod_was_made() -> None:
    (owner, _) = Owners().listed([pod("a", terminated=Span(None, T + 9))], T + 10).owners
    assert (owner.state, owner.born, owner.finished) == (OwnerState.ENDED, T, T + 9)


def test_the_first_list_is_the_first() -> None:
    known = Owners().listed([pod("a", running=T)], T + 10)
    again = known.listed([pod("a", running=T)], T + 90, since=T + 80)
    assert (again.began, again.gap) == (T + 10, Gap(T + 80, T + 90))
    assert again.listed([pod("a", running=T)], T + 95, since=T + 95).gap == Gap(T + 80, T + 90)


def test_how_it_ended_is_said() -> None:
    known = Owners().listed([pod("a", running=T), pod("b", running=T, over=True)], T + 10).lost("a", T + 20)
    told = {owner.pod_uid: (owner.ending, owner.confirmed) for owner in known.owners}
    assert told == {"a": ("its Pod is gone", False), "b": ("its Pod is over", True)}
    (exited, _) = Owners().listed([pod("a", terminated=Span(T, T + 9, "exit 137, Error"))], T + 10).owners
    assert exited.ending == "exit 137, Error"
    (restarted, _) = Owners().listed([pod("a", running=T)], T + 10).saw(pod("a", running=T + 30), T + 31).owners
    assert (restarted.ending, restarted.finished) == ("restarted", T + 30)


def test_whom_to_look_up_for_whom() -> None:
    known = Owners().listed([pod("a", running=T), pod("b", running=T + 100)], T + 110).lost("a", T + 200)
    known = known.lost("b", T + 200)
    assert doubts([session(T + 10, "b")], known, TOLERANCE) == {"b": "containerssh-b"}
    assert doubts([session(T + 10)], known, TOLERANCE) == {"a": "containerssh-a"}
    assert doubts([session(T + 98)], known, TOLERANCE) == {"a": "containerssh-a", "b": "containerssh-b"}
    assert doubts([session(T + 10), session(T + 10, "b")], known, TOLERANCE).keys() == {"a", "b"}
    assert doubts([session(T + 10, "b"), session(T + 10)], known, TOLERANCE).keys() == {"a", "b"}
    assert doubts([session(T + 10), session(T + 98)], confirmed(known, "a"), TOLERANCE).keys() == {"b"}


def test_what_is_counted() -> None:
    policy = Policy(max_age=100.0, force_after=10.0)
    owners = Owners().listed([pod("a", running=T), pod("b", terminated=Span(T, T + 5), leaving=True)], T)
    now = T + 230.0

    def made(name: str, created: float, **more: object) -> Session:
        return Session(name, name, "1", created, "Running", started=created, **more)  # type: ignore[arg-type]

    found = [made("old", T + 30), made("older", T + 10), made("oldest", T, keep=True), made("new", T + 200)]
    counts = survey([(s, judge(s, owners, policy, now)) for s in found], owners, policy, now)
    assert counts.sessions == {SessionState.WAITING: 2, SessionState.EXEMPT: 1, SessionState.OWNED: 1}
    assert counts.orphans == {Reason.OVER_AGE: 2}
    assert counts.longest_due == {Reason.OVER_AGE: 120.0}
    assert counts.oldest == 230.0
    assert counts.owners == {OwnerState.RUNNING: 1, OwnerState.ENDED: 1}
    assert counts.owner_known is True
    just_due = survey([(found[0], judge(found[0], owners, policy, T + 130.5))], owners, policy, T + 130.5)
    assert just_due.longest_due == {Reason.OVER_AGE: 0.5}
    assert survey([], Owners(unknown="x"), policy, now).owner_known is False


def test_the_exempt_are_shown_with_their_owner() -> None:
    owners = Owners().listed([pod("a", running=T)], T)
    verdict = judge(msgspec.structs.replace(session(T + 10), keep=True), owners, Policy(), T + 20)
    assert verdict.action is Action.KEEP
    assert verdict.ownership is not None


def test_stuck_begins_after_a_minute() -> None:
    going = msgspec.structs.replace(session(T), deletion=T + 30)
    verdict = Verdict(Action.KEEP)
    assert session_state(going, verdict, T + 30 + STUCK_AFTER) is SessionState.TERMINATING
    assert session_state(going, verdict, T + 30.1 + STUCK_AFTER) is SessionState.STUCK


def test_what_a_clock_allows_for() -> None:
    # An answer dated 5000 to a request sent at 10.0 and answered at 10.4: the server's time was in between.
    clock = ServerClock().answered(5000.0, 10.0, 10.4)
    assert clock.low == pytest.approx(4989.6)
    assert clock.high == pytest.approx(4991.0)
    assert (clock.at, clock.since, clock.sure) == (10.4, 10.4, False)
    later = clock.answered(5010.0, 20.0, 20.0)
    assert later.low == pytest.approx(4990.0)
    assert later.high == pytest.approx(4991.0)
    assert (later.at, later.since, later.sure) == (20.0, 10.4, True)
    assert later.now(1020.0) == pytest.approx(1020.0 + 4990.0 - DRIFT * 1000.0)
    # Clocks drift apart while nobody asks.
    drifted = clock.answered(5000.0 + 100_000.0 + 5.0, 100_010.0, 100_010.0)
    assert drifted.other is None
    assert drifted.low == pytest.approx(4995.0)
    other = later.answered(9000.0, 30.0, 30.0)
    assert not other.sure
    assert other.other is not None
    assert other.now(30.0) == pytest.approx(later.now(30.0))


def test_of_rules_that_fire_at_once_the_first_gives_the_reason() -> None:
    unstarted = Session("s", "s", "1", T, "Pending")
    verdict = judge(unstarted, Owners(unknown="x"), Policy(max_age=120.0, start_timeout=120.0), T + 120)
    assert (verdict.action, verdict.reason) == (Action.COLLECT, Reason.OVER_AGE)


def test_an_owner_knows_its_container() -> None:
    known = Owners().listed([pod("a", running=T), pod("b"), pod("c", terminated=Span(T, T + 1))], T + 10)
    assert {owner.container for owner in known.owners} == {"containerssh"}
    assert len(known.owners) == 4


def test_the_oldest_of_the_ended_are_forgotten_first() -> None:
    known = Owners().listed([], T)
    for n in range(REMEMBERED + 1):
        known = known.saw(pod(f"p{n}", terminated=Span(T + n, T + n + 1), leaving=True), T + n + 1)
    assert {owner.pod_uid for owner in known.owners} == {f"p{n}" for n in range(1, REMEMBERED + 1)}
