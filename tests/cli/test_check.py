"""The command ``check`` on a simulated cluster."""

from pathlib import Path

import pytest

from tests.cli.ends import ends
from tests.cli.processes import shell

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


def test_check(monkeypatch: Patch, capsys: Capture) -> None:
    end = ends(monkeypatch, capsys, "check", "--sandbox", "--leader-elect")
    assert (end.status, end.err) == (0, "")
    assert end.out.endswith("\n23 checks, nothing to mend\n")
    end = ends(monkeypatch, capsys, "check", "--sandbox", "--owner", "statefulset/a/b")
    assert end.status == 1
    assert "✗ there is no statefulset a/b\n    name ContainerSSH's workload with --owner" in end.out
    assert end.out.endswith("\n16 checks, 1 to mend\n")


def test_a_character_set_without_marks(tmp_path: Path) -> None:
    ran = shell(tmp_path, "ssh-session-gc", "check", "--sandbox", PYTHONIOENCODING="ascii")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("\\u2713 the API server")
