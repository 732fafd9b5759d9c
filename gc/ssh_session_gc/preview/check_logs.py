"""The preflight's questions about ContainerSSH's log: can it be read, and does it say enough?

Knows what ContainerSSH's own settings leave in its log: its format, its level, and for how long it tries to delete a
session (its ``timeouts.podStop``). Does not know which Pods are ContainerSSH's (``check_owners``), or what a line
says of a session (``containerssh.log``). A log is other people's bytes, so nothing of it is shown.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime

from ssh_session_gc.cluster.owner_logs import SAMPLE
from ssh_session_gc.containerssh.log import LONGEST_LINE, Entry, entry
from ssh_session_gc.core.connections import Said
from ssh_session_gc.core.owners import OwnerPod
from ssh_session_gc.core.text import counted
from ssh_session_gc.core.times import format_duration
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.errors import ApiError, Unreachable
from ssh_session_gc.kube.logs import read
from ssh_session_gc.preview.permissions import Finding, Mark
from ssh_session_gc.settings import Settings

TAIL = 2000
"""Lines that are looked at, the last ones."""
LONGEST_READ = 10.0
"""Seconds for them. A kubelet that is away does not answer at all."""
RETRY = 10.0
"""Seconds between ContainerSSH's attempts to delete a session: so much longer than seen it may go on."""
_REMOVE = "KUBERNETES_POD_REMOVE"


async def check_logs(api: Api, settings: Settings, pods: Iterable[OwnerPod]) -> AsyncIterator[Finding]:
    """Whether the logs of these owners, which run, are read, what they tell, and whether the grace fits to it."""
    if not settings.owner_logs:
        what = "ContainerSSH's log is not read (--no-owner-logs): Abandoned goes by newer Pods"
        goes = f"{what} and ContainerSSH's metrics" if settings.owner_metrics_port else f"{what} alone"
        yield Finding(Mark.OPEN, f"{goes}, owners by the stamp or by start times")
        return
    answers = await asyncio.gather(*(_answer(api, settings, pod) for pod in pods))
    for finding, _ in answers:
        yield finding
    if logs := [entries for _, entries in answers if entries is not None]:
        yield grace(settings.policy.abandoned_grace, max(map(tried, logs)))


async def _answer(api: Api, settings: Settings, pod: OwnerPod) -> tuple[Finding, list[Entry] | None]:
    """What there is to say of one log, and its entries where it could be read."""
    log = f"the log of {pod.name}"
    try:
        async with asyncio.timeout(LONGEST_READ):
            stream = read(api, settings.owner_namespace, pod.name, pod.container, tail=TAIL, longest=LONGEST_LINE)
            async with stream as lines:
                parsed = [entry(line) async for line in lines]
    except ApiError as error:
        return _refused(log, error, settings.owner_namespace), None
    except Unreachable as error:
        return Finding(Mark.BAD, f"{log} cannot be read: {error}", "try again"), None
    except TimeoutError:
        what = f"{log} does not come within {format_duration(LONGEST_READ)}"
        return Finding(Mark.OPEN, what, "its node's kubelet has it: look after that node"), None
    return judged(log, parsed), [each for each in parsed if each is not None]


def _refused(log: str, error: ApiError, namespace: str) -> Finding:
    if error.forbidden:
        todo = f"grant get on pods/log in namespace {namespace}, by a Role, or turn it off with --no-owner-logs"
        return Finding(Mark.BAD, f"{log} may not be read: {error}", todo)
    if error.code in (400, 404):
        return Finding(Mark.OPEN, f"{log} is not there at present: {error}", "try again")
    todo = "the API server has it from the kubelet of the Pod's node, port 10250: see that it gets there"
    return Finding(Mark.BAD, f"{log} cannot be read: {error}", todo)


def judged(log: str, lines: Sequence[Entry | None]) -> Finding:
    """What format and level a log has, by its last lines, and what to change so that it tells more."""
    if not lines:
        todo = "with log.level debug and log.destination stdout its start would be in it"
        return Finding(Mark.OPEN, f"{log} is empty: nothing can be said of its level yet", todo)
    levels = {each.level for each in lines if each is not None}
    if not levels:
        # A few lines may be another program's, before ContainerSSH has said anything.
        mark = Mark.BAD if len(lines) >= SAMPLE else Mark.OPEN
        todo = "set log.format to ljson in ContainerSSH's configuration, or turn it off with --no-owner-logs"
        return Finding(mark, f"{log} is not in the format ljson, so that it tells nothing", todo)
    if "debug" in levels:
        return Finding(Mark.GOOD, f"{log} is ljson, at level debug: it tells when a connection ends")
    level = "info" if "info" in levels else "notice or above"
    what = f"{log} is ljson, at level {level} (no debug in {counted(len(lines), 'line')})"
    todo = "set log.level to debug in ContainerSSH's configuration: only then it tells when a connection ends"
    return Finding(Mark.OPEN, f"{what}: it tells only what ContainerSSH gives up", todo)


def tried(entries: Iterable[Entry]) -> float:
    """The most seconds for which a deletion was seen to be tried in vain; 0 where none was.

    Its ``timeouts.podStop`` is no less. Counted from the connection's end, as Abandoned is.
    """
    ended: dict[str, datetime] = {}
    began: dict[str, datetime] = {}
    longest = 0.0
    for each in entries:
        pod, connection = each.details.pod_name, each.details.connection_id
        if each.code == Said.DISCONNECTED:
            ended.setdefault(connection, each.timestamp)
        elif pod and each.code in (_REMOVE, Said.REMOVE_FAILED):
            since = began.setdefault(pod, ended.get(connection, each.timestamp))
            if each.code == Said.REMOVE_FAILED:
                longest = max(longest, (each.timestamp - since).total_seconds())
    return longest


def grace(abandoned: float, seen: float) -> Finding:
    """Whether ContainerSSH has given up by the time that a session counts as Abandoned."""
    limit = f"abandoned-grace is {format_duration(abandoned)}"
    if not seen:
        what = f"{limit}: it must be above ContainerSSH's timeouts.podStop (60s by default)"
        return Finding(Mark.OPEN, f"{what}; its log shows no deletion that failed, which would tell it")
    longest = f"ContainerSSH was seen to try for {format_duration(seen)} to delete a session"
    if abandoned <= seen + RETRY:
        todo = "raise --abandoned-grace above ContainerSSH's timeouts.podStop"
        return Finding(Mark.BAD, f"{limit}, and {longest} (every {format_duration(RETRY)})", todo)
    return Finding(Mark.GOOD, f"{limit}, and {longest}, which is less")
