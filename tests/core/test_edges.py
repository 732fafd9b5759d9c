"""The edges of the rules, one comparison each: every one of these was once changed without a test noticing."""

from dataclasses import replace

import msgspec
import pytest

from ssh_session_gc.core.clock import APART, DRIFT, ServerClock
from ssh_session_gc.core.model import Action, OwnerState, Reason, Session, SessionState, Verdict
from ssh_session_gc.core.owners import REMEMBERED, Gap, Owners, Span, confirmed
from ssh_session_gc.core.ownership import needs_full_list, ownership, to_look_up
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from ssh_session_gc.core.survey import STUCK_AFTER, session_state, survey
from tests.core.test_owners import T, pod, session

TOLERANCE = 2.0


def test_an_owner_that_ended_within_the_tolerance_before_the_session_was_its_last() -> None:
    owners = Owners().listed([pod("a", terminated=Span(T - 50, T + 9), terminating=True)], T + 9)
    for created, last in ((T + 10, True), (T + 11, True), (T + 11.5, False)):
        owned = ownership(session(created), owners, TOLERANCE)
        assert (owned.owner is not None) == last
        assert owned.since == created


def test_of_two_that_ended_the_later_one_counts() -> None:
    owners = Owners().listed(
        [
            pod("a", terminated=Span(T, T + 40), terminating=True),
            pod("b", terminated=Span(T, T + 60), terminating=True),
            pod("c", terminated=Span(T, T + 50), terminating=True),
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
    known = Owners().listed([pod("a", terminated=Span(T, T + 100), terminating=True)], T + 100)
    known = msgspec.structs.replace(known, watched_since=T, last_gap=Gap(T + 100, T + 200))
    owned = ownership(session(created), known, TOLERANCE)
    assert (owned.since, owned.exact) == (since, exact)


def test_a_gap_that_was_over_before_the_owner_ended_changes_nothing() -> None:
    known = Owners().listed([pod("a", terminated=Span(T, T + 200), terminating=True)], T + 200)
    known = msgspec.structs.replace(known, watched_since=T, last_gap=Gap(T + 100, T + 200))
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
    ended = pod("a", terminated=Span(T + 11, T + 30), first=True, terminating=True)
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
    assert (owner.earliest_start, owner.started) == (born, started)


def test_an_incarnation_is_no_older_than_its_pod() -> None:
    (owner,) = Owners().listed([pod("a", running=T + 5, clock_ahead=60.0)], T + 10).owners
    assert owner.earliest_start == T


def test_a_container_without_a_start_may_have_run_since_its_pod_was_made() -> None:
    (owner, _) = Owners().listed([pod("a", terminated=Span(None, T + 9))], T + 10).owners
    assert (owner.state, owner.earliest_start, owner.finished) == (OwnerState.ENDED, T, T + 9)


def test_the_first_list_is_the_first() -> None:
    known = Owners().listed([pod("a", running=T)], T + 10)
    again = known.listed([pod("a", running=T)], T + 90, since=T + 80)
    assert (again.watched_since, again.last_gap) == (T + 10, Gap(T + 80, T + 90))
    assert again.listed([pod("a", running=T)], T + 95, since=T + 95).last_gap == Gap(T + 80, T + 90)


def test_how_it_ended_is_said() -> None:
    known = Owners().listed([pod("a", running=T), pod("b", running=T, final=True)], T + 10).lost("a", T + 20)
    told = {owner.pod_uid: (owner.ending, owner.confirmed) for owner in known.owners}
    assert told == {"a": ("its Pod is gone", False), "b": ("its Pod is over", True)}
    (exited, _) = Owners().listed([pod("a", terminated=Span(T, T + 9, "exit 137, Error"))], T + 10).owners
    assert exited.ending == "exit 137, Error"
    (restarted, _) = Owners().listed([pod("a", running=T)], T + 10).saw(pod("a", running=T + 30), T + 31).owners
    assert (restarted.ending, restarted.finished) == ("restarted", T + 30)


def test_whom_to_look_up_for_whom() -> None:
    known = Owners().listed([pod("a", running=T), pod("b", running=T + 100)], T + 110).lost("a", T + 200)
    known = known.lost("b", T + 200)
    assert to_look_up([session(T + 10, "b")], known, TOLERANCE) == {"b": "containerssh-b"}
    assert to_look_up([session(T + 10)], known, TOLERANCE) == {"a": "containerssh-a"}
    assert to_look_up([session(T + 98)], known, TOLERANCE) == {"a": "containerssh-a", "b": "containerssh-b"}
    assert to_look_up([session(T + 10), session(T + 10, "b")], known, TOLERANCE).keys() == {"a", "b"}
    assert to_look_up([session(T + 10, "b"), session(T + 10)], known, TOLERANCE).keys() == {"a", "b"}
    assert to_look_up([session(T + 10), session(T + 98)], confirmed(known, "a", T + 100), TOLERANCE).keys() == {"b"}


def test_what_is_counted() -> None:
    policy = Policy(max_age=100.0, force_after=10.0)
    owners = Owners().listed([pod("a", running=T), pod("b", terminated=Span(T, T + 5), terminating=True)], T)
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
    nothing = survey([], Owners(unknown="x"), policy, now)
    assert (nothing.owner_known, nothing.oldest) == (False, 0.0)


def test_the_exempt_are_shown_with_their_owner() -> None:
    owners = Owners().listed([pod("a", running=T)], T)
    verdict = judge(msgspec.structs.replace(session(T + 10), keep=True), owners, Policy(), T + 20)
    assert verdict.action is Action.KEEP
    assert verdict.ownership is not None


def test_those_that_nothing_will_end_are_shown_with_their_owner() -> None:
    owners = Owners().listed([pod("a", running=T)], T)
    started = msgspec.structs.replace(session(T + 10), started=T + 11)
    deleted = msgspec.structs.replace(started, deletion=T + 40)
    never = Policy(max_age=0.0)
    for it, policy in ((started, never), (deleted, Policy()), (deleted, Policy(max_age=0.0, force_after=9.0))):
        verdict = judge(it, owners, policy, T + 20)
        assert (verdict.action, verdict.reason, verdict.due, verdict.force) == (Action.KEEP, None, None, False)
        assert verdict.ownership == ownership(it, owners, TOLERANCE)


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
        known = known.saw(pod(f"p{n}", terminated=Span(T + n, T + n + 1), terminating=True), T + n + 1)
    assert {owner.pod_uid for owner in known.owners} == {f"p{n}" for n in range(1, REMEMBERED + 1)}


def test_what_changes_nothing_is_the_same_value() -> None:
    known = Owners().listed([pod("a", running=T), pod("b", running=T)], T + 10)
    assert known.saw(pod("a", running=T), T + 20) is known


def test_of_many_that_ended_the_oldest_end_is_forgotten_whenever_it_was_seen() -> None:
    known = Owners().listed([], T)
    for n in reversed(range(REMEMBERED + 1)):
        known = known.saw(pod(f"p{n}", terminated=Span(T + n, T + n + 1), terminating=True), T + 1000)
    assert {owner.pod_uid for owner in known.owners} == {f"p{n}" for n in range(1, REMEMBERED + 1)}


def test_who_is_told_of_no_more_has_not_ended_when_an_older_one_began() -> None:
    # A status that is older than what was seen before.
    known = Owners().listed([pod("a", running=T + 30)], T + 31).saw(pod("a", running=T + 5), T + 60)
    assert [(owner.started, owner.finished) for owner in known.owners] == [(T + 5, None), (T + 30, T + 60)]


def test_a_stamped_session_lost_its_maker_when_that_one_ended_and_not_when_the_next_one_began() -> None:
    known = Owners().listed([pod("a", running=T + 103, last=Span(T, T + 90))], T + 104)
    assert ownership(session(T + 10, "a"), known, TOLERANCE).since == T + 90


def test_nobody_is_looked_up_whose_end_was_seen() -> None:
    known = Owners().listed([pod("a", terminated=Span(T, T + 50), terminating=True)], T + 60)
    assert to_look_up([session(T + 10, "a"), session(T + 10)], known, TOLERANCE) == {}


def test_one_session_that_cannot_be_placed_is_enough_to_look_at_every_pod() -> None:
    known = Owners().listed([pod("a", running=T)], T + 5)
    placed, unknown = session(T + 10), session(T - 10)
    assert needs_full_list([placed, unknown], known, TOLERANCE)
    assert not needs_full_list([placed], known, TOLERANCE)
    assert not needs_full_list([], known, TOLERANCE)


def test_the_longest_due_counts_in_whatever_order_they_come() -> None:
    policy, owners, now = Policy(max_age=100.0), Owners(unknown="x"), T + 230
    found = [Session(name, name, "1", T + created, "Running", started=T) for name, created in (("a", 10), ("b", 30))]
    for order in (found, found[::-1]):
        counts = survey([(s, judge(s, owners, policy, now)) for s in order], owners, policy, now)
        assert counts.longest_due == {Reason.OVER_AGE: 120.0}


def test_two_answers_that_leave_a_single_instant_agree() -> None:
    clock = ServerClock().answered(5000.0, 10.0, 10.0)
    both = clock.answered(4999.0, 10.0, 10.0)
    assert (both.low, both.high, both.other) == (4990.0, 4990.0, None)


def test_servers_whose_clocks_are_half_a_second_apart_pass_for_one() -> None:
    clock = ServerClock().answered(5000.0, 10.0, 10.0)  # 4990 to 4991
    for date, apart in ((4999.0 - APART, True), (4999.0 - APART - 0.1, False)):
        behind = clock.answered(date, 10.0, 10.0)
        assert (behind.other is None) is apart
        assert clock.agrees(ServerClock().answered(date, 10.0, 10.0)) is apart
    # The one that is behind is taken, and as exactly as it can be told.
    behind = clock.answered(4999.0 - APART / 2, 10.0, 10.0)
    assert (behind.low, behind.high) == (4990.0 - APART, 4990.0 - APART / 2)
    ahead = ServerClock(4990.0, 4990.1, 10.0, 10.0).answered(5000.3, 10.0, 10.0)
    assert (ahead.low, ahead.high) == (4990.0, 4990.1)
    # A hundred seconds later both may have drifted, and it goes on from there.
    later = ServerClock(4990.0, 4990.1, 10.0, 10.0).answered(5100.3, 110.0, 110.0)
    assert (later.low, later.high) == pytest.approx((4990.0 - 100 * DRIFT, 4990.1 + 100 * DRIFT))
    assert (later.at, later.since) == (110.0, 10.0)


def test_a_clock_is_given_as_much_drift_as_time_has_passed() -> None:
    clock = ServerClock().answered(5000.0, 10.0, 10.0)
    assert clock.now(10.0) == 4990.0 + 10.0
    assert clock.answered(5000.0, 10.5, 10.5).low == pytest.approx(4990.0 - DRIFT / 2, abs=1e-7)
    for later, apart in ((0.5, DRIFT / 2), (100.0, DRIFT * 100)):
        for edge in (-1.0 - APART, 1.0 + APART):
            other = replace(clock, low=clock.low + edge, high=clock.high + edge, at=clock.at + later)
            for much, agrees in ((0.9, True), (1.1, False)):
                more = (apart if edge > 0 else -apart) * much
                assert clock.agrees(replace(other, low=other.low + more, high=other.high + more)) is agrees


def test_a_jump_is_believed_where_each_answer_agrees_with_the_one_before() -> None:
    clock = ServerClock().answered(5000.0, 10.0, 10.0)
    for date, local in ((9000.0, 11.0), (9003.0, 13.1), (9007.0, 16.2)):
        clock = clock.answered(date, local, local)
    assert clock.other is None
    assert clock.now(16.2) == 9007.0


def test_who_was_looked_up_and_is_gone_may_have_lived_until_then() -> None:
    known = Owners().listed([pod("a", running=T), pod("b", running=T)], T + 10).lost("a", T + 20).lost("b", T + 20)
    once = confirmed(known, "a", T + 100)
    assert {o.pod_uid: (o.finished, o.confirmed) for o in once.owners} == {
        "a": (T + 100, True),
        "b": (T + 20, False),
    }
    # Once it is known, it stays so.
    assert confirmed(once, "a", T + 900) == once


@pytest.mark.parametrize(
    ("created", "stamp", "unsure"),
    [
        (T + 7, "", True),  # within the tolerance of the first list
        (T + 7.5, "", False),
        (T + 97.5, "", False),
        (T + 98, "", True),  # within the tolerance of the gap
        (T + 500, "", True),
        (T + 98, "a", False),
        (T + 3, "unseen", True),
    ],
)
def test_somebody_unseen_may_own_it_whoever_else_may(created: float, stamp: str, unsure: bool) -> None:
    known = Owners().listed([pod("a", running=T)], T + 5).listed([pod("a", running=T)], T + 110, since=T + 100)
    assert needs_full_list([session(created, stamp)], known, TOLERANCE) is unsure


def test_who_is_about_to_start_again_did_not_make_what_is_older_though_its_pod_did() -> None:
    known = (
        Owners().listed([pod("a", running=T, first=True)], T + 10).saw(pod("a", terminated=Span(T, T + 90)), T + 91)
    )
    assert ownership(session(T + 50, "a"), known, TOLERANCE).since == T + 90


def test_a_clock_is_sure_after_five_seconds() -> None:
    clock = ServerClock().answered(5000.0, 10.0, 10.0)
    assert not clock.answered(5004.0, 14.9, 14.9).sure
    assert clock.answered(5005.0, 15.0, 15.0).sure
