"""``python -m ssh_session_gc.sandbox``, as a process of its own."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

COMMAND = (sys.executable, "-m", "ssh_session_gc.sandbox")
CRASH = Path(__file__).parents[1] / "data" / "recordings" / "crash.jsonl"


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """Runs the sandbox on a free port; gives its address. It must end cleanly on SIGTERM."""
    with subprocess.Popen([*COMMAND, "--port=0", *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield next(word for word in process.stdout.readline().split() if word.startswith("http"))
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0


def listed(url: str, path: str) -> list[dict[str, Any]]:
    """The items of a list."""
    with urllib.request.urlopen(url + path, timeout=20) as response:
        items: list[dict[str, Any]] = json.load(response)["items"]
    return items


def test_it_runs_a_cluster_and_writes_a_kubeconfig(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    with serving(f"--kubeconfig={path}", "--stamp") as url:
        assert listed(url, "/api/v1/namespaces")
        assert json.loads(path.read_text())["clusters"][0]["cluster"]["server"] == url


def test_it_lays_containerssh_out_as_it_is_told() -> None:
    with serving("--layout=release", "--sessions=0", "--replicas=1") as url:
        workloads = listed(url, "/apis/apps/v1/namespaces/ssh-gateway/deployments")
    assert [workload["metadata"]["name"] for workload in workloads] == ["blue-ssh-gateway"]


def test_it_serves_a_recording() -> None:
    with serving(f"--recording={CRASH}") as url:
        pods = listed(url, "/api/v1/namespaces/containerssh/pods")
    assert [pod["metadata"]["name"] for pod in pods] == ["containerssh-64549bbb-ck6l8"]


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["--port=http"], 2, "'http' is not a valid integer"),
        (["--tls-cert", str(CRASH)], 2, "go together"),
        (["--tls-cert", str(CRASH), "--tls-key", str(CRASH)], 1, "cannot use the certificate"),
        (["--recording=absent.jsonl"], 2, "does not exist"),
        (["--port=0", f"--recording={__file__}"], 1, "is no recording"),
        (["--port=0", "--kubeconfig=/proc/absent/kubeconfig"], 1, "cannot write /proc/absent/kubeconfig"),
        (["--nonsense"], 2, "No such option"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], status: int, complaint: str) -> None:
    ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == status, ended.stderr
    assert complaint in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
