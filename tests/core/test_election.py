"""The rules of a lease: when it may be taken, and what is written into it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.election import (
    DURATION,
    RENEW_DEADLINE,
    RENEW_EVERY,
    RETRY_EVERY,
    Lease,
    Seen,
    given_back,
    holder,
    may_take,
    renewed,
    taken,
)

AT = 1_795_402_800.25
WRITTEN = "2026-11-23T03:00:00.250000Z"
OTHERS = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "gc", "resourceVersion": "7"}}
"""A lease that somebody made by hand."""


def lease(**spec: Any) -> Lease:
    return {**OTHERS, "spec": spec}


def test_the_times_that_are_promised() -> None:
    # docs/guarantees.md: a leader stops five seconds before others may begin.
    assert (RENEW_DEADLINE, DURATION) == (10.0, 15)
    # Renewing may fail a few times; a lease that was given back is taken within two seconds.
    assert RENEW_EVERY <= RENEW_DEADLINE / 4
    assert RETRY_EVERY < 2.0


@given(st.integers(0, 100), st.sampled_from(["", "a", "b"]), st.none() | st.integers(-3, 60) | st.just("15"))
def test_it_is_taken_from_another_only_when_it_has_run_out(waited: int, held: str, duration: Any) -> None:
    seen = Seen(lease(holderIdentity=held, leaseDurationSeconds=duration), 1000.0)
    valid = duration if isinstance(duration, int) and duration > 0 else DURATION
    assert may_take(seen, "a", 1000.0 + waited) == (held != "b" or waited >= valid)


def test_the_shortest_lease_holds_for_its_second() -> None:
    seen = Seen(lease(holderIdentity="b", leaseDurationSeconds=1), 1000.0)
    assert not may_take(seen, "a", 1000.9)
    assert may_take(seen, "a", 1001.0)


@pytest.mark.parametrize("broken", [{}, {"spec": None}, lease(), lease(holderIdentity=None), lease(holderIdentity=5)])
def test_what_names_nobody_is_held_by_nobody(broken: Lease) -> None:
    assert holder(broken) == ""
    assert may_take(Seen(broken, 1000.0), "a", 1000.0)


def test_whoever_sees_it_unchanged_waits_on_and_whoever_sees_it_renewed_waits_anew() -> None:
    seen = Seen(lease(holderIdentity="b"), 1000.0)
    assert seen.again(lease(holderIdentity="b"), 1005.0) is seen
    newer = {**lease(holderIdentity="b"), "metadata": {"name": "gc", "resourceVersion": "8"}}
    assert seen.again(newer, 1005.0) == Seen(newer, 1005.0)
    # One without a version can be told from one that has one, and is like any other without.
    bare = seen.again({}, 1006.0)
    assert bare == Seen({}, 1006.0)
    assert bare.again({"metadata": None}, 1007.0) is bare


def test_one_that_nobody_has_made_yet_is_made() -> None:
    made = taken(None, "gc", "a", AT)
    assert made == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "gc"},
        "spec": {
            "holderIdentity": "a",
            "leaseDurationSeconds": DURATION,
            "leaseTransitions": 0,
            "acquireTime": WRITTEN,
            "renewTime": WRITTEN,
        },
    }


def test_renewing_it_changes_the_time_alone() -> None:
    made = taken(None, "gc", "a", AT)
    newer = taken(made, "gc", "a", AT + 2)
    assert newer == made | {"spec": made["spec"] | {"renewTime": "2026-11-23T03:00:02.250000Z"}}


@pytest.mark.parametrize(("before", "after"), [(4, 5), (None, 0), ("4", 0)])
def test_taking_it_from_another_counts(before: Any, after: int) -> None:
    theirs = lease(holderIdentity="b", leaseTransitions=before, acquireTime="then", preferredHolder="c")
    mine = taken(theirs, "gc", "a", AT)
    # What others wrote stays: the version, without which the update would not be refused when it ought to be, too.
    assert mine["metadata"] == OTHERS["metadata"]
    assert mine["spec"]["preferredHolder"] == "c"
    assert (mine["spec"]["leaseTransitions"], mine["spec"]["acquireTime"]) == (after, WRITTEN)
    assert theirs["spec"]["acquireTime"] == "then"


def test_one_that_was_made_by_hand_can_be_taken() -> None:
    assert taken(OTHERS, "gc", "a", AT)["spec"]["holderIdentity"] == "a"


def test_given_back_it_is_free_at_once() -> None:
    mine = taken(OTHERS, "gc", "a", AT)
    back = given_back(mine, AT + 2)
    assert may_take(Seen(back, 1000.0), "b", 1000.0)
    assert back == mine | {
        "spec": mine["spec"]
        | {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": "2026-11-23T03:00:02.250000Z"}
    }
    assert holder(given_back(OTHERS, AT)) == ""


@pytest.mark.parametrize(
    ("found", "at"),
    [
        (taken(None, "gc", "a", AT), AT),
        (lease(renewTime="2026-11-23T04:00:00.25+01:00"), AT),
        (lease(renewTime=None), None),
        (lease(), None),
        (OTHERS, None),
        ({"spec": None}, None),
        ({"spec": ["holderIdentity"]}, None),
    ],
)
def test_when_it_was_renewed(found: Lease, at: float | None) -> None:
    assert renewed(found) == at


@pytest.mark.parametrize("written", ["yesterday", "2026-11-23", "2026-11-23T03:00:00", 1_795_402_800, ["now"]])
def test_a_renewal_at_no_instant(written: Any) -> None:
    with pytest.raises(ValueError, match=r"^its renewTime is no instant: "):
        renewed(lease(renewTime=written))


@pytest.mark.parametrize("spec", [5, "a", ["holderIdentity"]])
def test_a_spec_that_is_none_names_nobody_and_is_written_anew(spec: Any) -> None:
    broken = {**OTHERS, "spec": spec}
    assert holder(broken) == ""
    assert taken(broken, "gc", "a", AT)["spec"] == taken(OTHERS, "gc", "a", AT)["spec"]
    assert holder(given_back(broken, AT)) == ""
