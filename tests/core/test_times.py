"""Durations, instants and ages, as Go and kubectl write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.times import (
    format_age,
    format_clock,
    format_duration,
    format_instant,
    format_micro,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), (".5s", 0.5), ("1m1s", 61), ("300ms", 0.3),
        ("1us", 1e-6), ("1µs", 1e-6), ("1μs", 1e-6), ("5ns", 5e-9), ("2h45m30.5s", 9930.5), ("24h", 86400),
        ("1.h.5m", 3630),
        ("1h" * 32, 115_200), ("9223372036.854775807s", 9_223_372_036.854776),
        ("2d", 172_800), ("1w", 604_800), ("1d12h", 129_600), ("1.5d", 129_600),
    ],
)  # fmt: skip
def test_go_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "1", "1x", "-1s", "+1s", "1 h", "1y", "d", "h", "1h ", ".s", "1e3s", "infs", "nan", "٣s",
     "9999999999h", "9223372037s", "0" + "1h" * 32, "1h" * 40, "1s\n"],
)  # fmt: skip
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a duration: write it as 90s, 15m, 1h30m or 2d$"):
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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9, "0s"),
        (119, "119s"),
        (120, "2m"),
        (310, "5m10s"),
        (600, "10m"),
        (5400, "90m"),
        (10_800, "3h"),
        (12_000, "3h20m"),
        (28_800, "8h"),
        (172_800, "2d"),
        (187_200, "2d4h"),
        (691_200, "8d"),
        (63_072_000, "2y"),
        (5430, "90m"),
        (-61, "-61s"),
        (-5400, "-90m"),
    ],
)
def test_ages_are_kubectls(seconds: float, text: str) -> None:
    assert format_age(seconds) == text
