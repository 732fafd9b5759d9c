"""Each rule's words on a session, and each owner's: they say what ``judge`` says."""

from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given

from ssh_session_gc.core.connections import UNHEARD, Connection, Moment, Presence
from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.explain import explain
from ssh_session_gc.core.gauge import Idle
from ssh_session_gc.core.model import Reason, Session
from ssh_session_gc.core.owners import Owners, Span
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import can_tell, judge
from tests.builders import ALIVE, NOBODY, T, owner_pod, owners_of, session
from tests.core.strategies import known_owners, moments, policies, sessions, unknowns

POLICY = Policy()
earlier = partial(owner_pod, created=T - 600)
ENDED = owners_of(earlier(terminated=Span(T - 590, T + 30, "exit 137, Error"), terminating=True), at=T - 500)
THIS = "this session is from 03:00:00Z"


def why(it: Session, owners: Owners, now: float, policy: Policy = POLICY) -> dict[Reason, str]:
    """What is said of each rule."""
    return {rule.reason: rule.why for rule in explain(it, owners, policy, now).rules}


def test_of_each_rule() -> None:
    assert why(session(), ALIVE, T + 60) == {
        Reason.OVER_AGE: "open since 03:00:00Z, may be for 1h (max-age)",
        Reason.OWNERLESS: "container containerssh of ssh-a may own it, running since 02:50:10Z",
        Reason.ABANDONED: "ContainerSSH has not said anything of its connection's end",
        Reason.START_TIMEOUT: "its container started 1s after its creation, within 2m",
        Reason.FINISHED: "its phase is Running: it has not ended",
    }
    assert why(session(phase="", started=None), NOBODY, T + 119.9) == {
        Reason.OVER_AGE: "open since 03:00:00Z, may be for 1h (max-age)",
        Reason.OWNERLESS: f"no owner since 03:00:00Z: no owner is running, {THIS}; grace 1m",
        Reason.ABANDONED: "ContainerSSH has not said anything of its connection's end",
        Reason.START_TIMEOUT: "created at 03:00:00Z and not started yet: ",
        Reason.FINISHED: "its phase is not known: it has not ended",
    }
    off = Policy(max_age=0.0, start_timeout=0.0, ownerless=False)
    assert why(session(phase="Failed", finished=T + 9), NOBODY, T + 60, off) == {
        Reason.OVER_AGE: "off (max-age=0)",
        Reason.OWNERLESS: "owners are not looked at (owner=none)",
        Reason.ABANDONED: "off (owner=none)",
        Reason.START_TIMEOUT: "off (start-timeout=0)",
        Reason.FINISHED: "ended at 03:00:09Z (Failed); grace 1m",
    }


def test_of_the_start_timeout() -> None:
    def said(now: float, **fields: Any) -> str:
        return why(session(**fields), ALIVE, now)[Reason.START_TIMEOUT]

    assert said(T + 120, started=None) == "created at 03:00:00Z and not started within 2m: Running"
    late = "its container started 3m after its creation, later than 2m: nobody waited for it"
    assert said(T + 200, started=T + 180) == late
    unready = "created at 03:00:00Z and not Ready {}: nobody was let in"
    assert said(T + 119, never_ready=True) == unready.format("yet")
    assert said(T + 120, never_ready=True) == unready.format("within 2m")
    # A kubelet whose clock is behind.
    assert said(T + 60, started=T - 5) == "its container started 0s after its creation, within 2m"


@pytest.mark.parametrize(
    ("owners", "stamp", "could", "said"),
    [
        (ALIVE, "", True, "was running when it was created, since 02:50:10Z, and still is"),
        (owners_of(earlier()), "", True, "may have started before its status says so"),
        (owners_of(earlier(running=T - 590, unreachable=True)), "", True,
         "its node does not report; it may still be running"),
        (ENDED, "", True, "was running when it was created, but ended at 03:00:30Z"),
        (owners_of(earlier(terminated=Span(T - 590, T - 2), terminating=True)), "", True,
         "was running when it was created, but ended at 02:59:58Z"),
        (owners_of(earlier(terminated=Span(T - 590, T - 3), terminating=True)), "", False,
         "had ended 3s before the session was created"),
        (owners_of(earlier(created=T + 1, running=T + 2), at=T + 9), "", True,
         "was running when it was created, since 03:00:02Z, and still is"),
        (owners_of(earlier(created=T + 1, running=T + 3), at=T + 9), "", False,
         "started 3s after the session was created (clock-tolerance 2s)"),
        (owners_of(earlier(created=T + 8), at=T + 9), "", False,
         "has yet to start, 8s after the session was created at the earliest (clock-tolerance 2s)"),
        (ALIVE, "z", False, "the session is stamped as made by Pod ssh-z"),
    ],
)  # fmt: skip
def test_of_each_owner(owners: Owners, stamp: str, could: bool, said: str) -> None:
    it = explain(session(stamp_uid=stamp, stamp_name=stamp and f"ssh-{stamp}"), owners, Policy(), T + 70)
    assert [(each.could, each.why) for each in it.candidates] == [(could, said)]


def test_a_rule_that_is_off_is_never_due() -> None:
    (over_age, *_) = explain(session(), ALIVE, Policy(max_age=0.0), T + 60).rules
    assert (over_age.reason, over_age.due, over_age.why) == (Reason.OVER_AGE, None, "off (max-age=0)")


