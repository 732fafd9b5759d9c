"""The preflight's questions about ContainerSSH's own configuration: do our settings fit to it?

Knows which of its settings ours have to exceed, or to equal. Does not know where it is (``configured``), or what its
log and its Pods show of it (``check_logs``, ``check_sessions``). The collector has no permission to read it: only
somebody who has learns more here.
"""

from collections.abc import AsyncIterator, Iterator

from ssh_session_gc.containerssh.configuration import Configuration
from ssh_session_gc.core.times import format_duration
from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.errors import ApiError
from ssh_session_gc.kube.templates import Deployed
from ssh_session_gc.preview.configured import configuration_of
from ssh_session_gc.preview.discovery import making, suspect_in
from ssh_session_gc.preview.permissions import Finding, Mark
from ssh_session_gc.settings import Settings

_deployed = Decoder(Deployed)


async def check_configuration(api: Api, settings: Settings) -> AsyncIterator[Finding]:
    """Whether our limits, namespace and container fit to what ContainerSSH is told. Says nothing where there is no
    such workload, or where none is named. Raises ApiError, Unreachable, Malformed."""
    owner, it = settings.owner, None
    if owner is None:
        return
    try:
        workload = _deployed.object(await api.request("get", owner.resource, owner.namespace, owner.name))
    except ApiError as error:
        if error.not_found:
            return  # a bad finding of the owners already
        raise
    why = f"{owner} has no container {settings.owner_container}"
    if (suspect := suspect_in(owner.kind, workload, settings.owner_container)) is not None:
        it, why = await configuration_of(api, suspect)
    if it is None:
        yield Finding(Mark.OPEN, f"our settings are not compared with ContainerSSH's: {why}")
        return
    for remark in making(it):
        yield Finding(Mark.OPEN, f"ContainerSSH's configuration: {remark}")
    wrong = list(misfits(settings, it))
    for finding in wrong:
        yield finding
    if not wrong:
        times = f"podStart {format_duration(it.pod_start)}, commandStart {format_duration(it.command_start)}"
        fits = f"our limits are above its timeouts ({times}, podStop {format_duration(it.pod_stop)})"
        yield Finding(Mark.GOOD, f"ContainerSSH's configuration ({why}) fits: {fits}")


def misfits(settings: Settings, it: Configuration) -> Iterator[Finding]:
    """What has to be mended on our side for this ContainerSSH."""
    policy = settings.policy
    name, waits = max(("podStart", it.pod_start), ("commandStart", it.command_start), key=lambda each: each[1])
    if 0 < policy.start_timeout <= waits:
        limit, longest = format_duration(policy.start_timeout), format_duration(waits)
        what = f"start-timeout is {limit}, and ContainerSSH waits {longest} for a session (timeouts.{name})"
        yield Finding(Mark.BAD, what, "raise --start-timeout above that: people are in what starts so late")
    if it.mode == "connection" and policy.abandoned_grace <= it.pod_stop:
        grace, longest = format_duration(policy.abandoned_grace), format_duration(it.pod_stop)
        what = f"abandoned-grace is {grace}, and ContainerSSH tries for {longest} to delete a session"
        yield Finding(Mark.BAD, f"{what} (timeouts.podStop)", "raise --abandoned-grace above that")
    if it.config_server:
        return  # which may name both otherwise for each connection
    if it.namespace != settings.session_namespace and it.backend == "kubernetes":
        what = f"ContainerSSH makes its sessions in namespace {it.namespace}, not {settings.session_namespace}"
        yield Finding(Mark.BAD, what, f"--session-namespace {it.namespace}, or name its workload with --owner")
    number = settings.session_container or "0"
    if number.isdecimal() and int(number) != it.console:
        what = f"ContainerSSH has the shell in container {it.console} (pod.consoleContainerNumber), not {number}"
        yield Finding(Mark.BAD, what, f"--session-container {it.console}")
