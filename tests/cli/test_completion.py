"""Completion in bash, zsh and fish, and through kubectl."""

from pathlib import Path

import pytest

from tests.cli.ends import ends
from tests.cli.processes import shell

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


def test_bash_completes(tmp_path: Path) -> None:
    script = shell(tmp_path, "ssh-session-gc", "completion", "bash").stdout
    words = "COMP_WORDS=(ssh-session-gc plan --exit); COMP_CWORD=2; _ssh_session_gc_completion ssh-session-gc"
    ask = f'{words}; echo "$COMPREPLY"'
    assert shell(tmp_path, "bash", "-c", script + ask).stdout == "--exit-code\n"


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_other_shells_have_a_script(name: str, monkeypatch: Patch, capsys: Capture) -> None:
    assert "_SSH_SESSION_GC_COMPLETE" in ends(monkeypatch, capsys, "completion", name).out


def test_kubectl_finds_and_completes_the_plugin(tmp_path: Path) -> None:
    version = shell(tmp_path, "kubectl", "session-gc", "--version")
    assert version.stdout.startswith("ssh-session-gc, version ")
    assert shell(tmp_path, "kubectl", "session-gc", "plan", "--sandbox", "-o", "name").stdout.count("pod/") == 4
    options = shell(tmp_path, "kubectl", "__complete", "session-gc", "plan", "--exit").stdout
    assert options.startswith("--exit-code\t")
    assert ":4\n" in options
    pods = shell(tmp_path, "kubectl", "__complete", "session-gc", "explain", "--sandbox", "containerssh-2").stdout
    assert pods.startswith("containerssh-2p46c\tbob\n")
    nothing = shell(tmp_path, "kubectl", "__complete", "session-gc", "explain", "--kubeconfig", "/nope", "")
    assert nothing.stdout.splitlines()[0] == ":4"
