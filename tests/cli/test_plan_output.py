"""Plans as they reach a terminal and a pipe, once and as the cluster changes."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import yaml

from ssh_session_gc.sandbox import Fault, World
from tests.cli.processes import SCRIPTS
from tests.cli.terminal import Terminal
from tests.preview.dumps import recorded


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
        assert "too narrow for PHASE, CONNECTED, OWNER: widen the terminal" in terminal.text
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
    command = [str(SCRIPTS / "ssh-session-gc"), "plan", "--sandbox", "--watch", "--owner-grace", "3s", "-o", "yaml"]
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
