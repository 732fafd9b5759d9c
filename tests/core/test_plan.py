"""Plans and explanations say what ``judge`` says: nothing is shown that is not so."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.explain import explain
from ssh_session_gc.core.model import Action, Reason, Session
from ssh_session_gc.core.owners import OwnerPod, Owners, Span
from ssh_session_gc.core.plan import Plan, Snapshot, Wanted, make
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import can_tell, judge
from ssh_session_gc.core.times import format_age
from tests.core.strategies import START, known_owners, policies, sessions

nows = st.integers(0, 5000).map(lambda s: START + s)
unknowns = st.sampled_from([None, None, None, "nobody has looked yet"])


def owners_with(owners: Owners, unknown: str | None) -> Owners:
    return Owners(owners.owners, owners.watched_since, owners.last_gap, unknown)


@given(st.lists(sessions(), max_size=5), known_owners(), unknowns, policies, nows)
def test_a_plan_is_what_judge_says_the_most_urgent_first(
    given_sessions: list[Session], owners: Owners, unknown: str | None, policy: Policy, now: float
) -> None:
    owners = owners_with(owners, unknown)
    plan = make(Snapshot(tuple(given_sessions), owners, now), policy, "ssh-sessions")
    assert len(plan.rows) == plan.total == len(given_sessions)
    assert plan.summary.total() == len(given_sessions)
    assert plan.unknown == unknown
    for session, verdict, words in plan.rows:
        assert session in given_sessions
        assert verdict == judge(session, owners, policy, now)
        assert words == evidence(session, verdict, owners, policy, now)
    order = [row.verdict.due for row in plan.rows]
    dues = [due for due in order if due is not None]
    assert order == sorted(dues) + [None] * (len(order) - len(dues))
    actions = [row.verdict.action for row in plan.rows]
    assert actions == sorted(actions, key=[Action.COLLECT, Action.WAITING, Action.KEEP].index)


@given(sessions(), known_owners(), unknowns, policies, nows)
def test_an_explanation_agrees_with_the_verdict(
    session: Session, owners: Owners, unknown: str | None, policy: Policy, now: float
) -> None:
    owners = owners_with(owners, unknown)
    it = explain(session, owners, policy, now)
    assert it.verdict == judge(session, owners, policy, now)
    assert [rule.reason for rule in it.rules] == list(Reason)
    assert [each.owner for each in it.candidates] == sorted(owners.owners, key=lambda o: (o.earliest_start, o.pod))
    dues = {rule.due: rule.reason for rule in reversed(it.rules) if rule.due is not None}
    if not it.exempt:
        assert it.verdict.due == min(dues, default=None)
        assert it.verdict.reason == (dues[min(dues)] if dues else None)
    assert bool(it.exempt) == (session.keep or session.deletion is not None)
    # Whoever could have created it and is alive is what keeps it from being Ownerless.
    owned = it.verdict.ownership
    assert (owned is not None) == can_tell(owners, policy)
    if owned is not None:
        assert (owned.since is None) == any(each.could and each.owner.alive for each in it.candidates)
        if owned.owner is not None:
            assert any(each.could and each.owner == owned.owner for each in it.candidates)


def plan(*found: Session, wanted: Wanted | None = None) -> Plan:
    snapshot = Snapshot(found, Owners(unknown="not looked"), START + 4000.0)
    return make(snapshot, Policy(), "ssh-sessions", wanted)


def session(name: str, **more: Any) -> Session:
    return Session(name, name, "1", more.pop("created", START), "Running", started=START, **more)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(), {"old", "new", "exempt"}),
        (Wanted(actions=[Action.COLLECT]), {"old"}),
        (Wanted(actions=[Action.KEEP, Action.COLLECT]), {"old", "exempt"}),
        (Wanted(reasons=[Reason.OVER_AGE]), {"old", "new"}),
        (Wanted(users=["bob", "carol"]), {"new"}),
        (Wanted(reasons=[Reason.OVER_AGE], users=["alice"]), {"old"}),
        (Wanted(reasons=[Reason.FINISHED]), set()),
    ],
)
def test_filters(wanted: Wanted, names: set[str]) -> None:
    found = plan(
        session("old", user="alice"),
        session("new", user="bob", created=START + 3900),
        session("exempt", user="dave", keep=True),
        wanted=wanted,
    )
    assert {row.session.name for row in found.rows} == names
    assert found.total == 3


def test_a_plan_says_of_when_and_of_whom_it_is() -> None:
    pods = [
        OwnerPod(name, name, START, "containerssh", running=START + at) for name, at in (("c", 5), ("b", 9), ("a", 9))
    ]
    owners = Owners().listed(pods, START + 10)
    made = make(Snapshot((), owners, START + 20), Policy(), "ssh-sessions")
    assert (made.now, made.namespace, made.unknown) == (START + 20, "ssh-sessions", None)
    assert [owner.pod for owner in made.owners] == ["c", "a", "b"]
    off = make(Snapshot((), owners, START + 20), Policy(ownerless=False), "ssh-sessions")
    assert off.unknown == "owner=none"


def test_what_is_never_due_comes_last_the_oldest_first() -> None:
    found = plan(
        session("b", keep=True, created=START + 20),
        session("a", keep=True, created=START + 20),
        session("c", keep=True, created=START + 10),
        session("d", created=START + 30),
    )
    assert [row.session.name for row in found.rows] == ["d", "c", "a", "b"]
    assert found.summary == {Action.COLLECT: 1, Action.KEEP: 3}


def test_a_creator_that_restarted_twice_is_not_called_gone() -> None:
    # Its status holds the run before this one only; the one that made the session is in no status any more.
    pod = OwnerPod("owner", "u1", START, "containerssh", running=START + 900, last=Span(START + 600, START + 900))
    owners = Owners().listed([pod], START + 1000)
    made = session("s", stamp_uid="u1", stamp_name="owner", created=START + 10)
    it = explain(made, owners, Policy(), START + 1000)
    assert it.verdict.reason is Reason.OWNERLESS
    assert it.verdict.due == START + 660
    assert "container containerssh of owner restarted at" in it.evidence
    assert "gone" not in it.evidence


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9, "0s"),
        (119, "119s"),
        (120, "2m"),
        (310, "5m10s"),
        (600, "10m"),
        (5400, "90m"),
        (10_800, "3h"),
        (12_000, "3h20m"),
        (28_800, "8h"),
        (172_800, "2d"),
        (187_200, "2d4h"),
        (691_200, "8d"),
        (63_072_000, "2y"),
        (5430, "90m"),
        (-61, "-61s"),
        (-5400, "-90m"),
    ],
)
def test_ages_are_kubectls(seconds: float, text: str) -> None:
    assert format_age(seconds) == text
