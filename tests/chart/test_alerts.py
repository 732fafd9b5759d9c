"""The alerts: their rules, their runbooks, the PrometheusRule with them, and a real Prometheus that fires them."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from ssh_session_gc.cli.program import cli
from ssh_session_gc.core.policy import Policy
from ssh_session_gc.sandbox import Fault, World
from tests import debian
from tests.chart import charts, promql
from tests.chart.exports import OTHERS, PROMETHEUS, everything, scrape
from tests.cli.processes import DaemonProcess, process
from tests.harness import running
from tests.support import PATIENCE, eventually

FILE = charts.CHART / "files/alerts.yaml"
RUNBOOKS = charts.CHART.parent / "docs/runbooks.md"
EXAMPLES = Path(__file__).parents[1] / "data/alerts"

Rule = dict[str, Any]


def groups() -> list[dict[str, Any]]:
    return list(yaml.safe_load(FILE.read_text())["groups"])


def rules() -> dict[str, Rule]:
    """The alerts of the file, by name."""
    every = [rule for group in groups() for rule in group["rules"]]
    assert len({rule["alert"] for rule in every}) == len(every)
    return {rule["alert"]: rule for rule in every}


ALERTS = list(rules())


def promtool(*args: str | Path) -> tuple[int, str]:
    """Runs promtool. Returns its exit status and its output."""
    ran = subprocess.run([debian.promtool(), *args], capture_output=True, text=True)
    return ran.returncode, ran.stdout + ran.stderr


# The rules by themselves


def test_prometheus_can_read_the_file() -> None:
    status, said = promtool("check", "rules", "--lint=all", "--lint-fatal", FILE)
    assert status == 0, said
    assert f"{len(ALERTS)} rules found" in said


@pytest.mark.parametrize("alert", ALERTS)
def test_it_fires_when_it_should_and_only_then(alert: str) -> None:
    status, said = promtool("test", "rules", EXAMPLES / f"{alert}.yaml")
    assert status == 0, said


@pytest.mark.parametrize("alert", ALERTS)
def test_its_examples_show_both(alert: str) -> None:
    examples = yaml.safe_load((EXAMPLES / f"{alert}.yaml").read_text())
    tests = [test for example in examples["tests"] for test in example["alert_rule_test"]]
    assert {test["alertname"] for test in tests} == {alert}
    assert {bool(test["exp_alerts"]) for test in tests} == {True, False}
    # In one example the alert must never fire.
    assert any(not any(t["exp_alerts"] for t in example["alert_rule_test"]) for example in examples["tests"])


NEVER, ALWAYS = "vector(1) > 1", "vector(1)"


@pytest.mark.parametrize("alert", ALERTS)
@pytest.mark.parametrize(
    "change",
    [{"expr": NEVER}, {"expr": ALWAYS}, {"for": "0s"}, {"for": "2d"}, {"labels": {"severity": "none"}}],
    ids=["never", "always", "at once", "too late", "of another severity"],
)
def test_its_examples_can_fail(tmp_path: Path, alert: str, change: Rule) -> None:
    examples = yaml.safe_load((EXAMPLES / f"{alert}.yaml").read_text())
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": changed(alert, **change)}))
    (tmp_path / "examples.yaml").write_text(yaml.safe_dump(examples | {"rule_files": ["rules.yaml"]}))
    status, said = promtool("test", "rules", tmp_path / "examples.yaml")
    assert status == 1, said
    assert "FAILED" in said


def changed(alert: str, **change: object) -> list[dict[str, Any]]:
    """The groups of the file, with one alert changed."""
    made = groups()
    for group in made:
        group["rules"] = [rule | change if rule["alert"] == alert else rule for rule in group["rules"]]
    return made


def test_there_are_examples_of_these_alerts_and_no_others() -> None:
    assert {path.stem for path in EXAMPLES.glob("*")} == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_it_says_what_a_reader_needs(alert: str) -> None:
    rule = rules()[alert]
    assert re.fullmatch(r"SshSessionGc([A-Z][a-z]+)+", alert)
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    # A summary is the same for all alerts that fire at once; descriptions may differ.
    assert "{{" not in rule["annotations"]["summary"]
    assert len(rule["annotations"]["summary"]) < 80


async def test_every_rule_asks_for_what_is_exported(tmp_path: Path) -> None:
    there = [*await everything(tmp_path), *OTHERS, *PROMETHEUS]
    wrong = {alert: found for alert, rule in rules().items() if (found := promql.faults(rule["expr"], there))}
    assert wrong == {}


async def test_a_query_for_what_is_not_exported_is_found(tmp_path: Path) -> None:
    there = await everything(tmp_path)
    for query, fault in {
        "ssh_session_gc_session": "there is no ssh_session_gc_session",
        'ssh_session_gc_sessions{state="gone"}': 'there is no ssh_session_gc_sessions{state="gone"}',
        'ssh_session_gc_leader{reason="OverAge"}': 'there is no ssh_session_gc_leader{reason="OverAge"}',
        "sum by (reason) (ssh_session_gc_sessions)": "has a label reason",
        "ssh_session_gc_leader and on (state) ssh_session_gc_dry_run": "has a label state",
        "rate(ssh_session_gc_sessions[5m])": "which is no counter",
    }.items():
        [found] = promql.faults(query, there)
        assert fault in found


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, {"session-pods", "owner-workload", "owner-pods", "owner-logs"}),
        ({"owner": None, "owner_selector": "app=containerssh"}, {"session-pods", "owner-pods", "owner-logs"}),
        ({"owner": None, "policy": Policy(ownerless=False)}, {"session-pods"}),
    ],
    ids=["workload", "selector", "none"],
)
async def test_a_stream_that_is_not_needed_never_says_anything(
    tmp_path: Path, settings: dict[str, Any], needed: set[str]
) -> None:
    # Two alerts tell by this series that there is nothing to alert on.
    async with World() as world:
        world.deploy()
        await world.ready()
        async with running(world.url, tmp_path, **settings) as gc:
            await gc.synced()
            there = await scrape(gc)
    streams = {"synced": set[str](), "last_event_timestamp_seconds": set(), "stream_restarts_total": set()}
    for series in there:
        name = series.name.removeprefix("ssh_session_gc_")
        if name in streams:
            streams[name].add(series.labels["stream"])
    assert streams["synced"] == needed
    assert streams["last_event_timestamp_seconds"] | streams["stream_restarts_total"] == needed


# Their runbooks


def sections() -> dict[str, str]:
    """The sections of the runbooks by their titles."""
    parts = re.split(r"^## (.+)$", RUNBOOKS.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def anchor(title: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    assert set(sections()) == set(ALERTS)
    anchors = {anchor(title): title for title in sections()}
    for alert, rule in rules().items():
        address, _, at = rule["annotations"]["runbook_url"].partition("#")
        assert charts.CHART.parent / address == RUNBOOKS
        assert anchors[at] == alert


@pytest.mark.parametrize("alert", ALERTS)
def test_its_section_says_what_it_means_how_to_see_it_and_what_to_do(alert: str) -> None:
    text = sections()[alert]
    parts = re.findall(r"^\*\*(\w+)\.\*\*", text, flags=re.MULTILINE)
    assert parts == ["Means", "Confirm", "Do"]


def test_links_within_the_runbooks_lead_somewhere() -> None:
    links = re.findall(r"\]\(#([^)]+)\)", RUNBOOKS.read_text())
    assert links
    assert set(links) <= {anchor(title) for title in sections()}


def test_the_commands_in_the_runbooks_are_understood() -> None:
    text = RUNBOOKS.read_text()
    lines = re.findall(r"-- ssh-session-gc (.*?)(?: +#.*)?$", text, flags=re.MULTILINE)
    assert {line.split()[0] for line in lines} == {"plan", "explain", "check"}
    for line in set(lines):
        name, *args = line.split()
        # A Pod's name has small letters.
        cli.commands[name].make_context(name, [arg.lower() if arg == "POD" else arg for arg in args])


def test_the_values_in_the_runbooks_are_there() -> None:
    text, defaults = RUNBOOKS.read_text(), charts.defaults()
    thresholds = {f"thresholds.{name}" for name in defaults["prometheusRule"]["thresholds"]}
    named = set(re.findall(r"`((?:config|thresholds|prometheusRule|networkPolicy|rbac|podMonitor)\.[\w.]+)", text))
    assert named
    for path in named - thresholds:
        value: Any = defaults
        for key in path.split("."):
            assert key in value, path
            value = value[key]


# The PrometheusRule


def rendered(values: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Renders the PrometheusRule with these values of its section, and these others."""
    section = {"prometheusRule": {"enabled": True, **(values or {})}}
    return charts.only(charts.render(charts.merged(section, options)), "PrometheusRule")


