"""Pods as people and other programs write them, through the command: each dump once judged a session wrongly.

The sessions have the label of the article's configuration; the dumps are of one moment, noon.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.ends import ends

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch

CASES = Path(__file__).parents[1] / "data" / "cases"
OVER_AGE, KEEP = ("Waiting", "OverAge"), ("Keep", None)
UNSTARTED, FINISHED = ("Collect", "StartTimeout"), ("Collect", "Finished")


def planned(monkeypatch: Patch, capsys: Capture, case: str, *more: str) -> dict[str, dict[str, Any]]:
    """The sessions of a plan, by name."""
    words = ("--at", "2026-03-01T12:00:00Z", "--session-selector", "containerssh.io/session=true", "-o", "json")
    end = ends(monkeypatch, capsys, "plan", "-f", str(CASES / f"{case}.json"), *words, *more)
    assert end.status == 0, end.err
    return {each["name"]: each for each in json.loads(end.out)["sessions"]}


@pytest.mark.parametrize(
    ("case", "more", "expected"),
    [
        ("running-without-statuses", (), dict.fromkeys(("none", "null", "empty", "state"), OVER_AGE)),
        ("ttl-forms", (), dict.fromkeys(("d", "dh", "secs", "space", "upper"), OVER_AGE)),
        ("keep-forms", (), dict.fromkeys(("k0", "k1", "k2", "k3", "k4"), KEEP)),
        ("shell-ended-sidecar-runs", (), {"x": FINISHED}),
        (
            "shell-is-not-the-first-container",
            ("--session-container", "shell"),
            {"late": UNSTARTED, "live": OVER_AGE},
        ),
        ("shell-is-not-the-first-container", ("--session-container", "1"), {"late": UNSTARTED, "live": OVER_AGE}),
        ("start-error-restarts", (), {"crashloop": UNSTARTED, "once": UNSTARTED}),
        ("container-that-waits-to-restart", (), {"containerssh-bcdfg": OVER_AGE}),
        ("evicted-without-statuses", (), {"x": FINISHED}),
        ("fields-that-cannot-be-read", (), {"year": OVER_AGE, "state": OVER_AGE, "keep": KEEP}),
        ("user-and-address-as-people-write-them", ("--user", "alice@corp"), {"x": OVER_AGE}),
        ("user-and-address-as-people-write-them", ("--user", "alice_corp"), {"x": OVER_AGE}),
        ("user-and-address-as-people-write-them", ("--user", "bob"), {}),
    ],
)
def test_the_verdicts(
    case: str, more: tuple[str, ...], expected: dict[str, Any], monkeypatch: Patch, capsys: Capture
) -> None:
    found = planned(monkeypatch, capsys, case, *more)
    assert {name: (each["verdict"], each["reason"]) for name, each in found.items()} == expected


def test_the_words(monkeypatch: Patch, capsys: Capture) -> None:
    evicted = planned(monkeypatch, capsys, "evicted-without-statuses")["x"]["evidence"]
    assert evicted == "its container ended at 11:57:00Z (Failed)"
    beside = planned(monkeypatch, capsys, "shell-ended-sidecar-runs")["x"]["evidence"]
    assert beside == "its container ended at 11:55:00Z (Running, as another of its containers is)"
    [restarts] = planned(monkeypatch, capsys, "container-that-waits-to-restart").values()
    assert restarts["evidence"].endswith(
        "; its container ended at 11:59:58Z and waits to be restarted (ImagePullBackOff)"
    )
    late = planned(monkeypatch, capsys, "shell-is-not-the-first-container", "--session-container", "shell")["late"]
    assert late["evidence"].endswith("not started within 2m: Pending, ImagePullBackOff")


def test_an_address_is_shown_as_one(monkeypatch: Patch, capsys: Capture) -> None:
    case = str(CASES / "user-and-address-as-people-write-them.json")
    words = ("--at", "2026-03-01T12:00:00Z", "--session-selector", "containerssh.io/session=true", "-o", "wide")
    assert " 2001:db8::1 " in ends(monkeypatch, capsys, "plan", "-f", case, *words).out
