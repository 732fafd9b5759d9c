"""The simulated API server: the store, over HTTP, as kube-apiserver would answer.

Knows the way of a request through authentication, faults, authorization and its handler, and the connections. How a
request is answered, ``handlers``, ``watches``, ``logs`` and ``nonresource`` know.

The semantics are those of Kubernetes' "API Concepts"; where the recordings in tests/data say more, they decide.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate

import msgspec
from aiohttp import web

from ssh_session_gc.sandbox.api import authorization, discovery, nonresource
from ssh_session_gc.sandbox.api import request as parse
from ssh_session_gc.sandbox.api.authorization import ADMIN, ANONYMOUS, Access, Identity, Roles
from ssh_session_gc.sandbox.api.faults import Faults
from ssh_session_gc.sandbox.api.handlers import HANDLERS
from ssh_session_gc.sandbox.api.logs import Logs, Nodes, unknown
from ssh_session_gc.sandbox.api.objects import NAMESPACES
from ssh_session_gc.sandbox.api.refusals import Refusal, no_route, not_allowed
from ssh_session_gc.sandbox.api.request import Target
from ssh_session_gc.sandbox.api.responses import refused
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.sandbox.api.strikes import spoil, strike
from ssh_session_gc.sandbox.api.watches import Watches

VERSION = "v1.36.2"
BOOKMARK_SECONDS = 60.0
"""Recorded: 59.8 to 60.5 s."""
REQUESTS_KEPT = 10_000
MAX_BODY = 3 * 1024 * 1024
"""Bytes of a request body that an API server takes."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was answered. ``code`` is 0 where a fault left it without a status."""

    verb: str  # as RBAC spells it: get, list, watch, create, update, patch, delete
    resource: str  # "pods", "pods/status", or the path where it is no resource
    path: str  # with the query
    code: int


class ApiServer:
    """Serves one store on one address until it is stopped. It can be started again."""

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
        nodes: Nodes = unknown,
    ) -> None:
        """``tokens``: whose each token is; None: no token is needed, everybody is an admin. ``roles``: what each
        user may do; None: everything. Both may be replaced while the server runs. ``nodes``: finds the node of a
        name, which is asked for logs."""
        self.store, self.faults = store, faults or Faults()
        self.tokens, self.roles = tokens, roles
        self.requests: deque[Request] = deque(maxlen=REQUESTS_KEPT)
        """The requests in the order of their answers; a watch is among them from its beginning."""
        self.url = ""
        self._tls = tls
        self._documents = {path: msgspec.json.encode(each) for path, each in discovery.documents(version).items()}
        self._watches = Watches(store, self.faults, bookmark_seconds)
        self._logs = Logs(store, self.faults, nodes)
        self._connections: dict[asyncio.Transport, None] = {}  # those with a request that is being answered
        self._runner: web.AppRunner | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def watches(self) -> int:
        """The number of running watches."""
        return len(self._watches)

    @property
    def followed(self) -> int:
        """The number of logs that are being followed."""
        return len(self._logs)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listens; port 0 takes a free one, and ``url`` says which. Raises OSError."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_response_prepare.append(self._set_date)
        # A watch is cancelled with its client: it ends where it waits and leaves nothing behind.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, host, port, ssl_context=self._tls).start()
        self.url = f"{'https' if self._tls else 'http'}://{host}:{runner.addresses[0][1]}"
        self._runner, self._unsubscribe = runner, self.store.subscribe(self._watches.offer)

    async def stop(self) -> None:
        """Drops every connection and listens no longer, as a server that is killed."""
        self._unsubscribe()
        for connection in tuple(self._connections):
            connection.abort()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

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

        def log(code: int) -> None:
            self.requests.append(Request(verb, resource, request.path_qs, code))

        fault = None
        try:
            who = self._identify(request)
            fault = self.faults.take(verb, resource, target.namespace if target else None)
            if fault is not None:
                await strike(fault, request, verb, lambda: log(0))
            if target is None:
                response = await nonresource.answer(request, who, self.roles, self._documents)
            else:
                self._authorize(request, who, verb, target)
                if target.sub and target.sub not in discovery.subresources(target.res):
                    raise no_route()
                if verb == "watch":
                    return await self._watches.serve(request, target, fault, lambda: log(200))
                if target.sub == "log" and verb == "get":
                    return await self._logs.serve(request, target, fault, log)
                if target.sub == "log" or verb not in HANDLERS:
                    raise not_allowed()
                response = await HANDLERS[verb](self.store, request, target)
        except Refusal as error:
            response = refused(error)
        log(response.status)
        return response if fault is None else await spoil(fault, request, response)

    def _identify(self, request: web.Request) -> Identity:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if self.tokens is None:
            return ADMIN
        if scheme.lower() == "bearer" and token.strip() in self.tokens:
            return self.tokens[token.strip()]
        if scheme.lower() == "bearer":
            raise Refusal(401, "Unauthorized", "Unauthorized")
        return ANONYMOUS  # other schemes are ignored

    def _authorize(self, request: web.Request, who: Identity, verb: str, target: Target) -> None:
        name = parse.selected_name(request) if verb in ("list", "watch") else target.name
        # A Namespace counts as being in itself, so that a Role in it can grant what is done to it.
        namespace = target.name if target.res is NAMESPACES else target.namespace or ""
        access = Access(verb, target.res.group, target.resource, namespace, name)
        authorization.check(self.roles, who, access, target.res)
