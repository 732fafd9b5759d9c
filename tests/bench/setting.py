"""The sizes and repetitions of the measurements, and the server that they need."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol


class Scale(NamedTuple):
    """The sizes and repetitions of the measurements."""

    sessions: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    """Numbers of sessions that are there."""
    orphans: tuple[int, ...] = (100, 300, 1_000, 10_000)
    """Numbers of sessions in a burst."""
    events: tuple[int, ...] = (10, 100, 1_000, 5_000)
    """Sessions that come and go at the same time."""
    hourly: tuple[int, ...] = (0, 50, 100, 200, 400)
    """Sessions opened in an hour."""
    lags: int = 15
    """Deletions one at a time, for each number of sessions."""
    kubectl: int = 30
    """Pods that the CronJob's loop deletes."""
    repeats: int = 3
    lines: tuple[int, ...] = (1_000, 2_500, 5_000)
    """Lines a second in an owner's log."""
    seconds: float = 2.0
    """Length of one measurement of a stream."""


REAL = Scale(sessions=(1_000, 5_000), orphans=(100, 1_000), lags=10, repeats=2)
"""For a real API server, which makes a few hundred Pods a second."""
TINY = Scale((10, 20), (10,), (5,), (0, 10), 2, 2, 1, (1_000, 5_000), 0.3)
"""For the harness's own test."""


class SteeredServer(Protocol):
    """An API server and what steers it. All times are epoch seconds."""

    kubeconfig: Path
    cutoff: str
    """The CronJob's limit of age, in the words of date(1)."""

    def fill(self, count: int, *, age: float = ..., owner: int = ...) -> list[str]:
        """Adds ``count`` sessions of this age and owner. Returns their names."""

    def fall_due(self, dues: Sequence[float]) -> list[str]:
        """Adds one session for each of these moments, at which its own ttl ends. Returns their names."""

    def crash(self, owner: int = ...) -> float:
        """Kills the process in one owner Pod, which starts again. Returns the moment as the status has it."""

    def empty(self) -> None:
        """Removes all sessions."""

    def accepted(self, count: int = ...) -> dict[str, float]:
        """Waits for ``count`` deletions; returns when each was accepted. Raises TimeoutError."""


@dataclass(frozen=True)
class Bench:
    """The folder, the scale and the server for a figure."""

    folder: Path
    scale: Scale
    server: Callable[..., AbstractContextManager[SteeredServer]]
    """Starts an API server with so many owners in it."""
