"""What comes of deletions: their lines, Events and metrics, and when a session is looked at again."""

from pathlib import Path

import aiohttp

from ssh_session_gc.core.model import Action
from ssh_session_gc.sandbox import Fault
from ssh_session_gc.sandbox.api.objects import EVENTS, PODS
from tests.daemon.scene import SESSIONS, events, scene
from tests.support import advance, eventually


async def test_what_changed_since_it_was_judged_is_judged_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        await advance(3580)
        # The watch goes silent; what it would have said is that alice may stay.
        s.world.faults.stall_watches(resource="pods", namespace=SESSIONS)
        s.annotate(alice, keep="true")
        await advance(30)
        await eventually(lambda: s.gc.logged("session_changed"))
        await eventually(lambda: s.gc.verdict("alice").action is Action.KEEP)
        assert s.gc.collected() == {}
        assert s.pod(alice) is not None
        assert s.gc.value("deletions_total", reason="OverAge", outcome="changed") == 1


async def test_each_deletion_names_the_uid_and_the_version_that_were_judged(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        session = s.gc.session("alice")
        assert session is not None
        deleter = s.gc.daemon.collector.workers.deleter
        send, bodies = deleter.send, list[dict[str, object]]()

        async def noted(name: str, body: dict[str, object]) -> None:
            bodies.append(body)
            await send(name, body)

        deleter.send = noted  # type: ignore[method-assign]
        await advance(3600)
        await s.collected(alice="OverAge")
        assert bodies[0]["preconditions"] == {"uid": alice.uid, "resourceVersion": session.resource_version}
        assert bodies[0]["gracePeriodSeconds"] == 30


async def test_a_name_that_was_used_again_is_another_session(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        await advance(3580)
        s.world.faults.stall_watches(resource="pods", namespace=SESSIONS)
        old = s.pod(alice)
        assert old is not None
        s.world.store.delete(PODS, SESSIONS, alice.name, grace=0)
        metadata = {"name": alice.name, "labels": old["metadata"]["labels"] | {"containerssh_username": "bob"}}
        s.world.store.create(PODS, SESSIONS, {"metadata": metadata, "spec": old["spec"]})
        await advance(30)
        await eventually(lambda: s.gc.session("alice") is None)
        assert s.gc.collected() == {}
        assert len(s.world.store.list(PODS, SESSIONS)) == 1


async def test_what_is_gone_already_is_fine(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        await advance(3580)
        s.world.faults.stall_watches(resource="pods", namespace=SESSIONS)
        s.world.store.delete(PODS, SESSIONS, alice.name, grace=0)
        await advance(30)
        await eventually(lambda: s.gc.logged("session_gone"))
        assert s.gc.value("deletions_total", reason="OverAge", outcome="gone") == 1
        assert s.deletions() == 1


async def test_transient_refusals_are_tried_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        s.world.faults.add(Fault("status", verb="delete", code=429, retry_after=1, times=1))
        s.world.faults.add(Fault("status", verb="delete", code=500, times=1))
        s.world.faults.add(Fault("reset", verb="delete", times=1))
        await advance(3620)
        await s.collected(alice="OverAge")
        assert s.deletions() == 4


async def test_a_deletion_whose_answer_is_lost_is_not_done_twice(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        s.world.faults.add(Fault("truncate", verb="delete", times=2))
        await advance(3620)
        await eventually(lambda: alice.gone)
        assert alice.deleted is not None
        # The second attempt finds a newer version than was judged: nothing is deleted on the strength of the first.
        assert s.gc.value("deletions_total", reason="OverAge", outcome="changed") == 1
        assert s.gc.logged("session_deleted_already")


async def test_a_deletion_that_fails_for_long_goes_back_in_line(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        fault = s.world.faults.add(Fault("status", verb="delete", code=500))
        await advance(3610)
        await eventually(lambda: s.gc.logged("deletion_failed"))
        assert s.gc.value("orphans", reason="OverAge") == 1
        assert s.gc.value("orphan_oldest_seconds", reason="OverAge") > 0
        s.world.faults.lift(fault)
        await advance(60)
        await s.collected(alice="OverAge")
        await advance(5)
        await eventually(lambda: s.pod(alice) is None)
        await eventually(lambda: events(s) == {"SessionDeletionFailed", "SessionCollected"})


async def test_the_event_and_the_log_line_have_all_that_is_known(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        s.world.crash()
        await advance(70)
        await s.collected(alice="Ownerless")
        await eventually(lambda: events(s))
        [event] = s.world.store.list(EVENTS, SESSIONS)
        assert event["involvedObject"]["name"] == alice.name
        assert event["involvedObject"]["uid"] == alice.uid
        assert (event["type"], event["reportingComponent"]) == ("Normal", "ssh-session-gc")
        assert event["message"].startswith("Ownerless: no owner since ")
        [line] = s.gc.logged("session_collected")
        assert line["pod"] == alice.name
        assert {"namespace", "uid", "user", "connection_id", "client_ip", "reason", "due", "age_seconds", "owner",
                "evidence", "dry_run", "outcome"} <= line.keys()  # fmt: skip
        assert line["owner"] == s.world.containerssh.replicas[0].process.pod
        assert "restarted at" in line["evidence"]


async def test_nothing_of_a_pod_s_metadata_reaches_a_terminal_or_a_label(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        evil = "\x1b]0;pwned\x07\u202e\n\r" + "A" * 100_000
        await s.open(
            "mallory",
            annotations={"containerssh_ip": evil, "ssh-session-gc/ttl": evil, "ssh-session-gc/keep": "please"},
        )
        await advance(24 * 3600)
        await s.collected(mallory="OverAge")
        for line in s.gc.log:
            for value in line.values():
                assert not isinstance(value, str) or (value.isprintable() and len(value) < 1100)
        assert s.gc.value("invalid_annotations_total") == 2
        [ignored] = s.gc.logged("annotation_unreadable")
        assert ignored["annotations"] == ["ssh-session-gc/keep", "ssh-session-gc/ttl"]
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://{s.gc.daemon.server.address}/metrics") as answer,
        ):
            text = await answer.text()
        assert "AAAA" not in text
        assert "mallory" not in text
