"""Bad input to any command: one clear line on stderr, the right exit status, and nothing done."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ssh_session_gc.cli.program import cli
from ssh_session_gc.cli.values import parse_listen
from tests.cli.ends import ends


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hides every kubeconfig and cluster that this machine may have."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("frob",), "No such command 'frob'"),
        (("run", "--nope"), "--nope"),
        (("run", "extra"), "extra"),
        (("run", "--max-age", "1x"), "write it as 90s, 15m, 1h30m or 2d"),
        (("run", "--max-age", "-5s"), "'--max-age'"),
        (("run", "--max-age", "1h\n"), "not a duration"),
        (("run", "--max-ttl", "0"), "more than 0"),
        (("run", "--deletion-grace", "0"), "at least 1s"),
        (("run", "--deletion-grace", "1500ms"), "whole number of seconds"),
        (("run", "--owner", "containerssh"), "kind/namespace/name"),
        (("run", "--owner", "pod/a/b"), "deployment, statefulset, daemonset"),
        (("run", "--owner", "deployment/../secrets"), "lower-case letters"),
        (("run", "--owner", "deployment/a/b/c"), "kind/namespace/name"),
        (("run", "--session-namespace", "a/b"), "lower-case letters"),
        (("run", "--session-selector", " "), "every Pod"),
        (("run", "--owner-selector", "app=x", "--owner", "none"), "exclude each other"),
        (("run", "--dry-run=maybe"), "'none', 'client', 'server'"),
        (("run", "--concurrency", "0"), "not in the range"),
        (("run", "--concurrency", "many"), "integer"),
        (("run", "--max-deletes-per-minute", "-1"), "not in the range"),
        (("run", "--listen", "8080"), "host:port"),
        (("run", "--listen", ":65536"), "host:port"),
        (("run", "--log-level", "loud"), "'debug'"),
    ],
)
def test_bad_usage(
    args: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = ends(monkeypatch, capsys, *args)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err
    assert err.startswith("ssh-session-gc: ")


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("explain", "--sandbox"), 2, "Missing argument 'POD'"),
        (("explain", "--sandbox", "../x"), 2, "'../x' is no name of a Pod: a name has lower-case"),
        (("explain", "--sandbox", "nope"), 1, "there is no Pod nope in namespace ssh-sessions"),
        (("plan", "--sandbox", "--kubeconfig", "x"), 2, "--sandbox and --kubeconfig exclude each other"),
        (("plan", "--sandbox", "--context", "x"), 2, "--sandbox and --context exclude each other"),
        (("plan", "--at", "2026-11-23T03:00:00Z", "--sandbox"), 2, "--at goes with --filename"),
        (("plan", "--at", "yesterday", "-f", "-"), 2, "'yesterday': write it as 2026-11-23T03:10:00Z"),
        (("plan", "-f", "-", "--sandbox"), 2, "--filename and --sandbox exclude each other"),
        (("plan", "-f", "-", "--watch"), 2, "--filename and --watch exclude each other"),
        (("plan", "-f", "-", "--context", "x"), 2, "--filename and --context exclude each other"),
        (("plan", "--sandbox", "--watch", "-o", "name"), 2, "--watch and --output name exclude each other"),
        (("plan", "--sandbox", "--watch", "--exit-code"), 2, "--watch and --exit-code exclude each other"),
        (("plan", "--sandbox", "-o", "xml"), 2, "'table', 'wide', 'json', 'yaml', 'name'"),
        (("plan", "--sandbox", "--reason", "Old"), 2, "'overage'"),
        (("plan",), 1, "no kubeconfig at"),
        (("check", "--kubeconfig", "/nope"), 1, "there is no kubeconfig /nope"),
        (("check", "--sandbox", "--lease-name", "A B"), 2, "lower-case"),
        (("completion", "tcsh"), 2, "'bash', 'zsh', 'fish'"),
    ],
)
def test_bad_input_is_one_line(
    args: tuple[str, ...],
    status: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    end = ends(monkeypatch, capsys, *args)
    assert (end.status, end.out, end.err.count("\n")) == (status, "", 1), end
    assert says in end.err


def test_hostile_arguments_cannot_repaint_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = ends(monkeypatch, capsys, "run", "--owner", "\x1b[2J\u202e" + "x" * 9999)
    assert status == 2
    assert err.rstrip("\n").isprintable()
    assert len(err) < 1100


def test_every_option_has_its_variable_and_the_flag_wins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("run", "plan", "explain", "check"):
        for option in cli.commands[name].params:
            if isinstance(option, click.Argument):
                continue
            assert option.envvar == "SSH_SESSION_GC_" + (option.name or "").upper()
    monkeypatch.setenv("SSH_SESSION_GC_MAX_AGE", "soon")
    assert "'soon'" in ends(monkeypatch, capsys, "run")[2]
    assert "no kubeconfig" in ends(monkeypatch, capsys, "run", "--max-age", "2h")[2]


def test_no_command_shows_what_there_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = ends(monkeypatch, capsys)
    assert status == 2
    assert "Commands:" in err


def test_version_and_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(monkeypatch, capsys, "--version")[:2] == (0, "ssh-session-gc, version 0.1.0\n")
    status, out, _ = ends(monkeypatch, capsys, "run", "--help")
    assert status == 0
    assert "--max-deletes-per-minute" in out


KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: c, cluster: {server: "http://127.0.0.1:%d"}}]
users: [{name: u, user: {token: very-secret}}]
contexts: [{name: here, context: {cluster: c, user: u}}]
"""


@pytest.fixture
def nobody_listens(tmp_path: Path) -> Path:
    """A kubeconfig for a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        path = tmp_path / "kubeconfig"
        path.write_text(KUBECONFIG % probe.getsockname()[1])
        return path


def failing(*args: str) -> str:
    """Runs the daemon, which cannot do its work, in a process of its own; returns the one line that it prints."""
    ran = subprocess.run(
        [sys.executable, "-m", "ssh_session_gc", "run", "--listen", "127.0.0.1:0", "--log-level", "error", *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("KUBE")},
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "very-secret" not in ran.stderr
    return ran.stderr


def test_no_kubeconfig(tmp_path: Path) -> None:
    assert "there is no kubeconfig" in failing("--kubeconfig", str(tmp_path / "nope"))
    assert "not in a Pod: name one with --kubeconfig" in failing()


@pytest.mark.parametrize("text", ["just words", "[1, 2]", "a: [", "\x00", "", "clusters: 7\ncurrent-context: x"])
def test_what_is_no_kubeconfig(text: str, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(text)
    assert "check --kubeconfig" in failing("--kubeconfig", str(tmp_path / "kubeconfig"))


def test_a_context_that_does_not_exist(nobody_listens: Path) -> None:
    assert "--context" in failing("--kubeconfig", str(nobody_listens), "--context", "elsewhere")


def test_a_server_that_is_not_there(nobody_listens: Path) -> None:
    line = failing("--kubeconfig", str(nobody_listens))
    assert "is unreachable" in line
    assert "--kubeconfig" in line


def test_a_port_that_is_taken(nobody_listens: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = failing("--kubeconfig", str(nobody_listens), "--listen", address)
    assert f"cannot listen on {address}" in line
    assert "--listen" in line


def test_listen_addresses() -> None:
    assert parse_listen(":8080") == ("", 8080)
    assert parse_listen("[::1]:0") == ("::1", 0)
    assert parse_listen("localhost:9") == ("localhost", 9)
