"""The API server's clock, told from whole seconds, and when it is certain."""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.clock import (
    APART,
    CONFIRMED_AFTER,
    CONFIRMED_AT_MOST,
    DRIFT,
    REMEMBERED,
    ServerClock,
    Window,
)


class Answer(NamedTuple):
    """One answer, as the clock takes it in."""

    date: float
    sent: float
    received: float


def told(offset: float, sent: float, there: float = 0.0, back: float = 0.0) -> Answer:
    """The answer of a server whose clock is so far ahead of ours."""
    return Answer(float(math.floor(sent + there + offset)), sent, sent + there + back)


def heard(answers: Iterable[Answer], clock: ServerClock | None = None) -> ServerClock:
    """The clock after these answers."""
    clock = clock or ServerClock()
    for answer in answers:
        clock = clock.answered(*answer)
    return clock


def every(seconds: float, offset: float, begin: float, end: float) -> list[Answer]:
    """Answers of one server, at once, from ``begin`` up to ``end``."""
    return [told(offset, begin + n * seconds) for n in range(int((end - begin) / seconds) + 1)]


def disagree(one: Answer, other: Answer) -> bool:
    """Whether no two clocks can have given these answers that are ``APART`` apart at most; ``one`` is the earlier."""
    slack = DRIFT * (other.received - one.received) + 1e-6
    lows = one.date - one.received - slack, other.date - other.received
    highs = one.date + 1.0 - one.sent + slack, other.date + 1.0 - other.sent
    return max(lows) - min(highs) > APART + slack


# What one server's answers tell


@given(
    st.floats(-1e6, 1e6),
    st.lists(st.tuples(st.floats(0, 600), st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=30),
)
def test_the_clock_is_never_ahead_of_the_server_and_at_most_a_second_and_a_round_trip_behind(
    offset: float, answers: list[tuple[float, float, float]]
) -> None:
    clock, local, begun = ServerClock(), 1000.0, 0.0
    best = 1e9
    for pause, there, back in answers:
        local += pause
        answer = told(offset, local, there, back)
        local = answer.received
        begun = begun or local
        clock = clock.answered(*answer)
        best = min(best + DRIFT * pause, 1.0 + back)
        truth = local + offset
        assert clock.now(local) <= truth + 1e-6
        assert clock.now(local) >= truth - best - 2 * DRIFT * 620 - 1e-6
        assert clock.high >= offset - 1e-6
        # It agrees with itself, and is certain once its answers go back far enough.
        assert clock.sure is (answer.sent - begun >= CONFIRMED_AFTER)


def test_answers_in_other_fractions_of_the_second_narrow_it_down() -> None:
    clock = heard(told(5000.0, 100.0 + tenth / 10) for tenth in range(11))
    assert clock.now(200.0) == pytest.approx(5200.0, abs=0.12)


def test_without_an_answer_there_is_no_time() -> None:
    assert not ServerClock().known
    with pytest.raises(ValueError, match=r"^no answer of the API server has been seen yet$"):
        ServerClock().now(1.0)


def test_what_a_clock_allows_for() -> None:
    # An answer dated 5000 to a request sent at 10.0 and answered at 10.4: the server's time was in between.
    clock = ServerClock().answered(5000.0, 10.0, 10.4)
    assert (clock.low, clock.high) == pytest.approx((4989.6, 4991.0))
    assert (clock.known, clock.sure, clock.at) == (True, False, 10.4)
    later = clock.answered(5010.0, 20.0, 20.0)
    assert (later.low, later.high) == pytest.approx((4990.0, 4991.0))
    assert (later.sure, later.at) == (True, 20.0)
    assert later.now(1020.0) == pytest.approx(1020.0 + 4990.0 - DRIFT * 1000.0)
    # Clocks drift apart while nobody asks.
    drifted = clock.answered(5000.0 + 100_000.0 + 5.0, 100_010.0, 100_010.0)
    assert not drifted.disputed
    assert drifted.low == pytest.approx(4995.0)
    other = later.answered(9000.0, 30.0, 30.0)
    assert not other.sure
    assert other.now(30.0) == pytest.approx(later.now(30.0))


def test_two_answers_that_leave_a_single_instant_agree() -> None:
    both = ServerClock().answered(5000.0, 10.0, 10.0).answered(4999.0, 10.0, 10.0)
    assert (both.low, both.high, both.disputed) == (4990.0, 4990.0, False)


def test_a_clock_is_given_as_much_drift_as_time_has_passed() -> None:
    clock = ServerClock().answered(5000.0, 10.0, 10.0)
    assert clock.now(10.0) == 5000.0
    assert clock.answered(5000.0, 10.5, 10.5).low == pytest.approx(4990.0 - DRIFT / 2, abs=1e-7)
    for edge, sign in ((-1.0 - APART, -1), (1.0 + APART, 1)):
        for much, disputed in ((0.9, False), (1.1, True)):
            later = clock.answered(5100.0 + edge + sign * much * DRIFT * 100, 110.0, 110.0)
            assert later.disputed is disputed


# Several servers


@given(
    st.lists(st.floats(0, APART), min_size=1, max_size=3),
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 2), st.floats(0, 2), st.integers(0, 2)), max_size=30),
)
def test_several_servers_with_nearly_the_same_time_pass_for_one(
    clocks: list[float], answers: list[tuple[float, float, float, int]]
) -> None:
    clock, local = ServerClock(), 1000.0
    for pause, there, back, who in answers:
        answer = told(clocks[who % len(clocks)], local + pause, there, back)
        local = answer.received
        clock = clock.answered(*answer)
        assert not clock.disputed
        assert clock.low <= clock.high
        assert local + min(clocks) - 1.0 - back - APART - 1e-6 <= clock.now(local) <= local + max(clocks) + 1e-6


