"""Where ContainerSSH's Pods are, when we look for them in the wrong place: which flags would find them."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.preview.elsewhere import hint
from ssh_session_gc.sandbox import Identity, PolicyRule, World
from ssh_session_gc.settings import Settings
from tests.preview.test_check import findings
from tests.preview.test_snapshot import look
from tests.support import advance

OURS = "containerssh.io/session=true"


@pytest.mark.parametrize(
    ("pods", "settings", "said"),
    [
        ({}, {}, None),
        ({"guests": 1}, {}, "there is 1 Pod of ContainerSSH's in --session-namespace guests"),
        (
            {"a": 1, "b": 4, "c": 2, "d": 3},
            {},
            "there are 4 Pods of ContainerSSH's in --session-namespace b, 3 Pods of ContainerSSH's in "
            "--session-namespace d, 2 Pods of ContainerSSH's in --session-namespace c, …",
        ),
        (
            {"guests": 2},
            {"session_selector": OURS},
            "there are 2 Pods of ContainerSSH's in --session-selector containerssh_connection_id "
            "--session-namespace guests",
        ),
        (
            {"ssh-sessions": 2, "guests": 9},
            {"session_selector": OURS},
            "2 Pods there would match --session-selector containerssh_connection_id",
        ),
    ],
)
def test_the_flags(pods: dict[str, int], settings: dict[str, Any], said: str | None) -> None:
    assert hint(Counter(pods), Settings(**settings)) == said


async def test_a_plan_in_the_wrong_place(tmp_path: Path) -> None:
    async with World() as world:
        world.deploy()
        await advance(5)
        world.open("alice")
        [remark] = (await look(world, tmp_path, session_namespace="default")).remarks
        assert remark.endswith("; there is 1 Pod of ContainerSSH's in --session-namespace ssh-sessions")
        [remark] = (await look(world, tmp_path, session_selector="team=a")).remarks
        assert remark.endswith("; 1 Pod there would match --session-selector containerssh_connection_id")


async def test_what_may_not_be_seen_is_not_told(tmp_path: Path) -> None:
    only = PolicyRule(("list",), ("pods",), namespace="default")
    async with World(tokens={"t": Identity("gc"), "": Identity("gc")}, roles={"gc": [only]}) as world:
        [remark] = (await look(world, tmp_path, session_namespace="default", owner_logs=False)).remarks
        assert "there is" not in remark


async def test_the_preflight_names_what_the_selector_misses(tmp_path: Path) -> None:
    async with World() as world:
        world.deploy()
        await advance(5)
        world.open("alice", labels={"team": "a"})
        world.open("bob")
        await advance(5)
        found = {each.what: each.todo for each in await findings(world, tmp_path, session_selector="team=a")}
        assert found["team=a misses 1 Pod of ContainerSSH's in namespace ssh-sessions"] == (
            "--session-selector containerssh_connection_id matches whatever ContainerSSH made"
        )
        assert not any("misses" in each.what for each in await findings(world, tmp_path))
        found = {each.what: each.todo for each in await findings(world, tmp_path, session_namespace="default")}
        todo = "there are 2 Pods of ContainerSSH's in --session-namespace ssh-sessions"
        assert found["there is no Pod in namespace default at present to try containerssh_connection_id on"] == todo
