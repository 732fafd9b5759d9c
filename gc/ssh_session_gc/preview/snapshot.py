"""The cluster at one moment, read once: what ``plan`` and ``explain`` judge.

Makes the reads of the daemon's first list and of its last look before a deletion (``cluster.reads``), so that it
finds the same facts, and says what could not be read. Watches nothing.
"""

import math
from collections.abc import Callable, Sequence

import msgspec

from ssh_session_gc.cluster import reads
from ssh_session_gc.cluster.sessions import session_pods
from ssh_session_gc.core.model import Session
from ssh_session_gc.core.owners import Owners
from ssh_session_gc.core.plan import Snapshot
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.errors import ApiError, Malformed, Unreachable
from ssh_session_gc.kube.listing import list_all
from ssh_session_gc.kube.resources import NAMESPACES, PODS
from ssh_session_gc.kube.retries import retried
from ssh_session_gc.kube.servertime import NO_DATE
from ssh_session_gc.preview.elsewhere import elsewhere
from ssh_session_gc.settings import Settings


class CannotRead(Exception):
    """Nothing can be judged: one line that says why and what to do."""


async def read(
    api: Api, settings: Settings, *, name: str = "", progress: Callable[[int], None] = lambda _: None
) -> Snapshot:
    """All sessions and their owners as they are now; with ``name``, that session alone.

    ``progress`` is told the number of sessions read so far. Raises CannotRead. Owners that cannot be read are no
    error: nobody is Ownerless then, as in the daemon.
    """
    sessions, remarks = await _sessions(api, settings, name, progress)
    owners = await _owners(api, settings, sessions)
    connections, silent = await reads.read_connections(api, settings, owners, sessions)
    owners, uncounted = await reads.read_counts(api, settings, owners, sessions, connections)
    if uncounted:
        # From a laptop it is mostly unreachable: one remark is enough.
        more = f" (and {len(uncounted) - 1} more)" if len(uncounted) > 1 else ""
        silent.append(f"{uncounted[0]}{more}; whether anybody is connected is not counted")
    return Snapshot(tuple(sessions), owners, api.time.now(), connections, (*remarks, *silent))


def no_sessions(settings: Settings, looked: str) -> str:
    """The remark that there is no session; ``looked`` says among what."""
    where = f"{looked} in namespace {settings.session_namespace}"
    return f"no session: {where} matches {settings.session_selector} (--session-namespace, --session-selector)"


def annotation_remarks(sessions: Sequence[Session]) -> list[str]:
    """A remark on each session with annotations that cannot be read."""
    return [
        f"Pod {session.name}: {', '.join(session.invalid)} cannot be read, {_what_follows(session)}"
        for session in sessions
        if session.invalid
    ]


def _what_follows(session: Session) -> str:
    if session.spared:
        return "so that it is exempt until max-ttl"
    return "so that it may stay until max-ttl" if session.ttl == math.inf else "which is ignored"


async def _sessions(
    api: Api, settings: Settings, name: str, progress: Callable[[int], None]
) -> tuple[list[Session], list[str]]:
    pods = session_pods(settings)
    if name:
        pods = pods.named(name)
    try:
        await api.version()  # fails at once where no server is, while the list is retried
        if not api.time.known:
            raise CannotRead(f"{api.host} {NO_DATE}")
        found = await retried(list_all, api, pods, progress)
        sessions = found.items
        remarks = [f"a session Pod cannot be read and is left alone: {why}" for why in found.broken]
        if not sessions and not remarks and not name:
            remarks.append(await _why_none(api, settings))
    except (ApiError, Unreachable, Malformed) as error:
        raise CannotRead(f"{error}; {hint(error, settings.session_namespace)}") from None
    return sessions, [*remarks, *annotation_remarks(sessions)]


async def _why_none(api: Api, settings: Settings) -> str:
    try:
        await api.request("get", NAMESPACES, "", settings.session_namespace)
    except ApiError as error:
        # Without the permission to get it, a missing namespace looks like an empty one.
        if error.not_found:
            return f"there is no namespace {settings.session_namespace} (--session-namespace)"
    where = await elsewhere(api, settings)
    return no_sessions(settings, "no Pod") + (f"; {where}" if where else "")


async def _owners(api: Api, settings: Settings, sessions: Sequence[Session]) -> Owners:
    """What a daemon that starts now knows of the owners."""
    if not settings.policy.ownerless:
        return Owners()
    owner = settings.owner
    try:
        selector, container = await retried(reads.find_replicas, api, settings)
        if not selector:
            return Owners(unknown=f"{owner} was not found (--owner)")
        known = Owners().named(container)
        pods = await retried(reads.list_owner_pods, api, settings, selector, known.containers)
        if owner is None and not pods:
            where = f"namespace {settings.owner_namespace} matches {selector}"
            return Owners(unknown=f"no Pod in {where} (--owner-selector, --owner-namespace)")
        return await retried(reads.look_up, api, settings, known.listed(pods, api.time.now()), sessions)
    except (ApiError, Unreachable, Malformed) as error:
        return Owners(unknown=f"the owners cannot be read: {error}")


def hint(error: Exception, namespace: str) -> str:
    """Advice on a list of session Pods that failed."""
    match error:
        case ApiError(code=403):
            return f"grant list on pods in namespace {namespace}, by a Role"
        case ApiError(code=400):
            return "check --session-selector"
        case ApiError(code=401) | Unreachable():
            return "check the address and the credentials (--kubeconfig, --context)"
        case Malformed():
            return "is that an API server?"
    return "try again later"


async def find_one(api: Api, settings: Settings, name: str) -> Snapshot:
    """The snapshot of one session. Raises CannotRead, also where there is no such session."""
    snapshot = await read(api, settings, name=name)
    if snapshot.sessions:
        return msgspec.structs.replace(snapshot, remarks=())
    if snapshot.remarks:
        raise CannotRead(snapshot.remarks[0])
    namespace = settings.session_namespace
    try:
        await api.request("get", PODS, namespace, name)
    except ApiError as error:
        if error.not_found:
            raise CannotRead(
                f"there is no Pod {name} in namespace {namespace}; `ssh-session-gc plan` lists the sessions"
            ) from None
        raise CannotRead(f"{error}; {hint(error, namespace)}") from None
    except Unreachable as error:
        raise CannotRead(f"{error}; {hint(error, namespace)}") from None
    raise CannotRead(f"Pod {name} is no session: it does not match {settings.session_selector} (--session-selector)")
