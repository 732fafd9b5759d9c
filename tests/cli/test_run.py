"""The command ``run`` as an operator has it: a process of its own, a kubeconfig, a real server, signals."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from ssh_session_gc.sandbox import Fault, Identity, Rule, World
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from tests.support import eventually

SCRIPTS = Path(sys.executable).parent


class Process:
    """One run of the command."""

    def __init__(self, tmp_path: Path, *args: str, program: str = "ssh-session-gc", **env: str) -> None:
        self._err = tmp_path / "stderr"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("KUBE", "SSH_SESSION_GC"))}
        with self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [SCRIPTS / program, "run", "--listen", "127.0.0.1:0", *args],
                stdout=subprocess.PIPE,
                stderr=err,
                env=clean | {"HOME": str(tmp_path)} | env,
            )

    def lines(self) -> list[dict[str, object]]:
        """The log so far."""
        return [json.loads(line) for line in self._err.read_text().splitlines() if line.startswith("{")]

    def events(self) -> list[object]:
        """The names of what was logged so far."""
        return [line["event"] for line in self.lines()]

    async def ends(self) -> tuple[int, str]:
        """Exit status and the last line on stderr. stdout must be empty, and nobody sees a traceback."""
        out, _ = await asyncio.to_thread(self._process.communicate, timeout=30)
        text = self._err.read_text()
        assert out == b""
        assert "Traceback" not in text
        return self._process.returncode, text.splitlines()[-1]

    def send(self, sign: signal.Signals) -> None:
        """Sends a signal."""
        self._process.send_signal(sign)

    def kill(self) -> None:
        """Leaves nothing behind."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@asynccontextmanager
async def process(tmp_path: Path, *args: str, program: str = "ssh-session-gc", **env: str) -> AsyncIterator[Process]:
    made = Process(tmp_path, *args, program=program, **env)
    try:
        yield made
    finally:
        made.kill()


@pytest.mark.parametrize("program", ["ssh-session-gc", "kubectl-session_gc"])
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_a_dry_run_from_a_laptop(tmp_path: Path, program: str, sign: signal.Signals) -> None:
    async with World() as world:
        world.deploy()
        await world.ready()
        alice = world.open("alice")
        kubeconfig = world.kubeconfig(tmp_path / "kubeconfig")
        # An option by flag and one by variable.
        args = ("--dry-run", "--kubeconfig", str(kubeconfig))
        async with process(tmp_path, *args, program=program, SSH_SESSION_GC_MAX_AGE="1s") as gc:
            await eventually(lambda: "session_would_be_collected" in gc.events())
            gc.send(sign)
            status, _ = await gc.ends()
        assert status == 0
        assert gc.events()[0] == "started"
        assert gc.events()[-2:] == ["stopping", "stopped"]
        assert "dry_run" in gc.events()
        [line] = [line for line in gc.lines() if line["event"] == "session_would_be_collected"]
        assert (line["pod"], line["reason"], line["level"]) == (alice.name, "OverAge", "info")
        assert not any(request.verb == "delete" for request in world.server.requests)


async def test_it_deletes_and_says_so(tmp_path: Path) -> None:
    async with World() as world:
        world.deploy()
        await world.ready()
        alice = world.open("alice")
        kubeconfig = world.kubeconfig(tmp_path / "kubeconfig")
        async with process(
            tmp_path, "--kubeconfig", str(kubeconfig), "--max-age", "1s", "--deletion-grace", "1s"
        ) as gc:
            await eventually(lambda: alice.gone)
            gc.send(signal.SIGTERM)
            assert (await gc.ends())[0] == 0
        assert "session_collected" in gc.events()


async def test_it_may_not_even_list_the_sessions(tmp_path: Path) -> None:
    world = World(tokens={"t": Identity("gc")}, roles={"gc": [Rule(("get",), ("pods",))]})
    async with world:
        kubeconfig = world.kubeconfig(tmp_path / "kubeconfig", token="t")
        async with process(tmp_path, "--kubeconfig", str(kubeconfig)) as gc:
            status, line = await gc.ends()
    assert status == 1
    assert line.startswith('ssh-session-gc: 403 Forbidden: pods is forbidden: User "gc" cannot list resource "pods"')
    assert line.endswith("grant get, list, watch and delete on pods in namespace ssh-sessions")


