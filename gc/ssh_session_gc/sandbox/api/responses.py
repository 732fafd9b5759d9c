"""Answers in the form that the client asked for: JSON, Table, PartialObjectMetadata, Scale, Status.

How the object comes about, ``handlers`` knows, and what a Table shows, ``tables``.
"""

from collections.abc import Callable

import msgspec
from aiohttp import web

from ssh_session_gc.sandbox.api import request as parse
from ssh_session_gc.sandbox.api.objects import Object
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.request import Target
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.api.tables import partial, table


def json_response(body: Object, status: int = 200) -> web.Response:
    """An answer of plain JSON."""
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


def refused(refusal: Refusal) -> web.Response:
    """A refusal as an answer."""
    response = json_response(refusal.status(), refusal.code)
    if refusal.retry_after is not None:
        response.headers["Retry-After"] = str(refusal.retry_after)
    return response


def respond(store: Store, request: web.Request, target: Target, obj: Object, status: int = 200) -> web.Response:
    """An object as an answer. Raises Refusal 406."""
    if target.sub == "scale":
        return json_response(scale(obj), status)
    return web.Response(body=encoder(store, request, target)(obj), status=status, content_type="application/json")


def encoder(store: Store, request: web.Request, target: Target) -> Callable[[Object], bytes]:
    """A function that encodes an object in the form that the client asked for. Raises Refusal 406."""
    form, include = parse.form(request), parse.included(request)

    def as_table(obj: Object) -> bytes:
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        return msgspec.json.encode(table(target.res, [obj], store.now(), metadata, include))

    def as_partial(obj: Object) -> bytes:
        return msgspec.json.encode(partial(obj))

    return as_table if form == "Table" else as_partial if form else msgspec.json.encode


def scale(obj: Object) -> Object:
    """The Scale of something with replicas."""
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    spec = obj.get("spec", {})
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in shown},
        "spec": {"replicas": spec.get("replicas", 0)},
        "status": {"replicas": obj.get("status", {}).get("replicas", 0), "selector": selector},
    }
