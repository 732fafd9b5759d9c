"""Whatever a Pod says: it is read or refused, never a crash, and nothing of it comes out huge or unprintable."""

import json
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssh_session_gc.core.connections import UNHEARD
from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.explain import explain
from ssh_session_gc.core.model import KEEP, OWNER_POD_NAME, TTL
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from ssh_session_gc.core.survey import session_state, survey
from ssh_session_gc.core.times import format_instant
from ssh_session_gc.kube import pods, workloads
from ssh_session_gc.kube.decoder import Decoder, status
from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.kube.wire import Pod, Workload
from ssh_session_gc.preview.text import lines
from ssh_session_gc.settings import Settings
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
TIMES = [
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "0001-01-01T00:00:00-23:59",
    "0000-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999999Z",
    "2026-11-23T03:09:27.123456789Z",
    "2026-11-23T03:09:27",  # in whose time?
    "2026-11-23t03:09:27z",
    "2026-11-23T23:59:60Z",
    "2026-11-23T24:00:00Z",
    "2026-11-23T03:09:27+24:00",
    "2026-02-30T00:00:00Z",
    "2999-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59.9999999Z",
    "9999-12-31T23:59:59+23:59",
    "9999-12-31T23:59:59-23:59",
    "10000-01-01T00:00:00Z",
    "+12026-11-23T03:09:27Z",
    "1795403400",
    "",
]
absurd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(
        [
            *TIMES,
            10**1000,
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
    judged(session_pod, *owner_pods)


def judged(session_pod: bytes, *owner_pods: bytes) -> bool:
    """Reads, judges and shows a session as it may come. Whether it could be read."""
    decoder = Decoder(Pod)
    try:
        session = pods.session_of(decoder.object(session_pod))
    except Malformed as error:
        fit_to_show(str(error))
        return False
    owners = Owners()
    for at, each in enumerate(owner_pods):
        try:
            owners = owners.saw(pods.owner_pod(decoder.object(each), ""), NOW + at)
        except Malformed:
            continue
    policy = Policy(force_after=10.0)
    verdict = judge(session, owners, policy, NOW)
    fit_to_show(evidence(session, verdict, owners, policy, NOW))
    explanation = explain(session, owners, policy, NOW)
    for line in lines(explanation, owners, Settings(policy=policy), NOW):
        fit_to_show(line.plain.replace(session.resource_version, ""))
    session_state(session, verdict, NOW)
    survey([(session, verdict, UNHEARD)], owners, policy, NOW)
    for text in (session.user, session.connection_id, session.client_ip, session.phase, session.waiting):
        fit_to_show(text)
    if verdict.due is not None:
        format_instant(verdict.due)
    return True


def times(at: Any) -> Iterator[tuple[Any, Any]]:
    """Wherever a time is in an object: what holds it, and under which key."""
    for key, value in list(at.items()) if isinstance(at, dict) else enumerate(at):
        if isinstance(value, dict | list):
            yield from times(value)
        elif isinstance(value, str) and value.startswith("2026-") and value.endswith("Z"):
            yield at, key


@pytest.mark.parametrize("time", TIMES)
def test_absurd_times_one_by_one_and_everywhere(time: str) -> None:
    owner = json.dumps(OWNERS[-1]).encode()
    for pod in SESSIONS[:: len(SESSIONS) // 8]:
        plain, absurd_pod = json.dumps(pod).encode(), deepcopy(pod)
        for place, key in times(absurd_pod):
            was, place[key] = place[key], time
            judged(json.dumps(absurd_pod).encode(), owner)
            judged(plain, json.dumps(absurd_pod).encode())
            place[key] = was
        for place, key in times(absurd_pod):
            place[key] = time
        judged(json.dumps(absurd_pod).encode(), owner)
        judged(plain, json.dumps(absurd_pod).encode())


@pytest.mark.parametrize(
    ("was", "now", "readable"),
    [
        (b'"phase": "Running"', b'"phase": "Running", "phase": "Failed"', True),
        (b'"metadata": {', b'"metadata": {}, "metadata": {', True),
        (b'"phase": "Running"', b'"phase": "\\u0000\\u001b[2J\\u202e"', True),
        (b'"phase": "Running"', b'"phase": "\\ud800"', False),
        (b'"phase": "Running"', b'"phase": "\xff\xfe"', True),
        (b'"phase": "Running"', b'"phase": "Run\nning"', False),
        (b'"phase": "Running"', b'"phase": NaN', False),
        (b'"phase": "Running"', b'"phase": Infinity', False),
        (b'"phase": "Running"', b'"phase": "Running",', False),
        (b'"phase": "Running"', b'"x": "\xff\xfe", "phase": "Running"', True),
        (b'"phase": "Running"', b'"x": ' + 200_000 * b"[" + 200_000 * b"]" + b', "phase": "Running"', True),
        (
            b'"phase": "Running"',
            b'"x": ' + 200_000 * b'{"x":' + b"1" + 200_000 * b"}" + b', "phase": "Running"',
            True,
        ),
        (b'"phase": "Running"', b'"phase": ' + 200_000 * b"[", False),
        (b'"restartCount": 0', b'"restartCount": 1' + 100 * b"0", True),
        (b'"restartCount": 0', b'"restartCount": 1' + 5000 * b"0", True),
        (b'"restartCount": 0', b'"restartCount": -1', True),
        (b'"restartCount": 0', b'"restartCount": 1e999', True),
        (b'"restartCount": 0', b'"restartCount": 0.5', True),
        (b'"state": {"running"', b'"state": {"terminated": {"exitCode": 1' + 4000 * b"0" + b'}, "running"', True),
        (b"{", b"\xef\xbb\xbf{", False),
        (b"{", b"", False),
    ],
)
def test_what_no_json_library_writes(was: bytes, now: bytes, readable: bool) -> None:
    plain = json.dumps(next(pod for pod in SESSIONS if pod["status"]["phase"] == "Running")).encode()
    assert was in plain
    pod = plain.replace(was, now, 1)
    assert judged(pod) == readable
    assert judged(plain, pod)
    decoder = Decoder(Pod)
    for line in (b'{"type":"MODIFIED","object":%s}' % pod, b'{"type":"%s","object":{}}' % pod):
        with suppress(Malformed):
            assert (decoder.event(line).object is not None) == readable
    with suppress(Malformed):
        page = decoder.page(b'{"metadata":{"resourceVersion":"1"},"items":[%s,%s]}' % (plain, pod))
        assert (len(page.items), len(page.broken)) == ((2, 0) if readable else (1, 1))
    with suppress(Malformed):
        decoder.page(b'{"metadata":{"resourceVersion":"1","x":%s},"items":[]}' % pod)
    status(b'{"details":{"x":%s}}' % pod)


def test_what_cannot_be_read_is_named() -> None:
    pod = {**SESSIONS[0], "spec": {}}
    [broken] = Decoder(Pod).page(json.dumps({"metadata": {}, "items": [pod]}).encode()).broken
    assert broken.startswith(f"{pod['metadata']['name']}: ")
    event = Decoder(Pod).event(json.dumps({"type": "ADDED", "object": pod}).encode())
    assert event.broken == broken
    pod["metadata"] = pod["metadata"] | {"name": "\x1b[2J" + 300_000 * "x"}
    with pytest.raises(Malformed) as caught:
        Decoder(Pod).object(json.dumps(pod).encode())
    fit_to_show(str(caught.value))


@pytest.mark.parametrize("seconds", [b"-1", b"-1e300", b"1e999", b'"soon"', b"1" + 400 * b"0"])
def test_nobody_is_asked_again_before_the_answer(seconds: bytes) -> None:
    read = status(b'{"code":429,"details":{"retryAfterSeconds":%s}}' % seconds)
    assert read is None or read.details is None or (read.details.retry_after_seconds or 0) >= 0


def test_nothing_is_kept_of_what_is_huge() -> None:
    pod = deepcopy(SESSIONS[0])
    pod["metadata"]["annotations"] = dict.fromkeys((KEEP, TTL, OWNER_POD_NAME, "containerssh_ip", "x"), 260000 * "x")
    pod["metadata"]["labels"] |= {"containerssh_username": 260_000 * "y"}
    pod["spec"]["containers"] *= 3000
    pod["status"]["containerStatuses"] = [
        {"name": f"c{n}", "restartCount": 0, "state": {"waiting": {"reason": 1000 * "z"}}} for n in range(3000)
    ]
    session = pods.sessions("").object(json.dumps(pod).encode())
    assert len(msgspec.json.encode(session)) < 2000
    assert judged(json.dumps(pod).encode())


@settings(max_examples=200)
@given(spoiled(WORKLOADS))
def test_any_workload(workload: bytes) -> None:
    with suppress(Malformed):
        assert isinstance(workloads.selector_of(Decoder(Workload).object(workload)), str)


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
    session = pods.session_of(Decoder(Pod).object(doubled.encode()))
    assert session.name == pod["metadata"]["name"]
