"""The rules, as properties over many worlds and as the examples that DESIGN states."""

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.model import Action, Reason, Session, SessionState, Verdict
from ssh_session_gc.core.owners import OwnerPod, Owners, Span
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from ssh_session_gc.core.survey import session_state, survey
from tests.core.strategies import instants, known_owners, policies, sessions

T = 1_800_000_000.0


def session(**fields: object) -> Session:
    base: dict[str, object] = {"uid": "u", "name": "n", "resource_version": "1", "created": T, "phase": "Running"}
    return Session(**{**base, "started": T + 1, **fields})  # type: ignore[arg-type]


def owner(uid: str = "pod-a", **fields: object) -> OwnerPod:
    base: dict[str, object] = {"name": f"containerssh-{uid}", "uid": uid, "created": T - 100}
    return OwnerPod(**{**base, "container": "containerssh", **fields})  # type: ignore[arg-type]


NOBODY = Owners().listed([], T - 1000)
ALIVE = Owners().listed([owner(running=T - 90)], T - 50)


def said(verdict: Verdict) -> tuple[Action, Reason | None, float | None]:
    """What is to be done, why and when."""
    return verdict.action, verdict.reason, verdict.due


@given(sessions(), known_owners(), policies, instants, instants)
def test_a_verdict_never_turns_back_while_the_facts_stand(
    s: Session, owners: Owners, policy: Policy, one: float, other: float
) -> None:
    early, late = sorted((one, other))
    before, after = judge(s, owners, policy, early), judge(s, owners, policy, late)
    assert (before.reason, before.due) == (after.reason, after.due)
    assert before.action is not Action.COLLECT or after.action is Action.COLLECT


@given(sessions(), known_owners(), policies, instants)
def test_due_is_the_moment_at_which_it_turns_to_collect(
    s: Session, owners: Owners, policy: Policy, now: float
) -> None:
    verdict = judge(s, owners, policy, now)
    if verdict.due is None:
        assert verdict.action is Action.KEEP
        assert judge(s, owners, policy, now + 1e9).action is Action.KEEP
        return
    assert judge(s, owners, policy, verdict.due).action is Action.COLLECT
    assert judge(s, owners, policy, verdict.due - 0.001).action is Action.WAITING
    assert verdict.at(verdict.due) == judge(s, owners, policy, verdict.due)


@given(sessions(), known_owners(), policies, st.integers(0, 300), st.booleans(), st.booleans())
def test_nobody_is_ownerless_while_an_owner_that_could_have_created_it_may_be_alive(
    s: Session, owners: Owners, policy: Policy, before: int, starting: bool, cut_off: bool
) -> None:
    # Whatever else happened: one that began in time, and of which nobody knows that it ended.
    began = s.created + policy.clock_tolerance - before
    creator = owner(
        s.stamp_uid or "pod-x",
        created=began,
        running=None if starting else began,
        unreachable=cut_off,
        terminating=cut_off,
    )
    alive = owners.saw(creator, s.created + 1000)
    assert judge(s, alive, policy, s.created + 1e6).reason is not Reason.OWNERLESS


@given(sessions(), known_owners(), policies, instants)
def test_nobody_is_ownerless_when_nobody_can_tell(s: Session, owners: Owners, policy: Policy, now: float) -> None:
    blind = msgspec.structs.replace(owners, unknown="the watch is out of step")
    assert judge(s, blind, policy, now + 1e6).reason is not Reason.OWNERLESS
    off = msgspec.structs.replace(policy, ownerless=False)
    assert judge(s, owners, off, now + 1e6).reason is not Reason.OWNERLESS


@given(sessions(), known_owners(), policies, instants)
def test_what_is_exempt_is_always_kept(s: Session, owners: Owners, policy: Policy, now: float) -> None:
    kept = msgspec.structs.replace(s, keep=True)
    assert judge(kept, owners, policy, now + 1e9).action is Action.KEEP
    deleted = msgspec.structs.replace(s, deletion=now)
    unforced = msgspec.structs.replace(policy, force_after=0.0)
    assert judge(deleted, owners, unforced, now + 1e9).action is Action.KEEP


@given(sessions(), known_owners(), policies, instants)
def test_ownerless_waits_for_the_grace_after_the_last_moment_an_owner_was_seen(
    s: Session, owners: Owners, policy: Policy, now: float
) -> None:
    verdict = judge(s, owners, policy, now)
    assume(verdict.reason is Reason.OWNERLESS and verdict.due is not None)
    ends = [
        o.finished or 0.0
        for o in owners.owners
        if o.earliest_start <= s.created + policy.clock_tolerance and s.stamp_uid in ("", o.pod_uid)
    ]
    assert verdict.due is not None
    assert verdict.due >= max([s.created, *ends]) + policy.owner_grace


@given(sessions(), known_owners(), policies, instants)
def test_every_verdict_has_evidence_in_one_printable_line(
    s: Session, owners: Owners, policy: Policy, now: float
) -> None:
    text = evidence(s, judge(s, owners, policy, now), owners, policy, now)
    assert text
    assert text.isprintable()
    assert len(text) < 400


