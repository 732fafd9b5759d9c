"""``plan -f``: the recordings as kubectl dumps them, and the sessions, owners and time that a dump tells of."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.core.evidence import NO_SESSION
from ssh_session_gc.core.model import Action, Reason, Verdict
from ssh_session_gc.core.plan import make
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.preview import dump
from ssh_session_gc.sandbox import Replay
from ssh_session_gc.settings import DryRun, OwnerRef
from tests.cli.ends import ends
from tests.harness import Running, running
from tests.preview.crash import CRASH, DEPLOYMENT, OBJECTS, OWNERS, SESSIONS, changed, plan_file, planned, text, told
from tests.preview.dumps import MOMENTS, RECORDINGS, instant, listed, recorded
from tests.support import advance, eventually

GOLDEN = Path(__file__).parents[1] / "data" / "plans"
AT = "2026-11-23T03:10:30Z"


def _agrees(gc: Running, user: str, verdict: Verdict) -> bool:
    own = gc.verdict(user)
    return (own.action, own.reason) == (verdict.action, verdict.reason)


@pytest.mark.parametrize("stamped", [True, False], ids=["stamped", "unstamped"])
@pytest.mark.parametrize("name", MOMENTS)
@pytest.mark.parametrize("output", ["table", "wide", "json", "yaml", "name"])
def test_golden(
    name: str,
    stamped: bool,
    output: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    clock = MOMENTS[name]
    (tmp_path / "dump.json").write_bytes(recorded(name, clock, stamped=stamped))
    monkeypatch.chdir(tmp_path)
    end = ends(monkeypatch, capsys, "plan", "-f", "dump.json", "--at", f"2026-11-23T{clock}Z", "-o", output)
    assert end.status == 0
    golden = GOLDEN / f"{name}.{'stamped' if stamped else 'unstamped'}.{output}"
    if "WRITE_GOLDEN" in os.environ:
        golden.write_text(end.out)
    assert end.out == golden.read_text()


@pytest.mark.parametrize("stamped", [True, False], ids=["stamped", "unstamped"])
@pytest.mark.parametrize("name", MOMENTS)
async def test_the_daemon_says_the_same_of_the_same_state(name: str, stamped: bool, tmp_path: Path) -> None:
    """Holds the plan of a dump to a daemon that starts, in a dry run, at the moment of the dump."""
    async with Replay(RECORDINGS / f"{name}.jsonl", strip_stamp=not stamped) as replay:
        await advance(instant(MOMENTS[name]) - replay.store.now())
        at = replay.store.now()
        data = json.dumps(listed(replay.store)).encode()
        async with running(replay.server.url, tmp_path, dry_run=DryRun.CLIENT) as gc:
            await gc.synced()
            plan = make(dump.read(data, "dump", gc.settings, at), gc.settings.policy, "ssh-sessions")
            assert plan.rows
            verdicts = {row.session.user: row.verdict for row in plan.rows}
            for user, verdict in verdicts.items():
                await eventually(partial(_agrees, gc, user, verdict), f"{user}: {verdict}")
                # Times that count from the first list go by the Date header, which has whole seconds.
                assert (gc.verdict(user).due or 0.0) == pytest.approx(verdict.due or 0.0, abs=1.5), user
            due_now = {user for user, verdict in verdicts.items() if verdict.action is Action.COLLECT}
            await eventually(lambda: set(gc.collected()) == due_now, f"{due_now}, so far {gc.collected()}")


def test_another_workload_selector_and_namespace() -> None:
    fleet = [json.loads(json.dumps(DEPLOYMENT).replace('"Deployment"', '"StatefulSet"'))]
    data = text(*SESSIONS, *OWNERS, *fleet)
    expected = told(planned(CRASH))
    assert told(planned(data, owner=OwnerRef("statefulset", "containerssh", "containerssh"))) == expected
    by_label: dict[str, Any] = {
        "owner": None,
        "owner_selector": "app in (containerssh)",
        "owner_namespace": "containerssh",
    }
    assert told(planned(text(*SESSIONS, *OWNERS), **by_label)) == expected
    assert not planned(CRASH, session_selector="!containerssh_connection_id").rows
    assert len(planned(CRASH, session_selector="containerssh_username in (bob, dave)").rows) == 2


def test_containerssh_s_own_pods_are_no_sessions() -> None:
    together: dict[str, Any] = {"session_namespace": "containerssh", "session_selector": "app=containerssh"}
    for data in (CRASH, text(*OWNERS)):  # with the workload, and where nobody knows who the owners are
        plan = planned(data, **together, policy=Policy(max_age=1.0))
        assert plan.rows
        assert {(row.verdict.action, row.evidence) for row in plan.rows} == {(Action.KEEP, NO_SESSION)}


def test_a_creator_that_the_selector_does_not_match_is_found() -> None:
    others = changed(OWNERS, "metadata", "labels", "app", to="other")
    assert planned(text(*SESSIONS, *others, DEPLOYMENT)).unknown == (
        "dump.json holds no Pod in namespace containerssh that matches app=containerssh"
    )
    idle = changed([DEPLOYMENT], "status", "replicas", to=0)
    assert told(planned(text(*SESSIONS, *others, *idle))) == told(planned(CRASH))


@pytest.mark.parametrize(
    ("data", "settings", "unknown"),
    [
        (text(*SESSIONS, *OWNERS), {}, "deployment containerssh/containerssh is not in dump.json (--owner)"),
        (text(*SESSIONS, DEPLOYMENT), {}, "dump.json holds no Pod in namespace containerssh that matches app="),
        (text(*SESSIONS, *changed([DEPLOYMENT], "spec", to={})), {}, "cannot be read: Object missing required"),
        (text(*SESSIONS, DEPLOYMENT, *changed(OWNERS, "spec", to={})), {}, "an owner Pod cannot be read: Object"),
        (text(*SESSIONS), {"owner": None, "owner_selector": "a=b"}, "in namespace containerssh that matches a=b"),
    ],
)
def test_without_owners_nobody_is_ownerless(data: bytes, settings: dict[str, Any], unknown: str) -> None:
    plan = planned(data, **settings)
    assert plan.unknown is not None
    assert unknown in plan.unknown
    assert {row.verdict.reason for row in plan.rows} == {Reason.OVER_AGE}


@pytest.mark.parametrize(
    ("data", "args", "note"),
    [
        (CRASH, ["--session-namespace", "other"], "its Pods are in containerssh, ssh-sessions"),
        (
            CRASH,
            ["--session-namespace", "other"],
            "no session: no Pod of stdin in namespace other matches containerssh",
        ),
        (
            CRASH,
            ["--session-selector", "app=shell"],
            "no session: none of 4 Pods of stdin in namespace ssh-sessions matches app=shell "
            "(--session-namespace, --session-selector)",
        ),
        (text(*OBJECTS, {"kind": "Node"}), [], "left aside, as they play no part: 1 Node"),
        (
            text(*changed(SESSIONS, "status", to=None)),
            [],
            "has no status and counts as not started: is it a manifest?",
        ),
        (text(*changed(SESSIONS, "status", to=None), *SESSIONS), [], "has no status"),
        (text(*changed(SESSIONS, "metadata", "uid", to=None)), [], "left alone: Object missing required field `uid`"),
        (text(*changed(SESSIONS, "metadata", "creationTimestamp", to="tomorrow")), [], "left alone: Invalid RFC3339"),
        (
            text(*changed(SESSIONS, "metadata", "annotations", to={"ssh-session-gc/ttl": "soon"})),
            [],
            "ssh-session-gc/ttl cannot be read, so that it may stay until max-ttl",
        ),
        (CRASH, ["--at", "2026-11-23T03:09:25Z"], "--at 2026-11-23T03:09:25Z is before the newest fact in stdin"),
    ],
)
def test_what_is_odd_about_a_dump_is_noted(
    data: bytes,
    args: list[str],
    note: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = args if "--at" in args else [*args, "--at", AT]
    end, notes = plan_file(monkeypatch, capsys, data, *args)
    assert end.status == 0
    assert any(note in each for each in notes), notes


def test_the_age_of_a_dump_is_noted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _, notes = plan_file(monkeypatch, capsys, CRASH)
    assert any("nothing in stdin is newer than 2026-11-23T03:09:" in note for note in notes), notes
    end, _ = plan_file(monkeypatch, capsys, CRASH, "--at", "1999-12-31T23:59:59Z")
    assert end.status == 1
    assert "--at 1999-12-31T23:59:59Z is before everything in stdin: it begins at 2026-11-23T03:0" in end.err


def test_a_selector_that_is_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--session-selector", "--owner-selector"):
        end, _ = plan_file(monkeypatch, capsys, CRASH, "--at", AT, option, "a in (")
        assert end.status == 1
        assert f"check {option}" in end.err


def test_hostile_texts_are_escaped() -> None:
    hostile = "\x1b[2J\u202eroot\x07"
    data = text(*changed(SESSIONS[:1], "metadata", "labels", "containerssh_username", to=hostile * 100), *OWNERS)
    data = data.replace(b'"phase": "Running"', b'"phase": "Running\\u001b[31m"')
    (row,) = planned(data).rows
    assert row.session.user.isprintable()
    assert row.session.phase.isprintable()
    assert len(row.session.user) <= 128


def test_a_file_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    end = ends(monkeypatch, capsys, "plan", "-f", str(tmp_path / "nope"))
    assert end.status == 1
    assert "No such file or directory; check --filename" in end.err
    end = ends(monkeypatch, capsys, "plan", "-f", str(tmp_path))
    assert end.status == 1
    assert "Is a directory; check --filename" in end.err
