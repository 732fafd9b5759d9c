"""Durations, instants, texts and the server's clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.clock import APART, DRIFT, ServerClock
from ssh_session_gc.core.text import counted, printable
from ssh_session_gc.core.times import format_clock, format_duration, format_instant, format_micro, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), (".5s", 0.5), ("1m1s", 61), ("300ms", 0.3),
        ("1us", 1e-6), ("1µs", 1e-6), ("1μs", 1e-6), ("5ns", 5e-9), ("2h45m30.5s", 9930.5), ("24h", 86400),
        ("1.h.5m", 3630),
        ("1h" * 32, 115_200), ("9223372036.854775807s", 9_223_372_036.854776),
    ],
)  # fmt: skip
def test_go_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "1", "1x", "-1s", "+1s", "1 h", "1d", "h", "1h ", ".s", "1e3s", "infs", "nan", "٣s",
     "9999999999h", "9223372037s", "0" + "1h" * 32, "1h" * 40, "1s\n"],
)  # fmt: skip
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a duration: write it as 90s, 15m or 1h30m$"):
        parse_duration(text)


@given(st.integers(0, 10**9))
def test_a_formatted_duration_reads_the_same(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-3)


def test_durations_for_people() -> None:
    assert [format_duration(s) for s in (0, 45, 90, 3600, 5430, 0.5, -60, 0.0004, 1.2345)] == [
        "0s", "45s", "1m30s", "1h", "1h30m30s", "0.5s", "-1m", "0s", "1.234s",
    ]  # fmt: skip


def test_instants_for_people() -> None:
    at = 1_795_403_367.9
    assert format_instant(at) == "2026-11-23T03:09:27Z"
    assert format_clock(at, at + 60) == "03:09:27Z"
    assert format_clock(at, at + 86400) == "2026-11-23T03:09:27Z"
    assert format_instant(-1e18) == "0001-01-01T00:00:00Z"
    assert format_instant(1e18) == "9999-12-31T23:59:59Z"
    assert format_micro(-1e18) == "0001-01-01T00:00:00.000000Z"


@given(st.text(), st.integers(1, 200))
def test_printable_is_short_and_cannot_repaint_a_terminal(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    shown.encode("utf-8")  # no lone surrogate: it can be written anywhere


def test_printable_leaves_good_text_alone() -> None:
    assert printable("Zoë|名前.שלום") == "Zoë|名前.שלום"
    assert printable("a\x1b[2Jb\u202ec\n") == "a\\x1b[2Jb\\u202ec\\n"
    assert printable("Zoë\x07") == "Zoë\\x07"
    assert printable("x" * 200) == "x" * 127 + "…"
    assert printable("x" * 128) == "x" * 128
    assert [printable("\nxx", limit) for limit in (3, 4)] == ["\\n…", "\\nxx"]


def test_so_many_of_something() -> None:
    assert [counted(n, "session") for n in (0, 1, 2, 12_345)] == [
        "0 sessions", "1 session", "2 sessions", "12,345 sessions",
    ]  # fmt: skip


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
