"""The command ``plan`` on a simulated cluster: what it says, to whom, and its exit status."""

import json
import re
from pathlib import Path

import pytest
import yaml

from ssh_session_gc.core.model import Action, Reason
from tests.cli.ends import End, ends
from tests.preview.dumps import recorded_with_logs

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


CRASH = recorded_with_logs("real-crash")
BEFORE = "containerssh-5f88fb5d57-l9x7l"
"""The Pod whose container crashed."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A working directory with a dump, and the log of each run beside it."""
    (tmp_path / "dump.json").write_bytes(CRASH.data)
    for pod, runs in CRASH.logs.items():
        for number, lines in enumerate(runs):
            (tmp_path / f"{pod}.{number}").write_bytes(b"\n".join(lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of_the_dump(monkeypatch: Patch, capsys: Capture, *args: str) -> End:
    """The end of ``plan`` for the dump, as of some minutes later."""
    return ends(monkeypatch, capsys, "plan", "-f", "dump.json", "--at", "2026-11-25T09:39:00Z", *args)


@pytest.mark.usefixtures("folder")
def test_logs_go_with_a_dump(monkeypatch: Patch, capsys: Capture) -> None:
    end = of_the_dump(monkeypatch, capsys)
    assert (end.status, end.err.count("\n")) == (0, 1)
    assert end.err.startswith("note: a dump has no logs: ")
    assert "0 would be deleted now" in end.out
    files = [f"{pod}={pod}.{number}" for pod, runs in CRASH.logs.items() for number in range(len(runs))]
    end = of_the_dump(monkeypatch, capsys, *(arg for file in files for arg in ("--owner-log", file)))
    assert (end.status, end.err) == (0, "")
    assert "2 would be deleted now (Ownerless 2)" in end.out
    # In the variable, spaces stand between them.
    monkeypatch.setenv("SSH_SESSION_GC_OWNER_LOG", "  ".join(files))
    assert of_the_dump(monkeypatch, capsys) == end
    assert "a connection of containerssh-5f88fb5d57-mgrwk has ended" in (
        of_the_dump(monkeypatch, capsys, "--owner-log", f"{BEFORE}={BEFORE}.0").err
    )


def test_the_name_of_a_log_may_be_anything(folder: Path, monkeypatch: Patch, capsys: Capture) -> None:
    name = "a=b, c\u202e.log"
    (folder / f"{BEFORE}.0").rename(folder / name)
    end = of_the_dump(monkeypatch, capsys, "--owner-log", f"{BEFORE}={name}")
    assert "2 would be deleted now (Ownerless 2)" in end.out
    (folder / name).write_bytes(b"panic\n")
    end = of_the_dump(monkeypatch, capsys, "--owner-log", f"{BEFORE}={name}")
    assert "note: a=b, c\\u202e.log has no line of JSON" in end.err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("--owner-log", BEFORE), 2, f"'{BEFORE}': write it as pod=file"),
        (("--owner-log", f"{BEFORE}="), 2, "write it as pod=file"),
        (("--owner-log", "=x"), 2, "'=x': a name has"),
        (("--owner-log", "../x=x"), 2, "'../x=x': a name has lower-case"),
        (("--owner-log", f"{BEFORE}=-"), 2, "only --filename may be stdin: write the log to a file"),
        (("--owner-log", f"{BEFORE}=x", "--no-owner-logs"), 2, "--owner-log excludes --no-owner-logs"),
        (("--owner-log", f"{BEFORE}=x", "--owner", "none"), 2, "and --owner none"),
        (("--owner-log", f"{BEFORE}=nope"), 1, "cannot read nope: No such file or directory; check --owner-log"),
        (("--owner-log", "nobody=nope"), 1, f"there are containerssh-5f88fb5d57-mgrwk, {BEFORE}"),
    ],
)
def test_bad_logs_are_one_line(
    args: tuple[str, ...], status: int, says: str, monkeypatch: Patch, capsys: Capture
) -> None:
    end = of_the_dump(monkeypatch, capsys, *args)
    assert (end.status, end.out, end.err.count("\n")) == (status, "", 1), end
    assert says in end.err


def test_logs_go_with_nothing_but_a_dump(monkeypatch: Patch, capsys: Capture) -> None:
    end = ends(monkeypatch, capsys, "plan", "--sandbox", "--owner-log", f"{BEFORE}=x")
    assert (end.status, end.err.count("\n")) == (2, 1)
    assert "--owner-log goes with --filename: a cluster's own logs are read" in end.err
