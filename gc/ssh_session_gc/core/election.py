"""Who may delete, where several replicas run: the rules of a lease.

Knows when a lease may be taken and what is written then, with client-go's semantics (``tools/leaderelection``): the
times in a lease are for people; whether it has run out is told by for how long it has not been seen to change, on the
monotonic clock of whoever looks. So clocks need not agree, they only have to run at about the same speed. Where one
stands still, because its machine sleeps, whoever looks waits for longer, which does no harm; a holder must notice.
"""

from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from ssh_session_gc.core.times import format_micro

DURATION = 15
"""Seconds for which a lease holds after its last renewal, as far as others can see."""
RENEW_DEADLINE = 10.0
"""Seconds after which a holder that could not renew acts no longer. The difference is the margin in which whatever it
had begun must have ended."""
RENEW_EVERY = 2.0
"""Seconds between renewals."""
RETRY_EVERY = 1.0
"""Seconds between two looks of a standby. A lease that was given back is taken within two seconds."""

Lease = dict[str, Any]
"""A Lease as the API has it; what others wrote into it is kept."""
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Seen(NamedTuple):
    """A lease, and the local time at which it was first seen so."""

    lease: Lease
    since: float

    def again(self, lease: Lease, now: float) -> "Seen":
        """Takes in another look at it. While nothing has changed, ``since`` stays."""
        return self if _version(lease) == _version(self.lease) else Seen(lease, now)


def holder(lease: Lease) -> str:
    """The identity of its holder, "" for nobody."""
    identity = _spec(lease).get("holderIdentity")
    return identity if isinstance(identity, str) else ""


def renewed(lease: Lease) -> float | None:
    """The renewal that its holder wrote last, in epoch seconds; None where there is none. Raises ValueError."""
    written = _spec(lease).get("renewTime")
    try:
        at = msgspec.convert(written, _Instant | None)
    except msgspec.ValidationError as error:
        raise ValueError(f"its renewTime is no instant: {error}") from None
    return None if at is None else at.timestamp()


def may_take(seen: Seen, me: str, now: float) -> bool:
    """Whether ``me`` may take it: nobody holds it, it is ours, or its holder has not renewed it for its duration."""
    if holder(seen.lease) in ("", me):
        return True
    duration = _spec(seen.lease).get("leaseDurationSeconds")
    return now >= seen.since + (duration if isinstance(duration, int) and duration > 0 else DURATION)


def taken(lease: Lease | None, name: str, me: str, at: float) -> Lease:
    """What the holder writes to take it or to renew it; ``at`` is epoch seconds."""
    base: Lease = lease or {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
    }
    spec = dict(_spec(base))
    if holder(base) != me:
        transitions = spec.get("leaseTransitions")
        spec["leaseTransitions"] = transitions + 1 if lease and isinstance(transitions, int) else 0
        spec["acquireTime"] = format_micro(at)
    return base | {
        "spec": spec | {"holderIdentity": me, "leaseDurationSeconds": DURATION, "renewTime": format_micro(at)}
    }


def given_back(lease: Lease, at: float) -> Lease:
    """What the holder writes when it leaves, so that nobody has to wait for its end."""
    spec = dict(_spec(lease))
    return lease | {"spec": spec | {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": format_micro(at)}}


def _spec(lease: Lease) -> dict[str, Any]:
    spec = lease.get("spec")
    return spec if isinstance(spec, dict) else {}


def _version(lease: Lease) -> object:
    return (lease.get("metadata") or {}).get("resourceVersion")
