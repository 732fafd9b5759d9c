"""What cannot be read of an object: what it counts as, field by field, and that nobody dies of it."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssh_session_gc.core.model import KEEP, OWNER_POD_UID, TTL, Session
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from ssh_session_gc.kube import decoder, lenient, pods
from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.kube.wire import Pod
from ssh_session_gc.kube.workloads import selector_of
from tests.builders import ALIVE, PODS, WORKLOADS, T, pod
from tests.kube.test_hostile import OWNERS, SESSIONS

YEAR_0 = "0000-01-01T00:00:00Z"
WRITER = {"manager": "kubelet", "subresource": "status"}
BY_STATUS = Policy(max_age=0.0, start_timeout=120.0, finished_grace=60.0)
"""Without OverAge: what is left are the rules that go by the status."""


def read(whole: dict[str, Any]) -> Pod:
    return PODS.object(json.dumps(whole).encode())


def status(**told: Any) -> dict[str, Any]:
    """A Pod whose container says this."""
    named = {"name": "shell", "restartCount": 0, "state": {"running": {"startedAt": "2026-11-23T03:00:01Z"}}}
    return pod(status={"containerStatuses": [named | told]})


def annotated(annotations: Any) -> dict[str, Any]:
    return pod(metadata={"annotations": annotations})


def labelled(labels: Any) -> dict[str, Any]:
    return pod(metadata={"labels": labels})


def spec(**told: Any) -> dict[str, Any]:
    return pod(spec={"containers": [{"name": "shell", **told}]})


@pytest.mark.parametrize(
    ("odd", "plain"),
    [
        # Times that a real API server has: managedFields as anybody may write them who may change the Pod.
        (pod(metadata={"managedFields": [WRITER | {"time": YEAR_0}]}), pod(metadata={"managedFields": [WRITER]})),
        (pod(metadata={"managedFields": [WRITER | {"time": "10000-01-01T00:00:00Z"}]}),
         pod(metadata={"managedFields": [WRITER]})),
        (pod(metadata={"managedFields": [7, None]}), pod(metadata={"managedFields": [{}, {}]})),
        (pod(metadata={"managedFields": "none"}), pod()),
        (pod(status={"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": YEAR_0}]}),
         pod(status={"conditions": [{"type": "Ready", "status": "False"}]})),
        (pod(status={"conditions": "none"}), pod(status={})),
        (pod(status={"conditions": ["none"]}), pod(status={"conditions": [{}]})),
        (status(state={"running": {"startedAt": YEAR_0}}), status(state={"running": {}})),
        (status(state={"terminated": {"startedAt": YEAR_0, "finishedAt": YEAR_0, "exitCode": 3}}),
         status(state={"terminated": {"exitCode": 3}})),
        # Null is absent.
        (pod() | {"status": None}, pod() | {"status": {}}),
        (pod() | {"status": 7}, pod() | {"status": {}}),
        (pod(metadata={"generateName": None}), pod()),
        (pod(status={"phase": None}), pod(status={"phase": ""})),
        (status(restartCount=None), status()),
        (status(name=None), status(name="")),
        (spec(stdinOnce=None, restartPolicy=None, restartPolicyRules=None), spec(stdinOnce=None)),
        # A text that is none is its JSON.
        (annotated({KEEP: True, TTL: 90}), annotated({KEEP: "true", TTL: "90"})),
        (labelled({"containerssh_username": 7}), labelled({"containerssh_username": "7"})),
        (pod(status={"phase": ["Failed"]}), pod(status={"phase": '["Failed"]'})),
        (spec(restartPolicy=7), spec(restartPolicy="7")),
        # What speaks against a session where it is absent.
        (annotated(7), annotated({KEEP: "?"})),
        (labelled("x"), labelled({"containerssh_connection_id": "?"})),
        (status(state=7), status(state={"running": {}})),
        (status(state={"waiting": 7}), status(state={"running": {}})),
        (status(state={"terminated": "x"}), status(state={"running": {}})),
        (status(state={"terminated": {"exitCode": 10**30}}), status(state={"terminated": {"exitCode": -1}})),
        (status(lastState=7), status(lastState={"terminated": {"exitCode": -1}})),
        (status(restartCount="many"), status(restartCount=2)),
        (spec(stdinOnce="x"), spec(stdinOnce=True)),
        (pod(status={"containerStatuses": "none"}), pod(status={"containerStatuses": [{"name": ""}]})),
        (pod(status={"containerStatuses": [None]}), pod(status={"containerStatuses": [{"name": ""}]})),
    ],
)  # fmt: skip
def test_the_table(odd: dict[str, Any], plain: dict[str, Any]) -> None:
    assert read(odd) == read(plain)


def test_rules_of_restart_that_are_none_are_some() -> None:
    assert read(spec(restartPolicyRules=7)).spec.containers[0].restart_policy_rules


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (pod(metadata={"name": 7}), "Expected `str`, got `int` - at `$.metadata.name`"),
        (pod(metadata={"uid": "../x"}), " - at `$.metadata.uid`"),
        (pod(metadata={"resourceVersion": None}), "Expected `str`, got `null` - at `$.metadata.resourceVersion`"),
        (pod(metadata={"creationTimestamp": YEAR_0}), "datetime - at `$.metadata.creationTimestamp`"),
        (pod(metadata={"deletionTimestamp": YEAR_0}), "datetime - at `$.metadata.deletionTimestamp`"),
        (pod(spec={"containers": "x"}), "Expected `array`, got `str` - at `$.spec.containers`"),
        (pod(spec={"containers": [{"name": "a"}, None]}), "required field `name` - at `$.spec.containers[1]`"),
        ({"metadata": pod()["metadata"], "spec": {}}, "Object missing required field `containers` - at `$.spec`"),
        (pod(spec={"containers": [{"name": "\x1b[2J"}]}), " - at `$.spec.containers[0].name`"),
        ({"metadata": 7, "spec": {}}, "Expected `object`, got `int` - at `$.metadata`"),
    ],
)  # fmt: skip
def test_what_is_needed(bad: dict[str, Any], why: str) -> None:
    with pytest.raises(Malformed) as caught:
        read(bad)
    assert str(caught.value).endswith(why)
    # Whatever else is wrong with it.
    bad["status"] = {"phase": 7}
    with pytest.raises(Malformed) as caught:
        read(bad)
    assert str(caught.value).endswith(why)


def test_owners_are_known_though_somebody_wrote_nonsense_into_their_managed_fields() -> None:
    nonsense = {"managedFields": [{"time": YEAR_0}]}
    workload = {"metadata": pod(metadata=nonsense)["metadata"], "spec": {"selector": {"matchLabels": {"a": "b"}}}}
    assert selector_of(WORKLOADS.object(json.dumps(workload).encode())) == "a=b"
    # Half a selector selects others.
    workload["spec"]["selector"]["matchLabels"]["a"] = 7
    with pytest.raises(Malformed):
        WORKLOADS.object(json.dumps(workload).encode())


@pytest.mark.parametrize("deep", [900, 3_000, 10_000])
def test_what_is_nested_too_deeply_is_not_looked_at(deep: int) -> None:
    plain = json.dumps(pod()).encode()
    fields = b'"metadata": {"managedFields": [{"manager": "x", "fieldsV1": %s}], ' % (
        b'{"f:\\"[":' * deep + b'["{"]' + b"}" * deep
    )
    odd = plain.replace(b'"metadata": {', fields)
    assert PODS.object(odd).metadata.uid == "u"
    page = PODS.page(b'{"metadata":{"resourceVersion":"9"},"items":[%s,%s]}' % (odd, plain))
    assert (len(page.items), page.broken, page.resource_version) == (2, [], "9")
    event = PODS.event(b'{"type":"MODIFIED","object":%s}' % odd)
    assert event.object is not None
    assert not event.broken


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('a"\\[]{}\n\u00e9', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"\\[{', max_size=3), inner, max_size=3),
)


@given(json_values)
def test_what_is_not_nested_deeply_is_left_alone(value: Any) -> None:
    text = json.dumps(value).encode()
    assert lenient.shallow(text) == text
    around = lenient.DEEPEST - 1
    assert json.loads(lenient.shallow(b"[" * around + b'[1,"a",' + text + b"]" + b"]" * around)) is not None


@given(json_values, json_values)
def test_what_is_cut_off_is_null(value: Any, beside: Any) -> None:
    deep: Any = [value]
    for _ in range(lenient.DEEPEST):
        deep = [deep]
    cut = json.loads(lenient.shallow(json.dumps([deep, beside]).encode()))
    assert cut[1] == beside
    depth, at = 0, cut[0]
    while at is not None:
        [at], depth = at, depth + 1
    assert depth == lenient.DEEPEST - 1


ODD: list[Any] = [7, -1, 10**30, 0.5, True, "\x1b[2J", YEAR_0, [7], ["x"], {"x": 1}, [{"x": 1}]]


def places(at: Any) -> list[tuple[Any, Any]]:
    """Wherever a value is in an object: what holds it, and under which key."""
    found: list[tuple[Any, Any]] = []
    for key, value in list(at.items()) if isinstance(at, dict) else enumerate(at):
        found.append((at, key))
        if isinstance(value, dict | list):
            found += places(value)
    return found


def session_of(whole: dict[str, Any]) -> Session | None:
    try:
        return pods.session_of(read(whole))
    except Malformed:
        return None


@settings(max_examples=600)
@given(st.sampled_from(SESSIONS), st.sampled_from(ODD), st.data())
def test_nobody_dies_of_what_cannot_be_read(plain: dict[str, Any], odd: Any, data: st.DataObject) -> None:
    whole = deepcopy(plain)
    place, key = data.draw(st.sampled_from(places(whole["status"]) + places(whole["spec"])))
    place[key] = odd
    before, after = session_of(plain), session_of(whole)
    assert before is not None
    if after is None:
        return
    later = before.created + 7200.0
    reason = judge(after, ALIVE, BY_STATUS, later).reason
    assert reason in (None, judge(before, ALIVE, BY_STATUS, later).reason)
    assert after.persistent >= before.persistent


@settings(max_examples=300)
@given(st.sampled_from(OWNERS), st.sampled_from(ODD), st.data())
def test_no_owner_ends_by_what_cannot_be_read(plain: dict[str, Any], odd: Any, data: st.DataObject) -> None:
    whole = deepcopy(plain)
    place, key = data.draw(st.sampled_from(places(whole["status"])))
    place[key] = odd
    before, after = pods.owner_pod(read(plain), ""), pods.owner_pod(read(whole), "")
    if before.terminated is None:
        assert after.terminated is None
    assert after.final <= before.final


def test_an_odd_stamp_is_none_and_named() -> None:
    session = session_of(annotated({OWNER_POD_UID: ["x"]}))
    assert session is not None
    assert (session.stamp_uid, session.invalid) == ("", (OWNER_POD_UID,))


def test_nothing_is_read_leniently_that_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def unused(_: Any, data: Any) -> Any:
        raise AssertionError(data)

    monkeypatch.setattr(decoder, "read", unused)
    for whole in SESSIONS + OWNERS:
        PODS.object(json.dumps(whole).encode())


def test_the_time_of_a_session_with_year_0_is_its_own() -> None:
    session = session_of(pod(metadata={"managedFields": [WRITER | {"time": YEAR_0}]}))
    assert session is not None
    assert (session.created, session.started) == (T, T + 1)
