"""``plan -f --owner-log``: what real logs add to a dump, in whatever files, and what may be in one instead."""

import gzip
import json
import re
import tracemalloc
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.containerssh.log import LONGEST_LINE
from ssh_session_gc.core.model import Action, Reason
from ssh_session_gc.core.plan import Plan, Snapshot, make
from ssh_session_gc.preview import dump, snapshot
from ssh_session_gc.preview.snapshot import CannotRead
from ssh_session_gc.sandbox import Replay
from ssh_session_gc.settings import Settings
from tests.cli.ends import ends
from tests.harness import connected
from tests.preview.crash import OWNERS, SESSIONS, changed, planned, text
from tests.preview.dumps import REAL, Dump, listed, recorded_with_logs
from tests.support import advance

PTY, HANGS, CRASH = (
    recorded_with_logs("real-pty-command", 26.0),
    recorded_with_logs("real-exec-hangs"),
    recorded_with_logs("real-crash"),
)
LATER = 250.0
"""Seconds after a dump at which everything that is said in its logs has become due."""
(POD,) = PTY.logs
LINES = PTY.logs[POD][0]
NO_JSON = "has no line of JSON and says nothing: give what `kubectl logs"

Files = list[tuple[str, str]]
Said = dict[str, tuple[Action, Reason | None, bool | None]]


def bare(line: bytes) -> bytes:
    """The line as kubectl prints it without --timestamps."""
    return line.partition(b" ")[2]


def written(folder: Path, logs: Iterable[tuple[str, Iterable[bytes]]]) -> Files:
    """A file for each of these logs."""
    files: Files = []
    for pod, lines in logs:
        path = folder / f"{len(files)}.log"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        files.append((pod, str(path)))
    return files


def runs(taken: Dump) -> list[tuple[str, list[bytes]]]:
    """The log of each run, with its Pod."""
    return [(pod, lines) for pod, each in taken.logs.items() for lines in each]


def read(taken: Dump, files: Files, later: float = LATER, **settings: Any) -> Snapshot:
    """The snapshot of a dump and these logs, to be judged a while later."""
    at = taken.at + later
    return dump.read(taken.data, "dump.json", Settings(**settings), at, at=at, logs=files)


def judged(taken: Dump, files: Files) -> Plan:
    """The plan for a dump and these logs."""
    return make(read(taken, files), Settings().policy, "ssh-sessions")


def said(plan: Plan) -> Said:
    """The verdict on each user's session, and whether anybody is connected to it."""
    return {row.session.user: (row.verdict.action, row.verdict.reason, row.presence.connected) for row in plan.rows}


KEPT, ENDED = (Action.WAITING, Reason.OVER_AGE), (Action.COLLECT, Reason.ABANDONED)
ORPHANED = (Action.COLLECT, Reason.OWNERLESS)


@pytest.mark.parametrize("timestamps", [True, False], ids=["timestamps", "bare"])
@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        (PTY, {"alice": (*ENDED, False), "bob": (*KEPT, True)}),
        (HANGS, {"alice": (*ENDED, False), "bob": (*ENDED, False)}),
        (
            CRASH,
            {
                "alice": (*ORPHANED, False),
                "bob": (*ORPHANED, False),
                "carol": (*KEPT, True),
                "dave": (*KEPT, True),
            },
        ),
    ],
    ids=["pty-command", "exec-hangs", "crash"],
)
def test_what_real_logs_add(taken: Dump, expected: Said, timestamps: bool, tmp_path: Path) -> None:
    unheard = said(judged(taken, []))
    assert unheard == dict.fromkeys(expected, (*KEPT, None))
    logs = [(pod, lines if timestamps else map(bare, lines)) for pod, lines in runs(taken)]
    files = written(tmp_path, logs)
    assert said(judged(taken, files)) == expected
    assert read(taken, files).remarks == ()


@pytest.mark.parametrize("name", ["pty-command", "exec-hangs", "crash", "delete-fails", "session-mode", "persistent"])
async def test_a_plan_of_the_cluster_hears_the_same(name: str, tmp_path: Path) -> None:
    files = written(tmp_path, runs(recorded_with_logs(f"real-{name}")))
    async with Replay(REAL / f"real-{name}.jsonl", metrics_port=0) as replay:
        await advance(replay.length + 1.0)
        async with connected(replay.server.url) as api:
            looked = await snapshot.read(api, Settings())
        data = json.dumps(listed(replay.store)).encode()
    assert dump.read(data, "dump.json", Settings(), looked.now, logs=files).connections == looked.connections


