"""What lines of ContainerSSH's log say, and that nothing else says anything. The lines are recorded ones."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.containerssh.log import LONGEST_LINE, entry, is_json, parse
from ssh_session_gc.core.connections import Line, Said

STAMP = b"2026-11-25T10:39:00.789244802Z "
AT = 1795603140.789244
ID = "6be72bf9c12f4a77bf587b99a3f0d244"
DISCONNECTED = (
    b'{"timestamp":"2026-11-25T10:39:00Z","level":"debug","code":"SSH_DISCONNECTED","message":"Client disconnected",'
    b'"details":{"connectionId":"6be72bf9c12f4a77bf587b99a3f0d244","module":"ssh","remoteAddr":"10.244.0.1",'
    b'"username":"alice"}}'
)
GIVING_UP = (
    b'{"timestamp":"2026-11-25T10:39:00Z","level":"error","code":"KUBERNETES_POD_REMOVE_FAILED",'
    b'"message":"Failed to remove pod, giving up. (pods \\"containerssh-xzzck\\" is forbidden)","details":{'
    b'"authenticatedUsername":"alice","backend":"kubernetes","connectionId":"6be72bf9c12f4a77bf587b99a3f0d244",'
    b'"module":"backend","podName":"containerssh-xzzck","remoteAddr":"10.244.0.1","username":"alice"}}'
)


REAL = Path(__file__).parents[1] / "data" / "recordings" / "real"


def test_every_kind_of_line_is_among_the_recorded_ones() -> None:
    recorded = (json.loads(entry) for path in REAL.glob("*.jsonl") for entry in path.read_text().splitlines())
    lines = (parse(each["line"].encode(), None) for each in recorded if "line" in each)
    assert {line.said for line in lines if line is not None} == set(Said)


def test_a_disconnect() -> None:
    assert parse(STAMP + DISCONNECTED, AT + 0.5) == Line(Said.DISCONNECTED, ID, "", AT, AT + 0.5)


def test_the_later_of_its_own_time_and_its_arrival_counts() -> None:
    early = parse(STAMP + DISCONNECTED, AT - 100.0)
    assert early is not None
    assert (early.written, early.at) == (AT, AT)


def test_without_the_kubelets_time_its_own_counts() -> None:
    said = parse(DISCONNECTED, None)
    assert said is not None
    assert said.written == said.at == 1795603140.0


@pytest.mark.parametrize(
    ("stamp", "written"),
    [
        (b"2026-11-25T10:39:07Z", 1795603147.0),
        (b"2026-11-25T10:39:07.5Z", 1795603147.5),
        # The kubelet writes the time zone of its node.
        (b"2026-11-25T18:39:07.500000000+08:00", 1795603147.5),
        (b"2026-11-25T01:09:07-09:30", 1795603147.0),
    ],
)
def test_the_kubelets_time_counts_in_whatever_time_zone(stamp: bytes, written: float) -> None:
    said = parse(stamp + b" " + DISCONNECTED, None)
    assert said is not None
    assert said.written == said.at == written


def test_the_longest_line_that_is_read() -> None:
    line = (STAMP + DISCONNECTED).ljust(LONGEST_LINE)
    assert parse(line, AT) is not None
    assert parse(line + b" ", AT) is None


def test_an_entry_with_and_without_the_kubelets_time() -> None:
    for text in (STAMP + GIVING_UP, GIVING_UP):
        found = entry(text)
        assert found is not None
        assert (found.code, found.details.pod_name) == ("KUBERNETES_POD_REMOVE_FAILED", "containerssh-xzzck")
    assert entry(STAMP + GIVING_UP[1:]) is None


def test_giving_up_is_an_error() -> None:
    assert parse(STAMP + GIVING_UP, AT) == Line(Said.REMOVE_FAILED, ID, "containerssh-xzzck", AT, AT)
    assert parse(STAMP + GIVING_UP.replace(b'"error"', b'"debug"'), AT) is None
    # The Pod's name is enough.
    nameless = STAMP + GIVING_UP.replace(b'"connectionId"', b'"id"')
    assert parse(nameless, AT) == Line(Said.REMOVE_FAILED, "", "containerssh-xzzck", AT, AT)


def test_what_says_nothing() -> None:
    for text in (
        b"",
        STAMP,
        b"SSH_DISCONNECTED",
        STAMP + b'panic: "SSH_DISCONNECTED"',
        STAMP + DISCONNECTED[:-1],
        STAMP + DISCONNECTED.replace(b"SSH_DISCONNECTED", b"SSH_EXIT"),
        STAMP + DISCONNECTED.replace(ID.encode(), b"../../x"),
        STAMP + DISCONNECTED.replace(ID.encode(), b""),
        STAMP + GIVING_UP.replace(b"containerssh-xzzck", b"../x"),
        STAMP + GIVING_UP.replace(b'"podName"', b'"pod"'),
        STAMP + DISCONNECTED + b" " * LONGEST_LINE,
        STAMP + b"\xff" + DISCONNECTED,
        b"yesterday " + DISCONNECTED,
        b"2026-11-25T10:39:00 " + DISCONNECTED,
        b"2026-11-25T10:39:00.7.8Z " + DISCONNECTED,
        b"\xff " + DISCONNECTED,
        DISCONNECTED.replace(b"2026-11-25T10:39:00Z", b"soon"),
        DISCONNECTED.replace(b"2026-11-25T10:39:00Z", b"2026-11-25T10:39:00"),
    ):
        assert parse(text, AT) is None, text


def test_a_code_in_somebody_elses_words_is_none() -> None:
    forged = DISCONNECTED.replace(b"SSH_DISCONNECTED", b"SSH_EXIT").replace(
        b'"alice"', b'"\\",\\"code\\":\\"SSH_DISCONNECTED\\"","x":"SSH_DISCONNECTED"'
    )
    assert parse(STAMP + forged, AT) is None


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_survived(data: bytes, whole: bool) -> None:
    parse(data if whole else STAMP + b'{"code":"SSH_CONNECTED",' + data, AT)


def test_the_format_is_noticed() -> None:
    assert is_json(STAMP + DISCONNECTED)
    assert is_json(DISCONNECTED)
    assert not is_json(STAMP + b"2026-11-25T10:39:00Z\tdebug\tssh\tClient disconnected")
