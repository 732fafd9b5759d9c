"""The command ``run`` as an operator has it: a process of its own, a kubeconfig, a real server, signals."""

import asyncio
import json
import signal
from pathlib import Path

import pytest
import trustme

from ssh_session_gc.sandbox import Fault, Identity, PolicyRule, World
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from tests.certificates import server_tls
from tests.cli.processes import SCRIPTS, process
from tests.cli.terminal import Terminal
from tests.support import eventually


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


def test_the_dry_run_of_the_sandbox(tmp_path: Path) -> None:
    run = ("run", "--dry-run", "--sandbox", "--listen", "127.0.0.1:0")
    with Terminal(tmp_path, "ssh-session-gc", *run, columns=200, rows=40) as terminal:
        terminal.shows("dry run on http://127.0.0.1:", "nothing is deleted, Ctrl-C ends it")
        terminal.shows("dry_run", "nothing will be deleted", "user=bob", "user=alice", "user=frank", "user=grace")
        terminal.type("\x03")
        assert terminal.ends() == 0


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
    world = World(tokens={"t": Identity("gc")}, roles={"gc": [PolicyRule(("get",), ("pods",))]})
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
