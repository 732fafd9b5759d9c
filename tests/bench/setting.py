"""How large and how often everything is measured, and where."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.bench.sandbox import Sandbox


class Scale(NamedTuple):
    """Numbers of sessions, and of repetitions."""

    sessions: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    """For what grows with the sessions that are there."""
    orphans: tuple[int, ...] = (100, 300, 1_000, 10_000)
    """For bursts."""
    events: tuple[int, ...] = (10, 100, 1_000, 5_000)
    """Sessions that come and go at the same time."""
    hourly: tuple[int, ...] = (0, 50, 100, 200, 400)
    """Sessions opened in an hour."""
    lags: int = 20
    """Deletions one at a time, for each number of sessions."""
    kubectl: int = 30
    """Pods for the loop of kubectl processes."""
    repeats: int = 3
    seconds: float = 2.0
    """Length of one measurement of a stream."""


TINY = Scale((10, 20), (10,), (5,), (0, 10), 2, 2, 1, 0.3)
"""For the harness's own test."""


@dataclass(frozen=True)
class Bench:
    """What every figure is given."""

    folder: Path
    scale: Scale
    server: Callable[..., AbstractContextManager[Sandbox]]
    """Starts an API server with so many owners in it."""
