"""Worlds for hypothesis: sessions, owner Pods that live and die, and policies, on a small stretch of time.

Times are whole seconds in a narrow range, so that the interesting coincidences (created in the second of a
restart, due in the second of an end) come up by themselves.
"""

import math

from hypothesis import strategies as st

from ssh_session_gc.core.model import Session
from ssh_session_gc.core.owners import OwnerPod, Owners, Span
from ssh_session_gc.core.policy import Policy
from tests.builders import T

UIDS = ("pod-a", "pod-b", "pod-c")

moments = st.integers(0, 5000).map(lambda s: T + s)
"""When somebody looks."""
unknowns = st.sampled_from([None, None, None, "nobody has looked yet"])
instants = st.integers(0, 400).map(lambda s: T + s)
maybe_instant = st.none() | instants
durations = st.sampled_from([0.0, 1.0, 2.0, 30.0, 60.0, 120.0])


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    """A session as the API server could have it."""
    created = draw(instants)
    phase = draw(st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]))
    final = phase in ("Succeeded", "Failed")
    return Session(
        uid="session",
        name="containerssh-abcde",
        resource_version="1",
        created=created,
        phase=phase,
        started=draw(st.none() | st.integers(-1, 300).map(lambda s: created + s)),
        finished=draw(instants) if final else None,
        deletion=draw(maybe_instant),
        keep=draw(st.sampled_from([False, False, False, True])),
        spared=draw(st.sampled_from([False, False, False, True])),
        persistent=draw(st.sampled_from([False, False, False, True])),
        ttl=draw(st.none() | st.sampled_from([1.0, 45.0, 90000.0])),
        stamp_uid=draw(st.sampled_from(["", *UIDS, "pod-unseen"])),
        foreign=draw(st.sampled_from([False, False, False, True])),
    )


@st.composite
def owner_pods(draw: st.DrawFn, uid: str) -> OwnerPod:
    """A Pod of the owner workload in any state that a kubelet may report."""
    created = draw(instants)
    start = created + draw(st.integers(0, 5))
    last = None
    if draw(st.booleans()):
        end = start + draw(st.integers(0, 100))
        last, start = Span(start, end, "exit 137, Error"), end + draw(st.integers(0, 20))
    state = draw(st.sampled_from(["running", "terminated", "waiting"]))
    return OwnerPod(
        name=f"containerssh-{uid}",
        uid=uid,
        created=created,
        container="containerssh",
        running=start if state == "running" else None,
        terminated=Span(start, start + draw(st.integers(0, 50)), "exit 0") if state == "terminated" else None,
        last=last,
        first=last is None and draw(st.booleans()),
        clock_ahead=draw(st.sampled_from([0.0, 0.0, 3.0])),
        final=state == "terminated" and draw(st.booleans()),
        terminating=draw(st.booleans()),
        unreachable=draw(st.booleans()),
        never_run=draw(st.sampled_from([-math.inf, created + 30, math.inf])) if state == "waiting" else -math.inf,
    )


@st.composite
def known_owners(draw: st.DrawFn) -> Owners:
    """What a watch may have told so far: a list, then changes and disappearances, at rising times."""
    at = T + draw(st.integers(0, 100))
    owners = Owners().listed([draw(owner_pods(uid)) for uid in draw(st.sets(st.sampled_from(UIDS)))], at)
    for uid in draw(st.lists(st.sampled_from(UIDS), max_size=4)):
        at += draw(st.integers(0, 100))
        owners = owners.lost(uid, at) if draw(st.booleans()) else owners.saw(draw(owner_pods(uid)), at)
    return owners


policies = st.builds(
    Policy,
    max_age=st.sampled_from([0.0, 60.0, 3600.0]),
    max_ttl=st.sampled_from([30.0, 86400.0]),
    owner_grace=durations,
    clock_tolerance=st.sampled_from([0.0, 2.0]),
    start_timeout=durations,
    finished_grace=durations,
    force_after=st.sampled_from([0.0, 10.0]),
)
