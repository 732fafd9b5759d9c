"""Where the API server is, and as whom we speak to it: from a kubeconfig, or from the Pod that we run in.

Built on kubernetes_asyncio, which reads both and owns the connections; its generated models are not used. Knows what
that library leaves to the environment. Does not know how a request is made (``client``).
"""

import os
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes_asyncio import config
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.client.api_client import ApiClient
from kubernetes_asyncio.config.incluster_config import SERVICE_HOST_ENV_NAME
from kubernetes_asyncio.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION
from yaml import YAMLError
from yarl import URL

from ssh_session_gc.core.text import printable
from ssh_session_gc.kube.errors import ConfigError, one_line

Loader = Callable[[Configuration], Awaitable[None]]
"""Fills a Configuration from where the credentials are; called again when they are refused."""

UNUSABLE = (config.ConfigException, OSError, ValueError)
"""What kubernetes_asyncio and ssl let escape when credentials or certificates are not what they should be."""


def loader(kubeconfig: str | None, context: str | None) -> Loader:
    """How to fill a Configuration: from the kubeconfig named, or the one in its usual place ($KUBECONFIG,
    ``~/.kube/config``), or, where there is none, from the Pod that we run in. Raises ConfigError."""
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
            raise ConfigError(f"cannot use the kubeconfig {path}: {one_line(error)}; {hint}") from None
        except (YAMLError, TypeError, KeyError, AttributeError, ValueError):
            raise ConfigError(f"{path} is not a kubeconfig: check --kubeconfig") from None

    return from_file


async def authenticated(load: Loader) -> ApiClient:
    """A client of kubernetes_asyncio's with the credentials from ``load``. Raises ConfigError."""
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
    except UNUSABLE as error:
        raise ConfigError(f"cannot use these credentials: {one_line(error)}") from None
    return client


async def reload(client: ApiClient, load: Loader) -> None:
    """Reads the credentials anew: a token may have been rotated, or the plugin that makes it must run again."""
    fresh = Configuration()
    try:
        await load(fresh)
    except (ConfigError, *UNUSABLE):
        return  # a half-written file is complete the next time
    client.configuration.api_key = fresh.api_key
    client.configuration.refresh_api_key_hook = fresh.refresh_api_key_hook


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