def alerts(made: dict[str, Any]) -> dict[str, Rule]:
    return {rule["alert"]: rule for group in made["spec"]["groups"] for rule in group["rules"]}


def test_the_object_has_the_rules_of_the_file() -> None:
    made = rendered()
    assert made["spec"]["groups"] == groups()
    assert made["apiVersion"] == "monitoring.coreos.com/v1"
    assert made["metadata"]["namespace"] == charts.NAMESPACE


def test_there_is_none_unless_asked_for() -> None:
    assert not charts.of_kind(charts.render(), "PrometheusRule")


def test_labels_by_which_a_prometheus_selects_it() -> None:
    made = rendered({"labels": {"release": "monitoring"}, "annotations": {"team": "ssh"}})["metadata"]
    assert made["labels"]["release"] == "monitoring"
    assert made["annotations"] == {"team": "ssh"}


def test_the_runbooks_may_be_elsewhere() -> None:
    there = alerts(rendered({"runbookUrl": "https://wiki.example.org/ssh"}))
    for alert, rule in rules().items():
        at = rule["annotations"]["runbook_url"].partition("#")[2]
        assert there[alert]["annotations"]["runbook_url"] == f"https://wiki.example.org/ssh#{at}"


def test_alerts_that_are_not_wanted_are_left_out() -> None:
    there = alerts(rendered({"disabled": ["SshSessionGcDown", "SshSessionGcDryRunLeftOn"]}))
    assert list(there) == [alert for alert in ALERTS if alert not in ("SshSessionGcDown", "SshSessionGcDryRunLeftOn")]
    assert all(there[alert] == rules()[alert] for alert in there)


