"""How ContainerSSH deletes a Pod: at once, or, where that fails, again and again for a minute.

Knows what the real one does (its source, ``kubernetes/kubernetesPodImpl.go``). Does not know why a session is over.
"""

import asyncio
from typing import Literal

from ssh_session_gc.sandbox.api.objects import PODS
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.containerssh import lines
from ssh_session_gc.sandbox.containerssh.replica import Replica
from ssh_session_gc.sandbox.containerssh.truth import Connection, TrueSession

POD_STOP = 60.0
"""Seconds for which ContainerSSH tries to delete a Pod (its ``timeouts.podStop``)."""
RETRY = 10.0
"""Seconds between two of these attempts (recorded)."""
Obstacle = Literal["forbidden", "unreachable"]
"""Why the API server does not take a deletion: ContainerSSH may not delete, or does not reach it."""


class Removal:
    """Deletes the Pods of sessions that are over."""

    def __init__(self, store: Store, namespace: str) -> None:
        self._store, self._namespace = store, namespace
        self.obstacle: Obstacle | None = None
        """What lies in the way of every deletion at present."""
        self.asked: set[str] = set()
        """uids of the sessions that ContainerSSH has deleted."""

    def remove(self, session: TrueSession, connection: Connection, replica: Replica, *, killed: bool) -> None:
        """Deletes the session's Pod, now or later. ``killed``: its user's program goes with it."""
        login = connection.login
        replica.write(lines.removes(login, session.name))
        if killed:
            replica.write(lines.not_signalled(login, session.name))
        obstacle = self._obstacle(session, replica)
        if obstacle is None:
            self._delete(session, connection, replica)
            if killed:
                replica.write(lines.exited(login, 137))
            return
        session.given_up = True
        if replica.process.alive:
            replica.begin(self._delete_later(session, connection, replica, obstacle), f"podStop {session.name}")

    def _obstacle(self, session: TrueSession, replica: Replica) -> str | None:
        if self.obstacle == "unreachable" or not replica.online:
            return lines.unreachable(self._namespace, session.name)
        if self.obstacle == "forbidden" or session.undeletable:
            return lines.forbidden(self._namespace, session.name)
        return None

    def _delete(self, session: TrueSession, connection: Connection, replica: Replica) -> None:
        session.given_up, session.closed = False, True
        self.asked.add(session.uid)
        try:
            self._store.delete(PODS, self._namespace, session.name, uid=session.uid)
        except Refusal as error:
            if error.code not in (404, 409):
                raise
        replica.write(lines.removed(connection.login, session.name))

    async def _delete_later(
        self, session: TrueSession, connection: Connection, replica: Replica, reason: str
    ) -> None:
        login = connection.login
        for attempt in range(int(POD_STOP / RETRY)):
            if attempt:
                obstacle = self._obstacle(session, replica)
                if obstacle is None:
                    self._delete(session, connection, replica)
                    return
                reason = obstacle
            replica.write(lines.not_removed(login, session.name, reason, last=False))
            await asyncio.sleep(RETRY)
        if replica.write(lines.not_removed(login, session.name, reason, last=True)) and session.left is None:
            session.left = self._store.true_now()
