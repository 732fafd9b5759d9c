"""Objects in which something cannot be read, read all the same: as little as possible is lost.

Knows how a struct of the wire is put together of the fields that can be read. Does not know what the fields mean, or
what an unreadable one counts as: ``wire`` says so with each. This is slow, and only for what could not be decoded
strictly: an API server has no such objects, except that times which others write may be before the year 1 or after
9999, and that ``managedFields`` may be nested thousands of levels deep.

=============================  ======================================================================================
the value                      counts as
=============================  ======================================================================================
null                           absent, where the field is optional
an optional text that is none  its JSON: ``keep: true`` in a file means what it says, and what says nothing is no name
an object that is none         unreadable; in a list an empty one, if it may be
a list that is none            unreadable
anything else                  unreadable
unreadable, optional           what its field says (``odd``, ``needed``), or absent
unreadable, required           the whole is unreadable
=============================  ======================================================================================
"""

import re
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from ssh_session_gc.kube.wire import NEEDED, ODD, Lenient

T = TypeVar("T")

_WRONG = (msgspec.DecodeError, UnicodeDecodeError)
UNREADABLE = (*_WRONG, RecursionError)
"""What msgspec raises; the last where something is nested too deeply, even in what is skipped."""
DEEPEST = 100
"""Levels that are read. A Pod has a dozen, and nothing that is nested deeper is looked at."""
# A text, or a bracket. Texts are matched so that the brackets in them do not count.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)


def shallow(data: bytes) -> bytes:
    """The same JSON with null for whatever is nested too deeply to be read."""
    depth, kept = 0, 0
    parts: list[bytes] = []
    for token in _TOKEN.finditer(data):
        if token[0] in b"[{":
            depth += 1
            if depth == DEEPEST + 1:
                parts += data[kept : token.start()], b"null"
        elif token[0] in b"]}":
            if depth == DEEPEST + 1:
                kept = token.end()
            depth -= 1
    return b"".join(parts) + data[kept:]


def decode(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """What the decoder makes of these bytes, without what is nested too deeply. Raises what msgspec does."""
    try:
        return decoder.decode(data)
    except RecursionError:
        return decoder.decode(shallow(data))


def read(kind: type[T], data: bytes | msgspec.Raw) -> T:
    """An object of this kind, as far as it can be read. Raises what msgspec does where that does not suffice."""
    try:
        return _value(kind, data, "$")  # type: ignore[no-any-return]
    except RecursionError:
        return _value(kind, shallow(bytes(data)), "$")  # type: ignore[no-any-return]


def _value(kind: Any, data: bytes | msgspec.Raw, path: str, *, optional: bool = False) -> Any:
    try:
        return _decoder(kind).decode(data)
    except _WRONG as error:
        if optional and kind in (str, str | None):  # what is held to a form is no mere text
            return bytes(data).decode(errors="replace")
        plain = _plain(kind)
        if isinstance(plain, type) and issubclass(plain, Lenient):
            return _struct(plain, data, path)
        if get_origin(plain) is list and issubclass(of := get_args(plain)[0], Lenient):
            return _list(of, data, path)
        raise _at(path, error) from None


def _struct(kind: type[Lenient], data: bytes | msgspec.Raw, path: str) -> Any:
    try:
        given = _object.decode(data)
    except _WRONG as error:
        raise _at(path, error) from None
    known: dict[str, Any] = {}
    for field, hint in _fields(kind):
        value = given.get(field.encode_name)
        if value is None and field.required:
            raise msgspec.ValidationError(f"Object missing required field `{field.encode_name}` - at `{path}`")
        if value is None or (bytes(value) == b"null" and not field.required):
            continue
        said = getattr(hint, "__metadata__", ())
        try:
            known[field.name] = _value(hint, value, f"{path}.{field.encode_name}", optional=not field.required)
        except _WRONG:
            if field.required or NEEDED in said:
                raise
            for meta in said:
                if meta.extra:
                    known[field.name] = meta.extra[ODD]()
    return kind(**known)


def _list(of: type[Lenient], data: bytes | msgspec.Raw, path: str) -> list[Any]:
    try:
        items = _items.decode(data)
    except _WRONG as error:
        raise _at(path, error) from None
    return [_value(of, each if _is_object(each) else b"{}", f"{path}[{n}]") for n, each in enumerate(items)]


def _is_object(data: msgspec.Raw) -> bool:
    return bytes(data)[:1] == b"{"


_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


@cache
def _fields(kind: type[Lenient]) -> list[tuple[msgspec.structs.FieldInfo, Any]]:
    """The fields of a struct, each with its type and what is said of it."""
    hints = get_type_hints(kind, include_extras=True)
    return [(field, hints[field.name]) for field in msgspec.structs.fields(kind)]


def _plain(kind: Any) -> Any:
    """The type without what is said of it, and without None."""
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    if get_origin(kind) in (Union, UnionType):
        [kind] = [each for each in get_args(kind) if each is not NoneType]
    return kind


def _at(path: str, error: Exception) -> msgspec.ValidationError:
    """The same error, with where it is in the whole."""
    return msgspec.ValidationError(f"{str(error).partition(' - at `')[0]} - at `{path}`")