def test_severities_of_ones_own() -> None:
    there = alerts(rendered({"severity": {"SshSessionGcDown": "page"}}))
    assert there["SshSessionGcDown"]["labels"] == {"severity": "page"}
    assert all(there[alert] == rules()[alert] for alert in ALERTS if alert != "SshSessionGcDown")


@pytest.mark.parametrize(
    ("name", "number", "alert", "of_file", "instead"),
    [
        ("orphanSeconds", 900, "SshSessionGcOrphansRemain", "> 120 #", "> 900 #"),
        ("sessionSeconds", 1209600, "SshSessionGcSessionTooOld", "> 86400 #", "> 1209600 #"),
        ("quotaRatio", 0.75, "SshSessionGcQuotaNearlyUsed", "> 0.9 #", "> 0.75 #"),
        ("sessionsWithoutConnection", 3, "SshSessionGcSessionsWithoutConnection", "> 0 #", "> 3 #"),
    ],
)
def test_a_threshold_of_ones_own(name: str, number: float, alert: str, of_file: str, instead: str) -> None:
    there = alerts(rendered({"thresholds": {name: number}}))
    assert of_file in rules()[alert]["expr"]
    assert promql.normal(there[alert]["expr"]) == promql.normal(rules()[alert]["expr"].replace(of_file, instead))
    assert all(there[other] == rules()[other] for other in ALERTS if other != alert)