@given(st.lists(sessions()), known_owners(), policies, instants)
def test_a_survey_counts_every_session_once(ss: list[Session], owners: Owners, policy: Policy, now: float) -> None:
    judged = [(s, judge(s, owners, policy, now)) for s in ss]
    counts = survey(judged, owners, policy, now)
    assert sum(counts.sessions.values()) == len(ss)
    assert sum(counts.orphans.values()) == sum(v.action is Action.COLLECT for _, v in judged)
    assert all(late >= 0 for late in counts.longest_due.values())


def test_a_session_is_over_age_at_max_age_or_at_its_own_ttl() -> None:
    policy = Policy()
    assert said(judge(session(), ALIVE, policy, T)) == (Action.WAITING, Reason.OVER_AGE, T + 3600)
    assert judge(session(ttl=60.0), ALIVE, policy, T).due == T + 60
    assert judge(session(ttl=7200.0), ALIVE, policy, T).due == T + 7200
    assert judge(session(ttl=1e6), ALIVE, policy, T).due == T + 86400
    assert judge(session(), ALIVE, Policy(max_age=0), T + 1e9).action is Action.KEEP


def test_the_evidence_of_a_restart_names_both_moments() -> None:
    # The example of the recording "crash", in its own words and times.
    three_oclock = 1_795_402_800.0  # 2026-11-23T03:00:00Z
    end, created = three_oclock + 567, three_oclock + 561
    pod = OwnerPod(
        name="containerssh-64549bbb-ck6l8",
        uid="pod-a",
        created=three_oclock + 257,
        container="containerssh",
        running=end,
        last=Span(three_oclock + 280, end, "exit 137, Error"),
    )
    owners = Owners().listed([pod], end)
    bob = session(created=created, started=created + 1)
    verdict = judge(bob, owners, Policy(), end + 60)
    assert said(verdict) == (Action.COLLECT, Reason.OWNERLESS, end + 60)
    assert evidence(bob, verdict, owners, Policy(), end + 60) == (
        "no owner since 03:09:27Z: container containerssh of containerssh-64549bbb-ck6l8 restarted at 03:09:27Z, "
        "this session is from 03:09:21Z"
    )


def test_a_session_that_never_started_times_out() -> None:
    pending = session(phase="Pending", started=None, waiting="ImagePullBackOff")
    verdict = judge(pending, ALIVE, Policy(), T + 120)
    assert said(verdict) == (Action.COLLECT, Reason.START_TIMEOUT, T + 120)
    assert "ImagePullBackOff" in evidence(pending, verdict, ALIVE, Policy(), T + 120)
    assert judge(pending, ALIVE, Policy(), T + 119.9).action is Action.WAITING


@pytest.mark.parametrize(("started", "late"), [(119.0, False), (120.0, False), (121.0, True)])
def test_a_session_that_started_too_late_was_given_up(started: float, late: bool) -> None:
    verdict = judge(session(started=T + started), ALIVE, Policy(), T + 300)
    assert (verdict.reason is Reason.START_TIMEOUT) is late


def test_a_finished_session_goes_after_its_grace() -> None:
    done = session(phase="Succeeded", finished=T + 10)
    assert said(judge(done, ALIVE, Policy(), T))[1:] == (Reason.FINISHED, T + 70)


def test_the_rule_that_was_due_first_gives_the_reason() -> None:
    done = session(phase="Failed", finished=T + 10)
    assert judge(done, NOBODY, Policy(), T + 1e6).reason is Reason.OWNERLESS
    assert judge(done, NOBODY, Policy(finished_grace=1.0), T + 1e6).reason is Reason.FINISHED


def test_a_deletion_is_forced_only_when_asked_and_only_what_a_rule_would_end() -> None:
    stuck = session(deletion=T + 30)
    assert judge(stuck, NOBODY, Policy(), T + 1e6).action is Action.KEEP
    verdict = judge(stuck, NOBODY, Policy(force_after=300.0), T + 1e6)
    assert (verdict.action, verdict.force, verdict.due) == (Action.COLLECT, True, T + 330)
    assert judge(stuck, ALIVE, Policy(force_after=300.0), T + 400).action is Action.WAITING
    assert judge(stuck, ALIVE, Policy(force_after=300.0, max_age=0), T + 1e6).action is Action.KEEP


def test_states_of_sessions() -> None:
    policy = Policy()

    def state(s: Session, owners: Owners, now: float) -> SessionState:
        return session_state(s, judge(s, owners, policy, now), now)

    assert state(session(), ALIVE, T + 1) is SessionState.OWNED
    assert state(session(), NOBODY, T + 1) is SessionState.WAITING
    assert state(session(), ALIVE, T + 3600) is SessionState.WAITING
    assert state(session(keep=True), NOBODY, T + 1e6) is SessionState.EXEMPT
    assert state(session(deletion=T + 30), NOBODY, T + 60) is SessionState.TERMINATING
    assert state(session(deletion=T + 30), NOBODY, T + 91) is SessionState.STUCK