async def test_a_token_that_is_not_taken(tmp_path: Path) -> None:
    async with World(tokens={"right": Identity("gc")}) as world:
        kubeconfig = world.kubeconfig(tmp_path / "kubeconfig", token="wrong-and-secret")
        async with process(tmp_path, "--kubeconfig", str(kubeconfig)) as gc:
            status, line = await gc.ends()
    assert status == 1
    assert "401 Unauthorized" in line
    assert "--kubeconfig" in line
    assert "secret" not in (tmp_path / "stderr").read_text()


async def test_a_server_that_fails(tmp_path: Path) -> None:
    async with World() as world:
        world.faults.add(Fault("status", code=503))
        kubeconfig = world.kubeconfig(tmp_path / "kubeconfig")
        async with process(tmp_path, "--kubeconfig", str(kubeconfig)) as gc:
            status, line = await gc.ends()
    assert status == 1
    assert "503" in line


def server_tls(ca: trustme.CA, *, expired: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    ca.issue_cert("127.0.0.1", not_after=yesterday if expired else None).configure_cert(context)
    return context


@pytest.mark.parametrize(
    ("expired", "known", "says"),
    [(False, True, ""), (True, True, "certificate has expired"), (False, False, "unable to get local issuer")],
    ids=["good", "expired", "unknown authority"],
)
async def test_certificates(tmp_path: Path, expired: bool, known: bool, says: str) -> None:
    ca = trustme.CA()
    authority = tmp_path / "ca.pem"
    (ca if known else trustme.CA()).cert_pem.write_to_path(str(authority))
    async with World(tls=server_tls(ca, expired=expired), tokens={"t": Identity("gc")}) as world:
        kubeconfig = world.kubeconfig(tmp_path / "kubeconfig", token="t", certificate_authority=str(authority))
        async with process(tmp_path, "--kubeconfig", str(kubeconfig)) as gc:
            if not says:
                await eventually(lambda: "owner_not_found" in gc.events())
                gc.send(signal.SIGTERM)
            status, line = await gc.ends()
    assert status == (1 if says else 0)
    assert says in line
    if says:
        assert f"the certificate of {world.url} is not valid" in line


async def test_inside_a_pod(tmp_path: Path) -> None:
    # Where there is no kubeconfig, a Pod's environment names the server and its files, in a fixed place, hold
    # the credentials. Where the tests themselves run in a Pod these are there, and the server is what is missing.
    where = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    async with process(tmp_path, **where) as gc:
        status, line = await gc.ends()
    assert status == 1
    assert "Service token file does not exist" in line or "https://127.0.0.1:1 is unreachable" in line


async def test_a_token_with_a_line_end_is_sent_without_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t\n")
    async with World(tokens={"t": Identity("gc")}) as world:
        kubeconfig = world.kubeconfig(tmp_path / "kubeconfig")
        content = json.loads(kubeconfig.read_text())
        content["users"][0]["user"] = {"tokenFile": str(tmp_path / "token")}
        kubeconfig.write_text(json.dumps(content))
        async with process(tmp_path, "--kubeconfig", str(kubeconfig)) as gc:
            await eventually(lambda: "owner_not_found" in gc.events())
            gc.send(signal.SIGTERM)
            status, _ = await gc.ends()
        assert status == 0


async def test_a_token_that_cannot_be_sent_is_not_shown(tmp_path: Path) -> None:
    async with World(tokens={"t": Identity("gc")}) as world:
        kubeconfig = world.kubeconfig(tmp_path / "kubeconfig", token="very\r\nsecret: x")
        async with process(tmp_path, "--kubeconfig", str(kubeconfig), "--log-format", "console") as gc:
            status, line = await gc.ends()
        assert status == 1
        assert "hold characters that cannot be sent" in line
        assert "secret" not in (tmp_path / "stderr").read_text()


async def test_a_server_that_does_not_tell_the_time(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", url)
        async with process(tmp_path, "--kubeconfig", str(kubeconfig)) as gc:
            status, line = await gc.ends()
        assert status == 1
        assert "sends no Date, which ages go by" in line
        ran = await asyncio.create_subprocess_exec(
            *(str(SCRIPTS / "ssh-session-gc"), "plan", "--kubeconfig", str(kubeconfig)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await ran.communicate()
        assert (ran.returncode, out) == (1, b"")
        assert err.count(b"\n") == 1