def test_every_threshold_is_somewhere_and_every_number_that_says_so_is_one() -> None:
    marked = re.findall(r"[0-9.]+ # thresholds\.(\w+)$", FILE.read_text(), flags=re.MULTILINE)
    assert sorted(marked) == sorted(charts.defaults()["prometheusRule"]["thresholds"])
    assert FILE.read_text().count("thresholds.") == len(marked)


@pytest.mark.parametrize(
    ("max_age", "max_ttl", "seconds"),
    [("1h", "24h", 86400), ("36h", "24h", 129600), ("30m", "1h30m", 5400), ("1.5h", "20m", 5400)],
)
def test_the_greatest_age_follows_from_the_options(max_age: str, max_ttl: str, seconds: int) -> None:
    there = alerts(rendered(config={"maxAge": max_age, "maxTtl": max_ttl}))
    assert f"> {seconds} #" in there["SshSessionGcSessionTooOld"]["expr"]


@pytest.mark.parametrize("zero", ["0", "0s", 0])
def test_where_sessions_may_grow_as_old_as_they_like(zero: object) -> None:
    assert "SshSessionGcSessionTooOld" not in alerts(rendered(config={"maxAge": zero}))
    kept = alerts(rendered({"thresholds": {"sessionSeconds": 600}}, config={"maxAge": zero}))
    assert "> 600 #" in kept["SshSessionGcSessionTooOld"]["expr"]


def test_the_quota_is_that_of_the_session_namespace() -> None:
    there = alerts(rendered(config={"sessionNamespace": "shells"}))["SshSessionGcQuotaNearlyUsed"]["expr"]
    assert there == rules()["SshSessionGcQuotaNearlyUsed"]["expr"].replace('"ssh-sessions"', '"shells"')
    assert "ssh-sessions" not in there


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"disabled": ["SshSessionGcDwon"]}, "prometheusRule/disabled/0"),
        (
            {"severity": {"SshSessionGcDwon": "info"}},
            "prometheusRule/severity': additional properties 'SshSessionGcDwon'",
        ),
        ({"severity": {"SshSessionGcDown": ""}}, "prometheusRule/severity/SshSessionGcDown"),
        ({"thresholds": {"orphans": 1}}, "prometheusRule/thresholds': additional properties 'orphans'"),
        ({"thresholds": {"quotaRatio": 90}}, "prometheusRule/thresholds/quotaRatio"),
        ({"thresholds": {"orphanSeconds": "2m"}}, "prometheusRule/thresholds/orphanSeconds"),
        ({"runbookUrl": "https://example.org/runbooks#"}, "prometheusRule/runbookUrl"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], says: str) -> None:
    assert says in charts.refusal({"prometheusRule": values})


def test_the_schema_knows_the_alerts_of_the_file() -> None:
    schema = json.loads((charts.CHART / "values.schema.json").read_text())
    assert schema["definitions"]["alert"]["enum"] == ALERTS
    assert list(schema["properties"]["prometheusRule"]["properties"]["severity"]["properties"]) == ALERTS


# Scraped for real


class Prometheus:
    """A client of a running Prometheus."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http, self._url = http, url

    async def query(self, query: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        async with self._http.get(f"{self._url}/api/v1/query", params={"query": query}) as answer:
            body = await answer.json()
        assert body["status"] == "success", body
        return list(body["data"]["result"])

    async def states(self, alert: str) -> set[str]:
        """The alert's states now, for any labels: pending, firing, or none at all."""
        async with self._http.get(f"{self._url}/api/v1/alerts") as answer:
            body = await answer.json()
        return {each["state"] for each in body["data"]["alerts"] if each["labels"]["alertname"] == alert}

    async def becomes(self, alert: str, *states: str) -> None:
        """Returns when the alert is in these states."""
        await until(lambda: self.states(alert), lambda now: now == set(states), f"{alert} {states or 'resolved'}")

    async def has(self, query: str) -> None:
        """Returns when the query has a result."""
        await until(lambda: self.query(query), bool, query)

    async def was(self, alert: str, state: str) -> bool:
        """Whether the alert was ever in this state, which Prometheus records at each evaluation."""
        return bool(await self.query(f'last_over_time(ALERTS{{alertname="{alert}", alertstate="{state}"}}[1h])'))


