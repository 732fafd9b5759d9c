"""Reads past every cache: the owners right before anybody dies as Ownerless, one session after a conflict.

Knows what to read. A watch may be served by an API server whose cache lags; these reads are answered from etcd,
or from a cache proven to be as new. Once per batch of sessions is enough, however long the deletions take: an
incarnation that has ended does not come back, and one that starts later cannot have created them.

Every function raises ApiError, Unreachable and Malformed: then nobody can tell, and nobody may die of it. Only what
owners say and count is added as far as it can be read, and why some of it cannot.
"""

import asyncio
from collections.abc import Container, Iterable, Mapping, Sequence

import aiohttp
import msgspec

from ssh_session_gc.cluster.logbook import Logbook
from ssh_session_gc.cluster.owner_gauge import Uncounted, ask, client
from ssh_session_gc.cluster.owner_pods import selected_pods
from ssh_session_gc.cluster.sessions import session_pods
from ssh_session_gc.containerssh.log import LONGEST_LINE
from ssh_session_gc.core.connections import UNHEARD, Connection, untold
from ssh_session_gc.core.gauge import Idle, counted
from ssh_session_gc.core.model import Incarnation, OwnerState, Run, Session
from ssh_session_gc.core.owners import OwnerPod, Owners, confirmed
from ssh_session_gc.core.ownership import needs_full_list, to_look_up
from ssh_session_gc.core.text import printable
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.errors import ApiError, Malformed, Unreachable
from ssh_session_gc.kube.listing import Collection, list_all
from ssh_session_gc.kube.logs import read
from ssh_session_gc.kube.pods import ANY_PODS, OWNER_CONTAINER, Unread, any_pod, owner_pod
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.kube.wire import Pod
from ssh_session_gc.kube.workloads import Maker, Replicas, replicas_of
from ssh_session_gc.settings import Settings

LONGEST_READ = 30.0
"""Seconds for a whole log. A kubelet that is away does not answer at all."""
AT_ONCE = 16
"""Logs that are read at the same time."""
_workloads = Decoder(Maker)


async def read_session(api: Api, settings: Settings, session: Session) -> Session | None:
    """The session as it is now, None where it is gone. Read as the stream reads, by the selector: what does not match
    it any more is no session."""
    found = await list_all(api, session_pods(settings).named(session.name))
    return next((each for each in found.items if each.uid == session.uid), None)


async def read_owners(
    api: Api, settings: Settings, known: Owners, selector: str, sessions: Sequence[Session], news: float | None
) -> Owners:
    """What is known of the owners of these sessions, after reading afresh. ``selector`` is the workload's as last
    seen; a newer one is used if there is one. ``news`` is when the stream of their Pods last brought anything."""
    found = await find_replicas(api, settings)
    known = known.named(found.container)
    pods = await list_owner_pods(api, settings, found.selector or selector, known.containers)
    # A watch that is silent may have been so for a while without anybody noticing.
    return await look_up(api, settings, known.listed(pods, api.time.now(), since=news), sessions)


async def read_connections(
    api: Api, settings: Settings, owners: Owners, sessions: Sequence[Session]
) -> tuple[dict[str, Connection], list[str]]:
    """What the owners' logs say of these sessions, by uid, each line by its own time; and why some say nothing."""
    book = Logbook(sessions)
    silent: list[str] = []
    turns = asyncio.Semaphore(AT_ONCE)

    async def take(owner: Incarnation) -> None:
        name = settings.owner_namespace
        stream = read(api, name, owner.pod, owner.container, previous=not owner.alive, longest=LONGEST_LINE)
        try:
            async with turns, asyncio.timeout(LONGEST_READ), stream as lines:
                async for text in lines:
                    book.take(text, owner.pod)
        except (ApiError, Unreachable) as error:
            if owner.alive:
                silent.append(f"the log of {owner.pod} cannot be read: {error}")
        except TimeoutError:
            silent.append(f"the log of {owner.pod} does not come in time")

    if settings.owner_logs:
        await asyncio.gather(*(take(owner) for owner in owners.owners if owner.started is not None))
    return book.connections(), sorted(silent)


