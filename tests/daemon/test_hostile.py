"""A namespace with Pods that mean harm beside normal ones: the normal ones are served as ever, and the log stays fit
to be read."""

import json
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec

from ssh_session_gc.sandbox.api.objects import PODS
from tests.daemon.scene import OWNERS, SESSIONS, Scene, scene
from tests.harness import running
from tests.support import advance, eventually

Spoil = Callable[[dict[str, Any]], object]

EVIL = "\x1b[2J\x1b]0;owned\x07\u202eevil\u2066\n\r\x00"


def meta(**fields: Any) -> Spoil:
    return lambda pod: pod["metadata"].update(fields)


def notes(text: str) -> Spoil:
    names = ("keep", "ttl", "owner-pod-uid", "owner-pod-name")
    return meta(annotations={"containerssh_ip": text} | {f"ssh-session-gc/{name}": text for name in names})


def state(**told: Any) -> Spoil:
    def spoil(pod: dict[str, Any]) -> None:
        pod["status"]["containerStatuses"][0] |= told

    return spoil


def users(text: str) -> Spoil:
    return lambda pod: pod["metadata"]["labels"].update(containerssh_username=text, containerssh_connection_id=text)


SUFFIX = "-bcdfg"
UNREADABLE: dict[str, Spoil] = {
    "year-0": meta(creationTimestamp="0000-01-01T00:00:00Z"),
    "year-10000": meta(creationTimestamp="10000-01-01T00:00:00Z"),
    "leap-second": meta(creationTimestamp="2026-11-23T23:59:60Z"),
    "no-zone": meta(creationTimestamp="2026-11-23T03:00:00"),
    "no-time": meta(creationTimestamp=EVIL),
    "number-time": meta(creationTimestamp=1_795_402_800),
    "no-uid": meta(uid=None),
    "huge-uid": meta(uid=300_000 * "u"),
    "path-uid": meta(uid="../../secrets"),
    "no-container": lambda pod: pod["spec"].pop("containers"),
    "null-container": lambda pod: pod["spec"].update(containers=[None]),
    "deleted-in-year-0": meta(deletionTimestamp="0000-01-01T00:00:00Z"),
    "container-named-to-escape": lambda pod: pod["spec"]["containers"][0].update(name=EVIL),
}
"""What no API server sends, or not today's."""
READABLE: dict[str, Spoil] = {
    "far-future": meta(creationTimestamp="9999-12-31T23:59:59Z"),
    "far-future-east": meta(creationTimestamp="9999-12-31T23:59:59-23:59"),
    "fraction": meta(creationTimestamp="2999-11-23T03:00:00.999999999Z"),
    "huge-notes": notes(260_000 * "x"),
    "evil-notes": notes(EVIL),
    "path-notes": notes("../../../api/v1/secrets"),
    "huge-user": users(260_000 * "y"),
    "evil-user": users(EVIL),
    "many-containers": lambda pod: pod["spec"].update(containers=3000 * pod["spec"]["containers"]),
    "many-statuses": lambda pod: pod["status"].update(containerStatuses=3000 * pod["status"]["containerStatuses"]),
    "evil-phase": lambda pod: pod["status"].update(phase=EVIL),
    "evil-reason": state(state={"waiting": {"reason": EVIL + 10_000 * "z"}}),
    "no-status": lambda pod: pod.update(status={}),
    "unknown-fields": lambda pod: pod.update(x={"y": [None, 1e300, {"z": EVIL}]}),
    "started-never": state(state={"running": {"startedAt": None}}),
    "started-before-time": state(state={"running": {"startedAt": "0001-01-01T00:00:00Z"}}),
    "started-after-time": state(state={"running": {"startedAt": "9999-12-31T23:59:59Z"}}),
    "restarted-often": state(restartCount=10**18),
    "deleted-long-ago": meta(deletionTimestamp="0001-01-01T00:00:00Z"),
    "no-zone-start": state(state={"running": {"startedAt": "2026-11-23T03:00:00"}}),
    "exit-code": state(state={"terminated": {"exitCode": 10**1000}}),
    "restarts": state(restartCount="many"),
    "conditions": lambda pod: pod["status"].update(conditions="none"),
    "labels": lambda pod: pod["metadata"]["labels"].update(containerssh_username=7),
    "deep": lambda pod: pod["status"].update(phase=[[[[[[]]]]]]),
    "managed-in-year-0": meta(managedFields=[{"manager": "x", "time": "0000-01-01T00:00:00Z"}]),
    "odd-notes": meta(annotations={f"ssh-session-gc/{name}": [7] for name in ("keep", "ttl", "owner-pod-uid")}),
    "notes": meta(annotations="none"),
}
"""What could be there one day; some of it is due at once."""


