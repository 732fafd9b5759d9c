"""Requests to the API server: configuration, authentication, errors and the server's clock.

Built on kubernetes_asyncio, which reads kubeconfigs and in-cluster credentials and owns the connections; its
generated models are not used. Knows how a request fails and says so in one line. Does not know what the answers
mean (``wire``) and does not retry: what to do about a failure depends on the request.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, NoReturn, Protocol
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from kubernetes_asyncio import config
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.client.api_client import ApiClient
from kubernetes_asyncio.config.incluster_config import SERVICE_HOST_ENV_NAME
from kubernetes_asyncio.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION
from yaml import YAMLError
from yarl import URL

from ssh_session_gc.core.clock import CONFIRMED_AFTER, ServerClock
from ssh_session_gc.core.text import printable
from ssh_session_gc.kube import wire
from ssh_session_gc.kube.resources import Kind

REQUEST_TIMEOUT = 30.0
"""Seconds for a whole request that is no watch, connecting included. kube-apiserver itself gives up after 60."""
NO_DATE = "sends no Date, which ages go by: is a proxy in between?"
"""What to say of a server that does not tell the time."""
CONNECT_TIMEOUT = 10.0
"""Seconds to a connection, TLS included."""


class ConfigError(Exception):
    """No usable configuration: one line that says what is wrong and what to do."""


class Unreachable(Exception):
    """The request got no answer, or half of one."""


class ApiError(Exception):
    """The API server refused. ``retry_after`` is in seconds, None where the server named no time."""

    def __init__(self, code: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code} {reason}: {message}" if message else f"{code} {reason}")
        self.code, self.reason, self.message, self.retry_after = code, reason, message, retry_after

    @classmethod
    def from_status(cls, status: wire.Status, code: int = 0, retry_after: float | None = None) -> "ApiError":
        """From the Status object of an answer or of an ERROR event. Its texts may quote anybody."""
        after = status.details.retry_after_seconds if status.details else None
        return cls(
            status.code or code,
            printable(status.reason, 64),
            printable(status.message, 512),
            retry_after if retry_after is not None else after,
        )

    @property
    def not_found(self) -> bool:
        """Whether the API server knows that there is no such object. A proxy's 404 knows nothing."""
        return self.code == 404 and self.reason == "NotFound"

    @property
    def transient(self) -> bool:
        """Whether the same request may well succeed later without anybody doing anything."""
        return self.code == 429 or self.code >= 500


class Observer(Protocol):
    """Who wants to know of each request: the metrics."""

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """A request was answered with this HTTP status, or failed with ``code`` "error"."""


@asynccontextmanager
async def connect(load: "Loader", observer: Observer) -> AsyncIterator["Api"]:
    """The API server that ``load`` tells of. Nothing is sent yet. Raises ConfigError."""
    configuration = Configuration()
    try:
        await load(configuration)
        # Python 3.13 refuses certificate authorities without an authority key identifier, which Go, and so
        # kubectl, accepts; clusters have such.
        configuration.disable_strict_ssl_verification = True
        configuration.connection_pool_maxsize = 0  # no limit: who sends how much at once is settled elsewhere
        configuration.proxy = configuration.proxy or _proxy(configuration.host or "")
        configuration.host = str(URL(configuration.host or "")).rstrip("/")
        client = ApiClient(configuration)
        _ignore_environment(client)
    except _CONFIG_ERRORS as error:
        raise ConfigError(f"cannot use these credentials: {_one_line(error)}") from None
    made = Api(client, load, observer)
    try:
        yield made
    finally:
        await made.close()
        await client.close()


