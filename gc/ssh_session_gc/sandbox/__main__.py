"""``python -m ssh_session_gc.sandbox``: a simulated cluster on a port, for kubectl, the collector and the curious.

Knows the options. What happens in the cluster, ``story``, ``World`` and ``Replay`` know.
"""

import asyncio
import itertools
import random
import signal
import ssl
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from ssh_session_gc.sandbox.api.authorization import ADMIN
from ssh_session_gc.sandbox.containerssh.layouts import ARTICLE, LAYOUTS, Layout
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from ssh_session_gc.sandbox.replay import Replay
from ssh_session_gc.sandbox.story import USERS, go_on
from ssh_session_gc.sandbox.world import World

PROGRAM = "python -m ssh_session_gc.sandbox"


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8001, show_default=True, help="0 takes a free one.")
@click.option("--kubeconfig", type=click.Path(dir_okay=False, path_type=Path), help="Write a kubeconfig here.")
@click.option("--token", default="", help="Bearer token that clients need; without it none is wanted.")
@click.option(
    "--tls-cert", type=click.Path(exists=True, dir_okay=False), help="Serve HTTPS with this certificate (PEM)."
)
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="The certificate's key (PEM).")
@click.option("--replicas", type=click.IntRange(1, 20), default=2, show_default=True, help="Of ContainerSSH.")
@click.option("--sessions", type=click.IntRange(0, 100_000), default=4, show_default=True, help="Open at the start.")
@click.option(
    "--layout",
    type=click.Choice(list(LAYOUTS)),
    default="article",
    show_default=True,
    help="How ContainerSSH is installed.",
)
@click.option("--stamp", is_flag=True, help="Sessions carry their creator's name and uid.")
@click.option("--story", is_flag=True, help="Sessions open and close, and now and then ContainerSSH dies.")
@click.option(
    "--recording", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Serve a recording instead."
)
def sandbox(**given: Any) -> None:
    """Run a simulated cluster until stopped."""
    if bool(given["tls_cert"]) != bool(given["tls_key"]):
        raise click.UsageError("--tls-cert and --tls-key go together")
    asyncio.run(serve(**given))


async def serve(
    *,
    port: int,
    kubeconfig: Path | None,
    token: str,
    tls_cert: str | None,
    tls_key: str | None,
    replicas: int,
    sessions: int,
    layout: str,
    stamp: bool,
    story: bool,
    recording: Path | None,
) -> None:
    """Serves until SIGTERM or SIGINT. Raises click.ClickException with one line."""
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    tls = None
    if tls_cert is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            tls.load_cert_chain(tls_cert, tls_key)
        except (ssl.SSLError, OSError) as error:
            raise click.ClickException(f"cannot use the certificate {tls_cert} with its key: {error}") from None
    tokens = {token: ADMIN} if token else None
    async with AsyncExitStack() as stack:
        try:
            if recording is not None:
                url = (
                    await stack.enter_async_context(Replay(recording, port=port, tls=tls, tokens=tokens))
                ).server.url
            else:
                seed = random.randrange(2**32)  # noqa: S311 - another cluster each time
                world = World(
                    seed=seed,
                    began=time.time(),
                    layout=LAYOUTS[layout],
                    stamp=stamp,
                    port=port,
                    tls=tls,
                    tokens=tokens,
                )
                await stack.enter_async_context(world)
                url = world.url
        except OSError as error:
            raise click.ClickException(
                f"cannot listen on port {port}: {error.strerror}; choose another with --port"
            ) from None
        except (ValueError, KeyError) as error:
            raise click.ClickException(f"{recording} is no recording: {error}") from None
        _greet(url, kubeconfig, token, tls_cert, LAYOUTS[layout])
        if recording is None:
            world.deploy(replicas, configured=True)
            await world.ready(replicas)
            chance = random.Random()  # noqa: S311 - a story
            for user in itertools.islice(itertools.cycle(USERS), sessions):
                world.open(user, replica=chance.randrange(replicas))
            if story:
                telling = asyncio.create_task(go_on(world))
                stack.callback(telling.cancel)
        await stop.wait()


def _greet(url: str, kubeconfig: Path | None, token: str, authority: str | None, layout: Layout) -> None:
    print(f"A simulated cluster at {url}")  # noqa: T201
    flag = f"--server={url}"
    if authority is not None:
        authority = str(Path(authority).resolve())
        flag += f" --certificate-authority={authority}"
    if token:
        flag += " --token=…"
    if kubeconfig is not None:
        try:
            write_kubeconfig(kubeconfig, url, token=token, certificate_authority=authority or "")
        except OSError as error:
            raise click.ClickException(f"cannot write {kubeconfig}: {error.strerror}") from None
        flag = f"--kubeconfig={kubeconfig}"
    print(f"  kubectl {flag} get pods,deployments -A")  # noqa: T201
    print(f"  kubectl {flag} get pods -n {layout.session_namespace} -w", flush=True)  # noqa: T201
    if kubeconfig is not None:
        command = "run --dry-run" if layout is ARTICLE else "discover"
        print(f"  ssh-session-gc {command} {flag}", flush=True)  # noqa: T201


def main() -> None:
    """Runs the command; an error is one line, with exit status 2 for bad usage and 1 for the rest."""
    try:
        sandbox.main(prog_name=PROGRAM, standalone_mode=False)
    except click.ClickException as error:
        print(f"{PROGRAM}: {' '.join(error.format_message().split())}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
