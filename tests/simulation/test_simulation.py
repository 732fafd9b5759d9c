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


def simulate(first: int, seeds: int) -> subprocess.CompletedProcess[str]:
    """Runs these seeds in a process of its own: a run replaces what lies below the event loop."""
    command = [sys.executable, "-m", "tests.simulation", "--first", str(first), "--seeds", str(seeds)]
    return subprocess.run(
        command,
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
    ran = simulate(first, seeds)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"simulation: seeds={seeds} failed=0" in ran.stdout


@pytest.mark.timeout(600)
def test_a_seed_is_the_same_every_time() -> None:
    runs = [simulate(3, 1).stdout.splitlines()[1:] for _ in range(2)]
    assert runs[0] == runs[1]
    assert any(line.startswith("collected: ") and len(line) > 20 for line in runs[0])
