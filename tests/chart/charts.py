"""The chart as Helm renders it, and the checks that Kubernetes would make of the objects.

Knows how to call helm, where the schemas of Kubernetes are, and Pod Security's rules. Does not know what is in the
chart.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import kubernetes_validate  # type: ignore[import-untyped]
import yaml

from ssh_session_gc.cli.check import CheckOptions
from ssh_session_gc.cli.common import CommonOptions
from ssh_session_gc.cli.options import read
from ssh_session_gc.cli.program import cli
from ssh_session_gc.cli.run import RunOptions
from ssh_session_gc.sandbox import PolicyRule
from ssh_session_gc.settings import Settings
from tests import tools

CHART = Path(__file__).parents[2] / "chart"
RELEASE, NAMESPACE = "ssh-session-gc", "gc"
OLDEST, NEWEST = "1.28", "1.37"
"""The versions of Kubernetes that the chart is for: the oldest by its ``kubeVersion``, the newest with schemas."""

Document = dict[str, Any]


class Refused(Exception):
    """Helm failed; the message is what it said."""


def helm(*args: str, values: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None) -> str:
    """Runs helm and returns what it prints. It knows no cluster unless told. Raises Refused."""
    more = ("-f", "-") if values is not None else ()
    # No settings of the user's apply, and no cluster.
    clean = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "KUBECONFIG": "/nonexistent", **(env or {})}
    text = json.dumps(dict(values or {}))  # JSON is YAML without ambiguities
    ran = subprocess.run([tools.helm(), *args, *more], input=text, env=clean, capture_output=True, text=True)
    if ran.returncode:
        # lint prints its errors to stdout.
        raise Refused(f"{ran.stderr}{ran.stdout}".strip())
    return ran.stdout


def render(
    values: Mapping[str, Any] | None = None,
    *,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
    version: str = NEWEST,
    apis: Sequence[str] = (),
) -> list[Document]:
    """Renders the objects of an installation, the Pod of ``helm test`` among them. Raises Refused."""
    args = ["template", release, str(CHART), "--namespace", namespace, "--kube-version", version]
    text = helm(*args, *(f"--api-versions={api}" for api in apis), values=values or {})
    return [document for document in yaml.safe_load_all(text) if document]


def notes(values: Mapping[str, Any] | None = None, *, namespace: str = NAMESPACE) -> str:
    """The notes that an installation prints when it is done."""
    args = ("install", RELEASE, str(CHART), "--namespace", namespace, "--dry-run=client")
    return helm(*args, values=values or {}).partition("\nNOTES:\n")[2]


def refusal(values: Mapping[str, Any]) -> str:
    """Helm's reason to refuse an installation with these values, or ""."""
    try:
        render(values)
    except Refused as why:
        return str(why)
    return ""


def nested(path: str, value: object) -> dict[str, Any]:
    """Values with one value, at a path: ``nested("config.maxAge", "1h")``."""
    key, _, rest = path.partition(".")
    return {key: nested(rest, value) if rest else value}


def merged(*values: Mapping[str, Any]) -> dict[str, Any]:
    """Merges values, of which the last wins."""
    result: dict[str, Any] = {}
    for each in values:
        for key, value in each.items():
            both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
            result[key] = merged(result[key], value) if both else value
    return result


def of_kind(documents: Sequence[Document], *kinds: str) -> list[Document]:
    """The objects of these kinds."""
    return [document for document in documents if document["kind"] in kinds]


def only(documents: Sequence[Document], kind: str) -> Document:
    """The only object of its kind."""
    [found] = of_kind(documents, kind)
    return found


def pods(documents: Sequence[Document]) -> Iterator[tuple[str, Document]]:
    """The specs of all Pods that will run, each with the name of the object that makes it."""
    for document in documents:
        if document["kind"] == "Pod":
            yield document["metadata"]["name"], document["spec"]
        elif "template" in document.get("spec", {}):
            yield document["metadata"]["name"], document["spec"]["template"]["spec"]


def validate(document: Document, version: str) -> None:
    """Raises ValidationError unless this version of Kubernetes accepts the object and knows all its fields."""
    kubernetes_validate.validate(document, version, strict=True)


@cache
def defaults() -> Document:
    """The values of values.yaml."""
    return dict(yaml.safe_load((CHART / "values.yaml").read_text()))


def granted(documents: Sequence[Document]) -> dict[str, list[PolicyRule]]:
    """The rules that the rendered Roles grant each user, in the sandbox's form."""
    roles = {(r["metadata"]["namespace"], r["metadata"]["name"]): r["rules"] for r in of_kind(documents, "Role")}
    users: dict[str, list[PolicyRule]] = {}
    for binding in of_kind(documents, "RoleBinding"):
        namespace, to = binding["metadata"]["namespace"], binding["roleRef"]
        assert (to["apiGroup"], to["kind"]) == ("rbac.authorization.k8s.io", "Role")
        for subject in binding["subjects"]:
            assert subject["kind"] == "ServiceAccount"
            rules = users.setdefault(f"system:serviceaccount:{subject['namespace']}:{subject['name']}", [])
            for rule in roles[namespace, to["name"]]:
                rules.append(
                    PolicyRule(
                        tuple(rule["verbs"]),
                        tuple(rule["resources"]),
                        tuple(rule["apiGroups"]),
                        tuple(rule.get("resourceNames", ())),
                        namespace,
                    )
                )
    return users


SAFE_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def violations(spec: Document) -> list[str]:
    """The violations of Pod Security ``restricted`` (Kubernetes documentation, "Pod Security Standards")."""
    pod = spec.get("securityContext", {})
    found = [field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    found += [f"volume {each['name']}" for each in spec.get("volumes", []) if set(each) - {"name"} - SAFE_VOLUMES]
    if pod.get("sysctls"):
        found.append("sysctls")
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind, []):
            found += [f"{container['name']}: {what}" for what in _container_violations(container, pod)]
    return found


def _container_violations(container: Document, pod: Document) -> Iterator[str]:
    own = container.get("securityContext", {})
    both = pod | own
    if both.get("runAsNonRoot") is not True:
        yield "runAsNonRoot"
    if both.get("runAsUser") == 0 or pod.get("runAsUser") == 0:
        yield "runAsUser"
    if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "seccompProfile"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if own.get("privileged"):
        yield "privileged"
    if "ALL" not in own.get("capabilities", {}).get("drop", []):
        yield "capabilities.drop"
    if set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "capabilities.add"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "hostPort"


def called(container: Document) -> click.Context:
    """The command of a container, as the program reads its arguments and environment. Raises ClickException."""
    command, *args = container["args"]
    environment = {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}
    with patch.dict(os.environ, environment):
        return cli.commands[command].make_context(command, args)


def settings(container: Document) -> Settings:
    """The settings that a container runs with. Raises ClickException."""
    context = called(container)
    match context.info_name:
        case "run":
            return read(RunOptions, context).settings()
        case "check":
            return read(CheckOptions, context).settings()
    return read(CommonOptions, context).settings()


def container(documents: Sequence[Document], kind: str = "Deployment") -> Document:
    """The only container of the collector, or of the check."""
    [found] = next(pods([only(documents, kind)]))[1]["containers"]
    return dict(found)