@given(st.data())
def test_in_which_files_the_lines_are_and_in_which_order_does_not_matter(data: st.DataObject) -> None:
    taken = data.draw(st.sampled_from([PTY, HANGS, CRASH]))
    lines = [(pod, line) for pod, each in runs(taken) for line in each]
    places = data.draw(st.lists(st.integers(0, 3), min_size=len(lines), max_size=len(lines)))
    parts: dict[tuple[str, int], list[bytes]] = {}
    for (pod, line), place in zip(lines, places, strict=True):
        parts.setdefault((pod, place), []).append(line)
    shuffled = data.draw(st.permutations([(pod, each) for (pod, _), each in parts.items()]))
    with TemporaryDirectory() as folder:
        found = judged(taken, written(Path(folder), shuffled))
        assert found == judged(taken, written(Path(folder), runs(taken)))


@given(st.binary(max_size=200), st.integers(0, len(LINES)))
def test_any_bytes_among_the_lines_change_nothing(noise: bytes, place: int) -> None:
    with TemporaryDirectory() as folder:
        files = written(Path(folder), [(POD, [*LINES[:place], noise, *LINES[place:]])])
        assert said(judged(PTY, files)) == {"alice": (*ENDED, False), "bob": (*KEPT, True)}


def test_a_line_of_any_length_takes_little_memory(tmp_path: Path) -> None:
    ((_, name),) = written(tmp_path, [(POD, LINES)])
    with Path(name).open("r+b") as file:
        told = file.read()
        file.seek(0)
        file.write(b'{"code":"SSH_DISCONNECTED')
        file.truncate(64 * 2**20)
        file.seek(0, 2)
        file.write(b"\n" + told)
    read(PTY, [(POD, name)])
    tracemalloc.start()
    try:
        assert said(judged(PTY, [(POD, name)]))["alice"] == (*ENDED, False)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_line_counts_up_to_the_longest(tmp_path: Path) -> None:
    def padded(size: int) -> Said:
        # The longest has room for the line's end beside it.
        lines = [line if b'"SSH_DISCONNECTED"' not in line else line.ljust(size) for line in LINES]
        return said(judged(PTY, written(tmp_path, [(POD, lines)])))

    assert padded(LONGEST_LINE)["alice"] == (*ENDED, False)
    assert padded(LONGEST_LINE + 1)["alice"] == (*KEPT, True)


