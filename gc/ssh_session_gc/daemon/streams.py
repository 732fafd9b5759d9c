"""The three streams that keep a view in step with the cluster.

Knows which collections they are and by which selectors. Does not know how a stream is kept alive (``kube.reflector``)
or what it tells (``view``).
"""

import asyncio
from collections.abc import Coroutine

from ssh_session_gc.daemon.view import View
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.facts import SESSIONS
from ssh_session_gc.kube.reflector import SILENCE, Reflector
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.kube.wire import Decoder, Pod, Workload
from ssh_session_gc.settings import OwnerRef, Settings


def streams(api: Api, settings: Settings, view: View, silence: float = SILENCE) -> list[Coroutine[None, None, None]]:
    """What to run, each as a task of its own and until it is cancelled. ``silence``: see the reflector."""
    made = [_sessions(api, settings, view, silence)]
    if settings.owner is not None:
        made.append(_workload(api, settings.owner, view, silence))
    if settings.policy.ownerless:
        made.append(_owner_pods(api, settings, view, silence))
    return made


async def _sessions(api: Api, settings: Settings, view: View, silence: float) -> None:
    query = {"labelSelector": settings.session_selector}
    namespace = settings.session_namespace
    await Reflector(api, PODS, namespace, query, SESSIONS, view.sessions, silence=silence).run()


async def _workload(api: Api, owner: OwnerRef, view: View, silence: float) -> None:
    query = {"fieldSelector": f"metadata.name={owner.name}"}
    decoder = Decoder(Workload)
    await Reflector(api, owner.resource, owner.namespace, query, decoder, view.workload, silence=silence).run()


async def _owner_pods(api: Api, settings: Settings, view: View, silence: float) -> None:
    """By the workload's selector, and by the new one when it changes; once more from the start when the sink asks."""
    workload, sink, changed = view.workload, view.owner_pods, asyncio.Event()
    workload.selector_changed = sink.out_of_date = changed.set
    while True:
        changed.clear()
        if workload.selector:
            query = {"labelSelector": workload.selector}
            reflector = Reflector(api, PODS, settings.owner_namespace, query, Decoder(Pod), sink, silence=silence)
            async with asyncio.TaskGroup() as group:
                reflecting = group.create_task(reflector.run())
                await changed.wait()
                reflecting.cancel()
            sink.sync("it is read from the start")
        else:
            await changed.wait()
