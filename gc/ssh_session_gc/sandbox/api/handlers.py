"""Handlers of the verbs: get, list, create, update, patch, delete.

Knows the subresources and which part of an object each may write. Who may do it, ``authorization`` knows.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from ssh_session_gc.sandbox.api import defaults, discovery
from ssh_session_gc.sandbox.api import request as parse
from ssh_session_gc.sandbox.api.list import page
from ssh_session_gc.sandbox.api.objects import PODS, Object
from ssh_session_gc.sandbox.api.objects import copied as copy_of
from ssh_session_gc.sandbox.api.patch import patcher
from ssh_session_gc.sandbox.api.refusals import Refusal, not_allowed
from ssh_session_gc.sandbox.api.request import Target
from ssh_session_gc.sandbox.api.responses import json_response, respond, scale
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.api.tables import partial, table

Handler = Callable[[Store, web.Request, Target], Awaitable[web.Response]]


async def get(store: Store, request: web.Request, target: Target) -> web.Response:
    """Answers with the object. Raises Refusal: 404, 406."""
    obj = store.get(target.res, target.namespace, target.name)
    return respond(store, request, target, obj)


async def list_(store: Store, request: web.Request, target: Target) -> web.Response:
    """Answers with a page of the objects selected. Raises Refusal: 400, 406, 410, 422, 504."""
    labels, fields = parse.selectors(request, target.res)
    items, metadata = page(store, target.res, target.namespace, labels, fields, request.query)
    form = parse.form(request)
    if form == "Table":
        return json_response(table(target.res, items, store.now(), metadata, parse.included(request)))
    if form:
        head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        return json_response(head | {"metadata": metadata, "items": [partial(obj) for obj in items]})
    head = {"kind": f"{target.res.kind}List", "apiVersion": target.res.api_version}
    # The items do not repeat the kind, which the list tells.
    bare = [{key: value for key, value in obj.items() if key not in ("kind", "apiVersion")} for obj in items]
    return json_response(head | {"metadata": metadata, "items": bare})


async def create(store: Store, request: web.Request, target: Target) -> web.Response:
    """Creates an object. Raises Refusal as ``Store.create`` does, and 405 and 415."""
    if target.name or (target.res.namespaced and target.namespace is None):
        raise not_allowed()
    body = await parse.new_object(request, target.res)
    if "status" in discovery.subresources(target.res):
        body.pop("status", None)
    obj = store.create(target.res, target.namespace, body, dry_run=parse.dry_run(request))
    return respond(store, request, target, obj, 201)


async def update(store: Store, request: web.Request, target: Target) -> web.Response:
    """Replaces an object. Raises Refusal as ``Store.update`` does, and 400 and 415."""
    scaled = target.sub == "scale"
    body = await (parse.body(request) if scaled else parse.new_object(request, target.res))
    name = (body.get("metadata") or {}).get("name", "")
    if name != target.name:
        wrong = f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        raise Refusal(400, "BadRequest", wrong)

    def replace(obj: Object) -> None:
        obj.clear()
        obj.update(body)

    return _change(store, request, target, replace, body)


async def patch(store: Store, request: web.Request, target: Target) -> web.Response:
    """Changes an object. Raises Refusal as ``Store.update`` does, and 400, 415 and 422."""
    body = await parse.body(request)
    return _change(store, request, target, patcher(request.content_type, body), body)


def _change(
    store: Store, request: web.Request, target: Target, edit: Callable[[Object], None], body: Any
) -> web.Response:
    subresources = discovery.subresources(target.res)

    def mutate(obj: Object) -> None:
        if target.sub == "scale":
            scaled = scale(obj)
            edit(scaled)
            obj["spec"]["replicas"] = scaled["spec"].get("replicas", 0)
            return
        # A write to the status leaves the spec alone, and the other way round.
        kept = "spec" if target.sub == "status" else "status" if "status" in subresources else None
        before = copy_of(obj.get(kept)) if kept else None
        edit(obj)
        if kept and before is None:
            obj.pop(kept, None)
        elif kept:
            obj[kept] = before
        if not target.sub:
            defaults.fill(target.res.plural, obj)

    version = (body.get("metadata") or {}).get("resourceVersion") if isinstance(body, dict) else None
    dry_run = parse.dry_run(request)
    where = (target.res, target.namespace, target.name)
    obj = store.update(*where, mutate, resource_version=version, dry_run=dry_run)
    return respond(store, request, target, obj)


async def delete(store: Store, request: web.Request, target: Target) -> web.Response:
    """Deletes an object. Raises Refusal as ``Store.delete`` does, and 400, 405, 415 and 422."""
    if target.sub or not target.name:
        raise not_allowed()
    asked = await parse.deletion(request)
    obj = store.delete(
        target.res,
        target.namespace,
        target.name,
        grace=asked.grace,
        uid=asked.uid,
        resource_version=asked.resource_version,
        dry_run=asked.dry_run,
    )
    if target.res is PODS or obj["metadata"].get("finalizers"):
        return respond(store, request, target, obj)
    details = {"name": target.name, "kind": target.res.plural, "uid": obj["metadata"]["uid"]}
    details |= {"group": target.res.group} if target.res.group else {}
    success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return json_response(success | {"details": details})


HANDLERS: dict[str, Handler] = {
    "get": get,
    "list": list_,
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
}
"""By verb, as RBAC spells it."""
