"""The harness with tiny numbers: every figure comes out, and the JSON has what it should."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import report
from tests.bench.harness import FIGURES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The JSON of the harness, by figure. All run at once, as they wait more than they work."""
    folder = tmp_path_factory.mktemp("bench")

    async def run(name: str) -> None:
        command = [sys.executable, "-m", "tests.bench", "--tiny", "--only", name, "--json", str(folder / name)]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            out, _ = await process.communicate()
        finally:
            # One that fails ends the others, whose open pipes would fail a test that has nothing to do with it.
            if process.returncode is None:
                process.kill()
                await process.communicate()
        assert "bench: goals=" in out.decode(), f"{name}: {out.decode()}"
        assert process.returncode == 0

    async def run_all() -> None:
        async with asyncio.TaskGroup() as group:
            for name in FIGURES:
                group.create_task(run(name))

    asyncio.run(run_all())
    return {name: json.loads((folder / name).read_bytes()) for name in FIGURES}


def test_every_figure_of_the_table_comes_out(written: dict[str, dict[str, Any]]) -> None:
    found = {row["figure"] for said in written.values() for row in said["figures"]}
    assert found == {"lag", "burst", "start-up", "memory", "events", "owner change", "owner logs", "API cost"}


def test_each_grows_as_said(written: dict[str, dict[str, Any]]) -> None:
    grown = {
        row["figure"] for said in written.values() for row in said["figures"] if row["what"].startswith("growth")
    }
    assert grown == {"lag", "burst", "start-up", "memory", "events", "owner change", "owner logs", "API cost"}


def test_the_json_says_what_it_ran_on(written: dict[str, dict[str, Any]]) -> None:
    for said in written.values():
        assert said["schema"] == report.SCHEMA
        assert said["machine"]["processors"] >= 1
        assert set(report.PACKAGES) < set(said["versions"])
        assert {row["server"] for row in said["figures"]} >= {"the sandbox, plain HTTP"}


def test_every_ratio_is_that_of_what_counts_and_every_goal_is_judged(written: dict[str, dict[str, Any]]) -> None:
    for row in (row for said in written.values() for row in said["figures"]):
        assert row["ours"]["values"], row
        assert bool(row["goal"]) == (row["met"] is not None), row
        if row["theirs"] is not None:
            assert row["ratio"] == pytest.approx(row["ours"]["value"] / row["theirs"]["value"]), row


def test_what_only_computes_is_as_fast_as_its_fastest_run() -> None:
    assert report.Sample("s", [3.0, 1.0, 2.0]).value == 2.0
    assert report.Sample("s", [3.0, 1.0, 2.0], fastest=True).value == 1.0


def test_fits_tell_linear_from_worse() -> None:
    assert report.growth("x", "linear", [(n, 3.0 * n) for n in (1, 10, 100)]).met
    assert report.growth("x", "square", [(n, 0.1 * n * n) for n in (1, 10, 100)]).met is False
    assert report.growth("x", "anything", [(n, 0.1 * n * n) for n in (1, 10)]).met is None


def test_a_goal_is_met_up_to_its_limit_and_not_beyond() -> None:
    def row(ours: float) -> report.Row:
        return report.beside("x", "y", report.Sample("s", [ours]), "peer", report.Sample("s", [1.0]))

    assert row(2.0).at_most(2.0).met
    assert row(2.01).at_most(2.0).met is False
    assert row(0.8).at_least(0.8).met
    assert row(0.79).at_least(0.8).met is False