async def until(ask: Callable[[], Any], fits: Callable[[Any], bool], what: str) -> None:
    """Polls until the answer is right, as another program's state cannot be waited for."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while not fits(now := await ask()):
        assert loop.time() < end, f"never happened: {what}; in the end it was {now}"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def prometheus(tmp_path: Path, target: str) -> AsyncIterator[Prometheus]:
    """Runs Prometheus with the chart's alerts, their times shortened; it scrapes one collector."""
    made = rendered({"thresholds": {"orphanSeconds": 1}})["spec"]
    for rule in alerts({"spec": made}).values():
        rule["for"] = "2s"
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(made))
    scraped = {"job_name": "ssh-session-gc", "static_configs": [{"targets": [target]}]}
    config = {
        "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [scraped],
    }
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    log = tmp_path / "prometheus.log"
    with log.open("wb") as err:
        running = await asyncio.create_subprocess_exec(
            debian.prometheus(),
            f"--config.file={tmp_path / 'prometheus.yaml'}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            "--web.listen-address=127.0.0.1:0",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=err,
        )
    try:
        await eventually(
            lambda: running.returncode is not None or "Server is ready to receive" in log.read_text(),
            "Prometheus is ready",
        )
        listens = re.search(r'msg="Listening on" address=(\S+)', log.read_text())
        assert listens, log.read_text()
        async with aiohttp.ClientSession() as http:
            yield Prometheus(http, f"http://{listens[1]}")
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def address(gc: DaemonProcess) -> str:
    """The address at which the collector is scraped."""
    await eventually(lambda: "started" in gc.events(), "the collector has started")
    [line] = [line for line in gc.lines() if line["event"] == "started"]
    return str(line["listen"])


async def test_orphans_that_remain_are_pending_then_firing_then_resolved(tmp_path: Path) -> None:
    alert = "SshSessionGcOrphansRemain"
    async with World() as world:
        world.deploy()
        await world.ready()
        kubeconfig = str(world.kubeconfig(tmp_path / "kubeconfig"))
        args = ("--kubeconfig", kubeconfig, "--max-age", "1s", "--deletion-grace", "1s")
        async with process(tmp_path, *args) as gc, prometheus(tmp_path, await address(gc)) as prom:
            await prom.has('ssh_session_gc_synced{stream="session-pods"} == 1')
            assert await prom.states(alert) == set()
            refusing = world.faults.add(Fault("status", verb="delete", resource="pods"))
            alice = world.open("alice")
            await prom.becomes(alert, "firing")
            assert await prom.was(alert, "pending")
            [firing] = await prom.query(f'ALERTS{{alertname="{alert}", alertstate="firing"}}')
            assert (
                firing["metric"] | {"reason": "OverAge", "severity": "critical", "job": "ssh-session-gc"}
                == (firing["metric"])
            )
            # The failure is over, and the next attempt succeeds.
            world.faults.lift(refusing)
            await eventually(lambda: alice.gone, "alice's session is collected")
            await prom.becomes(alert)


async def test_a_collector_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    alert = "SshSessionGcDown"
    async with World() as world:
        world.deploy()
        await world.ready()
        args = ("--kubeconfig", str(world.kubeconfig(tmp_path / "kubeconfig")))
        async with process(tmp_path, *args) as first:
            listen = await address(first)
            async with prometheus(tmp_path, listen) as prom:
                await prom.has('ssh_session_gc_synced{stream="session-pods"} == 1')
                await prom.becomes(alert)
                first.kill()
                await prom.becomes(alert, "firing")
                assert await prom.was(alert, "pending")
                async with process(tmp_path, *args, "--listen", listen):
                    await prom.becomes(alert)
