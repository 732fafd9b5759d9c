"""ContainerSSH's metrics: how many are connected to it, and how many have been.

Knows their names and form, and that anything may answer on that port. Does not know how the text was fetched
(``cluster.owner_gauge``) or what follows from a count (``core.gauge``).

The facts are from its source (``internal/metrics``) and the recordings: a metric has one sample for each country that
anybody connected from, and none before the first connection. It says that it speaks OpenMetrics and names a counter
as OpenMetrics forbids, so prometheus-client's parser for that refuses it; the one for the older text format does not.
"""

import math
import re

from prometheus_client.parser import text_string_to_metric_families

from ssh_session_gc.core.gauge import CURRENT, TOTAL, Count

PATH = "/metrics"
LONGEST_ANSWER = 1 << 20
"""Bytes of an answer. ContainerSSH's own, with every country on earth, has a tenth of that."""
MOST_LINES = 1024
"""Lines about the two metrics: two for each country would be 500."""
_LINE = re.compile(rb"^(?:# TYPE )?(?:%s|%s)[ {].*$" % (CURRENT.encode(), TOTAL.encode()), re.MULTILINE)
_END = b"# EOF\n"


def parse(body: bytes, kind: str) -> Count | None:
    """What an answer counts; None where it is not ContainerSSH's, not whole, or without sense.

    ``kind`` is its Content-Type. Both metrics must be there, though they may be without samples: their absence would
    else be a count of 0.
    """
    if "openmetrics" in kind and not body.endswith(_END):
        return None
    lines = _LINE.findall(body)
    if not body.endswith(b"\n") or len(lines) > MOST_LINES:
        return None
    text = b"\n".join((*lines, b"")).decode(errors="replace")
    types: dict[str, str] = {}
    sums = {CURRENT: 0.0, TOTAL: 0.0}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if not (math.isfinite(sample.value) and sample.value >= 0):
                    return None
                sums[sample.name] += sample.value
            types[family.name] = family.type
    except (ValueError, KeyError, IndexError):  # the parser's, on what is no metric; a sample of another name
        return None
    # The parser takes "_total" off the names of counters.
    if types != {CURRENT: "gauge", TOTAL.removesuffix("_total"): "counter"} or sums[CURRENT] > sums[TOTAL]:
        return None
    return Count(sums[CURRENT], sums[TOTAL])
