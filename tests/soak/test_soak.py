"""A short soak with every test run. It keeps the soak working, and cannot show what takes half an hour to show."""

import random
from pathlib import Path

import pytest

from tests.soak.load import Plan
from tests.soak.soak import Soak


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at processes as Linux shows them")
@pytest.mark.timeout(900)
async def test_a_short_soak(tmp_path: Path) -> None:
    seed = random.randrange(10**9)
    plan = Plan(seconds=6.0, sessions=300, rate=100.0, seed=seed, grace=2)
    table, summary = await Soak(plan, tmp_path / "log", print).run()
    assert [check for check in table if check.holds is False] == [], f"seed {seed}"
    assert summary.startswith("soak: minutes=0.1 sessions=300 changes=")
    assert "live_sessions_lost=0 orphans_left=0" in summary
    collected = next(check.found for check in table if check.what == "deletions")
    assert "Ownerless" in collected
