"""Where ContainerSSH's Pods are, when none of them is a session by our settings.

Knows the label that ContainerSSH puts on every Pod, and says with which flags they would be found. Looks once, over
what may be seen, and says nothing where that is refused. Does not look for ContainerSSH itself (``discover``).
"""

from collections import Counter
from collections.abc import Sequence

from ssh_session_gc.core.model import CONNECTION_ID, Session
from ssh_session_gc.core.text import counted
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.errors import ApiError, Malformed, Unreachable
from ssh_session_gc.kube.listing import Collection, list_all
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.kube.templates import Labelled
from ssh_session_gc.settings import Settings

MOST = 3
"""Namespaces that are named."""
_labelled = Decoder(Labelled)


async def elsewhere(api: Api, settings: Settings) -> str | None:
    """Where there are Pods of ContainerSSH's and how they would be found; None where none is seen."""
    try:
        found = await list_all(api, Collection(PODS, "", _labelled, CONNECTION_ID))
    except (ApiError, Unreachable, Malformed):
        return None
    return hint(Counter(pod.metadata.namespace for pod in found.items), settings)


async def missed(api: Api, settings: Settings, sessions: Sequence[Session]) -> int:
    """How many Pods of ContainerSSH's in the session namespace are none of these sessions."""
    if settings.session_selector == CONNECTION_ID:
        return 0
    found = await list_all(api, Collection(PODS, settings.session_namespace, _labelled, CONNECTION_ID))
    return max(0, len(found.items) - sum(bool(session.connection_id) for session in sessions))


def hint(pods: Counter[str], settings: Settings) -> str | None:
    """The same, for Pods with ContainerSSH's label by namespace, none of which is a session."""
    selector = f"--session-selector {CONNECTION_ID}"
    if many := pods.get(settings.session_namespace):
        return f"{counted(many, 'Pod')} there would match {selector}"
    flags = "--session-namespace" if settings.session_selector == CONNECTION_ID else f"{selector} --session-namespace"
    places = [f"{counted(many, 'Pod')} of ContainerSSH's in {flags} {name}" for name, many in pods.most_common(MOST)]
    if not places:
        return None
    return f"there {'is' if pods.total() == 1 else 'are'} {', '.join(places)}{', …' if len(pods) > MOST else ''}"
