"""What every source says of its stream, and how often."""

import pytest
import structlog

from ssh_session_gc.cluster.source import UNREAD, Source
from ssh_session_gc.kube.servertime import ServerTime
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics, Stream
from tests.builders import T
from tests.harness import tell_time


class Plain(Source):
    """A source with nothing of its own."""

    stream = Stream.SESSIONS


def source() -> Plain:
    """One that was told nothing yet. It is three o'clock."""
    time = ServerTime()
    tell_time(time)
    return Plain(Settings(), Metrics(dry_run=False), time)


async def test_it_has_synced_once_it_was_in_step_whatever_comes_later() -> None:
    plain = source()
    assert (plain.has_synced, plain.out_of_sync) == (False, UNREAD)
    plain.sync("503: come again")
    assert (plain.has_synced, plain.out_of_sync) == (False, "503: come again")
    plain.sync(None)
    plain.sync("410: too old")
    assert (plain.has_synced, plain.out_of_sync) == (True, "410: too old")


async def test_each_cause_is_said_once_until_all_is_well() -> None:
    plain = source()
    with structlog.testing.capture_logs() as log:
        for cause in ("broken", "broken", "forbidden", "forbidden"):
            plain.restarted(cause, f"{cause} it is")
        plain.sync("forbidden it is")
        plain.sync(None)
        plain.sync(None)
        plain.restarted("broken", "once more")
    said = [(line["event"], line.get("cause")) for line in log]
    assert said == [
        ("stream_interrupted", "broken"),
        ("stream_interrupted", "forbidden"),
        ("stream_restored", None),
        ("stream_interrupted", "broken"),
    ]
    assert log[1]["hint"] == "grant get, list and watch on it in that namespace, by a Role"


async def test_the_ordinary_end_of_a_watch_is_no_trouble() -> None:
    plain = source()
    with structlog.testing.capture_logs() as log:
        plain.restarted("closed", "")
        plain.sync(None)
    assert [(line["event"], line["log_level"]) for line in log] == [("watch_ended", "debug")]


async def test_news_are_dated_by_the_api_server_and_move_with_its_clock() -> None:
    plain = source()
    plain.clock_moved(100.0)
    assert plain.last_news is None
    plain.arrived()
    assert plain.last_news is not None
    assert T <= plain.last_news < T + 60
    before = plain.last_news
    plain.clock_moved(100.0)
    assert plain.last_news == pytest.approx(before + 100)
