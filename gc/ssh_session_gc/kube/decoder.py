"""Bytes of the API server's, decoded: objects, pages of lists, events of watches, refusals.

Knows how an answer may be broken, and reads around what is: strictly first, and only where that fails in parts and as
far as it goes (``lenient``). Does not know where the bytes come from (``client``) or what the objects mean (``pods``,
``workloads``).
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, overload

import msgspec

from ssh_session_gc.core.text import printable
from ssh_session_gc.kube.errors import Malformed
from ssh_session_gc.kube.lenient import UNREADABLE, decode, read
from ssh_session_gc.kube.wire import ListMeta, Status, Wire

T = TypeVar("T")
W = TypeVar("W")


class _NamedMeta(Wire):
    name: str


class _Named(Wire):
    metadata: _NamedMeta


class _BookmarkMeta(Wire):
    resource_version: str


class _Bookmark(Wire):
    metadata: _BookmarkMeta


class _Items(Wire, Generic[W]):
    metadata: ListMeta
    items: list[W] | None


class _RawItems(Wire):
    metadata: msgspec.Raw
    items: list[msgspec.Raw] | None


class _Change(Wire, Generic[W]):
    type: str
    object: W


class Page(msgspec.Struct, Generic[T]):
    """One page of a list. ``broken`` says what is wrong with items that could not be read."""

    resource_version: str
    continue_: str
    items: Sequence[T]
    broken: list[str]


class Event(msgspec.Struct, Generic[T], frozen=True):
    """One event of a watch.

    ``object`` is set for ADDED, MODIFIED and DELETED, ``status`` for ERROR. An object that could not be read
    leaves ``object`` None and says why in ``broken``.
    """

    type: str
    resource_version: str = ""
    object: T | None = None
    status: Status | None = None
    broken: str = ""


class Decoder(Generic[T]):
    """Decodes lists and watch events of one kind of object, and keeps what is wanted of each."""

    @overload
    def __init__(self: "Decoder[W]", kind: type[W]) -> None: ...

    @overload
    def __init__(self, kind: type[W], wanted: Callable[[W], T]) -> None: ...

    def __init__(self, kind: type[Any], wanted: Callable[[Any], Any] = lambda whole: whole) -> None:
        """``wanted`` gives what is kept of an object, and raises nothing. By default all of it is kept."""
        self._kind, self._wanted = kind, wanted
        self._object = msgspec.json.Decoder(kind)
        # Pages and events in one go; in parts, which takes longer, only where that fails.
        self._page: msgspec.json.Decoder[_Items[Any]] = msgspec.json.Decoder(_Items[kind])  # type: ignore[valid-type]
        self._change: msgspec.json.Decoder[_Change[Any]] = msgspec.json.Decoder(_Change[kind])  # type: ignore[valid-type]

    def object(self, data: bytes | msgspec.Raw) -> T:
        """One object. Raises Malformed, with the object's name where that much can be read."""
        try:
            whole = self._object.decode(data)
        except UNREADABLE:
            try:
                whole = read(self._kind, data)
            except UNREADABLE as error:
                raise Malformed(f"{_name(data)}{error}") from None
        return self._wanted(whole)  # type: ignore[no-any-return]

    def page(self, data: bytes) -> "Page[T]":
        """One page of a list. Raises Malformed where not even the list around the items can be read."""
        try:
            whole = self._page.decode(data)
        except UNREADABLE:
            return self._page_in_parts(data)
        kept = [self._wanted(item) for item in whole.items or ()]
        return Page(whole.metadata.resource_version, whole.metadata.continue_, kept, [])

    def _page_in_parts(self, data: bytes) -> "Page[T]":
        try:
            raw = decode(_items, data)
            metadata = read(ListMeta, raw.metadata)
        except UNREADABLE as error:
            raise Malformed(str(error)) from None
        page: Page[T] = Page(metadata.resource_version, metadata.continue_, [], [])
        items: list[T] = []
        for item in raw.items or []:
            try:
                items.append(self.object(item))
            except Malformed as error:
                page.broken.append(str(error))
        page.items = items
        return page

    def event(self, line: bytes) -> "Event[T]":
        """One line of a watch. Raises Malformed where it is no event at all."""
        try:
            whole = self._change.decode(line)
            if whole.type in _CHANGES:
                return Event(whole.type, whole.object.metadata.resource_version, self._wanted(whole.object))
        except UNREADABLE:
            pass  # a bookmark, an error, or something that cannot be read
        return self._event_in_parts(line)

    def _event_in_parts(self, line: bytes) -> "Event[T]":
        try:
            change = decode(_change, line)
            if change.type == "BOOKMARK":
                return Event("BOOKMARK", _bookmark.decode(change.object).metadata.resource_version)
            if change.type == "ERROR":
                return Event("ERROR", status=read(Status, change.object))
            version = _bookmark.decode(change.object).metadata.resource_version
        except UNREADABLE as error:
            raise Malformed(str(error)) from None
        try:
            return Event(change.type, version, self.object(change.object))
        except Malformed as error:
            return Event(change.type, version, broken=str(error))


_CHANGES = frozenset(("ADDED", "MODIFIED", "DELETED"))
_items = msgspec.json.Decoder(_RawItems)
_change = msgspec.json.Decoder(_Change[msgspec.Raw])
_bookmark = msgspec.json.Decoder(_Bookmark)
_named = msgspec.json.Decoder(_Named)


def _name(data: bytes | msgspec.Raw) -> str:
    try:
        return f"{printable(_named.decode(data).metadata.name)}: "
    except UNREADABLE:
        return ""


def status(data: bytes) -> Status | None:
    """The Status in an error's body; None where a proxy or a load balancer wrote the body."""
    try:
        return read(Status, data)
    except UNREADABLE:
        return None
