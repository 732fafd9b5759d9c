"""ContainerSSH's metrics: what a process counts, as version 0.6 writes it (recorded), and the port that serves it.

Knows when the port is open, and what it may say in place of the counts. Does not know what is counted: ``process``
does.
"""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

from aiohttp import web

from ssh_session_gc.sandbox.api.strikes import hang
from ssh_session_gc.sandbox.node.kubelet import Kubelet
from ssh_session_gc.sandbox.node.ports import PodPorts, drop
from ssh_session_gc.sandbox.node.programs import Process

OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_COUNTRY = '{country="XX"}'  # of every address that no database of countries has


class Page(NamedTuple):
    """An answer of somebody else's making: a proxy's page, other metrics, a redirect."""

    text: str = ""
    status: int = 200
    kind: str = OPEN_METRICS
    """Its Content-Type."""
    location: str = ""
    """Where it redirects to."""


Says = Page | Literal["hang", "reset"]
"""What is said in place of the counts. Nothing at all: it hangs, or the connection breaks."""


@dataclass(eq=False)
class Counts:
    """What a process counts of its connections."""

    total: int = 0
    current: int = 0
    says: Says | None = None
    """What its port says instead."""

    def came(self) -> None:
        """A connection has come."""
        self.total += 1
        self.current += 1

    def went(self) -> None:
        """A connection has ended."""
        self.current -= 1

    def text(self) -> str:
        """The metrics. There is no sample before the first connection."""
        name, gauge = "containerssh_ssh_connections_total", "containerssh_ssh_current_connections"
        some = bool(self.total)
        lines = [
            f"# HELP {name} Number of connections since start",
            f"# UNIT {name} connections_total",
            f"# TYPE {name} counter",
            *([f"{name}{_COUNTRY} {self.total:.6f}"] if some else []),
            f"# HELP {gauge} Current open SSH connections",
            f"# UNIT {gauge} connections",
            f"# TYPE {gauge} gauge",
            *([f"{gauge}{_COUNTRY} {self.current:.6f}"] if some else []),
            "# EOF",
        ]
        return "\n".join(lines) + "\n"


@dataclass(eq=False)
class _Port:
    address: str
    counts: Counts
    closing: asyncio.Event = field(default_factory=asyncio.Event)


class MetricsPorts:
    """The metrics ports of all processes."""

    def __init__(self, port: int) -> None:
        """``port``: 0 takes a free one at the start."""
        self._ports = PodPorts(port)
        self._addresses: dict[str, str] = {}  # by the Pod's uid
        self._open: dict[Process, _Port] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """By address; each waits for the one before it."""

    @property
    def port(self) -> int:
        """The number, which is the same for all."""
        return self._ports.port

    async def start(self) -> None:
        """Takes the port number. Raises OSError where it is taken."""
        await self._ports.start()

    async def stop(self) -> None:
        """Closes every port."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._ports.stop()

    def address(self, pod_uid: str) -> str:
        """The address of a Pod, which it keeps for as long as it lives and which no other Pod gets."""
        if pod_uid not in self._addresses:
            self._addresses[pod_uid] = self._ports.address()
        return self._addresses[pod_uid]

    def open(self, process: Process, kubelet: Kubelet, counts: Counts) -> None:
        """Opens the port of a process that starts."""
        port = self._open[process] = _Port(self.address(process.pod_uid), counts)
        serving = self._serve(port, kubelet, self._tasks.get(port.address))
        self._tasks[port.address] = asyncio.create_task(serving, name=f"metrics {process.pod}")

    def close(self, process: Process) -> None:
        """Closes the port of a process that ends, or is about to. Closes nothing twice."""
        if (port := self._open.pop(process, None)) is not None:
            port.closing.set()

    async def _serve(self, port: _Port, kubelet: Kubelet, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before
        if port.closing.is_set():
            return
        await self._ports.open(port.address, partial(self._answer, port, kubelet))
        await port.closing.wait()
        # While the node is cut off not even a refusal comes through.
        await kubelet.connected.wait()
        await self._ports.close(port.address)

    async def _answer(self, port: _Port, kubelet: Kubelet, request: web.Request) -> web.StreamResponse:
        await kubelet.connected.wait()
        says = port.counts.says or Page(port.counts.text())
        if says == "reset" or port.closing.is_set():
            return await drop(request)
        if isinstance(says, Page):
            headers = {"Content-Type": says.kind} | ({"Location": says.location} if says.location else {})
            return web.Response(body=says.text.encode(), status=says.status, headers=headers)
        return await hang()
