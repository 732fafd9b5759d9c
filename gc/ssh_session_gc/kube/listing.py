"""One collection of objects, read whole: LIST in pages.

Knows paging, and what to do when a continue token expires. Does not know how the collection changes after that
(``reflector``).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from ssh_session_gc.kube.client import Api
from ssh_session_gc.kube.decoder import Decoder
from ssh_session_gc.kube.errors import ApiError, Malformed
from ssh_session_gc.kube.resources import Resource

T = TypeVar("T")

PAGE = 100
"""Objects a page of a list. client-go asks for 500, but what a page takes while it is read is never given back to the
system: smaller ones make a smaller process (docs/performance.md)."""


@dataclass(frozen=True, slots=True)
class Collection(Generic[T]):
    """The objects of one resource in one namespace that the selectors select, and how they are decoded."""

    resource: Resource
    namespace: str
    decoder: Decoder[T]
    labels: str = ""
    """A label selector; "" selects all."""
    fields: str = ""
    """A field selector; "" selects all."""

    @property
    def query(self) -> dict[str, str]:
        """The selectors as the API's parameters."""
        given = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {name: value for name, value in given.items() if value}

    def named(self, name: str) -> "Collection[T]":
        """The one object of that name, if it is selected."""
        return replace(self, fields=f"metadata.name={name}")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A complete list. ``broken`` says what is wrong with items that cannot be read."""

    items: list[T]
    broken: list[str]
    resource_version: str

    def whole(self, what: str) -> list[T]:
        """The items, where all could be read; ``what`` is one of them. Raises Malformed."""
        if self.broken:
            raise Malformed(f"{what} cannot be read: {self.broken[0]}")
        return self.items


async def list_all(
    api: Api, collection: Collection[T], progress: Callable[[int], None] = lambda _: None
) -> Listing[T]:
    """The whole collection, by consistent reads.

    Without a ``resourceVersion`` parameter the API server answers from etcd, or makes sure that its cache is as
    new (Kubernetes API concepts, "Semantics for get and list"). ``progress`` is told after each page how many there
    are so far. Raises ApiError, Unreachable and Malformed.
    """
    token, again, decode = "", False, collection.decoder.page
    items: list[T] = []
    broken: list[str] = []
    while True:
        query = {**collection.query, "limit": str(PAGE), **({"continue": token} if token else {})}
        try:
            # The bytes are let go of before the next page is asked for.
            page = decode(await api.request("list", collection.resource, collection.namespace, query=query))
        except ApiError as error:
            if error.code != 410 or not token or again:
                raise
            # The token outlived the compaction of what it points to: once more from the start. In pages, as all of it
            # in one piece would take many times the memory; compactions are minutes apart.
            token, again = "", True
            items, broken = [], []
            continue
        items.extend(page.items)
        broken.extend(page.broken)
        progress(len(items))
        token = page.continue_
        if not token:
            return Listing(items, broken, page.resource_version)
