"""A dump taken after the crash of a replica, its parts to be changed and put together again, and the plan for it."""

import json
from typing import Any

import pytest

from ssh_session_gc.core.model import Action, Reason
from ssh_session_gc.core.plan import Plan, make
from ssh_session_gc.preview import dump
from ssh_session_gc.settings import Settings
from tests.cli.ends import End, ends
from tests.preview.dumps import instant, recorded

CRASH = recorded("crash", "03:10:30")
OBJECTS: list[dict[str, Any]] = json.loads(CRASH)["items"]
SESSIONS = [o for o in OBJECTS if o["metadata"]["namespace"] == "ssh-sessions"]
OWNERS = [o for o in OBJECTS if o["metadata"]["namespace"] == "containerssh" and o["kind"] == "Pod"]
(DEPLOYMENT,) = (o for o in OBJECTS if o["kind"] == "Deployment")


def changed(objects: list[dict[str, Any]], *path: str, to: Any) -> list[dict[str, Any]]:
    """Copies with another value at the path, or without one."""
    copies: list[dict[str, Any]] = json.loads(json.dumps(objects))
    for copy in copies:
        inner = copy
        for step in path[:-1]:
            inner = inner[step]
        if to is None:
            inner.pop(path[-1], None)
        else:
            inner[path[-1]] = to
    return copies


def text(*objects: dict[str, Any], kind: str = "List") -> bytes:
    """A list of these objects as kubectl prints it."""
    return json.dumps({"apiVersion": "v1", "kind": kind, "items": objects}).encode()


def planned(data: bytes, clock: str = "03:10:30", **settings: Any) -> Plan:
    """The plan for a dump."""
    chosen = Settings(**settings)
    at = instant(clock)
    return make(dump.read(data, "dump.json", chosen, at, at=at), chosen.policy, chosen.session_namespace)


def told(plan: Plan) -> dict[str, tuple[Action, Reason | None, float | None]]:
    """The verdict on each user's session."""
    return {row.session.user: (row.verdict.action, row.verdict.reason, row.verdict.due) for row in plan.rows}


def plan_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: bytes, *args: str
) -> tuple[End, list[str]]:
    """The end of ``plan -f -`` and its notes on stderr."""
    end = ends(monkeypatch, capsys, "plan", "-f", "-", *args, stdin=data)
    return end, [line.removeprefix("note: ") for line in end.err.splitlines() if line.startswith("note: ")]
