"""plan, explain, check and completion as an operator has them, on the simulated cluster that --sandbox makes."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ssh_session_gc.cli import plan as plan_command
from ssh_session_gc.core.model import Action, Reason
from ssh_session_gc.sandbox import Fault, World
from tests import tools
from tests.cli.ends import ends
from tests.cli.terminal import Terminal
from tests.preview.dumps import recorded

BIN = Path(sys.executable).parent
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
    assert re.split(" {3,}", head) == ["SESSION", "USER", "AGE", "PHASE", "OWNER", "VERDICT", "REASON", "DUE"]
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
        assert list(session) == [*names, "verdict", "reason", "due", "owner", "evidence"]
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


def test_two_commands_from_what_to_why(monkeypatch: Patch, capsys: Capture) -> None:
    named = ends(monkeypatch, capsys, "plan", "--sandbox", "-o", "name", "--reason", "Ownerless").out.strip()
    end = ends(monkeypatch, capsys, "explain", "--sandbox", named)
    assert end.status == 0
    assert end.out.startswith("containerssh-2p46c: Collect, Ownerless, due 1")
    for words in (
        "restarted at",
        "user        bob",
        "stamp       made by Pod containerssh-",
        "could not: the session is stamped as made by Pod",
        "Ownerless     due since",
        "StartTimeout  never",
        "reads the owners afresh right before it",
        "with a grace of 30s, and only if it is still uid",
    ):
        assert words in end.out
    # The restart is 25 minutes later, give or take where a second of the machine's clock ends.
    assert re.search(r"could not: started 25m(\d+s)? after the session was created \(clock-tolerance 2s\)", end.out)


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        ("containerssh-6qtjb", ["Keep", "its annotation ssh-session-gc/keep", "nothing, as things stand"]),
        ("containerssh-jdrtk", ["Waiting, OverAge, due in 19m", "could have created it: was running", "still is"]),
        ("containerssh-wtjw8", ["Waiting, Ownerless, due in", "nothing until", "but ended at"]),
        ("containerssh-vzb9t", ["ttl         45m", "45m (its own ttl)"]),
        ("containerssh-7s8nv", ["Finished      due since", "phase       Failed"]),
        ("containerssh-lt2q7", ["ErrImagePull", "StartTimeout  due since"]),
    ],
)
def test_every_kind_is_explained(pod: str, words: list[str], monkeypatch: Patch, capsys: Capture) -> None:
    out = ends(monkeypatch, capsys, "explain", "--sandbox", pod).out
    for each in words:
        assert each in out, out


def test_explaining_without_owners(monkeypatch: Patch, capsys: Capture) -> None:
    sandbox = ("explain", "--sandbox", "containerssh-2p46c")
    assert "not looked at (--owner none)" in ends(monkeypatch, capsys, *sandbox, "--owner", "none").out
    missing = ends(monkeypatch, capsys, *sandbox, "--owner", "daemonset/a/b").out
    assert "not known: daemonset a/b was not found (--owner)" in missing
    assert "Ownerless     never                 nobody can tell" in missing


def test_check(monkeypatch: Patch, capsys: Capture) -> None:
    end = ends(monkeypatch, capsys, "check", "--sandbox", "--leader-elect")
    assert (end.status, end.err) == (0, "")
    assert end.out.endswith("\n16 checks, nothing to mend\n")
    end = ends(monkeypatch, capsys, "check", "--sandbox", "--owner", "statefulset/a/b")
    assert end.status == 1
    assert "✗ there is no statefulset a/b\n    name ContainerSSH's workload with --owner" in end.out
    assert end.out.endswith("\n14 checks, 1 to mend\n")


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("explain", "--sandbox"), 2, "Missing argument 'POD'"),
        (("explain", "--sandbox", "../x"), 2, "'../x' is no name of a Pod: a name has lower-case"),
        (("explain", "--sandbox", "nope"), 1, "there is no Pod nope in namespace ssh-sessions"),
        (("plan", "--sandbox", "--kubeconfig", "x"), 2, "--sandbox and --kubeconfig exclude each other"),
        (("plan", "--sandbox", "--context", "x"), 2, "--sandbox and --context exclude each other"),
        (("plan", "--at", "2026-11-23T03:00:00Z", "--sandbox"), 2, "--at goes with --filename"),
        (("plan", "--at", "yesterday", "-f", "-"), 2, "'yesterday': write it as 2026-11-23T03:10:00Z"),
        (("plan", "-f", "-", "--sandbox"), 2, "--filename and --sandbox exclude each other"),
        (("plan", "-f", "-", "--watch"), 2, "--filename and --watch exclude each other"),
        (("plan", "-f", "-", "--context", "x"), 2, "--filename and --context exclude each other"),
        (("plan", "--sandbox", "--watch", "-o", "name"), 2, "--watch and --output name exclude each other"),
        (("plan", "--sandbox", "--watch", "--exit-code"), 2, "--watch and --exit-code exclude each other"),
        (("plan", "--sandbox", "-o", "xml"), 2, "'table', 'wide', 'json', 'yaml', 'name'"),
        (("plan", "--sandbox", "--reason", "Old"), 2, "'overage'"),
        (("plan",), 1, "no kubeconfig at"),
        (("check", "--kubeconfig", "/nope"), 1, "there is no kubeconfig /nope"),
        (("check", "--sandbox", "--lease-name", "A B"), 2, "lower-case"),
        (("completion", "tcsh"), 2, "'bash', 'zsh', 'fish'"),
    ],
)
def test_bad_input_is_one_line(
    args: tuple[str, ...], status: int, says: str, monkeypatch: Patch, capsys: Capture, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    end = ends(monkeypatch, capsys, *args)
    assert (end.status, end.out, end.err.count("\n")) == (status, "", 1), end
    assert says in end.err


def test_a_mistake_of_ours_is_one_line_and_one_for_the_report(monkeypatch: Patch, capsys: Capture) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(plan_command, "make", broken)
    end = ends(monkeypatch, capsys, "plan", "--sandbox", "--log-format", "json")
    assert end.status == 1
    log, line = end.err.splitlines()
    assert json.loads(log)["event"] == "crashed"
    assert "ZeroDivisionError" in json.loads(log)["exception"]
    assert line == "ssh-session-gc: crashed by a bug: on purpose; please report it with the log line above"


def test_help_has_examples_and_groups(monkeypatch: Patch, capsys: Capture) -> None:
    for command in ("run", "plan", "explain", "check"):
        out = ends(monkeypatch, capsys, command, "--help", program="/usr/bin/kubectl-session_gc").out
        assert f"Usage: kubectl session-gc {command}" in out
        assert "\nExamples:\n  # " in out
        assert f"\n  kubectl session-gc {command}" in out
        for heading in ("Cluster", "Sessions and owners", "Rules", "Output"):
            assert f"\n{heading}:\n" in out
        assert "SSH_SESSION_GC_MAX_AGE is --max-age" in out


@pytest.mark.parametrize("columns", ["80", "200"])
def test_the_list_of_commands_has_each_one_s_whole_first_sentence(
    columns: str, monkeypatch: Patch, capsys: Capture
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    commands = ends(monkeypatch, capsys, "--help").out.partition("\nCommands:\n")[2]
    assert "..." not in commands
    listed = dict(each.split(maxsplit=1) for each in re.split(r"\n(?=  \w)", commands))
    assert sorted(listed) == ["check", "completion", "demo", "explain", "plan", "run"]
    for command, text in listed.items():
        full = ends(monkeypatch, capsys, command, "--help").out.split("\n\n")[1]
        assert text.split() == full.split()


def test_arguments_are_no_options(monkeypatch: Patch, capsys: Capture) -> None:
    usage, _, rest = ends(monkeypatch, capsys, "explain", "--help").out.partition("\n")
    assert usage.endswith("explain [OPTIONS] POD")
    assert "\n  POD" not in rest


def test_errors_of_the_plugin_carry_its_name(monkeypatch: Patch, capsys: Capture) -> None:
    end = ends(monkeypatch, capsys, "plan", "--nope", program="/usr/bin/kubectl-session_gc")
    assert end.err.startswith("kubectl session-gc: ")
    assert "(see kubectl session-gc plan --help)" in end.err


def shell(tmp_path: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a command that finds ours on its path, and nothing of the machine's configuration."""
    path = f"{BIN}:{tools.kubectl().parent}:/usr/bin:/bin"
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": path, "HOME": str(tmp_path), "KUBECONFIG": "/dev/null", **env},
    )


