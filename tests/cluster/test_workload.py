"""The owner workload, as its stream tells of it."""

import pytest
import structlog

from ssh_session_gc.cluster.workload import OwnerWorkload
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.kube.servertime import ServerTime
from ssh_session_gc.settings import Settings
from ssh_session_gc.telemetry.metrics import Metrics
from tests.builders import wire_workload
from tests.harness import tell_time


def source(settings: Settings | None = None) -> tuple[OwnerWorkload, list[str]]:
    """One that was told nothing yet, and the selectors that it tells."""
    time, selectors = ServerTime(), list[str]()
    tell_time(time)
    workload = OwnerWorkload(settings or Settings(), Metrics(dry_run=False), time)
    workload.selectors.subscribe(selectors.append)
    return workload, selectors


SSH, NEW = wire_workload(matchLabels={"app": "ssh"}), wire_workload(matchLabels={"app": "new"})


async def test_each_new_selector_is_told_once() -> None:
    workload, selectors = source()
    assert workload.selector == ""
    workload.listed([SSH], ())
    workload.changed(SSH)
    workload.changed(NEW)
    assert (selectors, workload.selector) == (["app=ssh", "app=new"], "app=new")


async def test_the_selector_of_one_that_is_gone_is_remembered() -> None:
    workload, selectors = source()
    with structlog.testing.capture_logs() as log:
        workload.listed([SSH], ())
        workload.deleted(SSH)
        workload.listed((), ())
        workload.listed([SSH], ())
    assert (selectors, workload.selector) == (["app=ssh"], "app=ssh")
    assert [line["event"] for line in log] == ["owner_found", "owner_not_found", "owner_found"]
    assert log[1]["hint"] == "its Pods are followed until they end"


async def test_one_that_cannot_be_read_leaves_the_selector_as_it_was() -> None:
    workload, selectors = source()
    with structlog.testing.capture_logs() as log:
        workload.listed([SSH], ())
        workload.listed((), ["containerssh: odd"])
        workload.changed(wire_workload(matchExpressions=[{"key": "app", "operator": "Near"}]))
    assert (selectors, workload.selector) == (["app=ssh"], "app=ssh")
    # It is there all the same.
    assert [line["event"] for line in log] == ["owner_found", "owner_unreadable", "owner_unreadable"]


@pytest.mark.parametrize(
    ("settings", "before", "without"),
    [
        (
            Settings(),
            "deployment containerssh/containerssh is not known: it has not been read yet",
            "deployment containerssh/containerssh was not found and never seen",
        ),
        (Settings(owner=None, owner_selector="app=ssh"), None, None),
        (Settings(policy=Policy(ownerless=False)), None, None),
    ],
)
async def test_why_nobody_can_tell(settings: Settings, before: str | None, without: str | None) -> None:
    workload, _ = source(settings)
    assert workload.why_unknown() == before
    workload.sync(None)
    assert workload.why_unknown() == without
    workload.listed([SSH], ())
    assert workload.why_unknown() is None


async def test_being_in_step_or_not_is_told() -> None:
    workload, heard = source()[0], list[str | None]()
    workload.changes.subscribe(heard.append)
    workload.sync("503: come again")
    workload.sync(None)
    assert heard == [None, None]
