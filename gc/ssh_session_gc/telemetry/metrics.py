"""The metrics of the contract, in a registry of their own.

Every label value comes from a fixed set of ours, so that nothing that a Pod says can add a time series. Gauges about
sessions and owners are counted at each scrape, from a survey, so that they cannot drift from the truth.
"""

import asyncio
import platform
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ssh_session_gc import __version__
from ssh_session_gc.core.contradictions import Contradiction
from ssh_session_gc.core.model import ConnectionState, OwnerState, Reason, SessionState
from ssh_session_gc.core.survey import Survey

PREFIX = "ssh_session_gc"


class Stream(StrEnum):
    """The streams that are watched."""

    SESSIONS = "session-pods"
    WORKLOAD = "owner-workload"
    OWNER_PODS = "owner-pods"
    OWNER_LOGS = "owner-logs"
    OWNER_METRICS = "owner-metrics"


class Outcome(StrEnum):
    """How a deletion came out."""

    DELETED = "deleted"
    GONE = "gone"
    """The session was not there any more."""
    CHANGED = "changed"
    """The session is not what was judged any more, and is judged again."""
    DRY_RUN = "dry_run"
    FORBIDDEN = "forbidden"
    ERROR = "error"


class Metrics:
    """All metrics of one process. Implements the API client's Observer."""

    def __init__(self, *, dry_run: bool) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{PREFIX}_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"{PREFIX}_{name}", text, labels, registry=registry)

        self.deletions = counter("deletions_total", "Deletions by reason and outcome", "reason", "outcome")
        self.deletion_lag = Histogram(
            f"{PREFIX}_deletion_lag_seconds",
            "From the moment a session is due to the API server's acceptance of its deletion",
            ["reason"],
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            registry=registry,
        )
        self._synced = gauge("synced", "Whether the stream is in step with the API server", "stream")
        self._last_event = gauge(
            "last_event_timestamp_seconds", "When the stream last brought anything, bookmarks included", "stream"
        )
        self._restarts = counter(
            "stream_restarts_total", "Times that the stream was taken up again", "stream", "cause"
        )
        self._requests = counter("api_requests_total", "Requests to the API server", "verb", "resource", "code")
        self._request_duration = Histogram(
            f"{PREFIX}_api_request_duration_seconds",
            "Seconds to the answer's header",
            ["verb", "resource"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=registry,
        )
        self.invalid_annotations = counter(
            "invalid_annotations_total", "Annotations of ours on sessions that could not be read and are ignored"
        )
        self.contradictions = counter(
            "contradictions_total", "Facts about a session that exclude each other; it is favoured", "between"
        )
        self.server_time_certain = gauge(
            "server_time_certain", "Whether it is certain what time it is on the API server; else nothing is deleted"
        )
        self.server_time_contradictions = counter(
            "server_time_contradictions_total", "Answers whose time contradicted that of the answers before"
        )
        self.leader = gauge("leader", "Whether this process is the one that deletes")
        gauge("dry_run", "Whether this process only says what it would delete").set(dry_run)
        Info(f"{PREFIX}_build", "The program's version", registry=registry).info(
            {"version": __version__, "python": platform.python_version()}
        )
        for between in Contradiction:
            self.contradictions.labels(between)
        # rate() does not see the increase with which a series begins, so all begin at 0.
        for reason in Reason:
            self.deletion_lag.labels(reason)
            for outcome in Outcome:
                self.deletions.labels(reason, outcome)
        # Looking up a series takes longer than counting, and these are counted all the time.
        self._request_count = lru_cache(self._requests.labels)
        self._request_seconds = lru_cache(self._request_duration.labels)
        self._last_seen = lru_cache(self._last_event.labels)
        self.heard: dict[Stream, float] = {}
        """When the API server last said anything on each stream, even with an error; on the event loop's clock."""

    def watch(self, survey: Callable[[], Survey]) -> None:
        """Counts the gauges about sessions and owners by this survey, from now on."""
        self.registry.register(_Surveyed(survey))

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Counts a request that was answered with this HTTP status, or failed with ``code`` "error"."""
        self._request_count(verb, resource, code).inc()
        self._request_seconds(verb, resource).observe(seconds)

    def event(self, stream: Stream, at: float) -> None:
        """Notes that something arrived at ``at`` (epoch seconds)."""
        self._last_seen(stream).set(at)
        self._hear(stream)

    def restarted(self, stream: Stream, cause: str) -> None:
        """Counts the end of a list or a watch. The cause "broken" means that there was no answer."""
        self._restarts.labels(stream, cause).inc()
        if cause != "broken":
            self._hear(stream)

    def synced(self, stream: Stream, synced: bool) -> None:
        """Notes whether the stream is in step. A stream that this was never said of has no series."""
        self._synced.labels(stream).set(synced)
        if synced:
            self._hear(stream)

    def _hear(self, stream: Stream) -> None:
        self.heard[stream] = asyncio.get_running_loop().time()


class _Surveyed(Collector):
    def __init__(self, survey: Callable[[], Survey]) -> None:
        self._survey = survey

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Names no metric in advance: registering must not take a survey."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Takes a survey, and yields the gauges."""
        now = self._survey()

        def family(name: str, text: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
            metric = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=[label])
            for key, value in values.items():
                metric.add_metric([key], value)
            return metric

        yield family("sessions", "Sessions by state", "state", {s: now.sessions[s] for s in SessionState})
        yield family(
            "orphans", "Sessions that are due and still there", "reason", {r: now.orphans[r] for r in Reason}
        )
        yield family(
            "orphan_oldest_seconds",
            "How long the longest due of them is past due",
            "reason",
            {r: now.longest_due.get(r, 0.0) for r in Reason},
        )
        yield family(
            "connections",
            "Sessions by what is known of their connection",
            "state",
            {s: now.connections[s] for s in ConnectionState},
        )
        yield family("owners", "Owner incarnations by state", "state", {s: now.owners[s] for s in OwnerState})
        yield GaugeMetricFamily(
            f"{PREFIX}_owner_known",
            "Whether owners are known, so that a session can be Ownerless",
            value=now.owner_known,
        )
        yield GaugeMetricFamily(f"{PREFIX}_oldest_session_age_seconds", "Age of the oldest session", value=now.oldest)