def test_bash_completes(tmp_path: Path) -> None:
    script = shell(tmp_path, "ssh-session-gc", "completion", "bash").stdout
    words = "COMP_WORDS=(ssh-session-gc plan --exit); COMP_CWORD=2; _ssh_session_gc_completion ssh-session-gc"
    ask = f'{words}; echo "$COMPREPLY"'
    assert shell(tmp_path, "bash", "-c", script + ask).stdout == "--exit-code\n"


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_other_shells_have_a_script(name: str, monkeypatch: Patch, capsys: Capture) -> None:
    assert "_SSH_SESSION_GC_COMPLETE" in ends(monkeypatch, capsys, "completion", name).out


def test_kubectl_finds_and_completes_the_plugin(tmp_path: Path) -> None:
    version = shell(tmp_path, "kubectl", "session-gc", "--version")
    assert version.stdout.startswith("ssh-session-gc, version ")
    assert shell(tmp_path, "kubectl", "session-gc", "plan", "--sandbox", "-o", "name").stdout.count("pod/") == 4
    options = shell(tmp_path, "kubectl", "__complete", "session-gc", "plan", "--exit").stdout
    assert options.startswith("--exit-code\t")
    assert ":4\n" in options
    pods = shell(tmp_path, "kubectl", "__complete", "session-gc", "explain", "--sandbox", "containerssh-2").stdout
    assert pods.startswith("containerssh-2p46c\tbob\n")
    nothing = shell(tmp_path, "kubectl", "__complete", "session-gc", "explain", "--kubeconfig", "/nope", "")
    assert nothing.stdout.splitlines()[0] == ":4"


