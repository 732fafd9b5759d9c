"""The preflight's questions about the sessions: are they found, where is the shell, and do the limits fit to them?

Knows what the Pods that there are say of ContainerSSH's settings. Does not know how a permission is asked for
(``permissions``), or anything of owners (``check_owners``).
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from ssh_session_gc.cluster.sessions import session_pods
from ssh_session_gc.core.model import CONNECTION_ID, Session
from ssh_session_gc.core.text import counted
from ssh_session_gc.core.times import format_duration
from ssh_session_gc.kube import wire
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.errors import ApiError
from ssh_session_gc.kube.listing import Collection, list_all
from ssh_session_gc.kube.pods import WHOLE_PODS, session_container, session_of
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.preview.elsewhere import elsewhere, missed
from ssh_session_gc.preview.permissions import Finding, Mark
from ssh_session_gc.settings import Settings

OWN_LABEL = f"--session-selector {CONNECTION_ID} matches whatever ContainerSSH made"


async def check_sessions(api: Api, settings: Settings) -> AsyncIterator[Finding]:
    """Whether there are sessions, what they carry, and whether the limits fit to them."""
    namespace, selector = settings.session_namespace, settings.session_selector
    try:
        pods = (await list_all(api, Collection(PODS, namespace, WHOLE_PODS, labels=selector))).items
    except ApiError as error:
        if error.code != 400:
            raise
        yield Finding(Mark.BAD, f"the selector is not one: {error.message}", "check --session-selector")
        return
    shared = settings.shared_namespace
    sessions = [session_of(pod, settings.session_container, shared=shared) for pod in pods]
    if foreign := [session.name for session in sessions if session.foreign]:
        what = f"{selector} matches {counted(len(foreign), 'Pod')} beside ContainerSSH that it has not made"
        yield Finding(Mark.BAD, f"{what}, such as {foreign[0]}: no session, and never collected", OWN_LABEL)
    if sessions:
        yield Finding(Mark.GOOD, f"{selector} matches {counted(len(sessions), 'Pod')} in namespace {namespace}")
        if others := await missed(api, settings, sessions):
            what = f"{selector} misses {counted(others, 'Pod')} of ContainerSSH's in namespace {namespace}"
            yield Finding(Mark.BAD, what, OWN_LABEL)
        yield _container(pods, settings.session_container)
    elif others := len((await list_all(api, replace(session_pods(settings), labels=""))).items):
        todo = "check --session-selector, and the labels in ContainerSSH's kubernetes.pod.metadata.labels"
        if where := await elsewhere(api, settings):
            todo = where
        yield Finding(Mark.BAD, f"{selector} matches none of {counted(others, 'Pod')} in namespace {namespace}", todo)
    else:
        where = await elsewhere(api, settings)
        what = f"there is no Pod in namespace {namespace} at present to try {selector} on"
        yield Finding(Mark.BAD if where else Mark.OPEN, what, where or "")
    for finding in (_stamp(sessions), _start_timeout(sessions, settings.policy.start_timeout)):
        yield finding


def _container(pods: Sequence[wire.Pod], wanted: str) -> Finding:
    """Where the shell is taken to be: by its word sessions are unstarted, or finished."""
    found = [session_container(pod, wanted) for pod in pods]
    names = Counter(each.name for each in found if each is not None)
    missing = len(found) - names.total()
    which = f"container {wanted}" if wanted else "the first container"
    if missing:
        todo = "name it with --session-container, as ContainerSSH's consoleContainerNumber does"
        return Finding(Mark.BAD, f"{missing:,} of {counted(len(found), 'session')} have no {which}", todo)
    several = sum(len(pod.spec.containers) > 1 for pod in pods)
    said = f"the shell is taken to be in {which}: {', '.join(sorted(names)[:3])}"
    if several and not wanted:
        what = f"{said}; {several:,} of {counted(len(pods), 'session')} have more than one"
        return Finding(Mark.OPEN, f"{what}: is it ContainerSSH's consoleContainerNumber (--session-container)?")
    return Finding(Mark.GOOD, said)


def _stamp(sessions: Sequence[Session]) -> Finding:
    stamped = sum(bool(session.stamp_uid) for session in sessions)
    if not stamped:
        what = "no session carries the owner stamp: owners are told by their start times, which takes longer"
        return Finding(Mark.OPEN, what if sessions else "there is no session to look for the owner stamp on")
    return Finding(Mark.GOOD, f"the owner stamp is on {stamped:,} of {counted(len(sessions), 'session')}")


def _start_timeout(sessions: Sequence[Session], timeout: float) -> Finding:
    limit = f"start-timeout is {format_duration(timeout)}"
    times = sorted(s.started - s.created for s in sessions if s.started is not None)
    if not timeout:
        return Finding(Mark.OPEN, "start-timeout is 0: what starts too late stays until it is over age")
    if not times:
        return Finding(Mark.OPEN, f"no session has started yet to compare with; {limit}")
    slowest = f"the slowest took {format_duration(max(0.0, times[-1]))}"
    if late := sum(each > timeout for each in times):
        todo = "where ContainerSSH waits that long (timeouts.podStart), people are in them: raise --start-timeout"
        return Finding(
            Mark.BAD, f"{late:,} of {counted(len(times), 'session')} started too late: {slowest}, {limit}", todo
        )
    return Finding(Mark.GOOD, f"{counted(len(times), 'session')} started in time: {slowest}, {limit}")
