"""What comes of deletions: their lines, Events and metrics, and when a session is looked at again."""

from pathlib import Path

import aiohttp
import pytest

from ssh_session_gc.core.model import Action
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.daemon.workers import AT_ONCE
from ssh_session_gc.sandbox import Fault, TrueSession
from ssh_session_gc.sandbox.api.objects import EVENTS, PODS, copied
from ssh_session_gc.settings import DryRun
from tests.daemon.scene import SESSIONS, Scene, events, scene
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


class Restless:
    """Has a session's Pod change right before each of the next deletions reaches the API server."""

    def __init__(self, s: Scene, session: TrueSession, times: float = float("inf"), **annotations: str) -> None:
        self.left, self.sent = times, list[str]()
        """How many more times it changes; the deletions, each by the version that it names."""
        deleter = s.gc.daemon.collector.workers.deleter
        send = deleter.send

        async def outrun(name: str, body: dict[str, object]) -> None:
            preconditions = body["preconditions"]
            assert isinstance(preconditions, dict)
            assert preconditions["uid"] == session.uid
            self.sent.append(preconditions["resourceVersion"])
            if self.left > 0:
                self.left -= 1
                s.annotate(session, **{"n": str(len(self.sent))} | annotations)
            await send(name, body)

        deleter.send = outrun  # type: ignore[method-assign]


async def test_what_changes_often_is_deleted_in_the_version_just_read(tmp_path: Path) -> None:
    async with scene(tmp_path, max_deletes_per_minute=1) as s:
        [alice] = await s.open("alice")
        await advance(3580)
        sent = Restless(s, alice, AT_ONCE - 1).sent
        await advance(20)
        # All within one turn: nobody had to wait for the next.
        await s.collected(alice="OverAge")
        assert len(set(sent)) == len(sent) == AT_ONCE
        assert s.gc.value("deletions_total", reason="OverAge", outcome="changed") == AT_ONCE - 1
        assert s.gc.logged("session_changes_too_fast") == []


async def test_what_changes_always_costs_less_and_less_and_goes_once_it_rests(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        await advance(3580)
        restless = Restless(s, alice)
        sent = restless.sent
        await advance(80)
        assert len(sent) <= 3 * AT_ONCE
        await advance(3600)
        assert len(sent) <= 20 * AT_ONCE
        assert len(set(sent)) == len(sent)
        told = s.gc.logged("session_changes_too_fast")
        assert [line["wait_seconds"] for line in told][:7] == [15, 30, 60, 120, 240, 300, 300]
        assert [line["times"] for line in told] == list(range(1, len(told) + 1))
        assert (told[0]["pod"], told[0]["reason"]) == (alice.name, "OverAge")
        await eventually(lambda: events(s) == {"SessionDeletionFailed"})
        assert s.gc.value("deletions_total", reason="OverAge", outcome="changed") == len(sent)
        assert s.gc.value("orphans", reason="OverAge") == 1
        restless.left = 0
        await advance(400)
        await s.collected(alice="OverAge")
        assert s.gc.daemon.collector.queue.refusals == {}


async def test_what_is_exempted_between_two_attempts_stays(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        await advance(3580)
        sent = Restless(s, alice, 1, keep="true").sent
        await advance(400)
        assert (len(sent), s.gc.collected()) == (1, {})
        assert alice.live


@pytest.mark.parametrize("later", [1, 0])
@pytest.mark.parametrize("unseen", [False, True])
async def test_a_deletion_that_a_backup_has_undone_is_asked_for_again(
    tmp_path: Path, later: int, unseen: bool
) -> None:
    async with scene(tmp_path) as s:
        [alice] = await s.open("alice")
        hold = {"finalizers": ["example.com/hold"]}  # so that its Pod terminates for as long as we like
        s.world.store.update(PODS, SESSIONS, alice.name, lambda pod: pod["metadata"].update(hold))
        s.world.crash()
        await advance(50)
        backup = copied(s.pod(alice) or {})
        if unseen:
            s.world.faults.stall_watches(resource="pods", namespace=SESSIONS)
        await advance(15)
        await s.collected(alice="Ownerless")
        assert len(s.gc.logged("session_collected")) == 1
        # The same uid; the version may be the one that was deleted, or an older one under which it is told of anew.
        backup["metadata"]["resourceVersion"] = str(int(backup["metadata"]["resourceVersion"]) - later)
        s.world.store.put_raw("MODIFIED", PODS, backup, rv=s.world.store.rv + 1)
        s.world.store.compact()
        s.world.faults.expire_watches()
        await advance(200)
        assert len(s.gc.logged("session_collected")) == 2
        assert "deletionTimestamp" in (s.pod(alice) or {})["metadata"]
        assert s.gc.value("sessions", state="waiting") == 0
        await advance(3600)
        assert len(s.gc.logged("session_collected")) == 2


async def test_a_deletion_that_nobody_tells_of_is_looked_for(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.open("alice")
        await advance(3580)
        s.world.cut_off()
        s.world.faults.stall_watches(resource="pods", namespace=SESSIONS)
        await advance(25)
        await s.collected(alice="OverAge")
        # Whether the stream is taken up again first or the second one is refused, which says so as well.
        await advance(200)
        session = s.gc.session("alice")
        assert session is not None
        assert session.deletion is not None
        assert s.deletions() <= 2
        assert len(s.gc.logged("session_collected")) == 1


async def test_a_pod_that_changes_while_it_terminates_is_deleted_once_and_forced_once(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=Policy(force_after=300.0)) as s:
        [alice] = await s.open("alice")
        hold = {"finalizers": ["example.com/hold"]}
        s.world.store.update(PODS, SESSIONS, alice.name, lambda pod: pod["metadata"].update(hold))
        await advance(3580)
        s.world.cut_off()
        await advance(40)
        await s.collected(alice="OverAge")
        for n in range(10):
            s.annotate(alice, n=str(n))
            await advance(20)
        assert s.deletions() == 1
        await advance(150)
        assert s.deletions() == 2
        for n in range(10):
            s.annotate(alice, n=str(n))
            await advance(20)
        assert s.deletions() == 2
        # Where it has not helped after an hour, it is asked for once more.
        await advance(3600)
        assert s.deletions() == 3


async def test_a_dry_run_says_a_session_once_however_often_it_changes(tmp_path: Path) -> None:
    async with scene(tmp_path, dry_run=DryRun.CLIENT) as s:
        [alice] = await s.open("alice")
        await advance(3620)
        for n in range(5):
            s.annotate(alice, n=str(n))
            await advance(100)
        assert len(s.gc.logged("session_would_be_collected")) == 1


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