class Api:
    """One API server, reached with one set of credentials."""

    def __init__(self, client: ApiClient, load: "Loader", observer: Observer) -> None:
        self._client, self._load, self._observer = client, load, observer
        # The session that kubernetes_asyncio made is asked directly: its own way there takes a sixth of a request.
        rest = client.rest_client
        self._session: aiohttp.ClientSession = rest.pool_manager
        route = {"proxy": rest.proxy, "proxy_headers": rest.proxy_headers, "server_hostname": rest.server_hostname}
        self._route: dict[str, Any] = {name: value for name, value in route.items() if value}
        self._clock = ServerClock()
        self._asking: asyncio.Task[None] | None = None
        self._time = asyncio.get_running_loop().time
        self.clock_changed: Callable[[float], None] = lambda _: None
        """Called when the server's clock turns out to be elsewhere than thought, by more than a second, and when we
        become sure of it, or unsure; with the seconds by which it moved."""

    @property
    def host(self) -> str:
        """The API server's address, for people."""
        return str(self._client.configuration.host)

    @property
    def sure_of_time(self) -> bool:
        """Whether nothing speaks against ``now``: several answers, some seconds apart, agree. One alone may be wrong,
        and whoever goes by it may take every session for over age."""
        return self._clock.sure

    @property
    def tells_time(self) -> bool:
        """Whether any answer so far had a date."""
        return self._clock.known

    def now(self) -> float:
        """The API server's time in epoch seconds. Raises ValueError before its first answer that tells the time."""
        return self._clock.now(self._time())

    async def request(
        self,
        verb: str,
        kind: Kind,
        namespace: str,
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> bytes:
        """The body of the answer to one request. Raises ApiError and Unreachable."""
        return await self._whole(verb, kind.plural, kind.path(namespace, name), query, body, REQUEST_TIMEOUT)

    async def version(self) -> bytes:
        """``/version``: what anybody may ask, to see whether the server is there at all."""
        return await self._whole("get", "version", "/version", None, None, CONNECT_TIMEOUT)

    async def _whole(
        self,
        verb: str,
        resource: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, object] | None,
        seconds: float,
    ) -> bytes:
        try:
            async with (
                asyncio.timeout(seconds),
                await self._send(verb, resource, path, query, body, _NO_TIMEOUT) as response,
            ):
                return await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(self._why(error)) from None

    @asynccontextmanager
    async def stream(
        self, kind: Kind, namespace: str, query: Mapping[str, str], silence: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of a watch. Raises ApiError and Unreachable, also where no byte came for ``silence``
        seconds and where the stream broke off inside a line."""
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT, sock_read=silence)
        try:
            async with await self._send("watch", kind.plural, kind.path(namespace), query, None, timeout) as response:
                try:
                    yield _lines(response.content)
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
    ) -> aiohttp.ClientResponse:
        method = _METHODS.get(verb) or verb.upper()
        url = f"{self.host}{path}?{urlencode(query)}" if query else self.host + path
        sent, code = self._time(), "error"
        try:
            headers = dict(_HEADERS)
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
            raise Unreachable(f"no credentials for {self.host}: {_one_line(error)}") from None
        except ValueError as error:
            if isinstance(error, aiohttp.ClientError | OSError):
                raise  # a certificate that is not valid is a ValueError, too
            # Without its text, which may quote the token.
            raise Unreachable(f"the credentials for {self.host} hold characters that cannot be sent") from None
        finally:
            self._observer.request(verb, resource, code, self._time() - sent)
        if response.status >= 300:
            async with response:
                await self._refuse(response)
        # Refusals may come from a proxy, whose clock is not the cluster's.
        self._tell_time(response.headers.get("Date"), sent)
        return response

    async def _refuse(self, response: aiohttp.ClientResponse) -> NoReturn:
        if response.status < 400:
            # What another address says to a request that was not meant for it is no answer to it.
            raise Unreachable(f"{self.host} redirects to another address: is it an API server?")
        if response.status == 401:
            # The token may have been rotated since it was read, or the plugin that makes it must run again.
            await self._reload()
        after = response.headers.get("Retry-After", "")
        status = wire.status(await response.content.read(65536)) or wire.Status()
        raise ApiError.from_status(
            msgspec.structs.replace(status, code=response.status, reason=status.reason or str(response.reason)),
            retry_after=float(after) if after.isascii() and after.isdigit() else None,
        )

    def _tell_time(self, header: str | None, sent: float) -> None:
        if (date := _date(header or "")) is None:
            return  # a proxy without a clock (RFC 9110, 6.6.1)
        before, self._clock = self._clock, self._clock.answered(date, sent, self._time())
        if not self._clock.sure and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask_again())
        moved = self._clock.low - before.low if before.known else 0.0
        if abs(moved) > 1.0 or self._clock.sure != before.sure:
            self.clock_changed(moved)

    async def _ask_again(self) -> None:
        """Has more answers come in time: an idle program hears from the API server every few minutes only, and two
        answers alone may both be wrong in the same way."""
        pause = CONFIRMED_AFTER / 5
        while not self._clock.sure:
            await asyncio.sleep(pause)
            try:
                await self.version()
            except (ApiError, Unreachable):
                pause = min(2 * pause, 60.0)

    async def close(self) -> None:
        """Ends what goes on by itself."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _reload(self) -> None:
        fresh = Configuration()
        try:
            await self._load(fresh)
        except (ConfigError, *_CONFIG_ERRORS):
            return  # the 401 itself will be reported; a half-written file is complete the next time
        self._client.configuration.api_key = fresh.api_key
        self._client.configuration.refresh_api_key_hook = fresh.refresh_api_key_hook

    def _why(self, error: Exception) -> str:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return f"the certificate of {self.host} is not valid: {_one_line(error.certificate_error)}"
        if isinstance(error, TimeoutError):
            return f"{self.host} did not answer in time"
        if isinstance(error, aiohttp.ClientConnectorError):
            error = error.os_error
        return f"{self.host} is unreachable: {_one_line(error)}"


_METHODS = {"list": "GET", "watch": "GET", "create": "POST", "update": "PUT"}
"""Where it is not the verb itself."""
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # compressed, a few megabytes may hold more than our memory
    "Content-Type": "application/json",
    "User-Agent": "ssh-session-gc",
}
_NO_TIMEOUT = aiohttp.ClientTimeout()
LONGEST_LINE = 32 * 2**20
"""Bytes of one watch event at the most. etcd holds objects of 1.5 MiB; JSON makes them larger, not this large."""


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """Ends the connection of an answer that is left in the middle. TLS would first take its leave, and wait for that
    of a server that may have gone silent."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream of any length (aiohttp's own reader refuses long ones)."""
    parts: list[bytes] = []
    size = 0
    async for chunk in content.iter_any():
        head, *rest = chunk.split(b"\n")
        parts.append(head)
        size += len(head)
        if rest:
            yield b"".join(parts)
            for line in rest[:-1]:
                yield line
            parts, size = [rest[-1]], len(rest[-1])
        if size > LONGEST_LINE:
            raise aiohttp.ClientPayloadError(f"a watch event is longer than {LONGEST_LINE} bytes")
    if size:
        raise aiohttp.ClientPayloadError("the stream broke off inside an event")


