"""What a Pod's status means for the session in it: the whole way from bytes to a verdict, field by field.

The table has, for each thing that a status may say, leave out or say oddly, what becomes of the session. Beside it a
property makes statuses up: whatever they are, nobody dies of a fact that is not there.
"""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssh_session_gc.core.evidence import evidence
from ssh_session_gc.core.model import Reason, Session
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.core.rules.judge import judge
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.pods import session_of
from ssh_session_gc.kube.wire import Pod
from tests.builders import ALIVE, T, pod

POLICY = Policy(max_age=0.0, start_timeout=120.0, finished_grace=60.0)
"""Without OverAge: what is left are the rules that go by the status."""
LATER = T + 3600.0
CREATED, START, LATE, END = (
    f"2026-11-23T03:{minute:02}:{second:02}Z" for minute, second in ((0, 0), (0, 3), (3, 0), (20, 0))
)
EPOCH = "1970-01-01T00:00:00Z"
RUNNING = {"running": {"startedAt": START}}
WAITING = {"waiting": {"reason": "ImagePullBackOff"}}
CRASHING = {"waiting": {"reason": "CrashLoopBackOff"}}
ENDED = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": START, "finishedAt": END}}
BROKEN = {"terminated": {"exitCode": 3, "reason": "Error", "startedAt": START, "finishedAt": END}}
NO_START = {"terminated": {"exitCode": 128, "reason": "StartError", "startedAt": EPOCH, "finishedAt": END}}
CANNOT_RUN = {"terminated": {"exitCode": 127, "reason": "ContainerCannotRun", "startedAt": START, "finishedAt": END}}
LOST = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None, "finishedAt": None}}
NONE, STARTED_NEVER, DONE = None, Reason.START_TIMEOUT, Reason.FINISHED


def shell(state: Any, last: Any = None, restarts: int = 0, name: str = "shell", **more: Any) -> dict[str, Any]:
    """The status of one container."""
    return {"name": name, "restartCount": restarts, "state": state, "lastState": last or {}, **more}


def ended_since(start: str, reason: str = "Error") -> dict[str, Any]:
    """The state of a container that ended after it began at this time."""
    return {"terminated": {"exitCode": 3, "reason": reason, "startedAt": start, "finishedAt": END}}


