"""The Grafana dashboard: its file is up to date, and its queries ask for series that are exported."""

import importlib.util
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests import debian
from tests.chart import charts, promql
from tests.chart.exports import OTHERS, PROMETHEUS, everything

FILE = charts.CHART / "files/dashboard.json"
VARIABLES = {"$__rate_interval": "5m", "$job": ".*", "$sessions_namespace": "ssh-sessions"}
"""The variables in queries, with values that Grafana or a reader may set."""
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

Panel = dict[str, Any]


def dashboard() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text()))


def panels() -> list[Panel]:
    """All panels, including rows."""
    return [*dashboard()["panels"], *(inner for row in dashboard()["panels"] for inner in row.get("panels", []))]


def with_queries() -> list[Panel]:
    return [panel for panel in panels() if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str, str]]:
    """Each query's place, the query with its variables filled in, and its legend."""
    for panel in with_queries():
        for target in panel["targets"]:
            yield panel["title"], filled(target["expr"]), target["legendFormat"]
    for annotation in dashboard()["annotations"]["list"]:
        yield annotation["name"], filled(annotation["expr"]), ""


def filled(query: str) -> str:
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    return query


def generator() -> ModuleType:
    """The module ``docs/dashboard.py``, which is in no package."""
    spec = importlib.util.spec_from_file_location("dashboard", charts.CHART.parent / "docs/dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_file_is_what_the_code_makes() -> None:
    assert FILE.read_text() == generator().rendered(), "run `python docs/dashboard.py`"


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"query{number}", "expr": query} for number, (_, query, _) in enumerate(queries())]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    ran = subprocess.run([debian.promtool(), "check", "rules", path], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(rules)} rules found" in ran.stdout


async def test_every_query_asks_for_what_is_exported(tmp_path: Path) -> None:
    there = [*await everything(tmp_path), *OTHERS, *PROMETHEUS]
    wrong = {where: found for where, query, _ in queries() if (found := promql.faults(query, there))}
    assert wrong == {}
    asked = [v["query"] for v in dashboard()["templating"]["list"] if v["type"] == "query"]
    assert asked
    for metric, label in (re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups() for query in asked):  # type: ignore[union-attr]
        assert any(series.name == metric and label in series.labels for series in there)


def test_every_variable_is_known() -> None:
    defined = {f"${variable['name']}" for variable in dashboard()["templating"]["list"]}
    used = set(re.findall(r"\$\w+", FILE.read_text())) | set(re.findall(r"\$\{(\w+)", FILE.read_text()))
    assert {name if name.startswith("$") else f"${name}" for name in used} - {"$__rate_interval", "$__all"} == defined


def test_legends_have_labels_of_their_results() -> None:
    for where, query, legend in queries():
        labels = set(re.findall(r"\{\{(\w+)\}\}", legend))
        # There is mostly one installation, whose labels would only fill the legend.
        assert labels == promql.results(query) - {"le", *promql.TARGET}, where


def test_the_data_source_is_the_readers_choice() -> None:
    assert {"name": "datasource", "type": "datasource", "query": "prometheus"}.items() <= (
        dashboard()["templating"]["list"][0].items()
    )
    for panel in with_queries():
        assert panel["datasource"] == DATASOURCE, panel["title"]
        assert all(target["datasource"] == DATASOURCE for target in panel["targets"]), panel["title"]
    for other in (*dashboard()["annotations"]["list"], *dashboard()["templating"]["list"]):
        assert other.get("datasource", DATASOURCE) == DATASOURCE


def test_panels_are_told_apart_and_lie_beside_each_other() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    for panel in with_queries():
        refs = [target["refId"] for target in panel["targets"]]
        assert refs, f"{panel['title']} has no query"
        assert len(set(refs)) == len(refs), panel["title"]
        assert panel["description"], panel["title"]
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells


@pytest.mark.parametrize(
    ("what", "metric", "labels"),
    [
        ("sessions by state", "ssh_session_gc_sessions", {"state"}),
        ("orphans by reason", "ssh_session_gc_orphans", {"reason"}),
        ("deletions by reason", "ssh_session_gc_deletions_total", {"reason"}),
        ("deletions by outcome", "ssh_session_gc_deletions_total", {"outcome"}),
        ("lag", "ssh_session_gc_deletion_lag_seconds_bucket", {"le"}),
        ("owners by state", "ssh_session_gc_owners", {"state"}),
        ("sessions by connection", "ssh_session_gc_connections", {"state"}),
        ("API errors", "ssh_session_gc_api_requests_total", {"verb", "resource", "code"}),
    ],
)
def test_it_shows(what: str, metric: str, labels: set[str]) -> None:
    assert any(metric in promql.names(query) and promql.results(query) == labels for _, query, _ in queries()), what


def test_the_config_map_has_the_file_as_it_is() -> None:
    made = charts.only(charts.render(charts.nested("dashboard.enabled", True)), "ConfigMap")
    assert made["data"] == {"ssh-session-gc.json": FILE.read_text()}
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert made["metadata"]["namespace"] == charts.NAMESPACE
    for version in (charts.OLDEST, charts.NEWEST):
        charts.validate(made, version)


def test_the_config_map_where_the_sidecar_looks_elsewhere() -> None:
    values = {"enabled": True, "namespace": "monitoring", "labels": {"grafana_dashboard": None, "board": "yes"}}
    values["annotations"] = {"grafana_folder": "SSH"}
    made = charts.only(charts.render({"dashboard": values}), "ConfigMap")["metadata"]
    assert made["namespace"] == "monitoring"
    assert made["annotations"] == {"grafana_folder": "SSH"}
    assert made["labels"]["board"] == "yes"
    assert "grafana_dashboard" not in made["labels"]


def test_there_is_none_unless_asked_for() -> None:
    assert not charts.of_kind(charts.render(), "ConfigMap")
