"""The chart on a real API server: it takes every object and compiles every expression, and the policies hold."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.chart import charts
from tests.chart.test_hardening import EVERYTHING, example, session_pod
from tests.conformance.conftest import ControlPlane

NAMESPACE = "installed"
VALUES = json.dumps(
    charts.merged(
        EVERYTHING,
        {"admission": {"engine": "vap"}, "ownerStamp": {"engine": "map"}},
        # A quota lets nothing in until a controller has counted it, and there is none here.
        {"sessions": {"quota": {"enabled": False}}},
    )
)
PATIENCE = 60.0
"""Seconds that a policy may take to be in force."""


@pytest.fixture(scope="session")
def _namespaces(control_plane: ControlPlane) -> None:
    for namespace in ("containerssh", NAMESPACE):
        control_plane.kubectl("create", "namespace", namespace)


def eventually(condition: Callable[[], bool], what: str) -> None:
    patience = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < patience, what
        time.sleep(1)


@pytest.mark.usefixtures("_namespaces")
def test_the_api_server_takes_every_object_in_a_dry_run(control_plane: ControlPlane) -> None:
    control_plane.helm(
        *("install", charts.RELEASE, str(charts.CHART), "--namespace", NAMESPACE, "--dry-run=server"),
        values=VALUES,
    )


@pytest.mark.usefixtures("_namespaces")
def test_installed_it_stamps_what_containerssh_makes_and_refuses_the_rest(control_plane: ControlPlane) -> None:
    control_plane.helm("install", charts.RELEASE, str(charts.CHART), "--namespace", NAMESPACE, values=VALUES)
    owner = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "containerssh-0", "namespace": "containerssh"},
        "spec": {"serviceAccountName": "containerssh", "containers": [{"name": "containerssh", "image": "x"}]},
    }
    made = json.loads(control_plane.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(owner)))
    uid = made["metadata"]["uid"]
    bound = ("--bound-object-kind=Pod", "--bound-object-name=containerssh-0", f"--bound-object-uid={uid}")
    token = control_plane.kubectl("create", "token", "containerssh", "-n", "containerssh", *bound).strip()

    def create(change: Callable[[dict[str, Any]], object] = lambda _: None, *, fails: bool = False) -> str:
        pod = session_pod(example())
        change(pod)
        text = yaml.safe_dump(pod)
        return control_plane.kubectl("create", "-f", "-", "-o", "json", token=token, stdin=text, fails=fails)

    def stamped() -> bool:
        annotations = json.loads(create())["metadata"].get("annotations", {})
        return bool(annotations.get("ssh-session-gc/owner-pod-uid") == uid)

    eventually(stamped, "the stamp is never set")
    session = json.loads(create())["metadata"]
    assert session["annotations"]["ssh-session-gc/owner-pod-name"] == "containerssh-0"

    def host_network(pod: dict[str, Any]) -> None:
        pod["spec"]["hostNetwork"] = True

    assert "host" in create(host_network, fails=True)
    annotate = ("annotate", "pod", "-n", session["namespace"], session["name"], "--overwrite")
    said = control_plane.kubectl(*annotate, "ssh-session-gc/owner-pod-uid=other", fails=True)
    assert "cannot be set, changed or removed" in said
    # An administrator may set keep; nobody may change the stamp.
    control_plane.kubectl(*annotate, "ssh-session-gc/keep=true")
    for kind in ("validatingadmissionpolicies", "mutatingadmissionpolicies"):
        found = json.loads(control_plane.kubectl("get", kind, "-o", "json"))["items"]
        assert found
        for policy in found:
            warnings = policy.get("status", {}).get("typeChecking", {}).get("expressionWarnings", [])
            assert warnings == [], policy["metadata"]["name"]
