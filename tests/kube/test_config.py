"""Where the API server is, and as whom we speak to it: kubeconfigs, Pods, certificates and proxies."""

from pathlib import Path

import pytest
import trustme
from kubernetes_asyncio.config import incluster_config

from ssh_session_gc.kube import config
from ssh_session_gc.kube.config import loader
from ssh_session_gc.kube.errors import ApiError, ConfigError
from ssh_session_gc.kube.resources import PODS
from ssh_session_gc.sandbox import Identity, World
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from tests.certificates import server_tls
from tests.harness import connected


async def test_the_token_in_a_pod_is_read_again_when_it_is_rotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, token = trustme.CA(), tmp_path / "token"
    ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    token.write_text("first")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    async with World(tls=server_tls(ca), tokens={"first": Identity("gc")}) as world:
        host, port = world.url.removeprefix("https://").split(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        async with connected(None) as api:
            await api.request("list", PODS, "default")
            world.server.tokens = {"second": Identity("gc")}
            # Long before the file would be looked at again by itself: being refused is reason enough.
            token.write_text("second")
            with pytest.raises(ApiError, match="401"):
                await api.request("list", PODS, "default")
            await api.request("list", PODS, "default")
            # A file that is being written just then does no harm.
            token.write_text("")
            world.server.tokens = {"third": Identity("gc")}
            with pytest.raises(ApiError, match="401"):
                await api.request("list", PODS, "default")
            token.write_text("third")
            with pytest.raises(ApiError, match="401"):
                await api.request("list", PODS, "default")
            await api.request("list", PODS, "default")


async def test_certificates_that_are_none(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("no certificate")
    kubeconfig = write_kubeconfig(
        tmp_path / "kubeconfig", "https://127.0.0.1:1", certificate_authority=str(authority)
    )
    with pytest.raises(ConfigError, match="cannot use these credentials"):
        async with connected(kubeconfig):
            pass


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "example,api.cluster"}, None),
        ({"https_proxy": "http://proxy:3128", "no_proxy": ".cluster"}, None),
        ({"http_proxy": "http://proxy:3128"}, None),
    ],
)
async def test_the_environments_proxy(
    environment: dict[str, str], proxy: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", "https://api.cluster:6443")
    made = await config.authenticated(loader(str(kubeconfig), None))
    try:
        assert made.rest_client.proxy == proxy
        assert not made.rest_client.pool_manager.trust_env
    finally:
        await made.close()
