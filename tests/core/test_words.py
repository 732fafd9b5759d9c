"""Every sentence that a verdict or a rule can come with, as an operator reads it."""

from typing import Any

import msgspec
import pytest

from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.explain import explain
from ssh_session_gc.core.model import Reason, Session
from ssh_session_gc.core.owners import Gap, OwnerPod, Owners, Span
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge

T = 1_795_402_800.0  # 2026-11-23T03:00:00Z
POLICY = Policy()
NOBODY = Owners().listed([], T - 1000)


def session(**fields: Any) -> Session:
    """One that was made at three o'clock and started a second later."""
    base = {"uid": "u", "name": "s", "resource_version": "1", "created": T, "phase": "Running", "started": T + 1}
    return Session(**{**base, **fields})


def pod(uid: str = "a", **fields: Any) -> OwnerPod:
    """An owner Pod from ten minutes before."""
    return OwnerPod(**{"name": f"ssh-{uid}", "uid": uid, "created": T - 600, "container": "containerssh", **fields})


def known(*pods: OwnerPod, at: float = T - 500) -> Owners:
    return Owners().listed(pods, at)


ALIVE = known(pod(running=T - 590))
ENDED = known(pod(terminated=Span(T - 590, T + 30, "exit 137, Error"), terminating=True))


def words(it: Session, owners: Owners, now: float, policy: Policy = POLICY) -> str:
    return evidence(it, judge(it, owners, policy, now), owners, policy, now)


@pytest.mark.parametrize(
    ("fields", "now", "said"),
    [
        ({}, T + 3600, "open since 03:00:00Z, longer than 1h (max-age)"),
        ({}, T + 86400, "open since 2026-11-23T03:00:00Z, longer than 1h (max-age)"),
        ({"ttl": 90.0}, T + 90, "open since 03:00:00Z, longer than 1m30s (its own ttl)"),
        (
            {"ttl": 86400.0},
            T + 86399,
            "container containerssh of ssh-a may own it, running since 2026-11-23T02:50:10Z",
        ),
        ({"ttl": 86400.0}, T + 86400, "open since 2026-11-23T03:00:00Z, longer than 24h (its own ttl)"),
        (
            {"ttl": 90000.0},
            T + 86400,
            "open since 2026-11-23T03:00:00Z, longer than 24h (its own ttl of 25h, cut to max-ttl)",
        ),
        ({}, T + 60, "container containerssh of ssh-a may own it, running since 02:50:10Z"),
        ({"phase": "Failed", "finished": T + 9}, T + 10, "its container ended at 03:00:09Z (Failed)"),
        ({"phase": "Pending", "started": None}, T + 60, "created at 03:00:00Z and not started yet: Pending"),
        (
            {"phase": "Pending", "started": None, "waiting": "ImagePullBackOff"},
            T + 120,
            "created at 03:00:00Z and not started within 2m: Pending, ImagePullBackOff",
        ),
        (
            {"started": T + 150},
            T + 160,
            "its container started 2m30s after its creation, later than 2m: nobody waited for it",
        ),
        ({"keep": True}, T + 3600, "exempt by its annotation ssh-session-gc/keep"),
        (
            {"deletion": T + 30},
            T + 10,
            "its deletion was accepted, with grace until 03:00:30Z",
        ),
    ],
)
def test_of_a_session_with_an_owner(fields: dict[str, Any], now: float, said: str) -> None:
    assert words(session(**fields), ALIVE, now) == said


def test_of_a_deletion_that_is_to_be_forced() -> None:
    said = words(session(deletion=T + 30), ALIVE, T + 3600, Policy(force_after=60.0))
    assert said == (
        "its deletion was accepted, with grace until 03:00:30Z; open since 03:00:00Z, longer than 1h (max-age)"
    )


THIS = "this session is from 03:00:00Z"


