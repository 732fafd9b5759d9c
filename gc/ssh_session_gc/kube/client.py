"""Requests to the API server: whole answers and streams, with our credentials.

Knows how a request fails and says so in one line. Does not know where the credentials come from (``config``) or what
the answers mean (``decoder``), and does not retry what is asked of it: what to do about a failure depends on the
request. By itself it asks for the time, until that is sure.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn, Protocol
from urllib.parse import urlencode

import aiohttp
import msgspec
from kubernetes_asyncio import config
from kubernetes_asyncio.client.api_client import ApiClient
from yarl import URL

from ssh_session_gc.kube import decoder, wire
from ssh_session_gc.kube.config import Loader, authenticated, reload
from ssh_session_gc.kube.errors import ApiError, Unreachable, one_line
from ssh_session_gc.kube.lines import lines
from ssh_session_gc.kube.resources import Resource
from ssh_session_gc.kube.servertime import ServerTime

REQUEST_TIMEOUT = 30.0
"""Seconds for a whole request that is no watch, connecting included. kube-apiserver itself gives up after 60."""
CONNECT_TIMEOUT = 10.0
"""Seconds to a connection, TLS included."""
ASK_EVERY = 0.7
"""Seconds between two questions for the time. In other fractions of the second each answer tells something new."""


class Observer(Protocol):
    """Notified of each request; ``Metrics`` implements it."""

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """A request was answered with this HTTP status, or failed with ``code`` "error"."""


@asynccontextmanager
async def connect(load: Loader, observer: Observer) -> AsyncIterator["Api"]:
    """The API server that ``load`` configures. Nothing is sent yet. Raises ConfigError."""
    client = await authenticated(load)
    made = Api(client, load, observer)
    try:
        yield made
    finally:
        await made.close()
        await client.close()


class Api:
    """One API server, reached with one set of credentials."""

    def __init__(self, client: ApiClient, load: Loader, observer: Observer) -> None:
        self._client, self._load, self._observer = client, load, observer
        # The session that kubernetes_asyncio made is asked directly: its own way there takes a sixth of a request.
        rest = client.rest_client
        self._session: aiohttp.ClientSession = rest.pool_manager
        route = {"proxy": rest.proxy, "proxy_headers": rest.proxy_headers, "server_hostname": rest.server_hostname}
        self._route: dict[str, Any] = {name: value for name, value in route.items() if value}
        self._local = asyncio.get_running_loop().time
        self.time = ServerTime()
        self.time.subscribe(lambda _: self._ask_for_the_time())
        self._asking: asyncio.Task[None] | None = None

    @property
    def host(self) -> str:
        """The API server's address, for people."""
        return str(self._client.configuration.host)

    async def request(
        self,
        verb: str,
        resource: Resource,
        namespace: str,
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> bytes:
        """The body of the answer to one request. Raises ApiError and Unreachable."""
        path = resource.path(namespace, name)
        return await self._whole(verb, resource.plural, path, query, body, REQUEST_TIMEOUT)

    async def version(self) -> bytes:
        """``/version``, which anybody may ask for: it tells whether the server is there at all."""
        return await self._whole("get", "version", "/version", None, None, CONNECT_TIMEOUT)

    async def _whole(
        self,
        verb: str,
        resource: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, object] | None,
        seconds: float,
        *,
        last: bool = False,
    ) -> bytes:
        try:
            async with (
                asyncio.timeout(seconds),
                await self._send(verb, resource, path, query, body, _NO_TIMEOUT, last=last) as response,
            ):
                return await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(self._why(error)) from None

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str, query: Mapping[str, str], silence: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of a watch. Raises as ``stream`` does, also where the stream broke off inside a line."""
        async with self.stream(resource, namespace, query, silence) as content:
            yield lines(content)

    @asynccontextmanager
    async def stream(
        self, resource: Resource, namespace: str, query: Mapping[str, str], silence: float, *, name: str = ""
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """The bytes of an answer that goes on: a watch, or with ``name`` something of one object. Raises ApiError
        and Unreachable, also where no byte came for ``silence`` seconds."""
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT, sock_read=silence)
        try:
            path = resource.path(namespace, name)
            verb = "get" if name else "watch"
            async with await self._send(verb, resource.qualified, path, query, None, timeout) as response:
                try:
                    yield response.content
                finally:
                    _hang_up(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(self._why(error)) from None

    async def _send(
        self,
        verb: str,
        resource: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, object] | None,
        timeout: aiohttp.ClientTimeout,
        *,
        last: bool = False,
    ) -> aiohttp.ClientResponse:
        method = _METHODS.get(verb) or verb.upper()
        url = f"{self.host}{path}?{urlencode(query)}" if query else self.host + path
        sent, code = self._local(), "error"
        try:
            headers = _HEADERS | ({"Connection": "close"} if last else {})
            await self._client.update_params_for_auth(headers, [], ["BearerToken"])
            if "authorization" in headers:
                # A token read from a file may end in a line end; kubectl cuts it off, too.
                headers["authorization"] = headers["authorization"].strip()
            response = await self._session.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=None if body is None else msgspec.json.encode(body),
                timeout=timeout,
                allow_redirects=False,
                **self._route,
            )
            code = str(response.status)
        except config.ConfigException as error:
            raise Unreachable(f"no credentials for {self.host}: {one_line(error)}") from None
        except ValueError as error:
            if isinstance(error, aiohttp.ClientError | OSError):
                raise  # a certificate that is not valid is a ValueError, too
            # Without its text, which may quote the token.
            raise Unreachable(f"the credentials for {self.host} hold characters that cannot be sent") from None
        finally:
            self._observer.request(verb, resource, code, self._local() - sent)
        if response.status >= 300:
            async with response:
                await self._refuse(response)
        # Refusals may come from a proxy, whose clock is not the cluster's. What comes out of a cache has an Age (RFC
        # 9111, 5.1): its date was true when it was written, whenever that was.
        self.time.heard(None if "Age" in response.headers else response.headers.get("Date"), sent)
        self._ask_for_the_time()
        return response

    async def _refuse(self, response: aiohttp.ClientResponse) -> NoReturn:
        if response.status < 400:
            # What another address says to a request that was not meant for it is no answer to it.
            raise Unreachable(f"{self.host} redirects to another address: is it an API server?")
        if response.status == 401:
            # The 401 itself is reported all the same; the next request has what was read now.
            await reload(self._client, self._load)
        after = response.headers.get("Retry-After", "")
        status = decoder.status(await response.content.read(65536)) or wire.Status()
        raise ApiError.from_status(
            msgspec.structs.replace(status, code=response.status, reason=status.reason or str(response.reason)),
            retry_after=float(after) if after.isascii() and after.isdigit() else None,
        )

    def _ask_for_the_time(self) -> None:
        """Has more answers come in time, where it is not sure: an idle program hears from the API server every few
        minutes only, and two answers alone may both be wrong in the same way."""
        if self.time.known and not self.time.sure and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask_again())

    async def _ask_again(self) -> None:
        pause = ASK_EVERY
        while not self.time.sure:
            await asyncio.sleep(pause)
            try:
                # Each on a connection of its own: behind many a balancer all that goes over one reaches one server.
                await self._whole("get", "version", "/version", None, None, CONNECT_TIMEOUT, last=True)
                pause = ASK_EVERY
            except (ApiError, Unreachable):
                pause = min(2 * pause, 60.0)

    async def close(self) -> None:
        """Ends what asks by itself."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _why(self, error: Exception) -> str:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return f"the certificate of {self.host} is not valid: {one_line(error.certificate_error)}"
        if isinstance(error, TimeoutError):
            return f"{self.host} did not answer in time"
        if isinstance(error, aiohttp.ClientConnectorError):
            error = error.os_error
        return f"{self.host} is unreachable: {one_line(error)}"


_METHODS = {"list": "GET", "watch": "GET", "create": "POST", "update": "PUT"}
"""Where it is not the verb itself."""
_HEADERS = {
    "Accept": "application/json",
    "Cache-Control": "no-cache",  # what a proxy keeps is not how things are
    "Accept-Encoding": "identity",  # compressed, a few megabytes may hold more than our memory
    "Content-Type": "application/json",
    "User-Agent": "ssh-session-gc",
}
_NO_TIMEOUT = aiohttp.ClientTimeout()


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """Ends the connection of an answer that is left in the middle. TLS would first take its leave, and wait for that
    of a server that may have gone silent."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()