def test_whoever_stops_reading_gets_no_traceback(tmp_path: Path) -> None:
    # The shell waits for the reader's end, and only then is there something to read.
    ran = shell(tmp_path, "bash", "-c", "exec 3> >(:); wait $!; ssh-session-gc plan --sandbox >&3; echo $?")
    assert (ran.stdout, ran.stderr) == ("141\n", "")


def test_a_character_set_without_marks(tmp_path: Path) -> None:
    ran = shell(tmp_path, "ssh-session-gc", "check", "--sandbox", PYTHONIOENCODING="ascii")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("\\u2713 the API server")


# On a terminal


def test_a_terminal_has_colours_and_everything_fits(tmp_path: Path) -> None:
    with Terminal(tmp_path, "ssh-session-gc", "plan", "--sandbox") as terminal:
        assert terminal.ends() == 0
        assert "8 sessions: 4 would be deleted now" in terminal.text
        assert "Collect   Ownerless" in terminal.text
        assert b"\x1b[1;31m" in terminal.raw


def test_no_color(tmp_path: Path) -> None:
    with Terminal(tmp_path, "ssh-session-gc", "plan", "--sandbox", NO_COLOR="1") as terminal:
        assert terminal.ends() == 0
        assert b"31m" not in terminal.raw
        assert "Collect   Ownerless" in terminal.text


def test_a_narrow_terminal_says_what_it_left_out(tmp_path: Path) -> None:
    with Terminal(tmp_path, "ssh-session-gc", "plan", "--sandbox", columns=72) as terminal:
        assert terminal.ends() == 0
        assert "containerssh-2p46c   bob     40m   Collect   Ownerless      1" in terminal.text
        assert "too narrow for PHASE, OWNER: widen the terminal" in terminal.text
        assert "…" not in terminal.text


