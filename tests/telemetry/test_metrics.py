"""The metrics: those of the contract, and no series made by a Pod, an answer of the API server or a client."""

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

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ssh_session_gc.core.contradictions import Contradiction
from ssh_session_gc.core.model import ConnectionState, OwnerState, Reason, SessionState
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.kube.errors import ApiError, Unreachable
from ssh_session_gc.kube.resources import PODS as API_PODS
from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.sandbox.api.objects import PODS
from ssh_session_gc.telemetry.metrics import Metrics, Outcome, Stream
from tests.harness import connected, running
from tests.support import advance, eventually
from tests.telemetry.clients import SCRAPE, Crowd, deployed, get

CONTRACT = {
    "sessions": {"state"},
    "orphans": {"reason"},
    "orphan_oldest_seconds": {"reason"},
    "oldest_session_age_seconds": set(),
    "deletions_total": {"reason", "outcome"},
    "deletion_lag_seconds": {"reason"},
    "connections": {"state"},
    "owners": {"state"},
    "owner_known": set(),
    "synced": {"stream"},
    "last_event_timestamp_seconds": {"stream"},
    "stream_restarts_total": {"stream", "cause"},
    "api_requests_total": {"verb", "resource", "code"},
    "api_request_duration_seconds": {"verb", "resource"},
    "invalid_annotations_total": set(),
    "contradictions_total": {"between"},
    "server_time_certain": set(),
    "server_time_contradictions_total": set(),
    "leader": set(),
    "dry_run": set(),
    "build_info": {"version", "python"},
}


async def test_the_metrics_of_the_contract(tmp_path: Path) -> None:
    async with World() as world:
        await deployed(world)
        async with running(world.url, tmp_path) as gc:
            await gc.synced()
            world.open("alice")
            world.faults.end_watches()
            await advance(600)
            status, text = await get(gc, "/metrics")
    assert status == 200
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation or not family.name.startswith("ssh_session_gc")
        for sample in family.samples:
            name = sample.name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
            if name.startswith("ssh_session_gc_") and not name.endswith("_created"):
                found[name.removeprefix("ssh_session_gc_")] = set(sample.labels) - {"le"}
    assert found == CONTRACT


async def test_every_reason_and_outcome_is_there_from_the_start(tmp_path: Path) -> None:
    async with World() as world, running(world.url, tmp_path) as gc:
        for reason in ("OverAge", "Ownerless", "Abandoned", "StartTimeout", "Finished"):
            assert gc.value("orphans", reason=reason) == 0
            for outcome in ("deleted", "gone", "changed", "dry_run", "forbidden", "error"):
                assert gc.value("deletions_total", reason=reason, outcome=outcome) == 0


@pytest.mark.parametrize(
    ("settings", "streams"),
    [
        ({}, {"session-pods", "owner-workload", "owner-pods", "owner-logs"}),
        ({"owner_logs": False}, {"session-pods", "owner-workload", "owner-pods"}),
        ({"owner": None, "owner_selector": "app=containerssh"}, {"session-pods", "owner-pods", "owner-logs"}),
        ({"owner": None, "policy": Policy(ownerless=False)}, {"session-pods"}),
    ],
)
async def test_a_stream_that_is_not_used_has_no_series(
    tmp_path: Path, settings: dict[str, Any], streams: set[str]
) -> None:
    async with World() as world:
        fault = world.faults.add(Fault("status", verb="list", code=500))
        await deployed(world)
        async with running(world.url, tmp_path, **settings) as gc:
            await eventually(lambda: gc.daemon.server.address)
            assert series(await get(gc, "/metrics")) == dict.fromkeys(streams, 0.0)
            world.faults.lift(fault)
            await advance(40)
            await gc.synced()
            await advance(2)
            assert series(await get(gc, "/metrics")) == dict.fromkeys(streams, 1.0)


def series(scraped: tuple[int, str]) -> dict[str, float]:
    """The values of ``synced``, by stream."""
    families = text_string_to_metric_families(scraped[1])
    [synced] = [family for family in families if family.name == "ssh_session_gc_synced"]
    return {sample.labels["stream"]: sample.value for sample in synced.samples}


STATES = {*SessionState, *OwnerState, *ConnectionState}
CAUSES = {"closed", "expired", "unauthorized", "forbidden", "throttled", "refused", "malformed", "broken"}
VERBS = {"get", "list", "watch", "create", "update", "delete"}
RESOURCES = {"pods", "pods/log", "deployments", "namespaces", "events", "version"}
ALLOWED: dict[str, Callable[[str], object]] = {
    "state": lambda text: text in STATES,
    "reason": lambda text: text in set(Reason),
    "outcome": lambda text: text in set(Outcome),
    "stream": lambda text: text in set(Stream),
    "between": lambda text: text in set(Contradiction),
    "cause": lambda text: text in CAUSES,
    "verb": lambda text: text in VERBS,
    "resource": lambda text: text in RESOURCES,
    # A server may answer with any of them, and there are no others.
    "code": re.compile(r"[0-9]{3}\Z|error\Z").match,
    "le": lambda text: text == "+Inf" or not math.isnan(float(text)),
    "generation": re.compile(r"[012]\Z").match,  # of Python's garbage collector
    "version": re.compile(r"[0-9.]+\Z").match,
    "python": re.compile(r"[0-9.]+\Z").match,
}
EVIL = 'x"}\n\x1b[2J\u202e' + "A" * 500


def check(metrics: Metrics) -> set[tuple[str, str]]:
    """All labels of all series. Fails where one has a value that it may not have."""
    found = {
        label for family in metrics.registry.collect() for each in family.samples for label in each.labels.items()
    }
    for name, value in found:
        assert ALLOWED[name](value), f"{name}={value!r}"
    return found


def hostile(plain: dict[str, Any], number: int, rng: random.Random) -> dict[str, Any]:
    """A session Pod with hostile text wherever a Pod may hold text."""
    pod, evil = deepcopy(plain), f"{EVIL}{number}"
    pod["metadata"] |= {"name": f"evil-{number}", "uid": f"evil-{number}"}
    pod["metadata"]["labels"] |= {"containerssh_username": evil, "containerssh_connection_id": evil, evil: evil}
    notes = ("ssh-session-gc/keep", "ssh-session-gc/ttl", "containerssh_ip", "ssh-session-gc/owner-pod-name", evil)
    # With those that cannot be read a session is spared for a day.
    pod["metadata"]["annotations"] = dict.fromkeys(notes if number % 2 else notes[2:], evil)
    pod["spec"]["nodeName"] = "elsewhere"
    waiting = {"name": pod["spec"]["containers"][0]["name"], "state": {"waiting": {"reason": evil}}}
    ended = {"name": pod["spec"]["containers"][0]["name"], "state": {"terminated": {"exitCode": 1, "reason": evil}}}
    phase = rng.choice(["Pending", "Running", "Succeeded", "Failed", "Unknown", evil])
    pod["status"] = {"phase": phase, "reason": evil, "containerStatuses": [rng.choice([waiting, ended])]}
    return pod


async def test_pods_and_clients_of_the_port(tmp_path: Path) -> None:
    rng = random.Random(7)
    async with World() as world:
        await deployed(world)
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
            # The watch was refused, and sessions were due and deleted.
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
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    metrics = Metrics(dry_run=False)
    async with server, connected(url, observer=metrics) as api:
        for _ in range(300):
            with suppress(ApiError, Unreachable):
                await api.request(rng.choice(["get", "list", "delete"]), API_PODS, "ssh-sessions", "alice")
    codes = {value for name, value in check(metrics) if name == "code"}
    assert len(codes) > 50
    assert "error" in codes
