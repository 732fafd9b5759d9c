"""Protobuf, for the one message that kubectl sends only so: the review behind ``kubectl auth can-i``.

Knows the wire format ("Protocol Buffers Encoding") as far as strings in nested messages go, Kubernetes' envelope
("Kubernetes Protobuf encoding" in API Concepts), and the field numbers of SelfSubjectAccessReview in
k8s.io/api/authorization/v1. ``request`` refuses every other message.
"""

from collections.abc import Iterator

from ssh_session_gc.sandbox.api.objects import Object

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
_RAW, _SPEC = 2, 2  # in the envelope, and in the review
_RESOURCE_ATTRIBUTES, _NON_RESOURCE_ATTRIBUTES = 1, 2
_RESOURCE_FIELDS = {1: "namespace", 2: "verb", 3: "group", 4: "version", 5: "resource", 6: "subresource", 7: "name"}
_NON_RESOURCE_FIELDS = {1: "path", 2: "verb"}


def access_review(data: bytes) -> Object:
    """The review in the form of its JSON. Raises ValueError where it is none."""
    if not data.startswith(MAGIC):
        raise ValueError("not Kubernetes' protobuf")
    spec = _last(_last(data[len(MAGIC) :], _RAW), _SPEC)
    if resource := _last(spec, _RESOURCE_ATTRIBUTES):
        return {"spec": {"resourceAttributes": _strings(resource, _RESOURCE_FIELDS)}}
    other = _last(spec, _NON_RESOURCE_ATTRIBUTES)
    return {"spec": {"nonResourceAttributes": _strings(other, _NON_RESOURCE_FIELDS)} if other else {}}


def _strings(message: bytes, names: dict[int, str]) -> dict[str, str]:
    return {names[number]: value.decode() for number, value in fields(message) if number in names}


def _last(message: bytes, wanted: int) -> bytes:
    return next((value for number, value in reversed(list(fields(message))) if number == wanted), b"")


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The numbers and values of the fields that have a length: strings and messages. Numeric fields are skipped."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        length, at = _varint(message, at)
        if tag & 7 == 0:  # that was the number itself
            continue
        if tag & 7 != 2 or at + length > len(message):
            raise ValueError("not a message")
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
    raise ValueError("the message ends within a number")