def test_watching_on_a_terminal(tmp_path: Path) -> None:
    watch = ("plan", "--sandbox", "--watch", "--owner-grace", "4s")
    with Terminal(tmp_path, "ssh-session-gc", *watch, rows=24) as terminal:
        terminal.shows("Ctrl-C ends it", "containerssh-wtjw8   heidi", "Waiting   Ownerless")
        # Nothing happens to her: only time passes.
        terminal.shows("Collect   Ownerless      1s ago")
        terminal.resize(60, 24)
        terminal.shows("too narrow for")
        terminal.type("\x03")
        assert terminal.ends() == 0
        assert terminal.raw.rstrip().endswith((b"\x1b[?1049l", b"\x1b[?25h"))
        assert "Traceback" not in terminal.text


def test_watching_on_a_pipe_says_each_state_once(tmp_path: Path) -> None:
    command = [str(BIN / "ssh-session-gc"), "plan", "--sandbox", "--watch", "--owner-grace", "3s", "-o", "yaml"]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            documents = [each for each in text.split("---\n") if each.endswith("Collect: 5\n")]
            if documents:
                break
        process.terminate()
        _, err = process.communicate()
    assert process.returncode == 0
    assert err == ""
    states = [
        [(s["name"], s["verdict"]) for s in document["sessions"]] for document in yaml.safe_load_all(text) if document
    ]
    assert len(states) >= 2
    assert ("containerssh-wtjw8", "Waiting") in states[0]
    assert ("containerssh-wtjw8", "Collect") in states[-1]


def test_the_dry_run_of_the_sandbox(tmp_path: Path) -> None:
    run = ("run", "--dry-run", "--sandbox", "--listen", "127.0.0.1:0")
    with Terminal(tmp_path, "ssh-session-gc", *run, columns=200, rows=40) as terminal:
        terminal.shows("dry run on http://127.0.0.1:", "nothing is deleted, Ctrl-C ends it")
        terminal.shows("dry_run", "nothing will be deleted", "user=bob", "user=alice", "user=frank", "user=grace")
        terminal.type("\x03")
        assert terminal.ends() == 0


def test_hostile_and_foreign_names_stay_in_their_cells(tmp_path: Path) -> None:
    objects = json.loads(recorded("crash", "03:10:30"))["items"]
    sessions = [o for o in objects if o["metadata"]["namespace"] == "ssh-sessions"]
    names = ["\x1b[2J\x1b]0;owned\x07", "\u202eevil", "שלום", "日本語の名前"]
    for pod, name in zip(sessions, names, strict=True):
        pod["metadata"]["labels"]["containerssh_username"] = name
    (tmp_path / "dump.json").write_text(json.dumps({"kind": "List", "items": objects}))
    plan = ("plan", "-f", str(tmp_path / "dump.json"), "--at", "2026-11-23T03:10:30Z")
    with Terminal(tmp_path, "ssh-session-gc", *plan, columns=140) as terminal:
        assert terminal.ends() == 0
        assert b"\x1b[2J" not in terminal.raw
        assert b"\x1b]0" not in terminal.raw
        assert "\\x1b[2J\\x1b]0;owned\\x07" in terminal.text
        assert "\\u202eevil" in terminal.text
        # Right to left, but only within its cell.
        assert "\u2068שלום\u2069".encode() in terminal.raw
        rows = [line for line in terminal.text.splitlines() if "Ownerless   " in line or "OverAge   " in line]
        assert len(rows) == 4
        assert "日" in terminal.text


async def test_a_list_that_takes_long_says_how_far_it_is(tmp_path: Path) -> None:
    async with World() as world:
        world.deploy()
        await world.ready()
        world.faults.add(Fault("slow", verb="list", resource="pods", namespace="ssh-sessions", seconds=3))
        kubeconfig = world.kubeconfig(tmp_path / "kubeconfig")

        def look() -> None:
            with Terminal(tmp_path, "ssh-session-gc", "plan", "--kubeconfig", str(kubeconfig)) as terminal:
                terminal.shows("reading sessions")
                assert terminal.ends() == 0
                assert "reading sessions" not in terminal.text
                assert "no session: no Pod in namespace ssh-sessions matches" in terminal.text

        await asyncio.to_thread(look)
