"""The log: one line a fact in the form asked for, without anything that a stranger could misuse."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from ssh_session_gc.telemetry.log import LONGEST_VALUE, configure


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    logging.basicConfig(handlers=[], force=True)


EVIL = "\x1b[2Jgone\u202e\n\r\x00" + "x" * 5000


def test_json_is_one_object_a_line_that_begins_with_what_a_reader_looks_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("json", "info")
    structlog.get_logger().info("session_collected", user=EVIL, owner=None, age_seconds=1.5)
    structlog.get_logger().debug("unheard")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    line = json.loads(err)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["event"], line["owner"], line["age_seconds"]) == (
        "info",
        "session_collected",
        None,
        1.5,
    )
    assert line["user"].isprintable()
    assert len(line["user"]) == LONGEST_VALUE


def test_a_terminal_cannot_be_repainted(capsys: pytest.CaptureFixture[str]) -> None:
    configure("console", "debug")
    structlog.get_logger().warning("annotation_unreadable", pod=EVIL)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert "annotation_unreadable" in err


def test_what_is_no_terminal_gets_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure("auto", "info")
    structlog.get_logger().info("started")
    assert json.loads(capsys.readouterr().err)["event"] == "started"


def test_what_our_dependencies_say_comes_out_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "info")
    logging.getLogger("aiohttp.client").warning("unclosed %s", "connection\x1b")
    logging.getLogger("aiohttp.access").info("not for operators")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [("warning", "unclosed connection\\x1b")]


def test_a_bug_of_ours_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "info")
    try:
        raise RuntimeError("ours")
    except RuntimeError:
        structlog.get_logger().critical("crashed", exc_info=True)
    line = json.loads(capsys.readouterr().err)
    assert "RuntimeError: ours" in line["exception"]


def test_a_traceback_on_a_terminal_shows_no_variables_and_no_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    configure("console", "info")

    def send(token: str) -> None:
        headers = {"authorization": f"Bearer {token}"}
        raise ValueError(f"{EVIL} in {len(headers)} headers")

    try:
        send("-".join(("very", "secret")))  # the traceback quotes this line
    except ValueError:
        structlog.get_logger().critical("crashed", exc_info=True)
    err = capsys.readouterr().err
    assert "in send" in err
    assert "very-secret" not in err
    assert "\x1b[2J" not in err
    assert "\u202e" not in err
