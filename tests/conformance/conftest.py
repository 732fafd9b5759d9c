"""The servers that this suite runs against: the sandbox always, and a real one where ``KUBEBUILDER_ASSETS`` names it.

The real one is an etcd and a kube-apiserver as controller-runtime's envtest has them: no controllers, no nodes. Where
the variable is set, whatever is missing fails; where it is not, what only a real server can do is not collected.
"""

import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests import tools
from tests.conformance.clusters import ROOT_TOKEN, Cluster, RealCluster, SandboxCluster

ASSETS = os.environ.get("KUBEBUILDER_ASSETS", "")
PATIENCE = 90.0
"""Seconds in which a control plane is there, or never will be."""

collect_ignore = [] if ASSETS else ["test_chart.py"]


@dataclass(frozen=True)
class ControlPlane:
    """A control plane that runs."""

    url: str
    home: Path
    """Where the programs that talk to it may write; somebody's own settings are elsewhere."""
    authority: Path

    def kubectl(self, *args: str, token: str = ROOT_TOKEN, stdin: str = "", fails: bool = False) -> str:
        """What kubectl prints, on both its outputs. Fails the test where it does not end as it should."""
        server = (f"--server={self.url}", f"--token={token}", f"--certificate-authority={self.authority}")
        command = [str(tools.kubectl()), *server, *args]
        ran = subprocess.run(command, input=stdin, capture_output=True, text=True, env=self._env(), timeout=60)
        assert bool(ran.returncode) == fails, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def helm(self, *args: str, values: str) -> str:
        """What helm prints. Fails the test where it refuses."""
        server = ("--kube-apiserver", self.url, "--kube-token", ROOT_TOKEN, "--kube-ca-file", str(self.authority))
        command = [str(tools.helm()), *args, *server, "-f", "-"]
        ran = subprocess.run(command, input=values, capture_output=True, text=True, env=self._env(), timeout=120)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def _env(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "KUBECONFIG": str(self.home / "none")}


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who vouches for the servers."""
    return trustme.CA()


@pytest.fixture(scope="session")
def authority_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authority's own certificate."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(params=["sandbox", *(["control plane"] if ASSETS else [])])
async def cluster(
    request: pytest.FixtureRequest, authority: trustme.CA, authority_file: Path
) -> AsyncIterator[Cluster]:
    """A server with two namespaces of the test's own."""
    if request.param == "sandbox":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        made: Cluster = SandboxCluster(authority_file, context)
    else:
        made = RealCluster(authority_file, request.getfixturevalue("control_plane").url)
    async with made.ready():
        yield made


@pytest.fixture(scope="session")
def control_plane(
    tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA, authority_file: Path
) -> Iterator[ControlPlane]:
    """A real control plane."""
    folder = tmp_path_factory.mktemp("control-plane")
    etcd, server = _binary("etcd"), _binary("kube-apiserver")
    client, peer, port = _ports(3)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / "sa.key").write_bytes(pem)
    (folder / "tokens.csv").write_text(f'{ROOT_TOKEN},admin,admin,"system:masters"\n')
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    at, among = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    running = [
        _start(
            folder / "etcd.log",
            *(etcd, f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync"),
            *(f"--listen-client-urls={at}", f"--advertise-client-urls={at}"),
            *(f"--listen-peer-urls={among}", f"--initial-advertise-peer-urls={among}"),
            f"--initial-cluster=default={among}",
        ),
        _start(
            folder / "kube-apiserver.log",
            *(server, f"--etcd-servers={at}", f"--cert-dir={folder}"),
            *(f"--tls-cert-file={folder / 'server.pem'}", f"--tls-private-key-file={folder / 'server.pem'}"),
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
        _wait(f"https://127.0.0.1:{port}/readyz", authority_file, running[1], folder / "kube-apiserver.log")
        yield ControlPlane(f"https://127.0.0.1:{port}", folder, authority_file)
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


def _wait(url: str, authority: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {ROOT_TOKEN}"})
    context, patience = ssl.create_default_context(cafile=str(authority)), time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(request, context=context):
                return
        except (urllib.error.URLError, OSError) as error:
            if process.poll() is not None or time.monotonic() > patience:
                tail = "\n".join(log.read_text().splitlines()[-20:])
                pytest.fail(f"kube-apiserver is not ready: {error}\n{tail}", pytrace=False)
        time.sleep(0.5)
