"""A real etcd and kube-apiserver, as controller-runtime's envtest has them: no controllers, no nodes."""

import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ASSETS = os.environ.get("KUBEBUILDER_ASSETS", "")
"""The folder with the programs, or ""."""
ROOT_TOKEN = "the-administrator"
PATIENCE = 90.0
"""Seconds that a control plane may take to start."""


class NotThere(Exception):
    """The control plane cannot be started; the message says why."""


@dataclass(frozen=True)
class ControlPlaneServer:
    """A control plane that runs."""

    url: str
    authority: Path
    """The file with the certificate of its authority."""


@contextmanager
def control_plane(folder: Path, authority: trustme.CA) -> Iterator[ControlPlaneServer]:
    """Runs one, with its data in this folder. Raises NotThere."""
    etcd, server = _binary("etcd"), _binary("kube-apiserver")
    client, peer, port = _ports(3)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / "sa.key").write_bytes(pem)
    (folder / "tokens.csv").write_text(f'{ROOT_TOKEN},admin,admin,"system:masters"\n')
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
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
            # Nothing here issues the tokens of accounts that this plugin would mount.
            "--disable-admission-plugins=ServiceAccount",
        ),
    ]
    try:
        _wait(f"https://127.0.0.1:{port}/readyz", folder / "ca.pem", running[1], folder / "kube-apiserver.log")
        yield ControlPlaneServer(f"https://127.0.0.1:{port}", folder / "ca.pem")
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(30)


def _binary(name: str) -> Path:
    path = Path(ASSETS) / name
    if not os.access(path, os.X_OK):
        raise NotThere(f"KUBEBUILDER_ASSETS is {ASSETS}, which has no program {name}")
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
                raise NotThere(f"kube-apiserver is not ready: {error}\n{tail}") from None
        time.sleep(0.5)