@pytest.mark.parametrize(
    ("owners", "stamp", "said"),
    [
        (known(pod(running=T - 590, unreachable=True)), "",
         "container containerssh of ssh-a may own it: its node does not report, and it may be running"),
        (known(pod()), "", "container containerssh of ssh-a is starting and may own it"),
        (NOBODY, "", f"no owner since 03:00:00Z: no owner is running, {THIS}"),
        (known(at=T + 20), "", f"no owner at least since 03:00:20Z: no owner is running, {THIS}"),
        (ENDED, "", "no owner since 03:00:30Z: container containerssh of ssh-a ended at 03:00:30Z (exit 137, Error), "
         f"{THIS}"),
        (known(pod(terminated=Span(T - 590, T + 30), terminating=True)), "",
         f"no owner since 03:00:30Z: container containerssh of ssh-a ended at 03:00:30Z, {THIS}"),
        (msgspec.structs.replace(ENDED, last_gap=Gap(T + 1, T + 40)), "",
         "no owner at least since 03:00:40Z: container containerssh of ssh-a ended at 03:00:30Z (exit 137, Error), "
         f"{THIS}"),
        # It is waited for, and has not restarted before it has.
        (ALIVE.saw(pod(terminated=Span(T - 590, T + 30)), T + 31), "",
         f"no owner since 03:00:30Z: container containerssh of ssh-a ended at 03:00:30Z, {THIS}"),
        (ALIVE.saw(pod(running=T + 32, last=Span(T - 590, T + 30)), T + 33), "",
         f"no owner since 03:00:30Z: container containerssh of ssh-a restarted at 03:00:32Z, {THIS}"),
        # It restarted twice: the first time counts.
        (ALIVE.saw(pod(running=T + 60, last=Span(T + 32, T + 50)), T + 61), "",
         f"no owner since 03:00:32Z: container containerssh of ssh-a restarted at 03:00:32Z, {THIS}"),
        # What another Pod did is not what this one did.
        (ENDED.saw(pod("b", created=T + 20, running=T + 32), T + 33), "",
         f"no owner since 03:00:30Z: container containerssh of ssh-a ended at 03:00:30Z (exit 137, Error), {THIS}"),
        # Those that live are too young; who has ended is not one of them.
        (known(pod("b", created=T + 55, running=T + 60), pod(created=T + 45, running=T + 50),
               pod("c", created=T + 35, terminated=Span(T + 36, T + 37), terminating=True), at=T + 61), "",
         f"no owner at least since 03:01:01Z: the oldest owner, ssh-a, is from 03:00:50Z, {THIS}"),
        (ALIVE, "z", f"no owner since 03:00:00Z: its creator, Pod ssh-z, is gone, {THIS}"),
        # Its maker's end is in no status any more.
        (known(pod("b", running=T - 590), pod(running=T + 50, last=Span(T + 20, T + 40)), at=T + 61), "a",
         f"no owner since 03:00:20Z: container containerssh of ssh-a restarted at 03:00:20Z, {THIS}"),
    ],
)  # fmt: skip
def test_of_owners(owners: Owners, stamp: str, said: str) -> None:
    it = session(stamp_uid=stamp, stamp_name=stamp and f"ssh-{stamp}")
    assert words(it, owners, T + 70) == said


def test_of_one_that_its_age_will_end_before_the_grace_is_over() -> None:
    brief = session(ttl=80.0)
    assert judge(brief, ENDED, POLICY, T + 70).reason is Reason.OVER_AGE
    assert words(brief, ENDED, T + 70) == (
        f"no owner since 03:00:30Z: container containerssh of ssh-a ended at 03:00:30Z (exit 137, Error), {THIS}"
    )


def test_of_a_creator_without_a_name() -> None:
    said = words(session(stamp_uid="z"), ALIVE, T + 70)
    assert said == f"no owner since 03:00:00Z: its creator, Pod with uid z, is gone, {THIS}"


def test_where_nobody_can_tell() -> None:
    assert words(session(), Owners(unknown="nobody looked"), T + 70) == "nobody can tell who owns it: nobody looked"
    assert words(session(), ALIVE, T + 70, Policy(ownerless=False)) == "owners are not looked at (owner=none)"


def why(it: Session, owners: Owners, now: float, policy: Policy = POLICY) -> dict[Reason, str]:
    """What is said of each rule."""
    return {rule.reason: rule.why for rule in explain(it, owners, policy, now).rules}