@lru_cache(maxsize=8)  # many answers have the same second
def _date(header: str) -> float | None:
    try:
        return parsedate_to_datetime(header).replace(tzinfo=UTC).timestamp()  # it is always GMT
    except (ValueError, OverflowError):
        return None


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for this address (HTTPS_PROXY, NO_PROXY and so on), as kubectl has it."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)


def _ignore_environment(client: ApiClient) -> None:
    """Has the session of kubernetes_asyncio look nothing up in the environment. It would search it for proxies, in a
    thread, and ``~/.netrc`` for passwords with each single request: half of what a request costs."""
    rest = client.rest_client
    connector = rest.pool_manager.connector
    rest.pool_manager.detach()
    rest.pool_manager = aiohttp.ClientSession(connector=connector, read_bufsize=2**21, auto_decompress=False)


Loader = Callable[[Configuration], Awaitable[None]]
"""Fills a Configuration from where the credentials are; called again when they are refused."""

# What kubernetes_asyncio and ssl let escape when credentials or certificates are not what they should be.
_CONFIG_ERRORS = (config.ConfigException, OSError, ValueError)


def loader(kubeconfig: str | None, context: str | None) -> Loader:
    """How to fill a Configuration: from the kubeconfig named, or the one in its usual place ($KUBECONFIG,
    ``~/.kube/config``), or, where there is none, from the Pod that we run in."""
    usual = KUBE_CONFIG_DEFAULT_LOCATION.split(os.pathsep)
    path = kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION
    if kubeconfig is None and not any(os.path.exists(os.path.expanduser(p)) for p in usual):
        if SERVICE_HOST_ENV_NAME not in os.environ:
            raise ConfigError(f"no kubeconfig at {path} and not in a Pod: name one with --kubeconfig or KUBECONFIG")

        async def in_cluster(configuration: Configuration) -> None:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]

        return in_cluster
    if kubeconfig is not None and not os.path.exists(os.path.expanduser(kubeconfig)):
        raise ConfigError(f"there is no kubeconfig {printable(kubeconfig)}: check --kubeconfig")

    async def from_file(configuration: Configuration) -> None:
        try:
            await config.load_kube_config(
                config_file=path, context=context, client_configuration=configuration, persist_config=False
            )
        except config.ConfigException as error:
            hint = "check --kubeconfig and --context"
            raise ConfigError(f"cannot use the kubeconfig {path}: {_one_line(error)}; {hint}") from None
        except (YAMLError, TypeError, KeyError, AttributeError, ValueError):
            raise ConfigError(f"{path} is not a kubeconfig: check --kubeconfig") from None

    return from_file


def _one_line(error: BaseException) -> str:
    return printable(" ".join(str(error).split()) or type(error).__name__, 400)
