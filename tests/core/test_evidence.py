"""Every sentence that a verdict can come with, as an operator reads it."""

from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given

from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.model import Action, Reason, Session
from ssh_session_gc.core.owners import Gap, Owners, Span
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from tests.builders import ALIVE, NOBODY, T, owner_pod, owners_of, session
from tests.core.strategies import instants, known_owners, policies, sessions

POLICY = Policy()
earlier = partial(owner_pod, created=T - 600)
ENDED = owners_of(earlier(terminated=Span(T - 590, T + 30, "exit 137, Error"), terminating=True), at=T - 500)
THIS = "this session is from 03:00:00Z"


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


@pytest.mark.parametrize(
    ("owners", "stamp", "said"),
    [
        (owners_of(earlier(running=T - 590, unreachable=True)), "",
         "container containerssh of ssh-a may own it: its node does not report, and it may be running"),
        (owners_of(earlier()), "", "container containerssh of ssh-a is starting and may own it"),
        (NOBODY, "", f"no owner since 03:00:00Z: no owner is running, {THIS}"),
        (owners_of(at=T + 20), "", f"no owner at least since 03:00:20Z: no owner is running, {THIS}"),
        (ENDED, "", "no owner since 03:00:30Z: container containerssh of ssh-a ended at 03:00:30Z (exit 137, Error), "
         f"{THIS}"),
        (owners_of(earlier(terminated=Span(T - 590, T + 30), terminating=True)), "",
         f"no owner since 03:00:30Z: container containerssh of ssh-a ended at 03:00:30Z, {THIS}"),
        (msgspec.structs.replace(ENDED, last_gap=Gap(T + 1, T + 40)), "",
         "no owner at least since 03:00:40Z: container containerssh of ssh-a ended at 03:00:30Z (exit 137, Error), "
         f"{THIS}"),
        # It is waited for, and has not restarted before it has.
        (ALIVE.saw(earlier(terminated=Span(T - 590, T + 30)), T + 31), "",
         f"no owner since 03:00:30Z: container containerssh of ssh-a ended at 03:00:30Z, {THIS}"),
        (ALIVE.saw(earlier(running=T + 32, last=Span(T - 590, T + 30)), T + 33), "",
         f"no owner since 03:00:30Z: container containerssh of ssh-a restarted at 03:00:32Z, {THIS}"),
        # It restarted twice: the first time counts.
        (ALIVE.saw(earlier(running=T + 60, last=Span(T + 32, T + 50)), T + 61), "",
         f"no owner since 03:00:32Z: container containerssh of ssh-a restarted at 03:00:32Z, {THIS}"),
        # What another Pod did is not what this one did.
        (ENDED.saw(earlier("b", created=T + 20, running=T + 32), T + 33), "",
         f"no owner since 03:00:30Z: container containerssh of ssh-a ended at 03:00:30Z (exit 137, Error), {THIS}"),
        # Those that live are too young; who has ended is not one of them.
        (owners_of(earlier("b", created=T + 55, running=T + 60), earlier(created=T + 45, running=T + 50),
               earlier("c", created=T + 35, terminated=Span(T + 36, T + 37), terminating=True), at=T + 61), "",
         f"no owner at least since 03:01:01Z: the oldest owner, ssh-a, is from 03:00:50Z, {THIS}"),
        (ALIVE, "z", f"no owner since 03:00:00Z: its creator, Pod ssh-z, is gone, {THIS}"),
        # Its maker's end is in no status any more.
        (owners_of(earlier("b", running=T - 590), earlier(running=T + 50, last=Span(T + 20, T + 40)), at=T + 61), "a",
         f"no owner since 03:00:20Z: container containerssh of ssh-a restarted at 03:00:20Z, {THIS}"),
    ],
)  # fmt: skip
def test_of_owners(owners: Owners, stamp: str, said: str) -> None:
    it = session(stamp_uid=stamp, stamp_name=stamp and f"ssh-{stamp}")
    assert words(it, owners, T + 70) == said


def test_of_one_that_its_age_will_end_before_the_grace_is_over() -> None:
    brief = session(ttl=80.0)
    assert judge(brief, ENDED, Policy(), T + 70).reason is Reason.OVER_AGE
    assert words(brief, ENDED, T + 70) == (
        f"no owner since 03:00:30Z: container containerssh of ssh-a ended at 03:00:30Z (exit 137, Error), {THIS}"
    )


def test_of_a_creator_without_a_name() -> None:
    said = words(session(stamp_uid="z"), ALIVE, T + 70)
    assert said == f"no owner since 03:00:00Z: its creator, Pod with uid z, is gone, {THIS}"


def test_where_nobody_can_tell() -> None:
    assert words(session(), Owners(unknown="nobody looked"), T + 70) == "nobody can tell who owns it: nobody looked"
    assert words(session(), ALIVE, T + 70, Policy(ownerless=False)) == "owners are not looked at (owner=none)"


def test_the_evidence_of_a_restart_names_both_moments() -> None:
    # The example of the recording "crash", in its own words and times.
    end, created = T + 567, T + 561
    pod = owner_pod(
        name="containerssh-64549bbb-ck6l8",
        created=T + 257,
        running=end,
        last=Span(T + 280, end, "exit 137, Error"),
    )
    owners = owners_of(pod, at=end)
    bob = session(created)
    verdict = judge(bob, owners, Policy(), end + 60)
    assert (verdict.action, verdict.reason, verdict.due) == (Action.COLLECT, Reason.OWNERLESS, end + 60)
    assert evidence(bob, verdict, owners, Policy(), end + 60) == (
        "no owner since 03:09:27Z: container containerssh of containerssh-64549bbb-ck6l8 restarted at 03:09:27Z, "
        "this session is from 03:09:21Z"
    )


@given(sessions(), known_owners(), policies, instants)
def test_every_verdict_has_evidence_in_one_printable_line(
    s: Session, owners: Owners, policy: Policy, now: float
) -> None:
    text = evidence(s, judge(s, owners, policy, now), owners, policy, now)
    assert text
    assert text.isprintable()
    assert len(text) < 400