def test_servers_whose_clocks_are_half_a_second_apart_pass_for_one() -> None:
    clock = ServerClock().answered(5000.0, 10.0, 10.0)  # 4990 to 4991
    for date, disputed in ((4999.0 - APART, False), (4999.0 - APART - 0.1, True)):
        assert clock.answered(date, 10.0, 10.0).disputed is disputed
    # The one that is behind is taken, and as exactly as it can be told.
    behind = clock.answered(4999.0 - APART / 2, 10.0, 10.0)
    assert (behind.low, behind.high) == (4990.0 - APART, 4990.0 - APART / 2)
    window = Window(4990.0, 4990.1, 4990.0, 10.0, 10.0, 10.0)
    ahead = ServerClock(4990.0, 4990.1, 10.0, window).answered(5000.3, 10.0, 10.0)
    assert (ahead.low, ahead.high) == (4990.0, 4990.1)
    # A hundred seconds later both may have drifted, and it goes on from there.
    later = ServerClock(4990.0, 4990.1, 10.0, window).answered(5100.3, 110.0, 110.0)
    assert (later.low, later.high) == pytest.approx((4990.0 - 100 * DRIFT, 4990.1 + 100 * DRIFT))
    assert (later.at, later.sure) == (110.0, True)


def test_each_answer_must_agree_with_every_other_one() -> None:
    # Each is 0.4 s behind the one before, which would pass; the third is 0.8 s behind the first.
    window = Window(0.0, 0.01, 0.0, 10.0, 10.0, 10.0)
    second = window.joined(Window(-0.4, -0.39, -0.4, 11.0, 11.0, 11.0))
    assert second is not None
    third = Window(-0.8, -0.79, -0.8, 12.0, 12.0, 12.0)
    assert Window(-0.4, -0.39, -0.4, 11.0, 11.0, 11.0).joined(third) is not None
    assert second.joined(third) is None


SERVERS = st.lists(
    st.one_of(st.floats(-0.01, 0.01), st.floats(-3.0, 3.0), st.sampled_from([3600.0, -3600.0, 86400.0])),
    min_size=1,
    max_size=3,
)
"""How far the clocks of the servers behind one address are ahead: by milliseconds, seconds and hours."""
BALANCED = st.one_of(
    # Whoever the balancer chooses for each answer; and one that stays with a connection for some time.
    st.lists(st.integers(0, 2), min_size=2, max_size=60),
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 15)), min_size=1, max_size=8).map(
        lambda turns: [who for who, times in turns for _ in range(times)]
    ),
)
"""Which of the servers gives each answer."""
PAUSES = st.floats(0.0, 3.0)


@given(SERVERS, BALANCED, st.data())
def test_while_any_two_answers_of_the_window_disagree_no_clock_is_certain(
    servers: list[float], balanced: list[int], data: st.DataObject
) -> None:
    clock, local, answers = ServerClock(), 1000.0, list[Answer]()
    for who in balanced:
        sent = local + data.draw(PAUSES)
        answers.append(told(servers[who % len(servers)], sent, data.draw(PAUSES), data.draw(PAUSES)))
        local = answers[-1].received
        clock = clock.answered(*answers[-1])
        if clock.sure:
            latest = [each for each in answers if each.received >= answers[-1].sent - CONFIRMED_AFTER]
            assert not any(disagree(*pair) for pair in pairwise(latest))
            assert not any(disagree(one, answers[-1]) for one in latest)
            # What is believed is the clock of one of them, and no later than the one furthest ahead.
            assert any(-1.0 - 6.0 - APART <= clock.low - each <= APART + 1e-6 for each in servers)
        if not clock.confirmed:
            # Nobody is older than by the clock that is most behind of those heard.
            assert clock.low <= min(each.date + 1.0 - each.sent for each in answers) + APART + 1e-6


