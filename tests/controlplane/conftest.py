"""A real etcd and a real kube-apiserver, as controller-runtime's envtest has them: no controllers, no nodes.

Without the variable nothing here is collected; with it, whatever is missing fails.
"""

import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests import tools

ASSETS = os.environ.get("KUBEBUILDER_ASSETS", "")
PATIENCE = 90.0
"""Seconds in which a control plane is there, or never will be."""
ADMIN = "the-administrator"

collect_ignore_glob = [] if ASSETS else ["test_*.py"]


@dataclass(frozen=True)
class ControlPlane:
    """A control plane that runs."""

    url: str

    def kubectl(self, *args: str, token: str = ADMIN, stdin: str = "", fails: bool = False) -> str:
        """What kubectl prints, on both its outputs. Fails the test where it does not end as it should."""
        command = [
            str(tools.kubectl()),
            f"--server={self.url}",
            f"--token={token}",
            "--insecure-skip-tls-verify",
            *args,
        ]
        env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "KUBECONFIG": "/dev/null"}
        ran = subprocess.run(command, input=stdin, capture_output=True, text=True, env=env, timeout=60)
        assert bool(ran.returncode) == fails, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def helm(self, *args: str, values: str) -> str:
        """What helm prints. Fails the test where it refuses."""
        server = ("--kube-apiserver", self.url, "--kube-token", ADMIN, "--kube-insecure-skip-tls-verify")
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "KUBECONFIG": "/nonexistent"}
        command = [str(tools.helm()), *args, *server, "-f", "-"]
        ran = subprocess.run(command, input=values, capture_output=True, text=True, env=env, timeout=120)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of this module's own."""
    folder = tmp_path_factory.mktemp("control-plane")
    etcd, server = _binary("etcd"), _binary("kube-apiserver")
    client, peer, port = _ports(3)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / "sa.key").write_bytes(pem)
    (folder / "tokens.csv").write_text(f'{ADMIN},admin,admin,"system:masters"\n')
    running = [
        _start(
            folder / "etcd.log",
            *(etcd, f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync"),
            *(
                f"--listen-client-urls=http://127.0.0.1:{client}",
                f"--advertise-client-urls=http://127.0.0.1:{client}",
            ),
            *(
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            ),
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
        ),
        _start(
            folder / "kube-apiserver.log",
            *(server, f"--etcd-servers=http://127.0.0.1:{client}", f"--cert-dir={folder}"),
            *("--bind-address=127.0.0.1", f"--secure-port={port}", "--service-cluster-ip-range=10.0.0.0/24"),
            *("--authorization-mode=RBAC", f"--token-auth-file={folder / 'tokens.csv'}"),
            *("--service-account-issuer=https://kubernetes.default.svc", "--allow-privileged=true"),
            *(
                f"--service-account-key-file={folder / 'sa.key'}",
                f"--service-account-signing-key-file={folder / 'sa.key'}",
            ),
            # Nobody makes the accounts' tokens and nobody runs the Pods.
            "--disable-admission-plugins=ServiceAccount",
        ),
    ]
    try:
        _wait(f"https://127.0.0.1:{port}/readyz", running[1], folder / "kube-apiserver.log")
        yield ControlPlane(f"https://127.0.0.1:{port}")
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(30)


def _binary(name: str) -> Path:
    path = Path(ASSETS) / name
    if not os.access(path, os.X_OK):
        pytest.fail(f"KUBEBUILDER_ASSETS is {ASSETS}, which has no program {name}", pytrace=False)
    return path


def _ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _start(log: Path, *command: str | Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=out)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {ADMIN}"})
    patience = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(request, context=ssl._create_unverified_context()):
                return
        except (urllib.error.URLError, OSError) as error:
            if process.poll() is not None or time.monotonic() > patience:
                tail = "\n".join(log.read_text().splitlines()[-20:])
                pytest.fail(f"kube-apiserver is not ready: {error}\n{tail}", pytrace=False)
        time.sleep(0.5)
