"""The simulated API server: the store, over HTTP, as kube-apiserver would answer.

Knows paths, verbs, media types, watches and their parameters, identities, and when a fault strikes. Does not run
anything: objects only change because somebody writes to the store, here or through the API.

The semantics are those of Kubernetes' "API Concepts"; where the recordings in tests/data say more, they decide.
"""

import asyncio
import random
import socket
import ssl
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, NoReturn

import msgspec
from aiohttp import web

from ssh_session_gc.sandbox.api import authorization, defaults, discovery
from ssh_session_gc.sandbox.api import request as parse
from ssh_session_gc.sandbox.api.authorization import ADMIN, ANONYMOUS, Access, Identity, Roles
from ssh_session_gc.sandbox.api.faults import Fault, Faults
from ssh_session_gc.sandbox.api.list import number, page
from ssh_session_gc.sandbox.api.objects import NAMESPACES, PODS, RESOURCES, Change, Object, Resource
from ssh_session_gc.sandbox.api.objects import copied as copy_of
from ssh_session_gc.sandbox.api.patch import patcher
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.request import Target
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.api.tables import partial, table
from ssh_session_gc.sandbox.api.watch import Watch, error_line

VERSION = "v1.36.2"
BOOKMARK_SECONDS = 60.0
"""Recorded: 59.8 to 60.5 s."""
MIN_WATCH_SECONDS = 1800.0
"""A watch without ``timeoutSeconds`` ends after this long to twice as long: --min-request-timeout's default."""
REQUESTS_KEPT = 10_000
MAX_BODY = 3 * 1024 * 1024
"""Bytes of a request body that an API server takes."""
_HEALTH = ("/healthz", "/livez", "/readyz")
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_REASONS = {
    403: ("Forbidden", "forbidden"),
    410: ("Expired", "The resourceVersion for the provided list is too old."),
    429: ("TooManyRequests", "Too many requests, please try again later."),
    500: ("InternalError", "Internal error occurred"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
}
_NO_ROUTE = "the server could not find the requested resource"


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was answered. ``code`` is 0 where a fault left it without a status."""

    verb: str  # as RBAC spells it: get, list, watch, create, update, patch, delete
    resource: str  # "pods", "pods/status", or the path where it is no resource
    path: str  # with the query
    code: int


_Handler = Callable[[web.Request, Target], Awaitable[web.StreamResponse]]


class ApiServer:
    """A server on one address, which serves one store until it is stopped. It can be started again."""

    def __init__(
        self,
        store: Store,
        *,
        faults: Faults | None = None,
        tls: ssl.SSLContext | None = None,
        tokens: Mapping[str, Identity] | None = None,
        roles: Roles | None = None,
        bookmark_seconds: float = BOOKMARK_SECONDS,
        version: str = VERSION,
    ) -> None:
        """``tokens`` says whose they are; None: none is wanted, everybody is an admin. ``roles`` says what each user
        may do; None: everything. Both may be replaced while the server runs."""
        self.store, self.faults = store, faults or Faults()
        self.tokens, self.roles = tokens, roles
        self.requests: deque[Request] = deque(maxlen=REQUESTS_KEPT)
        """What was asked, in order of the answers; a watch is in it from its beginning."""
        self.url = ""
        self._tls, self._bookmark_seconds = tls, bookmark_seconds
        self._documents = {path: msgspec.json.encode(each) for path, each in discovery.documents(version).items()}
        # Not sets, whose order is another one in each run.
        self._watches: dict[Resource, dict[Watch, None]] = {res: {} for res in RESOURCES}
        self._connections: dict[asyncio.Transport, None] = {}  # those with a request that is being answered
        self._runner: web.AppRunner | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._handlers: dict[str, _Handler] = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
        }

    @property
    def watches(self) -> int:
        """How many watches are running."""
        return sum(map(len, self._watches.values()))

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one, and ``url`` says which. Raises OSError."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_response_prepare.append(self._set_date)
        # Cancelled with its client, a watch ends where it waits and leaves nothing behind.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, host, port, ssl_context=self._tls).start()
        self.url = f"{'https' if self._tls else 'http'}://{host}:{runner.addresses[0][1]}"
        self._runner, self._unsubscribe = runner, self.store.subscribe(self._changed)

    async def stop(self) -> None:
        """Drop every connection and listen no longer, as a server that is killed."""
        self._unsubscribe()
        for connection in tuple(self._connections):
            connection.abort()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _changed(self, change: Change) -> None:
        for watch in tuple(self._watches[change.resource]):
            watch.offer(change)

    async def _set_date(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(self.store.now() + self.faults.ahead(), usegmt=True)

    # One request, from the connection to the handler of its verb

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        connection = request.transport
        if connection is None:  # the client is gone already
            return web.Response()
        self._connections[connection] = None
        try:
            return await self._answer(request)
        finally:
            self._connections.pop(connection, None)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        target = parse.target(request.path)
        verb = parse.verb(request, target)
        resource = target.resource if target else request.path
        fault = None
        try:
            who = self._identify(request)
            fault = self.faults.take(verb, resource, target.namespace if target else None)
            if fault is not None:
                await self._strike(fault, request, verb, resource)
            if target is None:
                response: web.StreamResponse = await self._plain(request, who)
            else:
                self._authorize(request, who, verb, target)
                if target.sub and target.sub not in discovery.subresources(target.res):
                    raise Refusal(404, "NotFound", _NO_ROUTE)
                if verb == "watch":
                    return await self._watch(request, target, fault)
                if verb not in self._handlers:
                    raise _not_allowed()
                response = await self._handlers[verb](request, target)
        except Refusal as error:
            response = _refused(error)
        self.requests.append(Request(verb, resource, request.path_qs, response.status))
        return response if fault is None else await self._spoiled(fault, request, response)

    def _identify(self, request: web.Request) -> Identity:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if self.tokens is None:
            return ADMIN
        if scheme.lower() == "bearer" and token.strip() in self.tokens:
            return self.tokens[token.strip()]
        if scheme.lower() == "bearer":
            raise Refusal(401, "Unauthorized", "Unauthorized")
        return ANONYMOUS  # what is no token is passed over

    def _authorize(self, request: web.Request, who: Identity, verb: str, target: Target) -> None:
        name = parse.selected_name(request) if verb in ("list", "watch") else target.name
        # A Namespace counts as lying in itself, so that a Role in it can grant what is done to it.
        namespace = target.name if target.res is NAMESPACES else target.namespace or ""
        access = Access(verb, target.res.group, target.resource, namespace, name)
        authorization.check(self.roles, who, access, target.res)

    async def _plain(self, request: web.Request, who: Identity) -> web.Response:
        """What is no resource: health, versions, discovery, and the question what one may do."""
        if who is ANONYMOUS and request.path not in (*_HEALTH, "/version"):
            path = f'User "{who.user}" cannot {request.method.lower()} path "{request.path}"'
            raise Refusal(403, "Forbidden", f"forbidden: {path}")
        if request.method == "POST" and request.path == _REVIEWS:
            return _json(authorization.review(self.roles, who, await parse.review(request)), 201)
        if request.method == "POST" and request.path == _WHO_AM_I:
            return _json(authorization.self_review(who), 201)
        if request.method == "GET" and request.path in _HEALTH:
            return web.Response(text="ok")
        if request.method == "GET" and (document := self._documents.get(request.path.rstrip("/"))) is not None:
            return web.Response(body=document, content_type="application/json")
        raise Refusal(404, "NotFound", _NO_ROUTE)

    # Faults

    async def _strike(self, fault: Fault, request: web.Request, verb: str, resource: str) -> None:
        """What a fault does before there is an answer."""
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        elif fault.kind == "status" or (fault.kind == "gone" and verb != "watch"):
            code = 410 if fault.kind == "gone" else fault.code
            reason, message = _REASONS.get(code, ("Unknown", "a fault"))
            raise Refusal(code, reason, message, retry_after=fault.retry_after)
        elif fault.kind == "reset" or (fault.kind == "stall" and verb != "watch"):
            self.requests.append(Request(verb, resource, request.path_qs, 0))
            if fault.kind == "reset":
                # Closed with no time to linger, a socket sends RST.
                sock: socket.socket | None = request.get_extra_info("socket")
                if sock is not None:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                _cut(request)
            await _hang()

    async def _spoiled(self, fault: Fault, request: web.Request, whole: web.StreamResponse) -> web.StreamResponse:
        """What a fault does to an answer."""
        body = whole.body if isinstance(whole, web.Response) else None
        if not isinstance(body, bytes) or fault.kind not in ("cut", "truncate", "malformed"):
            return whole
        if fault.kind == "malformed":
            return web.Response(status=whole.status, body=b'{"kind":' + body, content_type="application/json")
        response = web.StreamResponse(status=whole.status, headers=whole.headers)
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: fault.after_bytes if fault.kind == "cut" else len(body) // 2])
        _cut(request)
        return await _hang()

    # Reading

    async def _get(self, request: web.Request, target: Target) -> web.Response:
        obj = self.store.get(target.res, target.namespace, target.name)
        return self._object(request, target, obj)

    async def _list(self, request: web.Request, target: Target) -> web.Response:
        labels, fields = parse.selectors(request, target.res)
        items, metadata = page(self.store, target.res, target.namespace, labels, fields, request.query)
        form = parse.form(request)
        if form == "Table":
            return _json(table(target.res, items, self.store.now(), metadata, parse.included(request)))
        if form:
            head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
            return _json(head | {"metadata": metadata, "items": [partial(obj) for obj in items]})
        head = {"kind": f"{target.res.kind}List", "apiVersion": target.res.api_version}
        # What the list says of all, its items do not repeat.
        bare = [{key: value for key, value in obj.items() if key not in ("kind", "apiVersion")} for obj in items]
        return _json(head | {"metadata": metadata, "items": bare})

    async def _watch(self, request: web.Request, target: Target, fault: Fault | None) -> web.StreamResponse:
        labels, fields = parse.selectors(request, target.res)
        form, since = parse.form(request), number(request.query, "resourceVersion")
        seconds = float(number(request.query, "timeoutSeconds") or MIN_WATCH_SECONDS * random.uniform(1, 2))  # noqa: S311
        watch = Watch(
            target.res, target.namespace, labels, fields, encode=self._encoder(request, target) if form else None
        )
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        try:
            await response.prepare(request)
        except ConnectionResetError:  # whoever asked has left already
            return response
        self.requests.append(Request("watch", target.resource, request.path_qs, 200))
        try:
            self._begin(request, watch, since)
        except Refusal as error:  # too late for a status: it is the watch's only line
            await response.write(error_line(error))
            return response
        if fault is not None:
            watch.strike(fault)
        bookmarks = self._bookmark_seconds if parse.bookmarks(request) else None
        self._watches[target.res][watch] = None
        self.faults.watches[watch] = None
        try:
            if not await watch.run(response, lambda: self.store.rv, seconds, bookmarks):
                _cut(request)
                await _hang()
        finally:
            self._watches[target.res].pop(watch, None)
            self.faults.watches.pop(watch, None)
        return response

    def _begin(self, request: web.Request, watch: Watch, since: int | None) -> None:
        if request.query.get("sendInitialEvents") == "true":
            # Recorded: the API server of the recordings had no etcd that could do it.
            feature = "the required storage feature RequestWatchProgress is disabled"
            raise Refusal(500, "InternalError", f"a watch stream was requested by the client but {feature}")
        if since:
            watch.begin(since)
            for change in self.store.since(watch.res, since):
                watch.offer(change)
        else:
            watch.begin(self.store.rv, self.store.list(watch.res, watch.namespace, watch.labels, watch.fields))

    # Writing

    async def _create(self, request: web.Request, target: Target) -> web.Response:
        if target.name or (target.res.namespaced and target.namespace is None):
            raise _not_allowed()
        body = await parse.new_object(request, target.res)
        if "status" in discovery.subresources(target.res):
            body.pop("status", None)
        obj = self.store.create(target.res, target.namespace, body, dry_run=parse.dry_run(request))
        return self._object(request, target, obj, 201)

    async def _update(self, request: web.Request, target: Target) -> web.Response:
        scaled = target.sub == "scale"
        body = await (parse.body(request) if scaled else parse.new_object(request, target.res))
        name = (body.get("metadata") or {}).get("name", "")
        if name != target.name:
            wrong = f"the name of the object ({name}) does not match the name on the URL ({target.name})"
            raise Refusal(400, "BadRequest", wrong)

        def replace(obj: Object) -> None:
            obj.clear()
            obj.update(body)

        return self._change(request, target, replace, body)

    async def _patch(self, request: web.Request, target: Target) -> web.Response:
        body = await parse.body(request)
        return self._change(request, target, patcher(request.content_type, body), body)

    def _change(
        self, request: web.Request, target: Target, edit: Callable[[Object], None], body: Any
    ) -> web.Response:
        def mutate(obj: Object) -> None:
            if target.sub == "scale":
                scale = _scale(obj)
                edit(scale)
                obj["spec"]["replicas"] = scale["spec"].get("replicas", 0)
                return
            # Whoever writes the status writes nothing else, and the other way round.
            kept = "spec" if target.sub == "status" else "status" if "status" in subresources else None
            before = copy_of(obj.get(kept)) if kept else None
            edit(obj)
            if kept and before is None:
                obj.pop(kept, None)
            elif kept:
                obj[kept] = before
            if not target.sub:
                defaults.fill(target.res.plural, obj)

        subresources = discovery.subresources(target.res)
        version = (body.get("metadata") or {}).get("resourceVersion") if isinstance(body, dict) else None
        dry_run = parse.dry_run(request)
        where = (target.res, target.namespace, target.name)
        obj = self.store.update(*where, mutate, resource_version=version, dry_run=dry_run)
        return self._object(request, target, obj)

    async def _delete(self, request: web.Request, target: Target) -> web.Response:
        if target.sub or not target.name:
            raise _not_allowed()
        asked = await parse.deletion(request)
        obj = self.store.delete(
            target.res,
            target.namespace,
            target.name,
            grace=asked.grace,
            uid=asked.uid,
            resource_version=asked.resource_version,
            dry_run=asked.dry_run,
        )
        if target.res is PODS or obj["metadata"].get("finalizers"):
            return self._object(request, target, obj)
        details = {"name": target.name, "kind": target.res.plural, "uid": obj["metadata"]["uid"]}
        details |= {"group": target.res.group} if target.res.group else {}
        success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return _json(success | {"details": details})

    # Forms of an answer

    def _object(self, request: web.Request, target: Target, obj: Object, status: int = 200) -> web.Response:
        if target.sub == "scale":
            return _json(_scale(obj), status)
        return web.Response(body=self._encoder(request, target)(obj), status=status, content_type="application/json")

    def _encoder(self, request: web.Request, target: Target) -> Callable[[Object], bytes]:
        """How this client wants an object."""
        form, include = parse.form(request), parse.included(request)

        def as_table(obj: Object) -> bytes:
            metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            return msgspec.json.encode(table(target.res, [obj], self.store.now(), metadata, include))

        def as_partial(obj: Object) -> bytes:
            return msgspec.json.encode(partial(obj))

        return as_table if form == "Table" else as_partial if form else msgspec.json.encode


def _scale(obj: Object) -> Object:
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


def _json(body: Object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


def _refused(error: Refusal) -> web.Response:
    response = _json(error.status(), error.code)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _not_allowed() -> Refusal:
    message = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", message)


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _hang() -> NoReturn:
    """Wait until the connection is gone, with which this is cancelled."""
    while True:
        await asyncio.Event().wait()
