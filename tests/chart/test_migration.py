"""The migration from the CronJob to the chart, by the real helm on an API server that has the CronJob's objects.

The tests follow docs/migration.md. This server does not know who owns which field, as server-side apply would.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.preview.check import OLD_CRONJOB
from ssh_session_gc.sandbox.kubeconfig import write_kubeconfig
from tests.chart import charts
from tests.chart.apiserver import PLURALS, HelmCluster, Key, serving
from tests.chart.charts import CHART, RELEASE, Refused

SESSIONS, OWN = "ssh-sessions", "ssh-session-gc"
OLD = OLD_CRONJOB
"""The name of the CronJob, its account, its Role and its binding."""
RBAC = "rbac.authorization.k8s.io"
OLD_OBJECTS: dict[str, dict[str, Any]] = {
    "ServiceAccount": {"apiVersion": "v1", "automountServiceAccountToken": False},
    "Role": {
        "apiVersion": f"{RBAC}/v1",
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "delete", "get"]}],
    },
    "RoleBinding": {
        "apiVersion": f"{RBAC}/v1",
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": OLD},
        "subjects": [{"kind": "ServiceAccount", "name": OLD, "namespace": SESSIONS}],
    },
    "CronJob": {"apiVersion": "batch/v1", "spec": {"schedule": "*/15 * * * *"}},
}

Helm = Callable[..., str]


@pytest.fixture
def cluster() -> Iterator[HelmCluster]:
    """A cluster with sessions, ContainerSSH and the CronJob."""
    with serving(HelmCluster()) as made:
        for namespace in (SESSIONS, "containerssh"):
            made.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        for kind, rest in OLD_OBJECTS.items():
            made.add({"kind": kind, "metadata": {"name": OLD, "namespace": SESSIONS}, **copy.deepcopy(rest)})
        yield made


@pytest.fixture
def helm(cluster: HelmCluster, tmp_path: Path) -> Helm:
    """Runs helm on that cluster."""
    env = {"HOME": str(tmp_path), "KUBECONFIG": str(write_kubeconfig(tmp_path / "kubeconfig", cluster.url))}
    return partial(charts.helm, env=env)


def old(cluster: HelmCluster) -> dict[str, Any]:
    """The CronJob's objects as they are now."""
    return {kind: copy.deepcopy(cluster.get(kind, SESSIONS, OLD)) for kind in OLD_OBJECTS}


def ours(namespace: str) -> set[Key]:
    """The keys of the chart's objects, without the Pod of ``helm test``, which comes with the test."""
    documents = charts.render(namespace=namespace)
    found = {(PLURALS[d["kind"]], d["metadata"]["namespace"], d["metadata"]["name"]) for d in documents}
    return {each for each in found if each[0] != "pods"}


INSTALL = ("install", RELEASE, str(CHART), "--namespace", OWN, "--create-namespace")


def test_into_a_namespace_of_its_own_nothing_is_in_the_way(cluster: HelmCluster, helm: Helm) -> None:
    before, names = old(cluster), cluster.names()
    # The chart runs dry beside the CronJob, then deletes without it, and is removed.
    assert "may not delete anything" in helm(*INSTALL, "--set", "config.dryRun=client")
    assert cluster.names() == names | ours(OWN) | {("namespaces", "", OWN)}
    assert old(cluster) == before
    role = cluster.get("Role", SESSIONS, f"{RELEASE}-sessions")
    assert role
    assert role["rules"][0]["verbs"] == ["get", "list", "watch"]
    del cluster.objects["cronjobs", SESSIONS, OLD]
    said = helm("upgrade", RELEASE, str(CHART), "-n", OWN, "--reset-then-reuse-values", "--set", "config.dryRun=none")
    assert "deletes what is due" in said
    role = cluster.get("Role", SESSIONS, f"{RELEASE}-sessions")
    assert role
    assert role["rules"][0]["verbs"] == ["get", "list", "watch", "delete"]
    helm("uninstall", RELEASE, "-n", OWN)
    assert cluster.names() == names - {("cronjobs", SESSIONS, OLD)} | {("namespaces", "", OWN)}
    assert {kind: each for kind, each in old(cluster).items() if kind != "CronJob"} == {
        kind: each for kind, each in before.items() if kind != "CronJob"
    }


AMONG = ("install", RELEASE, str(CHART), "--namespace", SESSIONS)


def test_among_the_sessions_only_the_account_is_in_the_way(cluster: HelmCluster, helm: Helm) -> None:
    before = old(cluster)
    with pytest.raises(Refused) as refused:
        helm(*AMONG)
    assert f'ServiceAccount "{OLD}" in namespace "{SESSIONS}" exists and cannot be imported' in str(refused.value)
    assert "Role " not in str(refused.value).replace("ServiceAccount", "")
    assert old(cluster) == before


def test_among_the_sessions_the_account_can_be_taken_over(cluster: HelmCluster, helm: Helm) -> None:
    before = old(cluster)
    helm(*AMONG, "--take-ownership")
    after = old(cluster)
    account = after.pop("ServiceAccount")
    assert account["metadata"]["annotations"]["meta.helm.sh/release-name"] == RELEASE
    assert account["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    assert after == {kind: each for kind, each in before.items() if kind != "ServiceAccount"}
    # The account belongs to the chart now, and goes with it.
    helm("uninstall", RELEASE, "-n", SESSIONS)
    assert cluster.get("ServiceAccount", SESSIONS, OLD) is None
    assert cluster.get("CronJob", SESSIONS, OLD) == before["CronJob"]


def test_among_the_sessions_the_account_can_have_another_name(cluster: HelmCluster, helm: Helm) -> None:
    before = old(cluster)
    helm(*AMONG, "--set", "serviceAccount.name=ssh-session-gc-collector")
    assert old(cluster) == before


@pytest.mark.parametrize("namespace", [OWN, "containerssh", SESSIONS])
@pytest.mark.parametrize("kind", ["Role", "RoleBinding", "CronJob"])
def test_no_role_has_the_name_of_the_old_one(namespace: str, kind: str) -> None:
    assert (PLURALS[kind], SESSIONS, OLD) not in ours(namespace)


# What the documents tell people to type

DOCUMENTS = ("docs/install.md", "docs/migration.md", "chart/README.md")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_values_in_the_documents_are_accepted(document: str) -> None:
    text = (CHART.parent / document).read_text()
    # Values are given as options of helm, and as `values` in the text.
    given = re.findall(r"--set ([\w.]+=\S+)", text) + re.findall(r"`((?:[a-z]\w*\.)*[a-z]\w*=[^`]+)`", text)
    assert given
    for each in given:
        assert charts.helm("template", RELEASE, str(CHART), "--set", each)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_values_that_the_documents_name_exist(document: str) -> None:
    text = (CHART.parent / document).read_text()
    schema = json.loads((CHART / "values.schema.json").read_text())
    sections = "|".join(schema["properties"])
    for path in re.findall(rf"`((?:{sections})\.[\w.]+)[=`]", text):
        value: Any = charts.defaults()
        for key in path.split("."):
            assert key in value, f"{document}: {path}"
            value = value[key]
