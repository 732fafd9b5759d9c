"""Every layer holds: an import that goes the wrong way breaks the contract that is there for it."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOWN = "Imports go down only"
RULES = "In the core, rules are above the facts that they go by"
ONE_RULE = "A rule knows no other rule but the one whose words it borrows, and not the judge"
SANDBOX = "In the sandbox, an API server knows no nodes, and a node no ContainerSSH"
ROOMS = "A session passes through the rooms in one direction"

WRONG = [
    ("demo.py", "cli.main", DOWN),
    ("preview/tables.py", "demo", DOWN),
    ("daemon/queue.py", "demo", DOWN),
    ("daemon/queue.py", "preview.tables", DOWN),
    ("cluster/source.py", "daemon.queue", DOWN),
    ("cluster/source.py", "preview.tables", DOWN),
    ("settings.py", "cluster.source", DOWN),
    ("telemetry/metrics.py", "cluster.source", DOWN),
    ("telemetry/metrics.py", "settings", DOWN),
    ("kube/client.py", "telemetry.metrics", DOWN),
    ("kube/client.py", "settings", DOWN),
    ("core/text.py", "kube.lines", DOWN),
    ("selectors.py", "core.text", DOWN),
    ("preview/tables.py", "daemon.queue", "What shows cannot delete"),
    ("core/evidence.py", "core.explain", RULES),
    ("core/rules/judge.py", "core.survey", RULES),
    ("core/ownership.py", "core.rules.judge", RULES),
    ("core/owners.py", "core.ownership", RULES),
    ("core/candidates.py", "core.owners", RULES),
    ("core/model.py", "core.policy", RULES),
    ("core/rules/finished.py", "core.rules.over_age", ONE_RULE),
    ("core/rules/ownerless.py", "core.rules.finished", ONE_RULE),
    ("core/rules/rule.py", "core.rules.judge", ONE_RULE),
    ("core/rules/judge.py", "asyncio", "The core does no I/O"),
    ("core/owners.py", "time", "The core does no I/O"),
    ("core/text.py", "os", "The core does no I/O"),
    ("core/clock.py", "random", "The core does no I/O"),
    ("daemon/queue.py", "sandbox.world", "Nothing but the commands and the demo starts a sandbox"),
    ("preview/tables.py", "sandbox.replay", "Nothing but the commands and the demo starts a sandbox"),
    ("sandbox/world.py", "core.text", "The sandbox knows nothing of the collector"),
    ("sandbox/world.py", "cluster.source", "The sandbox knows nothing of the collector"),
    ("selectors.py", "msgspec", "The selectors import nothing"),
    ("sandbox/node/nodes.py", "sandbox.world", SANDBOX),
    ("sandbox/node/nodes.py", "sandbox.containerssh.process", SANDBOX),
    ("sandbox/api/storage.py", "sandbox.node.nodes", SANDBOX),
    ("daemon/queue.py", "daemon.validation", ROOMS),
    ("daemon/queue.py", "daemon.holds", ROOMS),
    ("daemon/validation.py", "daemon.outcome", ROOMS),
    ("daemon/outcome.py", "daemon.workers", ROOMS),
    ("daemon/deletion.py", "daemon.collector", ROOMS),
    ("cli/explain.py", "cli.plan", "A command knows no other"),
]
"""Who imports whom against which contract."""
STRANGERS = ("asyncio", "msgspec", "os", "random", "time")
"""Those that are not ours."""
PURE = {
    *(
        "__future__",
        "bisect",
        "collections",
        "dataclasses",
        "datetime",
        "enum",
        "functools",
        "itertools",
        "math",
        "re",
    ),
    *("msgspec", "typing"),
}
"""What the core may import besides itself: nothing of it reads a file, a socket, a clock or a die."""
IMPURE = {"open", "print", "input", "eval", "exec", "compile", "__import__", "breakpoint"}
"""Functions of the language that do so without an import."""
CLOCKS = {"now", "utcnow", "today"}
"""Methods of datetime and date that do."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program, to be broken."""
    there = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "gc", there / "gc", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", there)
    return there


def lint(house: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says of it."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=house,
        env=os.environ | {"PYTHONPATH": str(house / "gc")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_is_broken(house: Path) -> None:
    said = lint(house)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize(("who", "whom", "contract"), WRONG, ids=[f"{who}-{whom}" for who, whom, _ in WRONG])
def test_an_import_that_goes_the_wrong_way(house: Path, who: str, whom: str, contract: str) -> None:
    path = house / "gc" / "ssh_session_gc" / who
    before = path.read_text()
    name = whom if whom in STRANGERS else f"ssh_session_gc.{whom}"
    try:
        path.write_text(f"{before}\n\nimport {name}\n")
        said = lint(house)
    finally:
        path.write_text(before)
    assert said.returncode == 1, said.stdout + said.stderr
    broken = [line.removesuffix("BROKEN").strip() for line in said.stdout.splitlines() if line.endswith("BROKEN")]
    assert contract in broken, said.stdout


def test_a_new_package_has_to_find_its_layer(house: Path) -> None:
    stray = house / "gc" / "ssh_session_gc" / "stray.py"
    stray.write_text("")
    try:
        said = lint(house)
    finally:
        stray.unlink()
    assert said.returncode == 1
    assert "stray" in said.stdout


def impurities(source: str) -> set[str]:
    """What a module of the core must neither import nor call, and does."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {each.name for each in names if each.name.partition(".")[0] not in {*PURE, "ssh_session_gc"}}
            case ast.ImportFrom(module=str(module)):
                found |= {module} if module.partition(".")[0] not in {*PURE, "ssh_session_gc"} else set()
            case ast.Name(id=name) if name in IMPURE:
                found.add(name)
            case ast.Attribute(value=ast.Name(id="datetime" | "date"), attr=name) if name in CLOCKS:
                found.add(name)
    return found


@pytest.mark.parametrize("path", sorted(ROOT.glob("gc/ssh_session_gc/core/**/*.py")), ids=lambda path: path.name)
def test_the_core_reads_no_file_no_clock_and_no_die(path: Path) -> None:
    assert impurities(path.read_text()) == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import math, random", "random"),
        ("from os import path", "os"),
        ("text = open('/etc/passwd').read()", "open"),
        ("from datetime import UTC, datetime\nnow = datetime.now(UTC)", "now"),
        ("from datetime import date\nnow = date.today()", "today"),
        ("print(1)", "print"),
        ("x = __import__('time').time()", "__import__"),
    ],
)
def test_what_the_core_may_not_is_found(source: str, found: str) -> None:
    assert impurities(source) == {found}
