"""ContainerSSH's metrics, and everything that is none of them."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ssh_session_gc.containerssh.gauge import MOST_LINES, parse
from ssh_session_gc.core.gauge import CURRENT, TOTAL, Count

REAL = Path(__file__).parents[1] / "data" / "recordings" / "real"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN = "text/plain; version=0.0.4"


def page(current: str = "", total: str = "") -> str:
    """A page with these samples, each a line after the name of its metric."""

    def samples(name: str, text: str) -> str:
        return "".join(f"{name}{line}\n" for line in text.splitlines())

    return (
        f"# HELP {TOTAL} Number of connections since start\n# UNIT {TOTAL} connections_total\n"
        f"# TYPE {TOTAL} counter\n{samples(TOTAL, total)}# TYPE {CURRENT} gauge\n{samples(CURRENT, current)}"
    )


def plain(text: str) -> Count | None:
    """What a page counts that says of itself that it is text."""
    return parse(text.encode(), PLAIN)


def recorded() -> list[str]:
    """Every page that was recorded of a real one."""
    lines = (line for path in sorted(REAL.glob("*.jsonl")) for line in path.read_text().splitlines())
    entries = (json.loads(line) for line in lines if '"owner-metrics"' in line)
    return [entry["text"] for entry in entries if entry["status"] == 200]


def test_the_real_ones() -> None:
    counts = [plain(f"{text}\n") for text in recorded()]
    assert None not in counts
    assert {count.current for count in counts if count} == {0.0, 1.0, 2.0, 3.0}
    # In full it ends so, and says that it is OpenMetrics.
    assert [parse(f"{text}\n# EOF\n".encode(), OPEN_METRICS) for text in recorded()] == counts


def test_no_sample_is_nobody() -> None:
    assert plain(page()) == Count(0, 0)
    assert plain(page(total='{country="DE"} 2.000000')) == Count(0, 2)


def test_all_countries_together() -> None:
    assert plain(page('{country="DE"} 1\n{country="XX"} 0', '{country="DE"} 2\n{country="XX"} 5')) == Count(1, 7)
    assert plain(page("", "")) == Count(0, 0)


def test_other_metrics_beside_them_are_nothing() -> None:
    others = f'# TYPE {CURRENT}_max gauge\n{CURRENT}_max 7\nnode_load1 3\n{{{{"broken\n'
    assert plain(others + page('{country="XX"} 1', '{country="XX"} 4') + others) == Count(1, 4)


def test_a_country_that_is_no_text_is_one() -> None:
    body = page('{country="XX"} 1', '{country="XX"} 4').encode().replace(b"XX", b"\xff\xfe")
    assert parse(body, PLAIN) == Count(1, 4)


def test_every_country_on_earth_may_have_connected() -> None:
    countries = "\n".join(f'{{country="{n}"}} 1' for n in range(250))
    assert plain(page(countries, countries)) == Count(250, 250)


def test_as_many_lines_as_it_may_have() -> None:
    countries = "\n".join(f'{{country="{n}"}} 1' for n in range(MOST_LINES // 2 - 1))
    assert plain(page(countries, countries)) == Count(MOST_LINES // 2 - 1, MOST_LINES // 2 - 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html><body>302 Found</body></html>\n",
        "# TYPE node_load1 gauge\nnode_load1 0\n",
        f"# TYPE {CURRENT} gauge\n",
        f"# TYPE {TOTAL} counter\n",
        f"{CURRENT} 0\n{TOTAL} 4\n",
        f"# TYPE {CURRENT} counter\n# TYPE {TOTAL} counter\n",
        page('{country="XX"} NaN', '{country="XX"} 4'),
        page('{country="XX"} +Inf', '{country="XX"} 4'),
        page('{country="XX"} 1\n{country="DE"} -1', '{country="XX"} 4'),
        page('{country="XX"} 5', '{country="XX"} 4'),
        page('{country="XX"} zero', '{country="XX"} 4'),
        page('{country="XX" 0', '{country="XX"} 4'),
        page('{country="XX"} 1', '{country="XX"} 4').rstrip("\n"),
        page("\n".join(f'{{country="{n}"}} 0' for n in range(MOST_LINES)), ""),
    ],
)
def test_what_counts_nothing(text: str) -> None:
    assert plain(text) is None


def test_open_metrics_that_do_not_say_where_they_end_are_cut() -> None:
    assert parse(page().encode(), OPEN_METRICS) is None
    assert parse(f"{page()}# EOF\n".encode(), OPEN_METRICS) == Count(0, 0)


@given(st.binary(max_size=400), st.integers(0, 400), st.integers(0, 20))
@example(b"\xff\xfe", 30, 0)
def test_nothing_that_anybody_may_send_does_harm(noise: bytes, at: int, cut: int) -> None:
    body = page('{country="XX"} 1', '{country="XX"} 4').encode()
    count = parse(body[:at] + noise + body[at + cut :], PLAIN)
    assert count is None or 0 <= count.current <= count.total


@given(st.integers(0, 2), st.binary(max_size=3))
def test_no_single_cut_makes_nobody_of_somebody(kind: int, noise: bytes) -> None:
    body = page('{country="XX"} 12', '{country="XX"} 40').encode()
    for at in range(len(body)):
        cut = body[:at] if kind == 0 else body[:at] + noise if kind == 1 else body[:at] + b"\n"
        count = parse(cut, OPEN_METRICS)
        assert count is None
