"""The servers that this suite runs against: the sandbox always, and a real one where ``KUBEBUILDER_ASSETS`` names it.

The real one is an etcd and a kube-apiserver as controller-runtime's envtest has them: no controllers, no nodes. Where
the variable is set, a missing program fails the tests; where it is not, tests that need a real server are left out.
"""

import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests import controlplane, tools
from tests.conformance.clusters import AnyCluster, RealCluster, SandboxCluster
from tests.controlplane import ASSETS, ROOT_TOKEN

collect_ignore = [] if ASSETS else ["test_chart.py"]


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane, with kubectl and helm for it."""

    url: str
    home: Path
    """The home of kubectl and helm, so that nobody's own settings apply."""
    authority: Path

    def kubectl(self, *args: str, token: str = ROOT_TOKEN, stdin: str = "", fails: bool = False) -> str:
        """Runs kubectl and returns both its outputs. Fails the test unless it succeeds, or with ``fails`` fails."""
        server = (f"--server={self.url}", f"--token={token}", f"--certificate-authority={self.authority}")
        command = [str(tools.kubectl()), *server, *args]
        ran = subprocess.run(command, input=stdin, capture_output=True, text=True, env=self._env(), timeout=60)
        assert bool(ran.returncode) == fails, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def helm(self, *args: str, values: str) -> str:
        """Runs helm and returns what it prints. Fails the test where helm fails."""
        server = ("--kube-apiserver", self.url, "--kube-token", ROOT_TOKEN, "--kube-ca-file", str(self.authority))
        command = [str(tools.helm()), *args, *server, "-f", "-"]
        ran = subprocess.run(command, input=values, capture_output=True, text=True, env=self._env(), timeout=120)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def _env(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "KUBECONFIG": str(self.home / "none")}


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The certificate authority of the servers."""
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
) -> AsyncIterator[AnyCluster]:
    """A server with two namespaces of the test's own."""
    if request.param == "sandbox":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        made: AnyCluster = SandboxCluster(authority_file, context)
    else:
        made = RealCluster(authority_file, request.getfixturevalue("control_plane").url)
    async with made.ready():
        yield made


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[ControlPlane]:
    """Runs a real control plane for the whole suite."""
    folder = tmp_path_factory.mktemp("control-plane")
    try:
        with controlplane.control_plane(folder, authority) as running:
            yield ControlPlane(running.url, folder, running.authority)
    except controlplane.NotThere as error:
        pytest.fail(str(error), pytrace=False)
