"""The command ``explain`` on a simulated cluster: every kind of session, and sessions without known owners."""

import re

import pytest

from tests.cli.ends import ends

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


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
