"""No series that a stranger can make: neither a Pod, nor an answer of the API server, nor who reaches the port."""

import asyncio
import json
import math
import random
import re
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

from ssh_session_gc.core.model import OwnerState, Reason, SessionState
from ssh_session_gc.kube.client import connect
from ssh_session_gc.kube.config import loader
from ssh_session_gc.kube.errors import ApiError, Unreachable
from ssh_session_gc.kube.resources import PODS as API_PODS
from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.sandbox.api.objects import PODS
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from ssh_session_gc.telemetry.metrics import Metrics, Outcome, Stream
from tests.harness import running
from tests.support import advance, eventually
from tests.telemetry.test_slow_clients import SCRAPE, Crowd

STATES = {*SessionState, *OwnerState}
CAUSES = {"closed", "expired", "unauthorized", "forbidden", "throttled", "refused", "malformed", "broken"}
VERBS = {"get", "list", "watch", "create", "update", "delete"}
RESOURCES = {"pods", "deployments", "namespaces", "events", "version"}
ALLOWED: dict[str, Callable[[str], object]] = {
    "state": lambda text: text in STATES,
    "reason": lambda text: text in set(Reason),
    "outcome": lambda text: text in set(Outcome),
    "stream": lambda text: text in set(Stream),
    "cause": lambda text: text in CAUSES,
    "verb": lambda text: text in VERBS,
    "resource": lambda text: text in RESOURCES,
    # Any server may answer with any of them, and there are no more.
    "code": re.compile(r"[0-9]{3}\Z|error\Z").match,
    "le": lambda text: text == "+Inf" or not math.isnan(float(text)),
    "generation": re.compile(r"[012]\Z").match,  # of Python's garbage collector
    "version": re.compile(r"[0-9.]+\Z").match,
    "python": re.compile(r"[0-9.]+\Z").match,
}
EVIL = 'x"}\n\x1b[2J\u202e' + "A" * 500


def check(metrics: Metrics) -> set[tuple[str, str]]:
    """Holds every label of every series to what it may be. The labels that there are."""
    found = {
        label for family in metrics.registry.collect() for each in family.samples for label in each.labels.items()
    }
    for name, value in found:
        assert ALLOWED[name](value), f"{name}={value!r}"
    return found


def hostile(plain: dict[str, Any], number: int, rng: random.Random) -> dict[str, Any]:
    """A session Pod that carries a text of its own wherever there may be one."""
    pod, evil = deepcopy(plain), f"{EVIL}{number}"
    pod["metadata"] |= {"name": f"evil-{number}", "uid": f"evil-{number}"}
    pod["metadata"]["labels"] |= {"containerssh_username": evil, "containerssh_connection_id": evil, evil: evil}
    notes = ("containerssh_ip", "ssh-session-gc/keep", "ssh-session-gc/ttl", "ssh-session-gc/owner-pod-name", evil)
    pod["metadata"]["annotations"] = dict.fromkeys(notes, evil)
    pod["spec"]["nodeName"] = "elsewhere"
    waiting = {"name": pod["spec"]["containers"][0]["name"], "state": {"waiting": {"reason": evil}}}
    ended = {"name": pod["spec"]["containers"][0]["name"], "state": {"terminated": {"exitCode": 1, "reason": evil}}}
    phase = rng.choice(["Pending", "Running", "Succeeded", "Failed", "Unknown", evil])
    pod["status"] = {"phase": phase, "reason": evil, "containerStatuses": [rng.choice([waiting, ended])]}
    return pod


async def test_pods_and_clients_of_the_port(tmp_path: Path) -> None:
    rng = random.Random(7)
    async with World() as world:
        world.deploy()
        waiting = asyncio.create_task(world.ready())
        while not waiting.done():
            await advance(0.2)
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            plain = world.store.get(PODS, "ssh-sessions", world.open("alice").name)
            await advance(5)
            for number in range(2000):
                world.store.put_raw("ADDED", PODS, hostile(plain, number, rng), rv=world.store.rv + 1)
            await eventually(lambda: len(gc.daemon.cluster.sessions.by_uid) == 2001)
            world.crash()
            for verb in sorted(VERBS):
                for code in rng.sample(range(400, 600), 5):
                    world.faults.add(Fault("status", verb=verb, code=code, times=1))
            async with Crowd(gc.daemon.server.address) as crowd:
                for path in (b"/metrics?state=", b"/", b"/metrics/", b"/healthz#"):
                    ask = b"GET %s%%22evil HTTP/1.1\r\nHost: evil\r\nUser-Agent: evil\r\nAccept: evil\r\n\r\n"
                    await crowd.come(sends=ask % path)
                await crowd.come(sends=b"EVIL / HTTP/1.1\r\n\r\n")
                for _ in range(30):
                    world.faults.end_watches()
                    await advance(40)
                await eventually(lambda: len(gc.collected()) > 1)
                await eventually(lambda: not gc.daemon.collector.workers.deleter.in_flight)
                assert b"evil" not in await crowd.ask(SCRAPE)
            found = check(gc.metrics)
            # It has all come to pass.
            assert {("cause", "refused"), ("reason", "StartTimeout"), ("outcome", "deleted")} <= found
            assert len([name for name, _ in found if name == "code"]) > 3


async def test_answers_of_a_server_that_lies(tmp_path: Path) -> None:
    rng = random.Random(7)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        code = f"{rng.choice([*range(200, 1000, 7), rng.randrange(10**9)]):03}"
        status = {"kind": "Status", "code": rng.randrange(10**9), "reason": EVIL, "message": EVIL}
        body = json.dumps(status).encode()
        reason = b"".join(rng.choices([b"evil", b"\xff", b" "], k=3))
        writer.write(b"HTTP/1.1 %s %s\r\nContent-Length: %d\r\n\r\n%s" % (code.encode(), reason, len(body), body))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    metrics = Metrics(dry_run=False)
    async with server, connect(loader(str(kubeconfig), None), metrics) as api:
        for _ in range(300):
            with suppress(ApiError, Unreachable):
                await api.request(rng.choice(["get", "list", "delete"]), API_PODS, "ssh-sessions", "alice")
    codes = {value for name, value in check(metrics) if name == "code"}
    assert len(codes) > 50
    assert "error" in codes
