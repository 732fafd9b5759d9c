"""Reads ContainerSSH's configuration where a cluster has it: in a ConfigMap or Secret that the container mounts.

A configuration has secrets in it: nothing of one leaves ``containerssh.configuration`` but what was asked for, and no
error quotes it. Knows what can be in the way of reading it. Does not know what follows from it (``discovery``,
``check_configuration``).
"""

import base64
import binascii

from ssh_session_gc.containerssh.configuration import Configuration, Unreadable, read
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.errors import ApiError, Malformed
from ssh_session_gc.kube.resources import CONFIGMAPS, SECRETS
from ssh_session_gc.kube.templates import Data, Place
from ssh_session_gc.preview.discovery import Suspect

_data = Decoder(Data)


async def configuration_of(api: Api, suspect: Suspect) -> tuple[Configuration | None, str]:
    """The configuration and where it is, or None and why it cannot be had. Raises Unreachable."""
    source = f"{suspect.file} is in no ConfigMap or Secret that it mounts"
    for place in suspect.places:
        where = f"{place.key} in {place}"
        try:
            return read(await text_at(api, suspect.owner.namespace, place)), where
        except Unreadable as error:
            source = f"{where} {error}"
    return None, source


async def text_at(api: Api, namespace: str, place: Place) -> str:
    """The text at a place. Raises Unreadable, Unreachable."""
    resource = CONFIGMAPS if place.kind == "ConfigMap" else SECRETS
    try:
        body = await api.request("get", resource, namespace, place.name)
        text = (_data.object(body).data or {}).get(place.key)
        if isinstance(text, str) and resource is SECRETS:
            text = base64.b64decode(text, validate=True).decode()
    except ApiError as error:
        if error.forbidden:
            grant = f"grant get on {resource.plural}/{place.name} in namespace {namespace}"
            raise Unreadable(f"may not be read ({grant})") from None
        what = "is not there" if error.not_found else f"cannot be read ({error.code} {error.reason})"
        raise Unreadable(what) from None
    except (Malformed, binascii.Error, UnicodeDecodeError):
        raise Unreadable("is no text") from None
    if not isinstance(text, str):
        raise Unreadable("is not there")
    return text
