"""Logs over HTTP: what a real server answered, the parameters, the end, and what faults do to them."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.authorization import ADMIN, Identity, PolicyRule
from ssh_session_gc.sandbox.api.faults import Fault
from ssh_session_gc.sandbox.api.objects import NAMESPACES, PODS, Object
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.node.logs import ContainerLog, LogLine
from ssh_session_gc.sandbox.node.programs import Program
from tests.sandbox.api.serving import NAMESPACE, NOW, Client, Clock, add, pod, serving
from tests.sandbox.worlds import owner_pods, ready
from tests.support import advance, eventually, settle

RECORDED = Path(__file__).parents[2] / "data" / "recordings" / "log-responses.json"
PAIRS = json.loads(RECORDED.read_bytes())["pairs"]
LOG = f"/api/v1/namespaces/{NAMESPACE}/pods/a/log"
NOBODY = Identity("system:serviceaccount:ssh-sessions:nobody")


@dataclass
class Node:
    """A node that has the logs that it is given."""

    logs: Sequence[ContainerLog] = ()
    before: Sequence[ContainerLog] = ()
    answers: bool = True

    def log(self, _: Object, __: str, *, previous: bool) -> ContainerLog | None:
        """The latest log, or the one before."""
        return next(iter(self.before if previous else self.logs), None)


@dataclass
class Output:
    """A log with these lines, a second apart, the last of them now."""

    texts: Sequence[str]
    log: ContainerLog = field(default_factory=lambda: ContainerLog(lambda: NOW))

    def __post_init__(self) -> None:
        for index, text in enumerate(self.texts, 1):
            self.log.add(LogLine(NOW - len(self.texts) + index, text.encode()))


@asynccontextmanager
async def logging(*texts: str, **options: Any) -> AsyncIterator[tuple[Client, Node, ContainerLog]]:
    """A server, the node of its Pod ``a``, and the log of that."""
    log = Output(texts).log
    node = Node([log])
    async with serving(nodes=lambda _: node, **options) as client:
        add(client.store, "a", node="node1")
        yield client, node, log


async def read(client: Client, query: str = "") -> str:
    """The whole log, as asked for."""
    answer = await client("GET", f"{LOG}?{query}")
    assert answer.status == 200
    assert isinstance(answer.body, str)
    return answer.body


@asynccontextmanager
async def following(client: Client, query: str = "") -> AsyncIterator[aiohttp.StreamReader]:
    """A log that is being followed."""
    async with client.session.get(f"{client.server.url}{LOG}?follow=true&{query}") as response:
        yield response.content


# --- what was recorded ---------------------------------------------------------------------------------------------


def _lines(again: bool) -> list[LogLine]:
    """The lines of the first run, or of the one after it. Long bodies were recorded in part."""
    found = {
        line
        for pair in PAIRS
        if pair["status"] == 200 and "timestamps=true" in pair["path"]
        if pair["what"].startswith("the restarted one") == again
        for line in pair["body"].splitlines(keepends=True)
        if line.endswith("\n")
    }
    parts = (line.rstrip().partition(" ") for line in sorted(found))
    return [LogLine(datetime.fromisoformat(stamp).timestamp(), text.encode(), stamp) for stamp, _, text in parts]


def _prepare(store: Store, pair: Object) -> Node:
    """Makes the cluster that the pair was recorded on, and its node."""
    store.create(NAMESPACES, None, {"metadata": {"name": "containerssh"}})
    name = urlsplit(pair["path"]).path.split("/")[-2]
    two = name.startswith("containerssh-")
    containers = ("containerssh-authconfig", "containerssh") if two else (name,)
    made = pod(name, node="" if name == "nonode" else "node1", namespace="containerssh")
    made["spec"]["containers"] = [{"name": each, "image": "i"} for each in containers]
    if name != "nope":
        store.create(PODS, "containerssh", made)
        state = {"running": {}} if two else {"waiting": {"reason": "ErrImageNeverPull"}}
        statuses = [{"name": each, "state": state} for each in containers]
        store.update(PODS, "containerssh", name, lambda obj: obj["status"].update(containerStatuses=statuses))
    if not two:
        return Node()
    whole = ContainerLog(lambda: NOW, _lines(again=False))
    if "killed" in pair["what"]:
        asyncio.get_running_loop().call_later(2, whole.end)
    if not pair["what"].startswith(("previous, after", "the restarted one")):
        return Node([whole], answers="does not answer" not in pair["what"])
    return Node([ContainerLog(lambda: NOW, _lines(again=True))], [whole])


@pytest.mark.parametrize("pair", [pytest.param(each, id=each["what"]) for each in PAIRS])
async def test_a_recorded_request_gets_the_recorded_answer(pair: Any) -> None:
    store = Store(Clock())
    node = _prepare(store, pair)
    tokens = {"": NOBODY if pair["what"] == "not allowed" else ADMIN}
    async with serving(store, tokens=tokens, roles={}, nodes=lambda _: node) as client:
        headers = {"Authorization": "Bearer "}
        asked = asyncio.create_task(client.session.get(client.server.url + pair["path"], headers=headers))
        if pair["status"] is None:
            await advance(pair["seconds"])
            assert not asked.done()
            asked.cancel()
            return
        async with await asked as response:
            assert response.status == pair["status"]
            assert response.headers.get("Content-Type") == pair["contentType"]
            assert response.headers.get("Transfer-Encoding") == pair["transferEncoding"]
            if pair["end"].startswith("still open"):
                assert (await response.content.readexactly(pair["bytes"])).decode() == pair["body"]
                await advance(pair["seconds"])
                assert not response.content.at_eof()
            elif pair["contentType"] == "application/json":
                assert await response.json() == json.loads(pair["body"])
            else:
                body = asyncio.create_task(response.text())
                await advance(2)
                whole = len(pair["body"].encode()) == pair["bytes"]
                told = pair["body"] if whole else pair["body"][: pair["body"].rindex("\n") + 1]
                assert (await body)[: None if whole else len(told)] == told


# --- beyond ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", "one\ntwo\nthree\n"),
        ("timestamps=true&tailLines=1", "2027-01-15T08:00:00.250000000Z three\n"),
        ("tailLines=0", ""),
        ("limitBytes=5", "one\nt"),
        ("sinceSeconds=1", "two\nthree\n"),
        ("sinceTime=2027-01-15T08:59:59.9%2B01:00", "two\nthree\n"),
        ("sinceTime=2027-01-15T08:00:00Z&tailLines=2", "three\n"),
        ("follow=false&timestamps=0", "one\ntwo\nthree\n"),
    ],
)
async def test_parameters(query: str, wanted: str) -> None:
    async with logging("one", "two", "three") as (client, _, _):
        assert await read(client, query) == wanted


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("tailLines=-1", 422, 'PodLogOptions "a" is invalid: tailLines: Invalid value: -1: must be greater than or'),
        (
            "limitBytes=0&tailLines=-1",
            422,
            "is invalid: [tailLines: Invalid value: -1: must be greater than or equal",
        ),
        ("sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ("tailLines=many", 400, 'strconv.ParseInt: parsing "many": invalid syntax'),
        ("sinceTime=2027-01-15", 400, 'cannot parse "" as "T"'),
        ("sinceTime=2027-01-15T08:00:00Zz", 400, 'parsing time "2027-01-15T08:00:00Zz": extra text: "z"'),
        ("sinceTime=2027-02-31T08:00:00Z", 400, 'parsing time "2027-02-31T08:00:00Z": day out of range'),
    ],
)
async def test_parameters_that_are_none(query: str, status: int, message: str) -> None:
    async with logging("one") as (client, _, _):
        answer = await client("GET", f"{LOG}?{query}")
        assert answer.status == status
        assert message in answer.body["message"]


async def test_lines_are_followed_until_the_end() -> None:
    async with logging("one") as (client, _, log), following(client) as lines:
        assert await lines.readline() == b"one\n"
        log.write("two")
        assert await lines.readline() == b"two\n"
        assert client.server.followed == 1
        log.write("three")
        log.end()
        assert await lines.read() == b"three\n"
        await eventually(lambda: client.server.followed == 0)
        assert [(each.verb, each.resource, each.code) for each in client.server.requests] == [
            ("get", "pods/log", 200)
        ]


async def test_what_is_in_an_older_file_is_read_no_more_but_followed_on() -> None:
    async with logging("one", "two") as (client, _, log), following(client) as lines:
        assert [await lines.readline(), await lines.readline()] == [b"one\n", b"two\n"]
        log.rotate()
        log.write("three")
        log.end()
        assert await lines.read() == b"three\n"
        async with following(client) as later:
            assert await later.read() == b"three\n"


async def test_nothing_is_left_of_a_client_that_leaves() -> None:
    async with logging("one") as (client, _, log):
        async with following(client) as lines:
            assert await lines.readline() == b"one\n"
        await eventually(lambda: client.server.followed == 0)
        assert client.server.faults.end_watches() == 0
        log.write("two")


async def test_a_log_is_read_only_and_needs_a_permission_of_its_own() -> None:
    rules = (PolicyRule(("get",), ("pods/log",), resource_names=("a",)),)
    async with logging("one", roles={NOBODY.user: rules}, tokens={"": NOBODY}) as (client, _, _):
        headers = {"Authorization": "Bearer "}
        assert (await client("GET", LOG, headers=headers)).status == 200
        assert (await client("GET", LOG.removesuffix("/log"), headers=headers)).status == 403
        assert (await client("GET", LOG.replace("/a/", "/b/"), headers=headers)).status == 403
    async with logging("one") as (client, _, _):
        assert (await client("PUT", LOG, {"metadata": {"name": "a"}})).status == 405
        listed = (await client("GET", "/api/v1")).body["resources"]
        assert [each["verbs"] for each in listed if each["name"] == "pods/log"] == [["get"]]


async def test_a_node_that_is_not_there() -> None:
    async with serving() as client:
        add(client.store, "a", node="node1")
        answer = await client("GET", LOG)
        assert (answer.status, answer.body["message"]) == (404, 'nodes "node1" not found')


# --- faults ---------------------------------------------------------------------------------------------------------


async def test_faults_of_requests() -> None:
    async with logging("one") as (client, _, _):
        faults = client.server.faults
        faults.add(Fault("status", verb="get", resource="pods/log", code=503, times=1))
        assert (await client("GET", LOG)).status == 503
        faults.add(Fault("reset", resource="pods/log", times=2))
        with pytest.raises(aiohttp.ClientConnectionError):
            await client("GET", LOG)
        faults.clear()
        faults.add(Fault("slow", resource="pods/log", seconds=5, times=1))
        asked = asyncio.create_task(read(client))
        await advance(4)
        assert not asked.done()
        await advance(2)
        assert await asked == "one\n"
        faults.add(Fault("cut", resource="pods/log", after_bytes=2, times=1))
        with pytest.raises(aiohttp.ClientPayloadError):
            await client("GET", LOG)


async def test_faults_of_running_streams() -> None:
    async with logging("one") as (client, _, log):
        faults = client.server.faults
        async with following(client) as lines:
            assert await lines.readline() == b"one\n"
            assert faults.repeat_watches(resource="pods") == 0
            assert faults.repeat_watches(resource="pods/log", namespace=NAMESPACE) == 1
            assert await lines.readline() == b"one\n"
            faults.garble_watches(resource="pods/log")
            assert b"\xff" in await lines.readline()
            faults.end_watches(resource="pods/log")
            assert await lines.read() == b""
        async with following(client) as lines:
            assert await lines.readline() == b"one\n"
            assert faults.cut_watches(resource="pods/log", after_bytes=2) == 1
            log.write("two")
            with pytest.raises(aiohttp.ClientPayloadError):
                await lines.read()
        async with following(client, "tailLines=1") as lines:
            assert await lines.readline() == b"two\n"
            faults.stall_watches(resource="pods/log")
            log.write("three")
            log.end()
            await settle()
            assert client.server.followed == 1


# --- with nodes -----------------------------------------------------------------------------------------------------


async def test_a_kubelet_serves_the_latest_run_and_the_one_before() -> None:
    async with World() as world, aiohttp.ClientSession(world.url) as http:
        world.deploy()
        await ready(world)
        process = world.containerssh.replicas[0].process
        process.log.write("the first")
        path = f"/api/v1/namespaces/containerssh/pods/{owner_pods(world)[0]['metadata']['name']}/log"

        async def got(query: str = "") -> tuple[int, str]:
            async with http.get(f"{path}?tailLines=1&{query}") as response:
                return response.status, (await response.text())

        assert await got() == (200, "the first\n")
        status, message = await got("previous=true")
        assert (status, "previous terminated container" in message) == (400, True)
        world.crash()
        await ready(world)
        world.containerssh.replicas[0].process.log.write("the second")
        assert await got() == (200, "the second\n")
        assert await got("previous=true") == (200, "the first\n")
        world.crash()
        await advance(1)
        # It waits for its restart now.
        assert await got() == await got("previous=true") == (200, "the second\n")
        world.store.delete(PODS, "containerssh", process.pod)
        await advance(60)
        assert (await got())[0] == 404
        assert all(uid != process.pod_uid for kubelet in world.kubelets.values() for uid, _ in kubelet.logs)


async def test_a_node_that_is_cut_off_falls_silent_until_it_is_back() -> None:
    async with World() as world, aiohttp.ClientSession(world.url) as http:
        world.deploy()
        await ready(world)
        log = world.containerssh.replicas[0].process.log
        path = f"/api/v1/namespaces/containerssh/pods/{owner_pods(world)[0]['metadata']['name']}/log"
        async with http.get(f"{path}?follow=true&tailLines=0") as response:
            world.cut_off()
            log.write("unheard")
            line = asyncio.create_task(response.content.readline())
            asked = asyncio.create_task(http.get(path))
            await advance(5)
            assert not line.done()
            assert not asked.done()
            asked.cancel()
            world.heal()
            assert await line == b"unheard\n"


@pytest.mark.parametrize(
    ("image", "seconds", "why"),
    [
        ("shell:1", 0.0, "is waiting to start: ContainerCreating"),
        ("shell:missing", 1.0, "is waiting to start: image can't be pulled"),
        ("shell:missing", 11.0, "is waiting to start: trying and failing to pull image"),
    ],
)
async def test_a_container_that_waits(image: str, seconds: float, why: str) -> None:
    async with World(program=Program(pull=0.5)) as world, aiohttp.ClientSession(world.url) as http:
        made = pod("a", namespace="ssh-sessions")
        made["spec"]["containers"][0]["image"] = image
        world.store.create(PODS, "ssh-sessions", made)
        await advance(seconds)
        async with http.get("/api/v1/namespaces/ssh-sessions/pods/a/log") as response:
            assert response.status == 400
            assert re.search(f'container "shell" in pod "a" {why}$', (await response.json())["message"])
