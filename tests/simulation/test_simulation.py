"""A few runs with every test run: seeds that once failed, some that never did, and some that nobody has seen."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRESH = 8
"""Seeds that nobody has seen; ``make simulate`` runs as many as one likes."""


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: a run replaces what lies below the event loop."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("first", "seeds"), [(1, 8), (random.randrange(10**9), FRESH)], ids=["fixed", "fresh"])
def test_no_session_is_lost_and_no_orphan_stays(first: int, seeds: int) -> None:
    ran = simulate("--first", str(first), "--seeds", str(seeds))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"simulation: seeds={seeds} failed=0" in ran.stdout


@pytest.mark.timeout(600)
def test_a_seed_is_the_same_every_time() -> None:
    runs = [simulate("--first", "3", "--seeds", "1").stdout.splitlines()[1:] for _ in range(2)]
    assert runs[0] == runs[1]
    assert any(line.startswith("collected: ") and len(line) > 20 for line in runs[0])


@pytest.mark.timeout(600)
def test_mistakes_are_noticed() -> None:
    ran = simulate("--sabotage", "all")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.rstrip().endswith("missed=0")
