"""What every rule is made of, and what it is told.

Knows the form of a rule. Does not know which rules there are (``judge``).
"""

import math
from typing import NamedTuple, Protocol

import msgspec

from ssh_session_gc.core.connections import UNHEARD, Connection
from ssh_session_gc.core.model import Ownership, Reason, Session
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.times import format_clock

NEVER = math.inf
"""The due of a rule that does not apply, as things stand."""


class Known(msgspec.Struct, frozen=True, gc=False):
    """What is known around one session. ``ownership`` is None where nobody can tell who owns it, or nobody asks."""

    owners: Owners
    ownership: Ownership | None
    connection: Connection = UNHEARD


class Case(NamedTuple):
    """One session before the rules, with everything that their words may mention. ``now`` is epoch seconds."""

    session: Session
    known: Known
    policy: Policy
    now: float

    def at(self, instant: float) -> str:
        """A moment, as short as it can be said. 0 is a start that no clock tells (``owners.incarnations``)."""
        return format_clock(instant, self.now) if instant else "nobody knows when"


def no_fresh_read(_: Session, __: Known, ___: Policy) -> bool:
    """The ``needs_fresh_read`` of a rule that no owner can change."""
    return False


class Rule(Protocol):
    """One reason to collect a session. Each is a module of this package."""

    REASON: Reason

    def due(self, session: Session, known: Known, policy: Policy) -> float:
        """When it fires, were it the only rule, in epoch seconds; NEVER, as things stand."""

    def needs_fresh_read(self, session: Session, known: Known, policy: Policy) -> bool:
        """Whether the owners are to be read afresh before this one is deleted for it."""

    def evidence(self, case: Case, *, late: bool) -> str:
        """The facts behind a verdict with this reason, in words; ``late``: it is due by now."""

    def why(self, case: Case, due: float) -> str:
        """The facts behind this due, in words, whether or not another rule comes first."""