def put(s: Scene, plain: dict[str, Any], name: str, spoil: Spoil, change: Any = "ADDED") -> None:
    """Has the API server tell of a Pod that is this one, spoilt, and that no node runs."""
    pod = deepcopy(plain)
    # A name that Kubernetes did not make would be a persistent session's.
    pod["metadata"] |= {"name": f"{name}{SUFFIX}", "generateName": f"{name}-", "uid": f"uid-{name}"}
    pod["metadata"]["resourceVersion"] = str(s.world.store.rv + 1)
    pod["metadata"]["labels"]["containerssh_username"] = name
    pod["spec"]["nodeName"] = "elsewhere"
    spoil(pod)
    s.world.store.put_raw(change, PODS, pod)


def seen(s: Scene) -> set[str]:
    """The Pods that the daemon takes for sessions."""
    return {bare(session.name) for session in s.gc.daemon.cluster.sessions.by_uid.values()}


def there(s: Scene) -> set[str]:
    """The Pods that there are."""
    return {bare(pod["metadata"]["name"]) for pod in s.world.store.list(PODS, SESSIONS)}


def bare(name: object) -> str:
    """A Pod's name as ``put`` was told it."""
    return str(name).removesuffix(SUFFIX)


def fit_to_read(s: Scene) -> None:
    """No line is huge, or could repaint a terminal."""
    for line in s.gc.log:
        text = json.dumps(line, ensure_ascii=False, default=str)
        assert text.isprintable(), line
        assert len(text) < 4000, line


async def test_normal_sessions_among_hostile_ones(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice, _] = await s.open("alice", "bob")
        plain = s.world.store.get(PODS, SESSIONS, alice.name)
        s.gc.stop.set()
        await eventually(s.gc.task.done)
        for name, spoil in (UNREADABLE | READABLE).items():
            put(s, plain, name, spoil)
        (tmp_path / "2").mkdir()
        async with running(s.world.url, tmp_path / "2") as s.gc:
            await s.gc.synced()
            assert seen(s) >= READABLE.keys()
            for session in s.gc.daemon.cluster.sessions.by_uid.values():
                assert len(msgspec.json.encode(session)) < 2000
            s.world.crash()
            await advance(10)
            [carol] = await s.open("carol")
            await advance(60)
            await eventually(lambda: s.gc.collected().items() >= {"alice": "Ownerless", "bob": "Ownerless"}.items())
            await advance(600)
            assert carol.live
            assert s.world.lost_live() == []
            # What cannot be read is still there, and was named once.
            assert there(s) >= UNREADABLE.keys()
            assert not {bare(line.get("pod")) for line in s.gc.log} & UNREADABLE.keys()
            told = Counter(bare(line["error"].partition(": ")[0]) for line in s.gc.logged("session_unreadable"))
            assert told == dict.fromkeys(UNREADABLE, 1)
            # Of what can be read, all is due by now but what is of the future, or on its way out.
            kept = {"far-future", "far-future-east", "fraction", "deleted-long-ago"}
            # Whoever wrote these meant something, which nobody can read.
            kept |= {"huge-notes", "evil-notes", "path-notes", "odd-notes", "notes"}
            assert s.gc.collected().keys() >= READABLE.keys() - kept - {"huge-user", "evil-user", "labels"}
            assert not s.gc.collected().keys() & kept
            fit_to_read(s)


async def test_a_session_that_goes_bad_again_and_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        plain = deepcopy(s.world.store.get(PODS, SESSIONS, alice.name))
        plain["metadata"]["labels"]["containerssh_connection_id"] = "f" * 32  # with alice's it would replace her
        put(s, plain, "mallory", lambda _: None)
        await eventually(lambda: "mallory" in seen(s))
        for spoil in UNREADABLE.values():
            put(s, plain, "mallory", spoil, "MODIFIED")
            await advance(61)
            await eventually(lambda: "mallory" not in seen(s))
            await s.gc.synced()
            assert s.gc.value("sessions", state="unreadable") == 1
            put(s, plain, "mallory", lambda _: None, "MODIFIED")
            await advance(1)
            await eventually(lambda: "mallory" in seen(s))
            assert s.gc.value("sessions", state="unreadable") == 0
        put(s, plain, "mallory", UNREADABLE["year-0"], "MODIFIED")
        await advance(4000)
        # Both were too old; whoever can be read went.
        await eventually(lambda: s.gc.collected() == {"alice": "OverAge"})
        assert "mallory" in there(s)
        put(s, plain, "mallory", lambda _: None, "MODIFIED")
        await eventually(lambda: s.gc.collected() == {"alice": "OverAge", "mallory": "OverAge"})
        # Said when it came, and when it was listed.
        assert len(s.gc.logged("session_unreadable")) <= 2 * (len(UNREADABLE) + 1)
        fit_to_read(s)


async def test_nobody_is_ownerless_while_an_owner_pod_cannot_be_read(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        plain = s.world.store.list(PODS, OWNERS)[0]
        for name, spoil in UNREADABLE.items():
            put(s, plain, name, spoil)
        s.world.crash()
        await advance(300)
        assert s.gc.collected() == {}
        assert s.gc.value("owner_known") == 0
        for name, spoil in UNREADABLE.items():
            put(s, plain, name, spoil, "DELETED")
        await advance(300)
        await s.collected(alice="Ownerless")
        fit_to_read(s)
