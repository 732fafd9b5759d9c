"""A last look at the owners before anybody dies as Ownerless: consistent reads, past every cache.

Knows what to read. A watch may be served by an API server whose cache lags; these reads are answered from etcd,
or from a cache proven to be as new. Once per batch of sessions is enough, however long the deletions take: an
incarnation that has ended does not come back, and one that starts later cannot have created them.
"""

from collections.abc import Sequence

from ssh_session_gc.core.model import Session
from ssh_session_gc.core.owners import Owners, confirmed, doubts
from ssh_session_gc.daemon.settings import Settings
from ssh_session_gc.kube import facts
from ssh_session_gc.kube.client import Api, ApiError
from ssh_session_gc.kube.reflector import list_all
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.kube.wire import Decoder, Malformed, Pod, Workload

_pods = Decoder(Pod)
_workloads = Decoder(Workload)


async def read_owners(
    api: Api, settings: Settings, known: Owners, selector: str, sessions: Sequence[Session]
) -> Owners:
    """What is known of the owners of these sessions, after reading afresh. ``selector`` is the workload's as last
    seen; a newer one is used if there is one.

    Raises ApiError, Unreachable and Malformed: then nobody can tell, and nobody may die as Ownerless.
    """
    owner = settings.owner
    if owner is not None:
        try:
            body = await api.request("get", owner.resource, owner.namespace, owner.name)
            selector = facts.selector(_workloads.object(body)) or selector
        except ApiError as error:
            if error.code != 404:
                raise
            # Deleted; its Pods, found by the selector it had, own until they end.
    read: list[Pod] = []

    def take(items: list[Pod], broken: list[str]) -> None:
        if broken:
            raise Malformed(f"an owner Pod cannot be read: {broken[0]}")
        read.extend(items)

    namespace = settings.owner_namespace
    await list_all(api, PODS, namespace, {"labelSelector": selector}, _pods, take)
    # The gap that a fresh list could have missed something in is empty: the watch was in step until now.
    now = api.now()
    fresh = known.listed([facts.owner_pod(p, settings.owner_container) for p in read], now, since=now)
    for uid, name in doubts(sessions, fresh, settings.policy.clock_tolerance).items():
        fresh = await _look_up(api, settings, fresh, uid, name)
    return fresh


async def _look_up(api: Api, settings: Settings, known: Owners, uid: str, name: str) -> Owners:
    try:
        body = await api.request("get", PODS, settings.owner_namespace, name)
    except ApiError as error:
        if error.code != 404:
            raise
        return confirmed(known, uid)
    pod = _pods.object(body)
    if pod.metadata.uid != uid:
        return confirmed(known, uid)
    return known.saw(facts.owner_pod(pod, settings.owner_container), api.now())
