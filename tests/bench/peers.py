"""The peers that the daemon is measured beside: ``python -m tests.bench.peers``, one process each.

Each does one thing alone, with the client library that the daemon uses: at the limit, or in the usual way. A peer
prints a line when it is ready, and one in answer to each line that it reads.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.bench.pods import OWNERS, SELECTOR, SESSIONS

OPTIONS = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 30}
_IMPORTS = """
import sys
import ssh_session_gc.cli.main, ssh_session_gc.daemon.daemon, ssh_session_gc.telemetry.log, rich.console
print("\\n".join(name for name in sys.modules if not name.startswith(("ssh_session_gc", "__"))))
"""


async def delete(kubeconfig: str, how: str, concurrency: int) -> None:
    """Deletes the Pods that a line names, ``concurrency`` at a time, and answers with the seconds."""
    import aiohttp
    from kubernetes_asyncio import client, config

    configuration = client.Configuration()
    await config.load_kube_config(config_file=kubeconfig, client_configuration=configuration, persist_config=False)
    configuration.connection_pool_maxsize = 0
    async with client.ApiClient(configuration) as api:
        if how == "bare":
            # Like the daemon's client, this one does not search for ~/.netrc and proxies with each request.
            pool = api.rest_client.pool_manager
            api.rest_client.pool_manager = aiohttp.ClientSession(connector=pool.connector)
            pool.detach()
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        await api.update_params_for_auth(headers, [], ["BearerToken"])
        host = str(configuration.host)
        one = _bare(api.rest_client, host, headers) if how == "bare" else _models(client.CoreV1Api(api))

        async def work(names: list[str]) -> None:
            while names:
                await one(names.pop())

        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            names = line.split()[::-1]
            begun = time.perf_counter()
            await asyncio.gather(*(work(names) for _ in range(concurrency)))
            print(time.perf_counter() - begun, flush=True)


def _bare(client: Any, host: str, headers: dict[str, str]) -> Callable[[str], Awaitable[None]]:
    async def one(name: str) -> None:
        url = f"{host}/api/v1/namespaces/{SESSIONS}/pods/{name}"
        request = client.request("DELETE", url, headers=headers, body=OPTIONS, _preload_content=False)
        async with await request as response:
            assert response.status == 200, response.status
            await response.read()

    return one


def _models(core: Any) -> Callable[[str], Awaitable[None]]:
    async def one(name: str) -> None:
        await core.delete_namespaced_pod(name, SESSIONS, grace_period_seconds=30)

    return one


async def watch(kubeconfig: str) -> None:
    """Keeps the session Pods in a dictionary, as models, by the library's own Watch."""
    from kubernetes_asyncio import client, config
    from kubernetes_asyncio.watch import Watch

    await config.load_kube_config(config_file=kubeconfig, persist_config=False)
    async with client.ApiClient() as api:
        core, pods = client.CoreV1Api(api), {}
        listed = await core.list_namespaced_pod(SESSIONS, label_selector=SELECTOR)
        pods = {pod.metadata.uid: pod for pod in listed.items}
        version = listed.metadata.resource_version
        print("ready", flush=True)
        stream = Watch().stream(core.list_namespaced_pod, SESSIONS, label_selector=SELECTOR, resource_version=version)
        async for event in stream:
            pod = event["object"]
            if event["type"] == "DELETED":
                pods.pop(pod.metadata.uid, None)
            else:
                pods[pod.metadata.uid] = pod


async def count(kubeconfig: str, pod: str) -> None:
    """Reads the log of this Pod, and answers each line with the number of lines so far."""
    import aiohttp
    from kubernetes_asyncio import client, config

    configuration = client.Configuration()
    await config.load_kube_config(config_file=kubeconfig, client_configuration=configuration, persist_config=False)
    url, lines = f"{configuration.host}/api/v1/namespaces/{OWNERS}/pods/{pod}/log", 0
    query = {"follow": "true", "timestamps": "true"}
    never = aiohttp.ClientTimeout()
    async with aiohttp.ClientSession() as session, session.get(url, params=query, timeout=never) as response:

        def answer() -> None:
            sys.stdin.readline()
            print(lines, flush=True)

        asyncio.get_running_loop().add_reader(sys.stdin, answer)
        print("ready", flush=True)
        async for chunk in response.content.iter_any():
            lines += chunk.count(b"\n")


def dependencies() -> None:
    """Imports every module of others that ``run`` imports."""
    ran = subprocess.run([sys.executable, "-c", _IMPORTS], capture_output=True, text=True, check=True)
    found = json.dumps(ran.stdout.split())
    code = f"import importlib, sys\nfor name in {found}:\n    importlib.import_module(name)\n"
    # A new program replaces this one, which has imported things of its own.
    os.execv(sys.executable, [sys.executable, "-c", code + "print('ready', flush=True)\nsys.stdin.readline()\n"])


def main() -> None:
    """Runs the peer that the arguments name."""
    which, *args = sys.argv[1:]
    if which == "delete":
        asyncio.run(delete(args[0], args[1], int(args[2])))
    elif which == "count":
        asyncio.run(count(*args))
    elif which == "watch":
        asyncio.run(watch(*args))
    else:
        dependencies()


if __name__ == "__main__":
    main()
