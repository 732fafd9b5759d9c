"""Writes the Grafana dashboard, ``chart/files/dashboard.json``.

Run it with ``python docs/dashboard.py`` after a change here; a test holds the file to it. Every query is filtered by
the job that the reader chooses. Several replicas report the same cluster, so the greatest value of a gauge in one job
counts, and counters are added up.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)

PATH = Path(__file__).parents[1] / "chart/files/dashboard.json"
DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24
"""Columns of Grafana's grid."""
INSTALLATION = "cluster, namespace, job"
"""The labels that all replicas of one installation share."""

RED, ORANGE, YELLOW, GREEN, BLUE, GREY = "red", "orange", "yellow", "green", "blue", "#8e8e8e"


def main() -> None:
    """Writes the file."""
    PATH.write_text(rendered())


def rendered() -> str:
    """The dashboard as JSON."""
    return json.dumps(built(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def built() -> model.Dashboard:
    """The whole dashboard."""
    board = (
        dashboard.Dashboard("ssh-session-gc")
        .uid("ssh-session-gc")
        .description("SSH session Pods, who owns them, and what is collected")
        .tags(["containerssh", "kubernetes", "ssh-session-gc"])
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("job")
            .label("Job")
            .datasource(DATASOURCE)
            .query("label_values(ssh_session_gc_build_info, job)")
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(model.VariableOption(text="All", value="$__all"))
        )
        .with_variable(
            dashboard.TextBoxVariable("sessions_namespace").label("Session namespace").default_value("ssh-sessions")
        )
        .annotation(
            dashboard.AnnotationQuery()
            .name("Alerts")
            .datasource(DATASOURCE)
            .enable(True)
            .icon_color(RED)
            .expr('ALERTS{alertname=~"SshSessionGc.+", alertstate="firing"}')
        )
    )
    for number, panel in enumerate(panels(), 1):
        panel.id(number)
        if isinstance(panel, dashboard.Row):
            board.with_row(panel)
        else:
            board.with_panel(panel)
    return board.build()


def panels() -> Iterator[dashboard.Row | stat.Panel | timeseries.Panel]:
    """The panels, row by row."""
    yield number("Sessions", f"sum({highest('sessions')})", "Session Pods that are there, in whatever state", (BLUE,))
    yield number(
        "Orphans",
        f"sum({highest('orphans')})",
        "Sessions that are due and still there. In a dry run they stay.",
        (GREEN, (1, RED)),
    )
    yield number(
        "Longest past due",
        f"max({selected('orphan_oldest_seconds')})",
        "For how long the oldest orphan should have been gone",
        (GREEN, (30, ORANGE), (120, RED)),
        unit="s",
    )
    yield number(
        "Stuck",
        f"sum({highest('sessions', state='stuck')})",
        "Deleted sessions that are still there a minute after the end of their grace",
        (GREEN, (1, ORANGE)),
    )
    yield number(
        "Owners running",
        f"sum({highest('owners', state='Running')})",
        "ContainerSSH processes that run and take sessions",
        (RED, (1, GREEN)),
    )
    yield number(
        "Owners",
        f"min({highest('owner_known')})",
        "Whether anything is known of ContainerSSH. While there is not, nobody is collected as Ownerless.",
        (ORANGE, (1, GREEN)),
        words=("unknown", "known"),
    )
    yield number(
        "Leader",
        f"min(sum by ({INSTALLATION}) ({selected('leader')}))",
        "Whether one of the collectors is the one that deletes",
        (RED, (1, GREEN)),
        words=("none", "one"),
    )
    yield number(
        "Dry run",
        f"max({selected('dry_run')})",
        "Whether it only says what it would delete",
        (GREEN, (1, ORANGE)),
        words=("off", "on"),
    )

    yield dashboard.Row("Sessions")
    yield graph(
        "Sessions by state",
        {"{{state}}": f"sum by (state) ({highest('sessions', 'state')})"},
        "Each session is in one state. Owned: nothing but its age will end it. Waiting: on its way out.",
        stacked=True,
        colours={
            "owned": GREEN,
            "waiting": YELLOW,
            "exempt": BLUE,
            "terminating": GREY,
            "stuck": RED,
            "unreadable": ORANGE,
        },
    )
    yield graph(
        "Orphans by reason",
        {"{{reason}}": f"sum by (reason) ({highest('orphans', 'reason')})"},
        "Sessions that are due and still there",
        stacked=True,
    )
    yield graph(
        "Longest past due, by reason",
        {"{{reason}}": f"max by (reason) ({selected('orphan_oldest_seconds')})"},
        "For how long the oldest orphan should have been gone",
        unit="s",
    )
    yield graph(
        "Age of the oldest session",
        {"oldest": f"max({selected('oldest_session_age_seconds')})"},
        "Exempt sessions count, too",
        unit="s",
    )

    yield dashboard.Row("Deletions")
    yield graph(
        "Deletions by reason",
        {"{{reason}}": f"sum by (reason) ({increase('deletions_total', outcome='deleted')})"},
        "Sessions whose deletion the API server has accepted",
        bars=True,
    )
    yield graph(
        "What became of deletions",
        {"{{outcome}}": f"sum by (outcome) ({increase('deletions_total')})"},
        "Gone: it ended by itself meanwhile. Changed: it is judged again. Forbidden and error are tried again.",
        bars=True,
        colours={
            "deleted": GREEN,
            "gone": BLUE,
            "changed": YELLOW,
            "dry_run": GREY,
            "forbidden": RED,
            "error": ORANGE,
        },
    )
    lag = f"sum by (le) ({increase('deletion_lag_seconds_bucket')})"
    yield graph(
        "Lag",
        {f"{share}%": f"histogram_quantile({share / 100:g}, {lag})" for share in (50, 90, 99)},
        "From the moment a session is due until the API server has accepted its deletion",
        unit="s",
    )
    yield graph(
        "What was odd",
        {
            "annotation ignored": f"sum({increase('invalid_annotations_total')})",
            "{{between}} contradict": f"sum by (between) ({increase('contradictions_total')})",
        },
        "Annotations that could not be read, and facts that exclude each other; the log has the names",
        bars=True,
    )

    yield dashboard.Row("Owners")
    yield graph(
        "Owners by state",
        {"{{state}}": f"sum by (state) ({highest('owners', 'state')})"},
        "Runs of the ContainerSSH container. Unreachable: its node is cut off, so that it counts as alive.",
        stacked=True,
        colours={"Running": GREEN, "Starting": YELLOW, "Unreachable": ORANGE, "Ended": GREY},
        width=WIDTH // 3,
    )
    yield graph(
        "Sessions by connection",
        {"{{state}}": f"sum by (state) ({highest('connections', 'state')})"},
        "As ContainerSSH's log has it. Ended: with its owner, too. Unknown: the log does not say, or is not read.",
        stacked=True,
        colours={"open": GREEN, "ended": YELLOW, "unknown": GREY},
        width=WIDTH // 3,
    )
    yield graph(
        "Sessions and SSH connections",
        {
            "sessions that pass for owned": f"sum({highest('sessions', state='owned')})",
            "ContainerSSH's connections": "sum(containerssh_ssh_current_connections)",
        },
        "The connections come from ContainerSSH, whose metrics are off by default",
        width=WIDTH // 3,
    )

    yield dashboard.Row("API server")
    refused = increase("api_requests_total", code="!2..")
    yield graph(
        "API errors",
        {
            "{{verb}} {{resource}}: {{code}}": f"sum by (verb, resource, code) ({refused})",
        },
        "404 and 409 to a delete are no trouble: it is gone, or it is judged again. 'error' is no answer at all.",
        bars=True,
    )
    yield graph(
        "API requests",
        {"{{verb}} {{resource}}": f"sum by (verb, resource) ({rate('api_requests_total')})"},
        "All of them, by second",
        unit="reqps",
    )
    durations = rate("api_request_duration_seconds_bucket")
    yield graph(
        "Time to an answer, 99%",
        {"{{verb}} {{resource}}": (f"histogram_quantile(0.99, sum by (verb, resource, le) ({durations}))")},
        "To the answer's header",
        unit="s",
    )
    yield graph(
        "Streams in step",
        {"{{stream}}": f"min by (stream) ({highest('synced', 'stream')})"},
        "1 while the stream is in step. One that this configuration does not need is always 0.",
    )
    yield graph(
        "Streams taken up again",
        {"{{stream}}: {{cause}}": f"sum by (stream, cause) ({increase('stream_restarts_total')})"},
        "Closed is the ordinary end, every few minutes",
        bars=True,
    )
    yield graph(
        "Silence of the streams",
        {"{{stream}}": f"time() - min by (stream) ({highest('last_event_timestamp_seconds', 'stream')})"},
        "Since the last event. The API server sends a bookmark about once a minute.",
        unit="s",
    )
    yield graph(
        "Certain of the time",
        {"certain": f"min({selected('server_time_certain')})"},
        "1 while all collectors are certain what time it is on the API server. One that is not deletes nothing.",
    )
    yield graph(
        "Answers with another time",
        {"contradictions": f"sum({increase('server_time_contradictions_total')})"},
        "Answers whose time contradicts that of those before: the API servers' clocks are apart, or were set",
        bars=True,
    )

    yield dashboard.Row("Quota")
    used, hard = (
        f'kube_resourcequota{{namespace="$sessions_namespace", type="{each}"}}' for each in ("used", "hard")
    )
    labels = "cluster, namespace, resourcequota, resource"
    yield graph(
        "Quota in use",
        {
            "{{resourcequota}}: {{resource}}": (
                f"max by ({labels}) ({used}) / on ({labels}) max by ({labels}) ({hard} > 0)"
            )
        },
        "Of the session namespace, by kube-state-metrics",
        unit="percentunit",
        width=WIDTH,
    )


def selected(metric: str, **labels: str) -> str:
    """Selects series of one of our metrics; a value that begins with "!" is a pattern that must not match."""
    matchers = ['job=~"$job"']
    for name, value in labels.items():
        matchers.append(f'{name}!~"{value[1:]}"' if value.startswith("!") else f'{name}="{value}"')
    return f"ssh_session_gc_{metric}{{{', '.join(matchers)}}}"


def highest(metric: str, label: str = "", **labels: str) -> str:
    """A gauge about the cluster, once for all replicas of an installation."""
    # Without a label to keep, the gauge's own is kept, or a sum would miss series.
    keep = label or {"sessions": "state", "orphans": "reason", "owners": "state"}.get(metric, "")
    by = f"{INSTALLATION}, {keep}" if keep else INSTALLATION
    return f"max by ({by}) ({selected(metric, **labels)})"


def increase(metric: str, **labels: str) -> str:
    """The growth of a counter in each step."""
    return f"increase({selected(metric, **labels)}[$__rate_interval])"


def rate(metric: str, **labels: str) -> str:
    """The growth of a counter a second."""
    return f"rate({selected(metric, **labels)}[$__rate_interval])"


def query(expr: str, legend: str, ref: str) -> prometheus.Dataquery:
    """One query of a panel."""
    return prometheus.Dataquery().datasource(DATASOURCE).expr(expr).legend_format(legend).ref_id(ref)


def number(
    title: str,
    expr: str,
    text: str,
    colours: tuple[str | tuple[float, str], ...],
    *,
    unit: str = "short",
    words: tuple[str, str] | None = None,
) -> stat.Panel:
    """A panel with a number, or with a word for 0 and one for more, coloured by the value."""
    pairs = ((None, each) if isinstance(each, str) else each for each in colours)
    steps = [model.Threshold(value=value, color=colour) for value, colour in pairs]
    panel = (
        stat.Panel()
        .title(title)
        .description(text)
        .datasource(DATASOURCE)
        .with_target(query(expr, title, "A").instant())
        .unit(unit)
        .height(4)
        .span(3)
        .thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("no data")
    )
    if words:
        bottom, top = (model.ValueMappingResult(text=word, index=index) for index, word in enumerate(words))
        panel.mappings(
            [
                model.RangeMap(options=model.DashboardRangeMapOptions(from_val=0, to=0, result=bottom)),
                model.RangeMap(options=model.DashboardRangeMapOptions(from_val=1, to=1000, result=top)),
            ]
        )
    return panel


def graph(
    title: str,
    queries: dict[str, str],
    text: str,
    *,
    unit: str = "short",
    stacked: bool = False,
    bars: bool = False,
    colours: dict[str, str] | None = None,
    width: int = WIDTH // 2,
) -> timeseries.Panel:
    """A panel with lines, with stacked areas, or with stacked bars."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(text)
        .datasource(DATASOURCE)
        .unit(unit)
        .min(0)
        .height(8)
        .span(width)
        .line_width(1)
        .fill_opacity(60 if bars else 25 if stacked else 0)
        .draw_style(GraphDrawStyle.BARS if bars else GraphDrawStyle.LINE)
        .show_points(VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if stacked or bars:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for ref, (legend, expr) in enumerate(queries.items()):
        panel.with_target(query(expr, legend, chr(ord("A") + ref)).range())
    for name, colour in (colours or {}).items():
        value = {"mode": "fixed", "fixedColor": colour}
        panel.override_by_name(name, [model.DynamicConfigValue(id_val="color", value=value)])
    return panel


if __name__ == "__main__":
    main()
