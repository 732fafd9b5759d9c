"""The command ``plan`` on a simulated cluster: what it says, to whom, and its exit status."""

import json
import re

import pytest
import yaml

from ssh_session_gc.core.model import Action, Reason
from tests.cli.ends import ends

DUE_NOW = ["containerssh-7s8nv", "containerssh-hnm5v", "containerssh-2p46c", "containerssh-lt2q7"]
"""Which sessions of the sandbox's past are due, the most urgent first."""

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


def test_plan_on_a_pipe_is_plain_and_stable(monkeypatch: Patch, capsys: Capture) -> None:
    end = ends(monkeypatch, capsys, "plan", "--sandbox")
    assert (end.status, end.err) == (0, "")
    assert "\x1b" not in end.out
    owners, sessions, summary = end.out.split("\n\n")
    assert [line.split()[2] for line in owners.splitlines()] == ["STATE", "Running", "Ended", "Running"]
    head, *rows = sessions.splitlines()
    told = ["SESSION", "USER", "AGE", "PHASE", "CONNECTED", "OWNER", "VERDICT", "REASON", "DUE"]
    assert re.split(" {3,}", head) == told
    assert [row.split()[1] for row in rows] == ["frank", "alice", "bob", "grace", "heidi", "erin", "carol", "dave"]
    assert not any(line.endswith(" ") for line in end.out.splitlines())
    assert summary == (
        "8 sessions: 4 would be deleted now (OverAge 1, Ownerless 1, StartTimeout 1, Finished 1), 3 later, 1 kept\n"
    )


def test_plan_as_json_keeps_the_contract(monkeypatch: Patch, capsys: Capture) -> None:
    end = ends(monkeypatch, capsys, "plan", "--sandbox", "-o", "json", "--exit-code")
    assert end.status == 3
    plan = json.loads(end.out)
    assert list(plan) == ["apiVersion", "kind", "now", "owners", "sessions", "summary"]
    assert (plan["apiVersion"], plan["kind"]) == ("ssh-session-gc/v1", "Plan")
    assert plan["summary"] == {"Keep": 1, "Waiting": 3, "Collect": 4}
    for owner in plan["owners"]:
        assert list(owner) == ["pod", "uid", "container", "state", "startedAt", "finishedAt"]
        assert owner["state"] in ("Running", "Starting", "Ended", "Unreachable")
    names = ["namespace", "name", "uid", "user", "connectionId", "phase", "ageSeconds"]
    for session in plan["sessions"]:
        assert list(session) == [*names, "connected", "verdict", "reason", "due", "owner", "evidence"]
        assert session["connected"] in (True, False, None)
        assert session["verdict"] in list(Action)
        assert session["reason"] in (None, *Reason)
        assert isinstance(session["ageSeconds"], int)
        for instant in (session["due"], plan["now"]):
            assert instant is None or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", instant)
    as_yaml = yaml.safe_load(ends(monkeypatch, capsys, "plan", "--sandbox", "-o", "yaml").out)
    assert [s["name"] for s in as_yaml["sessions"]] == [s["name"] for s in plan["sessions"]]


@pytest.mark.parametrize(
    ("args", "names"),
    [
        ((), DUE_NOW),
        (("--verdict", "keep"), ["containerssh-6qtjb"]),
        (("--reason", "ownerless"), ["containerssh-2p46c"]),
        (("--reason", "Finished", "--reason", "OVERAGE"), DUE_NOW[:2]),
        (("--user", "grace", "--user", "carol"), ["containerssh-lt2q7"]),
        (("--max-age", "30m", "--reason", "overage"), ["containerssh-hnm5v", "containerssh-jdrtk"]),
    ],
)
def test_names_are_those_of_what_is_due_now(
    args: tuple[str, ...], names: list[str], monkeypatch: Patch, capsys: Capture
) -> None:
    end = ends(monkeypatch, capsys, "plan", "--sandbox", "-o", "name", *args)
    assert end.out.splitlines() == [f"pod/{name}" for name in names]


def test_filters_are_said_and_count_for_the_exit_code(monkeypatch: Patch, capsys: Capture) -> None:
    end = ends(monkeypatch, capsys, "plan", "--sandbox", "--user", "carol", "--exit-code")
    assert end.status == 0
    assert end.out.endswith("1 of 8 sessions: 0 would be deleted now, 1 later, 0 kept\n")
