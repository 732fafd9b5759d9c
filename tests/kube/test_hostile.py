"""Whatever a Pod says: it is read or refused, never a crash, and nothing of it comes out huge or unprintable."""

import json
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.explain import explain
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.policy import Policy, judge, session_state, survey
from ssh_session_gc.core.times import format_instant
from ssh_session_gc.daemon.settings import Settings
from ssh_session_gc.kube import facts
from ssh_session_gc.kube.wire import Decoder, Malformed, Pod, Workload
from ssh_session_gc.preview.explained import lines
from tests.preview.dumps import RECORDINGS

NOW = 1_795_403_400.0


def recorded(stream: str) -> list[dict[str, Any]]:
    """Objects of one stream, as a real cluster had them."""
    found = []
    for name in ("crash", "session-lifecycle", "node-lost"):
        for text in (RECORDINGS / f"{name}.jsonl").read_text().splitlines():
            line = json.loads(text)
            if line.get("stream") == stream and "event" in line and line["event"]["type"] != "BOOKMARK":
                found.append(line["event"]["object"])
    return found[::3]


SESSIONS, OWNERS = recorded("session-pods"), recorded("owner-pods")
WORKLOADS = recorded("deployment")

absurd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(
        [
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "2999-01-01T00:00:00+14:00",
            "2026-11-23T03:09:27.123456789Z",
            "not a time",
            "x" * 300_000,
            "\x1b[2J\x1b]0;owned\x07",
            "\u202eevil\u2066",
            "\ud800",
            "../../secrets",
            "a/b?c=d",
            [],
            {},
            [None],
            [{}] * 2000,
            {"a": {"b": {"c": []}}},
        ]
    ),
)


@st.composite
def spoiled(draw: st.DrawFn, objects: list[dict[str, Any]]) -> bytes:
    """A recorded object in which something is something else, or missing, in a few places."""
    spoilt: Any = json.loads(json.dumps(draw(st.sampled_from(objects))))
    for _ in range(draw(st.integers(1, 3))):
        at, step = spoilt, None
        while isinstance(at, dict | list) and at:
            step = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else list(range(len(at)))))
            if not isinstance(at[step], dict | list) or not at[step] or draw(st.integers(0, 4)) == 0:
                break
            at = at[step]
        if step is None or not isinstance(at, dict | list) or not at:
            continue
        if draw(st.integers(0, 3)) == 0:
            del at[step]
        else:
            at[step] = deepcopy(draw(absurd))  # the next turn may change it
    return json.dumps(spoilt).encode()


def fit_to_show(text: str) -> None:
    assert text.isprintable(), text
    assert len(text) < 2000


@settings(max_examples=400)
@given(spoiled(SESSIONS), st.lists(spoiled(OWNERS), max_size=3))
def test_any_session_and_any_owners(session_pod: bytes, owner_pods: list[bytes]) -> None:
    decoder = Decoder(Pod)
    try:
        session = facts.session(decoder.object(session_pod))
    except Malformed:
        return
    owners = Owners()
    for at, each in enumerate(owner_pods):
        try:
            owners = owners.saw(facts.owner_pod(decoder.object(each), ""), NOW + at)
        except Malformed:
            continue
    policy = Policy(force_after=10.0)
    verdict = judge(session, owners, policy, NOW)
    fit_to_show(evidence(session, verdict, owners, policy, NOW))
    explanation = explain(session, owners, policy, NOW)
    for line in lines(explanation, owners, Settings(policy=policy), NOW):
        fit_to_show(line.plain.replace(session.resource_version, ""))
    session_state(session, verdict, NOW)
    survey([(session, verdict)], owners, policy, NOW)
    for text in (session.user, session.connection_id, session.client_ip, session.phase, session.waiting):
        fit_to_show(text)
    if verdict.due is not None:
        format_instant(verdict.due)


@settings(max_examples=200)
@given(spoiled(WORKLOADS))
def test_any_workload(workload: bytes) -> None:
    with suppress(Malformed):
        assert isinstance(facts.selector(Decoder(Workload).object(workload)), str)


@settings(max_examples=300)
@given(st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "?"]), spoiled(SESSIONS), st.data())
def test_any_line_of_a_watch(kind: str, pod: bytes, data: st.DataObject) -> None:
    line = b'{"type":"%s","object":%s}' % (kind.encode(), pod)
    cut = data.draw(st.integers(0, len(line)) | st.just(len(line)))
    noise = data.draw(st.binary(max_size=4))
    for each in (line, line[:cut], line[:cut] + noise + line[cut:]):
        with suppress(Malformed):
            Decoder(Pod).event(each)


@pytest.mark.parametrize("copies", [1, 2])
def test_duplicate_keys_and_many_containers(copies: int) -> None:
    text = json.dumps(SESSIONS[0])
    pod = json.loads(text)
    pod["spec"]["containers"] = pod["spec"]["containers"] * 3000
    pod["metadata"]["annotations"] = {f"a{n}": "x" * 250 for n in range(1000)}
    doubled = json.dumps(pod)[:-1] + (', "metadata": ' + json.dumps(pod["metadata"])) * (copies - 1) + "}"
    session = facts.session(Decoder(Pod).object(doubled.encode()))
    assert session.name == pod["metadata"]["name"]
