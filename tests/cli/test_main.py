"""The ends of a command that are the same for all of them: mistakes of ours, the plugin's name, a closed pipe."""

import json
from pathlib import Path

import pytest

from ssh_session_gc.cli import plan as plan_command
from tests.cli.ends import ends
from tests.cli.processes import shell

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


def test_a_mistake_of_ours_is_one_line_and_one_for_the_report(monkeypatch: Patch, capsys: Capture) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(plan_command, "make", broken)
    end = ends(monkeypatch, capsys, "plan", "--sandbox", "--log-format", "json")
    assert end.status == 1
    log, line = end.err.splitlines()
    assert json.loads(log)["event"] == "crashed"
    assert "ZeroDivisionError" in json.loads(log)["exception"]
    assert line == "ssh-session-gc: crashed by a bug: on purpose; please report it with the log line above"


def test_errors_of_the_plugin_carry_its_name(monkeypatch: Patch, capsys: Capture) -> None:
    end = ends(monkeypatch, capsys, "plan", "--nope", program="/usr/bin/kubectl-session_gc")
    assert end.err.startswith("kubectl session-gc: ")
    assert "(see kubectl session-gc plan --help)" in end.err


def test_whoever_stops_reading_gets_no_traceback(tmp_path: Path) -> None:
    # The shell waits for the reader's end, and only then is there something to read.
    ran = shell(tmp_path, "bash", "-c", "exec 3> >(:); wait $!; ssh-session-gc plan --sandbox >&3; echo $?")
    assert (ran.stdout, ran.stderr) == ("141\n", "")
