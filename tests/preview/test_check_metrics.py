"""The preflight on ContainerSSH's metrics: what recorded ones count, and each way in which none come."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from ssh_session_gc.core.model import Incarnation, OwnerState
from ssh_session_gc.preview.check import check
from ssh_session_gc.preview.check_metrics import check_metrics
from ssh_session_gc.preview.permissions import Finding, Mark
from ssh_session_gc.sandbox import Replay
from ssh_session_gc.settings import Settings
from tests.harness import connected
from tests.preview.test_check import cluster, findings, lively
from tests.support import advance

CRASH = Path(__file__).parents[1] / "data/recordings/real/real-crash.jsonl"


async def said(replay: Replay) -> list[Finding]:
    """What is said of the metrics in a recording."""
    async with connected(replay.server.url) as api:
        found = [each async for each in check(api, Settings(owner_metrics_port=replay.metrics_port))]
    return [each for each in found if "metrics" in each.what]


def owner(address: str) -> Incarnation:
    return Incarnation("containerssh-1", "uid", "containerssh", OwnerState.RUNNING, 0.0, 0.0, address=address)


async def asked(port: int, *owners: Incarnation) -> list[Finding]:
    return [each async for each in check_metrics(Settings(owner_metrics_port=port), owners)]


@asynccontextmanager
async def answering(status: int, text: str) -> AsyncIterator[int]:
    """A server on loopback that says this to everybody. Yields its port."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_each_owner_says_how_many_are_connected_to_it() -> None:
    names = sorted({entry["pod"] for line in CRASH.read_text().splitlines() if "pod" in (entry := json.loads(line))})
    async with Replay(CRASH, metrics_port=0) as replay:
        await advance(5)
        assert sorted(await said(replay)) == [
            (Mark.GOOD, f"the metrics of {names[0]} count 2 connections", ""),
            (Mark.GOOD, f"the metrics of {names[1]} count 1 connection", ""),
        ]


async def test_one_that_does_not_answer_leaves_the_other() -> None:
    async with Replay(CRASH, metrics_port=0) as replay:
        await advance(12)
        first, second = sorted(await said(replay))
        assert (first.mark, second.mark) == (Mark.OPEN, Mark.GOOD)


async def test_metrics_that_are_not_to_be_asked_for(tmp_path: Path) -> None:
    async with cluster() as world:
        await lively(world)
        ((mark, what, todo),) = [each for each in await findings(world, tmp_path) if "metrics" in each.what]
        assert (mark, todo) == (Mark.OPEN, "")
        assert what.startswith(
            "ContainerSSH's metrics are not asked for (its metrics.enable, --owner-metrics-port): "
        )


async def test_nobody_answers_at_that_address() -> None:
    async with answering(200, "") as port:
        pass
    ((mark, what, todo),) = await asked(port, owner("127.0.0.1"))
    # That may be because of where the question comes from.
    assert mark is Mark.OPEN
    assert what.startswith(f"the metrics of containerssh-1 on port {port} cannot be read: ")
    assert "ask from within the cluster (helm test, or check in the collector's Pod)" in todo
    assert "metrics.enable" in todo


async def test_one_without_an_address() -> None:
    ((mark, what, _),) = await asked(9100, owner(""))
    assert (mark, what) == (Mark.OPEN, "containerssh-1 has no address")


async def test_nobody_runs() -> None:
    assert await asked(9100) == []


@pytest.mark.parametrize(
    ("status", "text", "words", "todo"),
    [
        (
            200,
            "# TYPE up gauge\nup 1\n",
            " are not ContainerSSH's: is it the right port?",
            "check --owner-metrics-port",
        ),
        (404, "not found", ": status 404", "check --owner-metrics-port"),
        (307, "elsewhere", ": status 307", "check --owner-metrics-port"),
    ],
)
async def test_somebody_else_answers(status: int, text: str, words: str, todo: str) -> None:
    async with answering(status, text) as port:
        ((mark, what, advice),) = await asked(port, owner("127.0.0.1"))
    assert (mark, what) == (Mark.BAD, f"the metrics of containerssh-1 on port {port}{words}")
    assert advice.startswith(todo)