def status(phase: Any, *statuses: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The status of a Pod with these containers' statuses."""
    return {"phase": phase, "containerStatuses": list(statuses), **more}


def ready(at: str | None, word: str = "False", kind: str = "Ready") -> dict[str, Any]:
    """One condition."""
    return {"conditions": [{"type": kind, "status": word, "lastTransitionTime": at}]}


def read(told: dict[str, Any], spec: dict[str, Any] | None = None, container: str = "") -> Session:
    """The session that a Pod with this status is."""
    whole = pod(metadata={"creationTimestamp": CREATED}, spec=spec or {})
    whole["status"] = told
    return session_of(Decoder(Pod).object(json.dumps(whole).encode()), container)


def reason(session: Session, now: float = LATER) -> Reason | None:
    """What the rules about its status say of it an hour later."""
    return judge(session, ALIVE, POLICY, now).reason


def beside(kind: str, *statuses: dict[str, Any]) -> dict[str, Any]:
    """The statuses of init containers (``init``) or ephemeral ones (``ephemeral``)."""
    return {f"{kind}ContainerStatuses": list(statuses)}


SIDECAR = shell({"running": {"startedAt": START}}, name="proxy")
INITIALIZING = {"waiting": {"reason": "PodInitializing"}}
MIRROR = {"annotations": {"kubernetes.io/config.mirror": "0" * 32}}
TWO: dict[str, Any] = {"containers": [{"name": "shell"}, {"name": "proxy"}]}
NEVER = {"restartPolicy": "Never"}


@pytest.mark.parametrize(
    ("what", "told", "spec", "expected"),
    [
        # Absent, null and empty
        ("nothing at all", {}, {}, NONE),
        ("a phase alone", {"phase": "Running"}, {}, NONE),
        ("statuses that are null", {"phase": "Running", "containerStatuses": None}, {}, NONE),
        ("no statuses", status("Running"), {}, NONE),
        ("an empty state", status("Running", shell({})), {}, NONE),
        ("a state that is null", status("Running", shell(None)), {}, NONE),
        ("another container's status", status("Running", SIDECAR), TWO, NONE),
        ("another's, though Pending", status("Pending", SIDECAR), TWO, NONE),
        ("a phase that is new", status("Resting", shell(RUNNING)), {}, NONE),
        ("an unknown phase", status("Unknown"), {}, NONE),
        ("a start without a time", status("Running", shell({"running": {}})), {}, NONE),
        ("a start of the epoch, running", status("Running", shell({"running": {"startedAt": EPOCH}})), {}, NONE),
        # Not started
        ("not scheduled", status("Pending"), {}, STARTED_NEVER),
        ("gated", status("Pending", **ready(CREATED, kind="PodScheduled")), {}, STARTED_NEVER),
        ("it waits", status("Pending", shell(WAITING)), {}, STARTED_NEVER),
        ("it waits beside another", status("Running", shell(WAITING), SIDECAR), TWO, STARTED_NEVER),
        ("an empty state, Pending", status("Pending", shell({})), {}, STARTED_NEVER),
        ("its start failed", status("Failed", shell(NO_START)), NEVER, STARTED_NEVER),
        ("its start failed, once more", status("Running", shell(CRASHING, NO_START, 1)), {}, STARTED_NEVER),
        ("its start failed, often", status("Running", shell(CRASHING, NO_START, 7)), {}, STARTED_NEVER),
        ("it cannot run", status("Running", shell(CRASHING, CANNOT_RUN, 1)), {}, STARTED_NEVER),
        ("it ended, and began at the epoch", status("Running", shell(CRASHING, ended_since(EPOCH), 1)), {},
         STARTED_NEVER),
        ("it started late", status("Running", shell({"running": {"startedAt": LATE}})), {}, STARTED_NEVER),
        ("late, after a failed start", status("Running", shell({"running": {"startedAt": LATE}}, NO_START, 1)), {},
         STARTED_NEVER),
        # Started
        ("it runs", status("Running", shell(RUNNING)), {}, NONE),
        ("it runs, another waits", status("Pending", shell(RUNNING), shell(WAITING, name="proxy")), TWO, NONE),
        ("it restarted", status("Running", shell({"running": {"startedAt": LATE}}, BROKEN, 1)), {}, NONE),
        ("it restarted often", status("Running", shell({"running": {"startedAt": LATE}}, NO_START, 3)), {}, NONE),
        ("it crashes", status("Running", shell(CRASHING, BROKEN, 4)), {}, NONE),
        ("it crashes, and began late the last time", status("Running", shell(CRASHING, ended_since(LATE), 4)), {},
         NONE),
        ("it ended, and began a second after the epoch",
         status("Running", shell(CRASHING, ended_since("1970-01-01T00:00:01Z"), 1)), {}, NONE),
        ("a restart without a last state", status("Running", shell(CRASHING, None, 1)), {}, NONE),
        ("a restart that is not counted yet", status("Running", shell(WAITING, BROKEN)), {}, NONE),
        ("the same, of a lost one", status("Running", shell(WAITING, LOST)), {}, NONE),
        ("lost, and to be restarted", status("Running", shell(CRASHING, LOST, 1)), {}, NONE),
        ("lost, and began at the epoch",
         status("Running", shell(CRASHING, ended_since(EPOCH, "ContainerStatusUnknown"), 1)), {}, NONE),
        # Beside the containers of the spec: none of it is read
        ("an init container waits", status("Pending", shell(INITIALIZING), **beside("init", shell(WAITING))), {},
         STARTED_NEVER),
        ("an init container ended", status("Pending", shell(INITIALIZING), **beside("init", shell(ENDED))), {},
         STARTED_NEVER),
        ("an init container of that name", status("Running", shell(RUNNING), **beside("init", shell(NO_START))), {},
         NONE),
        ("a sidecar of that kind", status("Running", shell(RUNNING), **beside("init", SIDECAR)), {}, NONE),
        ("it ended, the sidecar not", status("Running", shell(BROKEN), **beside("init", SIDECAR)), NEVER, DONE),
        ("it ended, and is restarted", status("Running", shell(ENDED), **beside("init", SIDECAR)),
         {"restartPolicy": "Always"}, NONE),
        ("somebody debugged it", status("Running", shell(RUNNING), **beside("ephemeral", shell(ENDED))), {}, NONE),
        ("somebody debugs what is over", status("Failed", shell(BROKEN), **beside("ephemeral", shell(RUNNING))), {},
         DONE),
        ("a resize that waits", status("Running", shell(RUNNING), resize="Deferred",
                                       **ready(LATE, "True", "PodResizePending")), {}, NONE),
        ("a disruption", status("Running", shell(RUNNING), **ready(LATE, "True", "DisruptionTarget")), {}, NONE),
        ("a readiness gate", status("Running", shell(RUNNING), **ready(CREATED, "False", "x.com/gate")), {}, NONE),
        # Never Ready
        ("not Ready since before", status("Running", shell(RUNNING), **ready(CREATED)), {}, STARTED_NEVER),
        ("not Ready since that second", status("Running", shell(RUNNING), **ready(START)), {}, STARTED_NEVER),
        ("not Ready any more", status("Running", shell(RUNNING), **ready(LATE)), {}, NONE),
        ("Ready", status("Running", shell(RUNNING), **ready(START, "True")), {}, NONE),
        ("nobody knows", status("Running", shell(RUNNING), **ready(START, "Unknown")), {}, NONE),
        ("not Ready, since when?", status("Running", shell(RUNNING), **ready(None)), {}, NONE),
        ("not Ready, as its node is lost", status("Running", shell(RUNNING), conditions=[
            *ready(CREATED)["conditions"], *ready(START, "True", "ContainersReady")["conditions"]]), {}, NONE),
        ("not Ready, nor are its containers", status("Running", shell(RUNNING), conditions=[
            *ready(CREATED)["conditions"], *ready(CREATED, "False", "ContainersReady")["conditions"]]), {},
         STARTED_NEVER),
        ("not Ready, since long before it was", status("Running", shell(RUNNING), **ready(EPOCH)), {}, NONE),
        ("not Ready, and restarted", status("Running", shell(RUNNING, BROKEN, 1), **ready(CREATED)), {}, NONE),
        ("other conditions", status("Running", shell(RUNNING), **ready(CREATED, kind="Healthy")), {}, NONE),
        # Finished
        ("Succeeded", status("Succeeded", shell(ENDED)), {}, DONE),
        ("Failed", status("Failed", shell(BROKEN)), {}, DONE),
        ("evicted, without statuses", {"phase": "Failed", "reason": "Evicted", **ready(END)}, {}, DONE),
        ("final, and nothing else", {"phase": "Succeeded"}, {}, DONE),
        ("lost", status("Failed", shell(LOST), **ready(END)), {}, DONE),
        ("ended for good", status("Running", shell(BROKEN), SIDECAR), TWO | NEVER, DONE),
        ("well, for good", status("Running", shell(ENDED), SIDECAR), TWO | {"restartPolicy": "OnFailure"}, DONE),
        ("badly, to be restarted", status("Running", shell(BROKEN), SIDECAR), TWO | {"restartPolicy": "OnFailure"},
         NONE),
        ("ended, to be restarted", status("Running", shell(ENDED), SIDECAR), TWO | {"restartPolicy": "Always"}, NONE),
        ("well, and who knows", status("Running", shell(ENDED), SIDECAR), TWO, DONE),
        ("badly, and who knows", status("Running", shell(BROKEN), SIDECAR), TWO, NONE),
        ("ended, when?", status("Running", shell({"terminated": {"exitCode": 0}}), SIDECAR), TWO | NEVER, NONE),
        ("lost, beside another", status("Running", shell(LOST), SIDECAR), TWO | NEVER, NONE),
        ("another ended", status("Running", shell(RUNNING), shell(ENDED, name="proxy")), TWO | NEVER, NONE),
        ("its own policy", status("Running", shell(ENDED), SIDECAR),
         {"containers": [{"name": "shell", "restartPolicy": "Never"}, {"name": "proxy"}], "restartPolicy": "Always"},
         DONE),
        ("its own policy, the other way", status("Running", shell(ENDED), SIDECAR),
         {"containers": [{"name": "shell", "restartPolicy": "Always"}, {"name": "proxy"}], **NEVER}, NONE),
        ("its own rules", status("Running", shell(ENDED), SIDECAR),
         {"containers": [{"name": "shell", "restartPolicyRules": [{"action": "Restart"}]}, {"name": "proxy"}],
          **NEVER}, NONE),
    ],
)  # fmt: skip
def test_the_table(what: str, told: dict[str, Any], spec: dict[str, Any], expected: Reason | None) -> None:
    assert reason(read(told, spec)) is expected, what


@pytest.mark.parametrize(
    ("container", "expected"),
    [("", STARTED_NEVER), ("shell", NONE), ("1", NONE), ("helper", STARTED_NEVER), ("0", STARTED_NEVER),
     ("2", NONE), ("nobody", NONE), ("9" * 9, NONE)],
)  # fmt: skip
def test_the_container_in_which_the_shell_is(container: str, expected: Reason | None) -> None:
    told = status("Pending", shell(WAITING, name="helper"), shell(RUNNING))
    session = read(told, {"containers": [{"name": "helper"}, {"name": "shell"}]}, container)
    assert reason(session) is expected


@pytest.mark.parametrize(("phase", "started"), [("Pending", None), ("Running", T)])
def test_of_a_container_without_a_status_nothing_else_is_known(phase: str, started: float | None) -> None:
    session = read(status(phase))
    told = (session.started, session.waiting, session.finished, session.never_ready)
    assert told == (started, "", None, False)


def test_a_mirror_of_a_static_pod_is_no_session_of_a_connection() -> None:
    # Its kubelet would make it anew. Its name tells that nobody's connection did.
    labels = {"labels": {"containerssh_connection_id": "a" * 32}}
    whole = pod(metadata={"creationTimestamp": CREATED, "name": "shell-node1", **MIRROR, **labels})
    whole["status"] = status("Pending", shell(WAITING))
    session = session_of(Decoder(Pod).object(json.dumps(whole).encode()))
    assert (session.persistent, reason(session)) == (True, NONE)


def test_since_when_a_shell_is_over_whose_pod_goes_on() -> None:
    session = read(status("Running", shell(ENDED), SIDECAR), TWO | NEVER)
    verdict = judge(session, ALIVE, POLICY, LATER)
    assert verdict.due == T + 1200 + 60


@pytest.mark.parametrize(
    ("told", "spec", "stopped"),
    [
        (status("Running", shell(WAITING, BROKEN)), {}, T + 1200),  # the restart is not counted yet
        (status("Running", shell(CRASHING, BROKEN, 4)), {}, T + 1200),
        (status("Running", shell(BROKEN)), {"restartPolicy": "Always"}, T + 1200),
        (status("Running", shell(RUNNING, BROKEN, 1)), {}, None),
        (status("Running", shell(WAITING)), {}, None),
        (status("Running", shell(CRASHING, NO_START, 1)), {}, None),
        (status("Running", shell(CRASHING, LOST, 1)), {}, None),
        (status("Running", shell(BROKEN), SIDECAR), TWO | NEVER, None),  # for good
        (status("Failed", shell(BROKEN)), NEVER, None),
        (status("Failed", shell(WAITING, BROKEN)), {}, None),
    ],
)
def test_since_when_a_container_waits_to_be_restarted(
    told: dict[str, Any], spec: dict[str, Any], stopped: float | None
) -> None:
    session = read(told, spec)
    assert session.stopped == stopped
    words = evidence(session, judge(session, ALIVE, Policy(), LATER), ALIVE, Policy(), LATER)
    assert (" ended at 03:20:00Z and waits to be restarted" in words) is (stopped is not None)


times = st.sampled_from([CREATED, START, LATE, END, EPOCH, None])
ends = st.fixed_dictionaries(
    {
        "exitCode": st.sampled_from([0, 1, 137]),
        "reason": st.sampled_from(["", "Error", "Completed", "StartError", "ContainerStatusUnknown", "New"]),
        "startedAt": times,
        "finishedAt": times,
    }
)
states: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.just({}),
    st.fixed_dictionaries({"running": st.fixed_dictionaries({"startedAt": times})}),
    st.fixed_dictionaries({"waiting": st.fixed_dictionaries({"reason": st.sampled_from(["", "x", "ErrImagePull"])})}),
    st.fixed_dictionaries({"terminated": ends}),
)
statuses = st.builds(shell, states, states, st.integers(0, 3), st.sampled_from(["shell", "proxy"]))
conditions = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["Ready", "ContainersReady", "New"]),
            "status": st.sampled_from(["True", "False", "Unknown"]),
            "lastTransitionTime": times,
        }
    ),
    max_size=3,
)
told_of = st.fixed_dictionaries(
    {"phase": st.sampled_from(["", "Pending", "Running", "Succeeded", "Failed", "Unknown", "New"])},
    optional={
        "containerStatuses": st.none() | st.lists(statuses, max_size=3),
        "conditions": st.none() | conditions,
    },
)