def test_owners_are_told_of_oldest_first() -> None:
    owners = owners_of(earlier("b", running=T - 590), earlier("c", running=T - 595), earlier("a", running=T - 590))
    it = explain(session(stamp_uid="z"), owners, Policy(), T + 70)
    assert [each.owner.pod for each in it.candidates] == ["ssh-c", "ssh-a", "ssh-b"]
    assert it.candidates[0].why == "the session is stamped as made by Pod z"
    assert it.session.stamp_uid == "z"


def test_of_what_exempts() -> None:
    both = session(keep=True, deletion=T + 30)
    keep = "its annotation ssh-session-gc/keep exempts it from every rule"
    gone = "its deletion was accepted already, with grace until 03:00:30Z"
    assert explain(session(), ALIVE, Policy(), T + 40).exempt == ()
    assert explain(both, ALIVE, Policy(), T + 40).exempt == (keep, gone)
    forced = f"{gone}; deleted again with grace 0 from 03:01:30Z on, if a rule is due (force-after)"
    assert explain(both, ALIVE, Policy(force_after=60.0), T + 40).exempt == (keep, forced)


def test_of_what_was_kept_on_purpose_or_meant_to_be() -> None:
    home = explain(session(persistent=True), ALIVE, POLICY, T + 40)
    assert home.exempt == ("it is persistent, kept on purpose, which exempts it from every rule but Finished",)
    spared = explain(session(spared=True), ALIVE, Policy(max_ttl=7200.0), T + 40)
    until = "which exempts it from every rule until 05:00:00Z (max-ttl)"
    assert spared.exempt == (f"its annotation ssh-session-gc/keep cannot be read, {until}",)


SAID = Connection("ssh-a", T, opened=Moment(T, T), closed=Moment(T + 20, T + 20))


def test_of_what_was_said_of_its_connection() -> None:
    it = explain(session(), ALIVE, POLICY, T + 300, SAID)
    assert it.verdict == judge(session(), ALIVE, POLICY, T + 300, SAID)
    assert it.verdict.reason is Reason.ABANDONED
    assert it.evidence == evidence(session(), it.verdict, ALIVE, POLICY, T + 300, SAID)
    words = {rule.reason: rule.why for rule in it.rules}[Reason.ABANDONED]
    assert words == f"{it.evidence}; grace 1m30s"
    assert it.connection is SAID
    assert it.presence == Presence(False, T + 20)


def test_of_whether_somebody_is_connected() -> None:
    assert explain(session(), ENDED, POLICY, T + 60).presence == Presence(False, T + 30)
    idle = msgspec.structs.replace(ALIVE, idle={ALIVE.owners[0].run: Idle(T + 10, T + 20)})
    assert explain(session(), idle, POLICY, T + 60).presence == Presence(False, T + 10)


def test_of_each_owner_that_logs_and_counts() -> None:
    owners = owners_of(earlier(running=T - 590), earlier("b", running=T - 580), at=T - 500)
    owners = msgspec.structs.replace(owners, idle={owner.run: Idle(T + 10, T + 20) for owner in owners.owners})

    def told(connection: Connection) -> list[tuple[bool, str]]:
        return [(each.could, each.why) for each in explain(session(), owners, POLICY, T + 70, connection).candidates]

    running = "was running when it was created, since 02:50:{}Z, and still is"
    named = "; its log names the session's connection"
    counts = "; nobody has been connected to it since 03:00:10Z, by its metrics"
    assert told(UNHEARD) == [(True, running.format(10) + counts), (True, running.format(20) + counts)]
    assert told(SAID) == [
        (True, running.format(10) + named + counts),
        (False, "the log of ssh-a names its connection"),
    ]
    (ended,) = explain(session(), ENDED, POLICY, T + 70, SAID).candidates
    assert ended.why == f"was running when it was created, but ended at 03:00:30Z{named}"


@given(sessions(), known_owners(), unknowns, policies, moments)
def test_an_explanation_agrees_with_the_verdict(
    session: Session, owners: Owners, unknown: str | None, policy: Policy, now: float
) -> None:
    owners = msgspec.structs.replace(owners, unknown=unknown)
    it = explain(session, owners, policy, now)
    assert it.verdict == judge(session, owners, policy, now)
    assert [rule.reason for rule in it.rules] == list(Reason)
    assert [each.owner for each in it.candidates] == sorted(owners.owners, key=lambda o: (o.earliest_start, o.pod))
    dues = {rule.due: rule.reason for rule in reversed(it.rules) if rule.due is not None}
    if not it.exempt:
        assert it.verdict.due == min(dues, default=None)
        assert it.verdict.reason == (dues[min(dues)] if dues else None)
    spared = session.keep or session.spared or session.persistent or session.foreign
    exempt = spared or session.deletion is not None
    assert bool(it.exempt) == exempt
    # Whoever could have created it and is alive is what keeps it from being Ownerless.
    owned = it.verdict.ownership
    assert (owned is not None) == can_tell(owners, policy)
    if owned is not None:
        assert (owned.since is None) == any(each.could and each.owner.alive for each in it.candidates)
        if owned.owner is not None:
            assert any(each.could and each.owner == owned.owner for each in it.candidates)


def test_a_creator_that_restarted_twice_is_not_called_gone() -> None:
    # Its status holds the run before this one only; the one that made the session is in no status any more.
    pod = owner_pod("u1", name="owner", running=T + 900, last=Span(T + 600, T + 900))
    owners = owners_of(pod, at=T + 1000)
    made = session(T + 10, stamp_uid="u1", stamp_name="owner")
    it = explain(made, owners, Policy(), T + 1000)
    assert it.verdict.reason is Reason.OWNERLESS
    assert it.verdict.due == T + 660
    assert "container containerssh of owner restarted at" in it.evidence
    assert "gone" not in it.evidence
