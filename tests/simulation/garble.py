"""What goes wrong with what owners say of themselves: their logs, and the metrics that they count.

Draws from the same generator as what happens in the world. Never has anybody say what is not so in ContainerSSH's own
name: whoever can do that is ContainerSSH (docs/guarantees.md).
"""

import json
import random
from collections.abc import Callable
from typing import Any

from ssh_session_gc.sandbox import Fault, World
from ssh_session_gc.sandbox.api.faults import FaultKind
from ssh_session_gc.sandbox.containerssh import lines
from ssh_session_gc.sandbox.containerssh.log import Login
from ssh_session_gc.sandbox.containerssh.metrics import Page, Says

STRANGE: tuple[bytes, ...] = (
    b"",
    b"panic: runtime error: invalid memory address or nil pointer dereference",
    b"\xff\xfe\x00\x1b[2J",
    b"x" * 100_000,
    b'{"timestamp":"2026-11-23T03:00:00Z","level":"debug","code":"SSH_DISCONNECTED"',
    b'{"level":"debug","code":"SSH_DISCONNECTED","details":{"connectionId":7}}',
    b'2026-11-23T03:00:00Z\tdebug\tSSH_DISCONNECTED\tClient disconnected {"connectionId":"%s"}' % (b"0" * 32),
    b'{"timestamp":"9999-99-99T99:99:99Z","level":"debug","code":"SSH_DISCONNECTED","details":null}',
)
"""Lines that ContainerSSH, or what it runs, may write, and that mean nothing."""
FOREIGN: tuple[Says, ...] = (
    "hang",
    "reset",
    Page("<html>Bad gateway</html>\n", 502, "text/html"),
    Page("", 302, "text/html", "http://127.0.0.1/login"),
    Page("# TYPE node_load1 gauge\nnode_load1 0\n# EOF\n"),
    Page("# TYPE containerssh_ssh_current_connections gauge\n# EOF\n"),
    Page("# TYPE containerssh_ssh_connections_total counter\n"),
)
"""What a proxy, another program or nobody answers for the metrics."""


class Garble:
    """Spoils what owners say."""

    def __init__(self, rng: random.Random, world: World, *, logs: bool, gauge: bool) -> None:
        """``logs``, ``gauge``: whether anybody listens to them."""
        self._rng, self._world, self._logs, self._gauge = rng, world, logs, gauge
        self.rotated: set[str] = set()
        """Connections whose lines may be in an older file, which whoever begins to read does not get."""

    def weights(self) -> dict[Callable[[], Any], float]:
        """Everything that may go wrong, and how often in proportion."""
        logs: dict[Callable[[], Any], float] = {
            self.spoil_log: 4,
            self.strike_logs: 4,
            self.rotate_log: 2,
            self.write_strangely: 3,
            self.say_of_others: 2,
            self.say_again: 2,
        }
        gauge: dict[Callable[[], Any], float] = {self.answer_for_the_gauge: 5, self.answer_as_it_is: 3, self.probe: 3}
        return (logs if self._logs else {}) | (gauge if self._gauge else {})

    def calm(self) -> None:
        """Has everybody say what is so."""
        if self._gauge:
            for replica in self._world.containerssh.replicas:
                self._world.gauge_says(replica.process, None)

    # Logs

    def spoil_log(self) -> None:
        """Requests for logs are refused, cut, late, or never answered."""
        kinds: list[FaultKind] = ["status", "status", "cut", "truncate", "malformed", "reset", "slow", "stall"]
        code = self._rng.choice([400, 403, 404, 429, 500, 503])
        self._world.faults.add(
            Fault(
                self._rng.choice(kinds),
                resource="pods/log",
                times=self._rng.randint(1, 3),
                code=code,
                after_bytes=self._rng.randint(0, 3000),
                seconds=self._rng.choice([2.0, 20.0]),
            )
        )

    def strike_logs(self) -> None:
        """Logs that are being read break off, fall silent, come late or once more."""
        faults = self._world.faults
        strike = self._rng.choice(
            [faults.end_watches, faults.stall_watches, faults.repeat_watches, faults.garble_watches, None]
        )
        if strike is None:
            faults.delay_watches(self._rng.choice([2.0, 30.0]), resource="pods/log")
        else:
            strike(resource="pods/log")

    def rotate_log(self) -> None:
        """A kubelet begins a new file."""
        replica = self._rng.choice(self._world.containerssh.replicas)
        replica.process.log.rotate()
        sessions = self._world.containerssh.sessions.values()
        self.rotated |= {each.connection for each in sessions if each.creator is replica.process}

    def write_strangely(self) -> None:
        """A line that is none of ContainerSSH's, or that is broken."""
        self._write(self._rng.choice(STRANGE))

    def say_of_others(self) -> None:
        """Somebody connects who gets no Pod: with an id that nobody knows, or with text that looks like another's."""
        live = self._world.live()
        quoted = self._rng.choice(live).login if live else Login("0" * 32, "", "")
        user = json.dumps({"code": "SSH_DISCONNECTED", "details": {"connectionId": quoted.connection}})
        login = Login(f"{self._rng.getrandbits(128):032x}", "10.9.9.9", user)
        replica = self._rng.choice(self._world.containerssh.replicas)
        replica.write(*lines.connected(login), lines.disconnected(login))

    def say_again(self) -> None:
        """A line comes a second time."""
        written = self._rng.choice(self._world.containerssh.replicas).process.log
        if written.lines and not written.ended:
            written.add(self._rng.choice(written.lines[-20:]))

    def _write(self, text: bytes) -> None:
        process = self._rng.choice(self._world.containerssh.replicas).process
        if process.alive:
            process.log.write(text)

    # Metrics

    def answer_for_the_gauge(self) -> None:
        """Something else answers on the port."""
        replica = self._rng.choice(self._world.containerssh.replicas)
        self._world.gauge_says(replica.process, self._rng.choice(FOREIGN))

    def answer_as_it_is(self) -> None:
        """Each port says again what is so."""
        self.calm()

    def probe(self) -> None:
        """A probe opens the port, which counts as a connection."""
        self._world.probe(replica=self._rng.choice([0, -1]))
