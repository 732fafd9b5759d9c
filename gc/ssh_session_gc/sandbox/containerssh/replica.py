"""A process of ContainerSSH: what it remembers, counts and writes.

All its memory goes with it. What it does with it, ``process`` and its neighbours know.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field

from ssh_session_gc.sandbox.containerssh.log import Entry, Login, LogLevel
from ssh_session_gc.sandbox.containerssh.metrics import Counts
from ssh_session_gc.sandbox.containerssh.truth import Connection
from ssh_session_gc.sandbox.node.kubelet import Kubelet
from ssh_session_gc.sandbox.node.programs import Process


@dataclass(eq=False)
class Replica:
    """One process and what it remembers."""

    process: Process
    kubelet: Kubelet
    log_level: LogLevel = "debug"
    counts: Counts = field(default_factory=Counts)
    connections: dict[str, Connection] = field(default_factory=dict)
    """Those that are open, by id."""
    went: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a connection ends."""
    waiting: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def online(self) -> bool:
        """Whether it and the API server reach each other."""
        return self.kubelet.connected.is_set()

    @property
    def takes(self) -> bool:
        """Whether it takes connections."""
        return self.online and not self.process.terminating.is_set()

    def begin(self, work: Coroutine[None, None, None], name: str) -> None:
        """Does something in the background for as long as it runs."""
        task = asyncio.create_task(work, name=name)
        self.waiting.add(task)
        task.add_done_callback(self.waiting.discard)

    def write(self, *entries: Entry) -> bool:
        """Writes to its log what is not below the level, while it runs. Returns whether it wrote the last of them."""
        written = False
        for entry in entries if self.process.alive else ():
            if written := entry.passes(self.log_level):
                self.process.log.write(entry.text(self.process.log.now()))
        return written

    def connect(self, login: Login) -> Connection:
        """Takes a connection and counts it."""
        self.counts.came()
        connection = self.connections[login.connection] = Connection(login, self.process)
        return connection

    def disconnect(self, connection: Connection) -> None:
        """Ends a connection; counts an open one no longer."""
        if connection.open:
            connection.ended = self.kubelet.store.true_now()
            self.counts.went()
            del self.connections[connection.login.connection]
            self.went.set()
