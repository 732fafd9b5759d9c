"""The API server's clock, told from whole seconds."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.clock import APART, DRIFT, ServerClock


@given(
    st.floats(-1e6, 1e6),
    st.lists(st.tuples(st.floats(0, 600), st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=30),
)
def test_the_clock_is_never_ahead_of_the_server_and_at_most_a_second_and_a_round_trip_behind(
    offset: float, answers: list[tuple[float, float, float]]
) -> None:
    clock, local = ServerClock(), 1000.0
    best = 1e9
    for pause, there, back in answers:
        local += pause
        sent, local = local, local + there + back
        server = sent + there + offset  # true server time when it wrote the header
        clock = clock.answered(float(int(server // 1)), sent, local)
        best = min(best + DRIFT * pause, 1.0 + back)
        truth = local + offset
        assert clock.now(local) <= truth + 1e-6
        assert clock.now(local) >= truth - best - 2 * DRIFT * 620 - 1e-6


@given(
    st.lists(st.floats(0, APART), min_size=1, max_size=3),
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 2), st.floats(0, 2), st.integers(0, 2)), max_size=30),
)
def test_several_servers_with_nearly_the_same_time_pass_for_one(
    clocks: list[float], answers: list[tuple[float, float, float, int]]
) -> None:
    clock, local = ServerClock(), 1000.0
    for pause, there, back, who in answers:
        local += pause
        sent, local = local, local + there + back
        server = sent + there + clocks[who % len(clocks)]
        clock = clock.answered(float(int(server // 1)), sent, local)
        assert clock.other is None
        assert clock.low <= clock.high
        assert local + min(clocks) - 1.0 - back - APART - 1e-6 <= clock.now(local) <= local + max(clocks) + 1e-6


def test_answers_in_other_fractions_of_the_second_narrow_it_down() -> None:
    clock = ServerClock()
    for tenth in range(11):
        local = 100.0 + tenth / 10
        clock = clock.answered(float(int(local)) + 5000, local, local)
    assert clock.now(200.0) == pytest.approx(5200.0, abs=0.12)


@pytest.mark.parametrize("jump", [4000.0, -4000.0])
def test_a_jump_is_believed_when_it_lasts(jump: float) -> None:
    before = ServerClock().answered(5000.0, 10.0, 10.1)
    once = before.answered(5000.0 + jump, 11.0, 11.1)
    assert once.now(11.1) == pytest.approx(5001.0, abs=0.2)
    # Nobody else says so.
    assert once.answered(5002.0, 12.0, 12.1).answered(5006.0 + jump, 17.0, 17.1).now(17.1) == pytest.approx(
        5007.0, abs=0.2
    )
    # Somebody says something else again.
    assert once.answered(20_000.0, 17.0, 17.1).now(17.1) == pytest.approx(5007.0, abs=0.2)
    # Everybody says so, but only for a moment; and then for long enough.
    twice = once.answered(5003.0 + jump, 14.0, 14.1)
    assert twice.now(14.1) == pytest.approx(5004.0, abs=0.2)
    assert twice.answered(5006.0 + jump, 17.0, 17.1).now(17.1) == pytest.approx(5006.0 + jump, abs=0.2)


def test_without_an_answer_there_is_no_time() -> None:
    with pytest.raises(ValueError, match=r"^no answer of the API server has been seen yet$"):
        ServerClock().now(1.0)


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


def test_a_clock_is_sure_after_five_seconds() -> None:
    clock = ServerClock().answered(5000.0, 10.0, 10.0)
    assert not clock.answered(5004.0, 14.9, 14.9).sure
    assert clock.answered(5005.0, 15.0, 15.0).sure
