"""Leaks at random: of the users who leave, some leave a Pod behind, in one of the ways in which it happens.

Knows the ways (recorded, or read in its source). What each of them does, ``departure`` and ``removal`` know.
"""

import random
from collections.abc import Callable

from ssh_session_gc.sandbox.containerssh import lines
from ssh_session_gc.sandbox.containerssh.departure import Departures
from ssh_session_gc.sandbox.containerssh.replica import Replica
from ssh_session_gc.sandbox.containerssh.truth import Connection, TrueSession


class Leaks:
    """Decides whose session leaks, and how."""

    def __init__(self, share: float, rng: random.Random, departures: Departures) -> None:
        """``share``: the probability that a session leaks. Nothing is drawn where it is 0."""
        self._share, self._rng, self._departures = share, rng, departures

    def leak(self, session: TrueSession, connection: Connection, replica: Replica) -> bool:
        """Has a user leave in one of these ways, or in none. Returns whether the user has left."""
        if not self._share or self._rng.random() >= self._share:
            return False
        ways: list[Callable[[TrueSession, Connection, Replica], None]] = [
            self._refused,
            self._departures.leave_unsaid,
            self._panicked,
        ]
        if session.up:
            ways += [self._departures.leave_after_command, self._never_ran]
        self._rng.choice(ways)(session, connection, replica)
        return True

    def _refused(self, session: TrueSession, connection: Connection, replica: Replica) -> None:
        session.undeletable = True
        self._departures.depart(session, connection, replica, killed=session.up)

    def _never_ran(self, session: TrueSession, connection: Connection, replica: Replica) -> None:
        connection.mute = True
        self._departures.depart(session, connection, replica, killed=session.up)

    def _panicked(self, _: TrueSession, __: Connection, replica: Replica) -> None:
        panic(replica)


def panic(replica: Replica) -> None:
    """Has a process panic: it says so in lines that are no JSON, and ends."""
    for line in lines.panic():
        replica.process.log.write(line)
    replica.kubelet.end(replica.process, 2)
