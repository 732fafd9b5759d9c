"""The help of every command, and the list of all."""

import re

import pytest

from tests.cli.ends import ends

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


def test_help_has_examples_and_groups(monkeypatch: Patch, capsys: Capture) -> None:
    for command in ("run", "plan", "explain", "check"):
        out = ends(monkeypatch, capsys, command, "--help", program="/usr/bin/kubectl-session_gc").out
        assert f"Usage: kubectl session-gc {command}" in out
        assert "\nExamples:\n  # " in out
        assert f"\n  kubectl session-gc {command}" in out
        for heading in ("Cluster", "Sessions and owners", "Rules", "Output"):
            assert f"\n{heading}:\n" in out
        assert "SSH_SESSION_GC_MAX_AGE is --max-age" in out


@pytest.mark.parametrize("columns", ["80", "200"])
def test_the_list_of_commands_has_each_one_s_whole_first_sentence(
    columns: str, monkeypatch: Patch, capsys: Capture
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    commands = ends(monkeypatch, capsys, "--help").out.partition("\nCommands:\n")[2]
    assert "..." not in commands
    listed = dict(each.split(maxsplit=1) for each in re.split(r"\n(?=  \w)", commands))
    assert sorted(listed) == ["check", "completion", "demo", "discover", "explain", "plan", "run"]
    for command, text in listed.items():
        full = ends(monkeypatch, capsys, command, "--help").out.split("\n\n")[1]
        assert text.split() == full.split()


def test_arguments_are_no_options(monkeypatch: Patch, capsys: Capture) -> None:
    usage, _, rest = ends(monkeypatch, capsys, "explain", "--help").out.partition("\n")
    assert usage.endswith("explain [OPTIONS] POD")
    assert "\n  POD" not in rest