@settings(max_examples=600)
@given(told_of, st.sampled_from([None, "Always", "OnFailure", "Never", "New"]))
def test_no_fact_no_death(told: dict[str, Any], policy: str | None) -> None:
    said = reason(read(told, TWO | ({} if policy is None else {"restartPolicy": policy})))
    mine = [each for each in told.get("containerStatuses") or () if each["name"] == "shell"][:1]
    state = (mine[0]["state"] or {}) if mine else {}
    final = told["phase"] in ("Succeeded", "Failed")
    match said:
        case Reason.FINISHED:
            assert final or ("terminated" in state and policy in ("Never", "OnFailure", None))
        case Reason.START_TIMEOUT:
            waits = "waiting" in state or ("terminated" in state) or (told["phase"] == "Pending" and not state)
            late = "running" in state and state["running"]["startedAt"] in (LATE, END)
            never_ready = "running" in state and any(
                each["type"] == "Ready" and each["status"] == "False" for each in told.get("conditions") or ()
            )
            ran_late = any(
                (each or {}).get("terminated", {}).get("startedAt") in (LATE, END)
                for each in (mine[0]["lastState"] if mine else None, state)
            )
            assert waits or late or never_ready or ran_late
    if "running" in state and state["running"]["startedAt"] == START and not mine[0]["restartCount"] and not final:
        # It runs since the beginning. Only its never having been Ready speaks against it.
        assert said is None or any(each["status"] == "False" for each in told.get("conditions") or ())


unread = st.fixed_dictionaries(
    {},
    optional={
        "initContainerStatuses": st.none() | st.lists(statuses, max_size=2),
        "ephemeralContainerStatuses": st.none() | st.lists(statuses, max_size=2),
        "resize": st.sampled_from(["", "Deferred", "Infeasible"]),
        "qosClass": st.sampled_from(["Guaranteed", "New"]),
        "reason": st.sampled_from(["", "Evicted", "NodeLost"]),
        "startTime": times,
        "hostIP": st.none() | st.just("192.0.2.7"),
        "observedGeneration": st.integers(0, 9),
    },
)


@given(told_of, unread)
def test_what_is_not_read_means_nothing(told: dict[str, Any], more: dict[str, Any]) -> None:
    assert read(told | more, TWO) == read(told, TWO)