@given(SERVERS, st.integers(0, 2), BALANCED)
def test_it_comes_back_by_itself_when_the_disagreement_ends(
    servers: list[float], stays: int, balanced: list[int]
) -> None:
    answers = [told(servers[who % len(servers)], 1000.0 + n) for n, who in enumerate(balanced)]
    end = answers[-1].received + 1.0
    offset = servers[stays % len(servers)]
    # However often they disagreed. In other fractions of the second, the answers tell clocks a second apart.
    clock = heard(every(0.7, offset, end, end + CONFIRMED_AT_MOST + 3.0), heard(answers))
    assert clock.sure
    assert -APART - 0.2 <= clock.low - offset <= APART + 0.2


@given(st.lists(st.floats(0.0, APART), min_size=1, max_size=3), BALANCED)
def test_no_server_that_passes_for_the_same_is_later_than_the_latest(
    servers: list[float], balanced: list[int]
) -> None:
    answers = [told(servers[who % len(servers)], 1000.0 + n) for n, who in enumerate(balanced)]
    clock = heard(answers)
    local = answers[-1].received
    assert clock.now(local) <= local + max(servers)
    assert clock.latest(local) >= local + max(servers)
    assert ServerClock().latest(local) == math.inf


@pytest.mark.parametrize("order", [(3600.0, 0.0, 0.0), (0.0, 3600.0, 0.0), (0.0, 0.0, 3600.0)])
@pytest.mark.parametrize("pause", [0.1, 1.0, 7.0, 400.0])
def test_one_of_three_servers_an_hour_ahead_is_never_believed_whoever_answers_first(
    order: tuple[float, ...], pause: float
) -> None:
    clock = ServerClock()
    for n in range(300):
        answer = told(order[n % 3], 1000.0 + n * pause)
        clock = clock.answered(*answer)
        assert clock.now(answer.received) < answer.received + 1.0 or n == 0
        # Two right answers in a row are a window only where they are far apart, and then they are right.
        assert not clock.sure or (pause > CONFIRMED_AFTER and clock.low <= 0.0)


def test_a_wrong_server_that_answers_many_times_in_a_row_by_chance() -> None:
    right, wrong, clock, local = 0.0, 3600.0, ServerClock(), 1000.0
    for turns in (1, 2, 3, 4, 5, 6, 11, 21, 41, 60, 60):
        for offset in (right, *[wrong] * turns):
            local += 1.0
            clock = clock.answered(*told(offset, local))
            assert not clock.sure
    assert clock.low < 1.0
    # Whoever it is, after a minute of nothing else it is believed.
    assert heard(every(1.0, right, local + 1.0, local + 62.0), clock).sure


# A clock that was set


@pytest.mark.parametrize("jump", [4000.0, -4000.0])
def test_a_jump_is_believed_when_all_answers_of_a_window_agree_on_it(jump: float) -> None:
    before = heard(every(1.0, 5000.0, 10.0, 20.0))
    assert before.sure
    once = before.answered(*told(5000.0 + jump, 21.0))
    assert not once.sure
    assert once.now(21.0) == pytest.approx(5021.0, abs=0.01)
    assert once.apart == pytest.approx(jump, abs=0.6)
    short = heard(every(1.0, 5000.0 + jump, 22.0, 25.9), once)
    assert not short.sure
    assert short.now(25.9) == pytest.approx(5025.9, abs=0.01)
    whole = short.answered(*told(5000.0 + jump, 26.0))
    assert whole.sure
    assert whole.now(26.0) == pytest.approx(5026.0 + jump, abs=0.01)
    assert whole.high < 5001.1 + jump
    # Who said so at last, and for how long before, is all the same to the next one.
    back = heard(every(1.0, 5000.0, 27.0, 36.0), whole)
    assert not back.sure
    assert heard(every(1.0, 5000.0, 37.0, 37.0), back).sure


def test_a_single_answer_against_it_begins_the_window_anew() -> None:
    # The third disagreement: 5 s, then 10 s, then 20 s.
    begun = heard([*every(1.0, 0.0, 10.0, 20.0), *every(1.0, 3600.0, 21.0, 25.0)])
    doubted = begun.answered(*told(0.0, 25.5))
    short = heard(every(1.0, 3600.0, 26.0, 45.9), doubted)
    assert not short.sure
    assert short.now(46.0) == pytest.approx(46.0, abs=0.01)
    whole = short.answered(*told(3600.0, 46.0))
    assert whole.sure
    assert whole.now(46.0) == pytest.approx(3646.0, abs=0.01)


