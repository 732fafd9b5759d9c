"""The limits that the rules go by.

Knows what an operator may set of them. Does not know how they are set (``settings``, ``cli``) or what follows from
them (``rules``).
"""

import msgspec

from ssh_session_gc.core.model import Session


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The limits, in seconds. An age or timeout of 0 turns its rule off; a grace of 0 is no grace."""

    max_age: float = 3600.0
    max_ttl: float = 86400.0
    """The most that a session's own limit may ask for."""
    owner_grace: float = 60.0
    abandoned_grace: float = 90.0
    """Above ContainerSSH's ``podStop``: until that is over it tries to delete what it is done with by itself."""
    clock_tolerance: float = 2.0
    start_timeout: float = 120.0
    finished_grace: float = 60.0
    force_after: float = 0.0
    ownerless: bool = True
    """False turns the Ownerless and the Abandoned rule off: there is no owner workload to go by."""

    def age_limit(self, session: Session) -> float:
        """The age at which this session is over, in seconds; only where ``max_age`` is on."""
        return self.max_age if session.ttl is None else min(session.ttl, self.max_ttl)
