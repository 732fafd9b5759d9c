"""Programs: how the containers of a Pod behave, and one run of such a program.

Knows that an image or an annotation tells the behaviour; a Pod that kubectl made can have the latter. Runs nothing:
the kubelet does.
"""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import msgspec

from ssh_session_gc.sandbox.api.objects import Object
from ssh_session_gc.sandbox.node.logs import ContainerLog

PROGRAM = "sandbox/program"
"""Annotation that describes the program of a Pod's containers as JSON, such as
``{"exits_after": 5, "exit_code": 3}``; with ``.`` and a container's name after it, that of this container alone."""
MISSING = ":missing"
"""The tag of images that cannot be pulled."""


@dataclass(frozen=True, slots=True)
class Program:
    """The behaviour of a container. Times are in seconds."""

    pull: float = 0.3
    missing: bool = False
    """Whether the image cannot be pulled."""
    start: float = 0.2
    ready: bool = True
    """Whether its readiness probe succeeds, or there is none."""
    exits_after: float = math.inf
    exit_code: int = 0
    out_of_memory: bool = False
    """Whether the kernel ends it, with exit code 137."""
    drain: float = 0.5
    """Seconds from SIGTERM to its end; infinity where it ignores the signal."""

    @classmethod
    def of(cls, pod: Object, container: Object, default: "Program", images: Mapping[str, "Program"]) -> "Program":
        """The program that the Pod's annotations tell, or else its image. Unreadable annotations tell nothing."""
        image: str = container.get("image", "")
        program = images.get(image, default)
        if image.endswith(MISSING):
            program = replace(program, missing=True)
        annotations = pod["metadata"].get("annotations", {})
        for name in (PROGRAM, f"{PROGRAM}.{container['name']}"):
            if name in annotations:
                program = _told(annotations[name], program)
        return program


def _told(text: str, base: Program) -> Program:
    try:
        return msgspec.convert(asdict(base) | msgspec.json.decode(text, type=dict[str, Any]), Program)
    except msgspec.DecodeError:
        return base


@dataclass(eq=False)
class Process:
    """One run of a container. Times are the node's clock, in seconds since the epoch, uncut."""

    pod: str
    pod_uid: str
    namespace: str
    container: str
    program: Program
    started: float
    ended: float | None = None
    exit_code: int = 0
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has ended, or will at another time than before."""
    terminating: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at SIGTERM."""
    log: ContainerLog = field(init=False)
    """What it writes; the kubelet makes it."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.ended is None