async def read_counts(
    api: Api, settings: Settings, owners: Owners, sessions: Sequence[Session], connections: Mapping[str, Connection]
) -> tuple[Owners, list[str]]:
    """The owners, with what they count at this moment, where that would tell anything; and why some do not. One count
    alone ends nobody: that takes another when the grace is over."""
    needed = any(untold(session, connections.get(session.uid, UNHEARD)) for session in sessions)
    running = [owner for owner in owners.owners if owner.state is OwnerState.RUNNING]
    if not (settings.owner_metrics_port and needed):
        return owners, []
    idle: dict[Run, Idle] = {}
    silent: list[str] = []

    async def count(http: aiohttp.ClientSession, owner: Incarnation) -> None:
        asked = api.time.now()
        try:
            counts = await ask(http, owner, settings.owner_metrics_port)
        except Uncounted as error:
            silent.append(str(error))
            return
        if (stretch := counted(None, counts, asked, api.time.now())) is not None:
            idle[owner.run] = stretch

    async with client() as http:
        await asyncio.gather(*(count(http, owner) for owner in running))
    return msgspec.structs.replace(owners, idle=idle), sorted(silent)


async def find_replicas(api: Api, settings: Settings) -> Replicas:
    """How the owner's Pods are found and read; nothing where there is no workload (any more)."""
    owner = settings.owner
    if owner is None:
        return Replicas(settings.owner_selector, "")
    try:
        body = await api.request("get", owner.resource, owner.namespace, owner.name)
    except ApiError as error:
        if not error.not_found:
            raise
        return Replicas("", "")  # its Pods, found by the selector that it had, own until they end
    return replicas_of(_workloads.object(body))


async def list_owner_pods(
    api: Api, settings: Settings, selector: str, containers: Sequence[str] = ()
) -> list[OwnerPod]:
    """The owner's Pods. ``containers``: the names that the owner container has had, as far as is known."""
    found = await list_all(api, selected_pods(settings, selector))
    return [owner_pod(pod, settings.owner_container, containers) for pod in found.whole("an owner Pod")]


async def look_up(api: Api, settings: Settings, known: Owners, sessions: Sequence[Session]) -> Owners:
    """Adds owners that the list cannot show: vanished or relabelled Pods.

    Where somebody may own a session whom nobody has seen, every Pod of the namespace that runs the owner container
    counts: one whose label was taken away, to have a look at it in peace, is in no list by the selector, and its
    sessions are alive. That list tells as well who is gone for good; without it a single Pod that only vanished is
    looked up by its name.
    """
    wanted = to_look_up(sessions, known, settings.policy.clock_tolerance)
    if len(wanted) == 1 and not needs_full_list(sessions, known):
        [(uid, name)] = wanted.items()
        return await _by_name(api, settings, known, uid, name)
    if not wanted and not needs_full_list(sessions, known):
        return known
    now = api.time.now()
    pods = (await list_all(api, Collection(PODS, settings.owner_namespace, ANY_PODS))).items
    known = with_unselected(known, pods, wanted, settings, now)
    there = {pod.uid if isinstance(pod, Unread) else pod.metadata.uid for pod in pods}
    for uid in wanted.keys() - there:
        known = confirmed(known, uid, api.time.now())
    return known


def with_unselected(
    known: Owners, pods: Iterable[Pod | Unread], wanted: Container[str], settings: Settings, at: float
) -> Owners:
    """Adds those of these Pods that may be owners: by their uid, which is ``wanted``, or by a container with a name
    that the owner container has had.

    A Pod that cannot be read and is certainly somebody else's is no matter but to the sessions that name it as their
    creator. Raises Malformed where it may be an owner.
    """
    names = {settings.owner_container or OWNER_CONTAINER, *known.containers}
    read = known.containers
    for pod in pods:
        if isinstance(pod, Pod):
            if pod.metadata.uid in wanted or any(container.name in names for container in pod.spec.containers):
                known = known.saw(owner_pod(pod, settings.owner_container, read), at)
        elif pod.uid is None or pod.containers is None or not names.isdisjoint(pod.containers):
            raise Malformed(f"a Pod that may be an owner cannot be read: {pod.why}")
        elif pod.uid in wanted:
            container = printable(pod.containers[0])
            known = known.saw(OwnerPod(pod.name, pod.uid, created=0.0, container=container), at)
    return known


async def _by_name(api: Api, settings: Settings, known: Owners, uid: str, name: str) -> Owners:
    try:
        pod = any_pod(await api.request("get", PODS, settings.owner_namespace, name))
    except ApiError as error:
        if not error.not_found:
            raise
        return confirmed(known, uid, api.time.now())
    if (pod.uid if isinstance(pod, Unread) else pod.metadata.uid) not in (uid, None):
        return confirmed(known, uid, api.time.now())  # another Pod has its name now
    return with_unselected(known, [pod], (uid,), settings, api.time.now())
