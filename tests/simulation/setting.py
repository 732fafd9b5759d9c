"""What an operator has set in a world: the limits, how owners are named, and what a deletion may do.

It follows from the seed alone, so that the other decisions about a world stay what they are.
"""

import random
from typing import NamedTuple

import msgspec

from ssh_session_gc.core.policy import Policy
from ssh_session_gc.settings import DryRun, OwnerRef

POLICY = Policy(
    max_age=900.0, max_ttl=7200.0, owner_grace=60.0, start_timeout=120.0, finished_grace=60.0, clock_tolerance=2.0
)
DEPLOYMENT = OwnerRef("deployment", "containerssh", "containerssh")


class Setting(NamedTuple):
    """The settings of one collector."""

    policy: Policy = POLICY
    owner: OwnerRef | None = DEPLOYMENT
    owner_selector: str = ""
    max_deletes_per_minute: int = 0
    dry_run: DryRun = DryRun.NONE

    @classmethod
    def of(cls, seed: int) -> "Setting":
        """That of this seed: as it is by default in one half of all worlds."""
        rng = random.Random(f"setting {seed}")
        if rng.random() < 0.5:
            return cls()
        more: dict[str, float] = {}
        if rng.random() < 0.3:
            more["force_after"] = rng.choice([10.0, 60.0])
        if rng.random() < 0.2:
            more[rng.choice(["start_timeout", "max_age"])] = 0.0
        if rng.random() < 0.3:
            more["abandoned_grace"] = rng.choice([70.0, 120.0])
        selected = rng.random() < 0.4
        return cls(
            policy=msgspec.structs.replace(POLICY, **more),
            owner=None if selected else DEPLOYMENT,
            owner_selector="app=containerssh" if selected else "",
            max_deletes_per_minute=rng.choice([0, 0, 60]),
            dry_run=rng.choice([*[DryRun.NONE] * 8, DryRun.CLIENT, DryRun.SERVER]),
        )

    def upgraded(self, rng: random.Random) -> "Setting":
        """That of a collector that comes with an upgrade, while the one before may still run: now and then it has
        shorter limits."""
        if rng.random() < 0.7:
            return self
        shorter = {"owner_grace": 30.0, "finished_grace": 20.0, "max_age": min(self.policy.max_age, 600.0)}
        return self._replace(policy=msgspec.structs.replace(self.policy, **shorter))
