"""What ContainerSSH does from SIGTERM to its end, as version 0.6 does it (recorded, but for what comes after 20 s).

Does not know when SIGTERM comes, or how a user leaves (``departure``).
"""

import asyncio

from ssh_session_gc.sandbox.containerssh import lines
from ssh_session_gc.sandbox.containerssh.departure import Departures
from ssh_session_gc.sandbox.containerssh.register import Register
from ssh_session_gc.sandbox.containerssh.replica import Replica

SIGNAL = 0.8
"""Seconds from SIGTERM to the end of a program that heeds it (recorded: 0.84)."""
PATIENCE = 20.0
"""Seconds after which what is left is killed (its source, ``main.go``)."""


async def shut_down(replica: Replica, register: Register, departures: Departures) -> None:
    """Sends TERM to every program at once, kills what is left after 20 s, and ends the process."""
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE
    replica.write(*lines.stopping())
    # Nobody else comes, and whoever has no program yet cannot be sent a signal.
    seats = [
        (each, connection) for connection in replica.connections.values() for each in register.used_by(connection)
    ]
    told = [(each, connection) for each, connection in seats if each.up and not connection.mute]
    pid = 1 if register.mode == "session" else 12
    for session, connection in told:
        replica.write(*lines.signals(connection.login, session.name, "TERM", pid))
    if told:
        await asyncio.sleep(SIGNAL)
    for session, connection in told:
        # The first process of a container, which it is in mode ``session``, does not heed it.
        if connection.open and replica.online and not session.ignores_term and register.mode != "session":
            replica.write(*lines.signalled(connection.login, session.name, "TERM"))
            replica.write(lines.exited(connection.login, 143))
            departures.depart(session, connection, replica, killed=False)
    try:
        async with asyncio.timeout_at(until):
            while replica.connections:
                replica.went.clear()
                await replica.went.wait()
    except TimeoutError:
        for connection in tuple(replica.connections.values()):
            for session in register.made_for(connection):
                departures.depart(session, connection, replica, killed=session.up)
    replica.write(*lines.stopped())
    replica.kubelet.end(replica.process, 0)