def test_a_wrong_answer_leaves_what_was_known_as_exact_as_it_was() -> None:
    exact = heard(every(0.1, 5000.05, 10.0, 20.0))
    after = heard([told(9000.0, 21.0), *every(1.0, 5000.05, 22.0, 32.0)], exact)
    assert after.sure
    assert after.low == pytest.approx(exact.low, abs=0.01)
    assert after.high == pytest.approx(exact.high, abs=0.01)


def test_it_takes_twice_as_long_each_time_until_that_is_forgotten() -> None:
    clock, local = heard(every(1.0, 0.0, 0.0, 10.0)), 10.0
    for needed in (CONFIRMED_AFTER, 10.0, 20.0, 40.0, CONFIRMED_AT_MOST, CONFIRMED_AT_MOST):
        clock = clock.answered(*told(100.0 if clock.low < 50.0 else 0.0, local + 1.0))
        assert clock.needed == needed
        offset = 100.0 if clock.apart > 0.0 else 0.0
        assert not heard(every(1.0, offset, local + 2.0, local + needed), clock).sure
        clock = heard(every(1.0, offset, local + 2.0, local + needed + 1.0), clock)
        assert clock.sure
        local += needed + 1.0
    for quiet, needed in ((REMEMBERED - 200.0, CONFIRMED_AT_MOST), (REMEMBERED + 1.0, CONFIRMED_AFTER)):
        offset = round(clock.low / 100.0) * 100.0
        clock = heard(every(10.0, offset, local + 1.0, local + quiet + 10.0), clock)
        local = clock.at + 1.0
        assert clock.answered(*told(offset + 100.0, local)).needed == needed


# Answers that are none of a clock that runs


@given(st.lists(st.tuples(st.floats(0.0, 60.0), st.floats(0.0, 30.0)), min_size=2, max_size=40))
def test_a_date_that_stands_still_confirms_nothing(asked: list[tuple[float, float]]) -> None:
    # As from a cache: the same answer to each request, however slow.
    clock, local = ServerClock(), 1000.0
    for pause, slow in asked:
        sent = local + pause
        local = sent + slow
        clock = clock.answered(5000.0, sent, local)
        assert not clock.sure


def test_an_old_date_among_others_holds_everything_up() -> None:
    clock = heard(every(1.0, 0.0, 1000.0, 1010.0))
    for local in range(1011, 1100):
        clock = clock.answered(1005.0 if local % 2 else float(local), float(local), float(local))
        assert clock.sure is (local < 1012 and not clock.disputed)
        assert clock.now(float(local)) <= local + 0.01
    assert heard(every(1.0, 0.0, 1100.0, 1161.0), clock).sure


def test_a_slow_answer_confirms_no_more_than_when_it_was_asked_for() -> None:
    clock = ServerClock().answered(5000.0, 10.0, 10.0)
    assert not clock.answered(5004.0, 14.9, 20.0).sure
    assert clock.answered(5005.0, 15.0, 20.0).sure


# A local clock that stood still


def test_after_a_sleep_all_is_heard_anew() -> None:
    before = heard(every(1.0, 5000.0, 10.0, 20.0))
    woken = before.woken()
    assert (woken.known, woken.sure, woken.high) == (True, False, math.inf)
    assert woken.now(21.0) == pytest.approx(before.now(21.0))
    # It slept for an hour, in which the server's clock went on.
    soon = heard(every(1.0, 8600.0, 21.0, 25.9), woken)
    assert not soon.sure
    assert soon.now(26.0) == pytest.approx(before.now(26.0))
    later = soon.answered(*told(8600.0, 26.0))
    assert later.sure
    assert later.now(26.0) == pytest.approx(8626.0, abs=0.01)
    assert later.high < 8601.1
    # Nothing disagreed, so it takes no longer than the first time.
    assert later.needed == CONFIRMED_AFTER


def test_a_sleep_before_the_first_answer_changes_nothing() -> None:
    assert ServerClock().woken() == ServerClock()
    assert ServerClock().woken().answered(5000.0, 10.0, 10.0).now(10.0) == 5000.0


@given(st.floats(0.0, 1e6), SERVERS, BALANCED)
def test_after_a_sleep_nobody_is_older_than_before_until_a_clock_is_certain(
    slept: float, servers: list[float], balanced: list[int]
) -> None:
    clock = heard(every(1.0, 0.0, 1000.0, 1010.0)).woken()
    for n, who in enumerate(balanced):
        answer = told(slept + servers[who % len(servers)], 1011.0 + n)
        clock = clock.answered(*answer)
        if clock.sure:
            break
        assert clock.now(answer.received) <= answer.received + 1e-6
