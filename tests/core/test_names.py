"""One form for names, wherever a name comes in: from an option, a stamp or the API server."""

import pytest

from ssh_session_gc.core.names import is_name, is_uid, parse_name, parse_uid
from ssh_session_gc.kube import pods
from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.settings import OwnerRef
from tests.builders import wire_pod

GOOD = ["a", "containerssh-4c95c", "a.b", "0.1-2.z", "a" * 253]
BAD = ["", ".", "a..b", "a.-b", "a-.b", ".a", "a.", "-a", "a-", "A", "a_b", "a/b", "a\n", "ä", "a" * 254]


@pytest.mark.parametrize("text", GOOD)
def test_what_is_a_name(text: str) -> None:
    assert is_name(text)
    assert parse_name(text) == text


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_name(text: str) -> None:
    assert not is_name(text)
    with pytest.raises(ValueError, match=r"^a name has lower-case letters, digits, .-. and .\.. only$"):
        parse_name(text)


@pytest.mark.parametrize("text", GOOD + BAD)
def test_options_stamps_and_pods_agree_on_it(text: str) -> None:
    taken = is_name(text)
    if "/" not in text:
        if taken:
            assert OwnerRef.parse(f"deployment/containerssh/{text}").name == text
        else:
            with pytest.raises(ValueError, match=r"."):
                OwnerRef.parse(f"deployment/containerssh/{text}")
    stamped = wire_pod(metadata={"annotations": {"ssh-session-gc/owner-pod-name": text}})
    assert (pods.session_of(stamped).stamp_name == text) is (taken or not text)
    if taken:
        assert wire_pod(metadata={"name": text}).metadata.name == text
    else:
        with pytest.raises(Malformed, match="name"):
            wire_pod(metadata={"name": text})


@pytest.mark.parametrize(
    ("text", "taken"),
    [("a", True), ("6B3a-1", True), ("a" * 64, True), ("", False), ("a" * 65, False), ("-a", False), ("a.b", False)],
)
def test_what_is_a_uid(text: str, taken: bool) -> None:
    assert is_uid(text) is taken
    if taken:
        assert parse_uid(text) == text
    else:
        with pytest.raises(ValueError, match=r"^a uid has letters, digits and .-. only$"):
            parse_uid(text)
