"""The series that a PromQL query asks for, and whether a program exports them.

Knows how queries are built and the format that Prometheus scrapes. Does not evaluate anything: promtool does.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

Labels = dict[str, str]

TARGET = {"cluster": "c", "namespace": "gc", "job": "ssh-session-gc", "instance": "10.0.0.1:8080"}
"""The labels that Prometheus and the Prometheus Operator add to every series that they scrape."""
COUNTING = {"increase", "irate", "rate"}
"""Functions that make sense for counters only."""


class Exported(NamedTuple):
    """One exported series."""

    name: str
    labels: Labels
    kind: str
    """counter, gauge, histogram or info."""


def exported(scraped: str) -> list[Exported]:
    """The series of a scrape, each with the labels of its target."""
    return [
        Exported(sample.name, TARGET | sample.labels, family.type)
        for family in text_string_to_metric_families(scraped)
        for sample in family.samples
    ]


def faults(query: str, there: Iterable[Exported]) -> list[str]:
    """The faults of a query that the exported series reveal."""
    return list(_faults(promql.parse(query), list(there)))


def names(query: str) -> set[str]:
    """The metrics that a query asks for."""
    return {selector.name or "" for selector in _selectors(promql.parse(query))}


def normal(query: str) -> str:
    """The query in one form, without its comments."""
    return str(promql.parse(query).prettify())


def results(query: str) -> set[str]:
    """The labels that the result of an aggregation has."""
    return set(_results(promql.parse(query)))


def _faults(expr: promql.Expr, there: list[Exported]) -> Iterator[str]:
    missing = [selector for selector in _selectors(expr) if not _chosen(selector, there)]
    if missing:
        yield from (f"there is no {selector}" for selector in missing)
        return  # their labels are unknown
    for node in _nodes(expr):
        wanted: list[str] = []
        if isinstance(node, promql.AggregateExpr) and node.modifier:
            wanted = node.modifier.labels
        elif isinstance(node, promql.BinaryExpr) and node.modifier and node.modifier.matching:
            wanted = node.modifier.matching.labels
        known = {label for each in _selectors(node) for series in _chosen(each, there) for label in series.labels}
        for label in wanted:
            if label not in known:
                yield f"nothing in `{node}` has a label {label}"
        if isinstance(node, promql.Call) and node.func.name in COUNTING:
            for each in _selectors(node):
                if any(series.kind not in ("counter", "histogram") for series in _chosen(each, there)):
                    yield f"{node.func.name} of {each}, which is no counter"


def _chosen(selector: promql.VectorSelector, there: list[Exported]) -> list[Exported]:
    matchers = selector.matchers.matchers
    return [
        series
        for series in there
        if series.name == selector.name and all(_fits(m, series.labels.get(m.name, "")) for m in matchers)
    ]


def _fits(matcher: promql.Matcher, value: str) -> bool:
    if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
        same = matcher.value == value
    else:
        same = re.fullmatch(matcher.value, value) is not None
    return same == (matcher.op in (promql.MatchOp.Equal, promql.MatchOp.Re))


def _nodes(expr: promql.Expr) -> list[promql.Expr]:
    found: list[promql.Expr] = []
    promql.walk(expr, found.append)
    return found


def _selectors(expr: promql.Expr) -> list[promql.VectorSelector]:
    # A range selector is one node, which holds the selector that it ranges over.
    nodes = ((n.vector_selector if isinstance(n, promql.MatrixSelector) else n) for n in _nodes(expr))
    unique = {str(node): node for node in nodes if isinstance(node, promql.VectorSelector)}
    return list(unique.values())


def _results(expr: promql.Expr) -> list[str]:
    match expr:
        case promql.AggregateExpr(modifier=modifier):
            return modifier.labels if modifier else []
        case promql.BinaryExpr(lhs=lhs, rhs=rhs):
            return _results(rhs if isinstance(lhs, promql.Call | promql.NumberLiteral) else lhs)
        case promql.ParenExpr(expr=inner):
            return _results(inner)
        case promql.Call(args=args):
            return [label for each in args for label in _results(each)]
    return []
