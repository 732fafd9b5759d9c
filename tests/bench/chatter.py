"""What owners write to their logs: recorded lines, with the connections of other sessions in them.

Knows the recordings of ContainerSSH's log, what in a line tells one connection from another, and the node that keeps
what was written. Does not know when a line is written (``sandbox``) or who reads it.
"""

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from ssh_session_gc.sandbox.node.logs import ContainerLog
from tests.bench import pods

RECORDINGS = pods.RECORDING.with_name("real")
LIFE = RECORDINGS / "real-life.jsonl"
_CONNECTION = re.compile(rb'"connectionId":"([0-9a-f]{32})"')


class OwnerNode:
    """All nodes, as far as one can ask them for the owners' logs."""

    answers = True

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._runs: dict[tuple[str, int], ContainerLog] = {}

    def log(self, pod: pods.Object, container: str, *, previous: bool) -> ContainerLog | None:
        """What the container's latest run wrote, or the one that ended before; None where there was none."""
        restarts = pod["status"]["containerStatuses"][0]["restartCount"] - previous
        return None if restarts < 0 else self.run(pod["metadata"]["name"], restarts)

    def run(self, pod: str, restarts: int = 0) -> ContainerLog:
        """What one run wrote."""
        return self._runs.setdefault((pod, restarts), ContainerLog(self._now))


def rounds(sessions: int) -> Iterator[list[bytes]]:
    """All recorded lines, over and over, each time about the sessions that come next."""
    lines, connections = _lines(), _connections()
    for first in itertools.count(0, len(connections)):
        own = {each: pods.connection((first + number) % sessions).encode() for number, each in enumerate(connections)}
        yield [text.replace(connection, own[connection]) if connection else text for connection, text in lines]


def enough(sessions: int) -> int:
    """The rounds until each of so many sessions was told of."""
    return math.ceil(sessions / len(_connections()))


def coming(number: int) -> list[bytes]:
    """What is written when the user of this session comes."""
    return _moved(number)[: _left()]


def leaving(number: int) -> list[bytes]:
    """What is written when the user of this session leaves."""
    return _moved(number)[_left() :]


def _moved(number: int) -> list[bytes]:
    own = pods.connection(number).encode()
    return [text.replace(connection, own) for connection, text in _visit()]


@cache
def _visit() -> list[tuple[bytes, bytes]]:
    """The lines of the first connection of the recording."""
    lines = _recorded(LIFE)
    first = next(connection for connection, _ in lines if connection)
    return [(connection, text) for connection, text in lines if connection == first]


@cache
def _left() -> int:
    """The line of those with which the user leaves."""
    return next(number for number, (_, text) in enumerate(_visit()) if b'"SSH_DISCONNECTED"' in text)


@cache
def _lines() -> list[tuple[bytes, bytes]]:
    return [line for path in sorted(RECORDINGS.glob("*.jsonl")) for line in _recorded(path)]


@cache
def _connections() -> list[bytes]:
    return list(dict.fromkeys(connection for connection, _ in _lines() if connection))


@cache
def _recorded(path: Path) -> list[tuple[bytes, bytes]]:
    """The lines of a recording without the kubelet's times, each with the connection that it names, if any."""
    told = [json.loads(line) for line in path.read_text().splitlines()]
    texts = [each["line"].partition(" ")[2].encode() for each in told if "line" in each]
    return [(found[1] if (found := _CONNECTION.search(text)) else b"", text) for text in texts]