def test_the_last_line_needs_no_end(tmp_path: Path) -> None:
    end = next(number for number, line in enumerate(LINES) if b'"SSH_DISCONNECTED"' in line)
    path = tmp_path / "owner.log"
    path.write_bytes(b"\r\n".join(LINES[: end + 1]))
    assert said(judged(PTY, [(POD, str(path))]))["alice"] == (*ENDED, False)
    path.write_bytes(path.read_bytes()[:-1])
    assert said(judged(PTY, [(POD, str(path))]))["alice"] == (*KEPT, True)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        gzip.compress(b"\n".join(LINES), mtime=0),
        b'2026-11-25T10:39:00.789244802Z 2026-11-25T10:39:00Z\tdebug\tClient disconnected {"a": 1}\n',
        b"[pod/containerssh-564b458f59-pfdrn/containerssh] " + bare(LINES[-1]),
        b"\n".join(LINES).decode().encode("utf-16"),
        b"{" * LONGEST_LINE,
        b'{"code": "SSH_DISCONNECTED"\n}',
    ],
    ids=["empty", "blank", "gzip", "text", "prefix", "utf-16", "deep", "pretty"],
)
def test_what_is_no_log_of_this_form_is_noted(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "owner\x1b[2J.log"
    path.write_bytes(content)
    found = read(PTY, [(POD, str(path))])
    (remark,) = found.remarks
    assert f"owner\\x1b[2J.log {NO_JSON} {POD}` printed" in remark
    assert found.connections == read(PTY, []).connections


def test_times_that_no_calendar_holds_are_no_trouble(tmp_path: Path) -> None:
    for time in (b"9999-12-31T23:59:59Z", b"0001-01-01T00:00:00Z", b"2026-02-30T00:00:00Z", b""):
        lines = [re.sub(rb'"timestamp":"[^"]*"', b'"timestamp":"%s"' % time, bare(line)) for line in LINES]
        assert judged(PTY, written(tmp_path, [(POD, lines)])).rows


def test_that_logs_are_missing_is_noted(tmp_path: Path) -> None:
    def missing(files: Files, **settings: Any) -> Sequence[str]:
        return read(CRASH, files, **settings).remarks

    logs = runs(CRASH)
    first, last = "containerssh-5f88fb5d57-mgrwk", "containerssh-5f88fb5d57-l9x7l"
    (remark,) = missing([])
    assert remark == (
        "a dump has no logs: write one with `kubectl logs -n containerssh -c containerssh POD > FILE` and give it "
        f"with --owner-log POD=FILE; without it nobody knows whether a connection of {first}, {last} has ended"
    )
    (remark,) = missing(written(tmp_path, [each for each in logs if each[0] == last]))
    assert f"a connection of {first} has ended" in remark
    assert missing(written(tmp_path, logs)) == ()
    assert missing([], owner_logs=False) == ()


def test_only_of_what_runs_a_log_is_missed() -> None:
    def missed(owners: list[dict[str, Any]]) -> list[str]:
        settings = Settings(owner=None, owner_selector="app=containerssh")
        found = dump.read(text(*SESSIONS, *owners), "dump.json", settings, PTY.at)
        assert found.owners.owners
        return [remark for remark in found.remarks if "has no logs" in remark]

    over = {"startedAt": "2026-11-23T03:00:00Z", "finishedAt": "2026-11-23T03:01:00Z"}
    status = {"name": "containerssh", "restartCount": 0, "state": {"terminated": over}}
    ended: dict[str, Any] = {"phase": "Failed", "containerStatuses": [status]}
    waiting: dict[str, Any] = {"phase": "Pending", "containerStatuses": []}
    assert missed(changed(OWNERS, "status", to=ended)) == missed(changed(OWNERS, "status", to=waiting)) == []
    named = [changed(OWNERS[:1], "metadata", "name", to=f"ssh-{n}") for n in range(6)]
    (remark,) = missed([changed(pods, "metadata", "uid", to=f"u-{n}")[0] for n, pods in enumerate(named)])
    assert "of ssh-0, ssh-1, ssh-2, ssh-3, ssh-4, … has ended" in remark


def test_a_newer_pod_of_the_same_connection_needs_no_log() -> None:
    twins = changed(SESSIONS[:1], "metadata", "labels", "containerssh_connection_id", to="c" * 32)
    (newer,) = changed(twins, "metadata", "creationTimestamp", to="2026-11-23T03:09:40Z")
    newer["metadata"] |= {"name": "containerssh-zzzzz", "uid": "newer"}
    both = planned(text(*twins, newer), "03:20:00")
    assert {row.session.name: (row.verdict.action, row.verdict.reason) for row in both.rows} == {
        twins[0]["metadata"]["name"]: ENDED,
        "containerssh-zzzzz": KEPT,
    }


def test_of_two_pods_of_one_name_the_younger_one_speaks(tmp_path: Path) -> None:
    items = json.loads(PTY.data)["items"]
    (owner,) = (item for item in items if item["metadata"]["name"] == POD)
    (older,) = changed([owner], "metadata", "uid", to="older")
    older = json.loads(json.dumps(older).replace("2026-11-25T10:3", "2026-11-25T09:3"))
    files = written(tmp_path, [(POD, LINES)])
    for both in ([*items, older], [older, *items]):
        taken = Dump(text(*both), PTY.logs, PTY.at)
        owned = {row.verdict.ownership.owner for row in judged(taken, files).rows if row.verdict.ownership}
        assert {each.pod_uid for each in owned if each is not None} == {owner["metadata"]["uid"]}


@pytest.mark.parametrize(
    ("pod", "settings", "why"),
    [
        ("nobody", {}, f"--owner-log: nobody is no ContainerSSH Pod in dump.json; there are {POD}"),
        (POD, {"owner": None, "owner_selector": "a=b"}, "in dump.json; dump.json holds no Pod in namespace contain"),
    ],
)
def test_a_log_of_whom_nobody_knows(pod: str, settings: dict[str, Any], why: str) -> None:
    with pytest.raises(CannotRead, match=re.escape(why)):
        read(PTY, [(pod, "/nowhere")], **settings)


def test_without_any_owner_there_is_none() -> None:
    items = [item for item in json.loads(PTY.data)["items"] if item["metadata"]["name"] != POD]
    idle = [item | {"status": {"replicas": 0}} if item["kind"] == "Deployment" else item for item in items]
    with pytest.raises(CannotRead, match=r"is no ContainerSSH Pod in dump\.json; there is none"):
        read(Dump(text(*idle), PTY.logs, PTY.at), [(POD, "/nowhere")])


def test_a_log_that_cannot_be_read(tmp_path: Path) -> None:
    for name, why in (("no\u202epe", "No such file or directory"), ("", "Is a directory")):
        with pytest.raises(CannotRead) as caught:
            read(PTY, [(POD, str(tmp_path / name))])
        assert str(caught.value).isprintable()
        assert f"{why}; check --owner-log" in str(caught.value)


def test_what_is_in_the_logs_counts_for_the_age_of_the_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dump.json").write_bytes(HANGS.data)
    ((pod, log),) = written(tmp_path, runs(HANGS))
    monkeypatch.chdir(tmp_path)
    args = ("plan", "-f", "dump.json", "--at", "2026-11-25T09:37:00Z")
    assert ends(monkeypatch, capsys, *args, "--no-owner-logs").err == ""
    end = ends(monkeypatch, capsys, *args, "--owner-log", f"{pod}={log}")
    assert (end.status, end.err.count("\n")) == (0, 1)
    assert (
        "is before the newest fact in dump.json and the logs, of 2026-11-25T09:37:34Z: it counts all the same"
        in end.err
    )