def test_of_each_rule() -> None:
    assert why(session(), ALIVE, T + 60) == {
        Reason.OVER_AGE: "open since 03:00:00Z, may be for 1h (max-age)",
        Reason.OWNERLESS: "container containerssh of ssh-a may own it, running since 02:50:10Z",
        Reason.START_TIMEOUT: "its container started 1s after its creation, within 2m",
        Reason.FINISHED: "its phase is Running: it has not ended",
    }
    assert why(session(phase="", started=None), NOBODY, T + 119.9) == {
        Reason.OVER_AGE: "open since 03:00:00Z, may be for 1h (max-age)",
        Reason.OWNERLESS: f"no owner since 03:00:00Z: no owner is running, {THIS}; grace 1m",
        Reason.START_TIMEOUT: "created at 03:00:00Z and not started yet: ",
        Reason.FINISHED: "its phase is not known: it has not ended",
    }
    off = Policy(max_age=0.0, start_timeout=0.0, ownerless=False)
    assert why(session(phase="Failed", finished=T + 9), NOBODY, T + 60, off) == {
        Reason.OVER_AGE: "off (max-age=0)",
        Reason.OWNERLESS: "owners are not looked at (owner=none)",
        Reason.START_TIMEOUT: "off (start-timeout=0)",
        Reason.FINISHED: "ended at 03:00:09Z (Failed); grace 1m",
    }


def test_of_the_start_timeout() -> None:
    def said(now: float, **fields: Any) -> str:
        return why(session(**fields), ALIVE, now)[Reason.START_TIMEOUT]

    assert said(T + 120, started=None) == "created at 03:00:00Z and not started within 2m: Running"
    late = "its container started 3m after its creation, later than 2m: nobody waited for it"
    assert said(T + 200, started=T + 180) == late
    # A kubelet whose clock is behind.
    assert said(T + 60, started=T - 5) == "its container started 0s after its creation, within 2m"


@pytest.mark.parametrize(
    ("owners", "stamp", "could", "said"),
    [
        (ALIVE, "", True, "was running when it was created, since 02:50:10Z, and still is"),
        (known(pod()), "", True, "may have started before its status says so"),
        (known(pod(running=T - 590, unreachable=True)), "", True,
         "its node does not report; it may still be running"),
        (ENDED, "", True, "was running when it was created, but ended at 03:00:30Z"),
        (known(pod(terminated=Span(T - 590, T - 2), terminating=True)), "", True,
         "was running when it was created, but ended at 02:59:58Z"),
        (known(pod(terminated=Span(T - 590, T - 3), terminating=True)), "", False,
         "had ended 3s before the session was created"),
        (known(pod(created=T + 1, running=T + 2), at=T + 9), "", True,
         "was running when it was created, since 03:00:02Z, and still is"),
        (known(pod(created=T + 1, running=T + 3), at=T + 9), "", False,
         "started 3s after the session was created (clock-tolerance 2s)"),
        (known(pod(created=T + 8), at=T + 9), "", False,
         "has yet to start, 8s after the session was created at the earliest (clock-tolerance 2s)"),
        (ALIVE, "z", False, "the session is stamped as made by Pod ssh-z"),
    ],
)  # fmt: skip
def test_of_each_owner(owners: Owners, stamp: str, could: bool, said: str) -> None:
    it = explain(session(stamp_uid=stamp, stamp_name=stamp and f"ssh-{stamp}"), owners, POLICY, T + 70)
    assert [(each.could, each.why) for each in it.candidates] == [(could, said)]


def test_owners_are_told_of_oldest_first() -> None:
    owners = known(pod("b", running=T - 590), pod("c", running=T - 595), pod("a", running=T - 590))
    it = explain(session(stamp_uid="z"), owners, POLICY, T + 70)
    assert [each.owner.pod for each in it.candidates] == ["ssh-c", "ssh-a", "ssh-b"]
    assert it.candidates[0].why == "the session is stamped as made by Pod z"
    assert it.session.stamp_uid == "z"


def test_of_what_exempts() -> None:
    both = session(keep=True, deletion=T + 30)
    keep = "its annotation ssh-session-gc/keep exempts it from every rule"
    gone = "its deletion was accepted already, with grace until 03:00:30Z"
    assert explain(session(), ALIVE, POLICY, T + 40).exempt == ()
    assert explain(both, ALIVE, POLICY, T + 40).exempt == (keep, gone)
    forced = f"{gone}; deleted again with grace 0 from 03:01:30Z on, if a rule is due (force-after)"
    assert explain(both, ALIVE, Policy(force_after=60.0), T + 40).exempt == (keep, forced)
