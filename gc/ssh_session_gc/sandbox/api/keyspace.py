"""The objects of one resource under their keys, in order, as etcd keeps them.

Knows no versions (``history`` does) and no rules (``storage`` and ``strategy`` do).
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ssh_session_gc.sandbox.api.objects import Object


class Keyspace(Mapping[str, Object]):
    """A mapping in the order of its keys."""

    def __init__(self, objects: Mapping[str, Object] = MappingProxyType({})) -> None:
        self._objects, self._keys = dict(objects), sorted(objects)

    def __getitem__(self, key: str) -> Object:
        return self._objects[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, key: str, obj: Object) -> None:
        """Puts an object in place of the one that has the key, if there is one."""
        if key not in self._objects:
            insort(self._keys, key)
        self._objects[key] = obj

    def remove(self, key: str) -> None:
        """Removes the object that has the key, if there is one."""
        if self._objects.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def scan(self, prefix: str, start: str = "") -> Iterator[tuple[str, Object]]:
        """The objects whose key begins with ``prefix``, from the key ``start`` on."""
        for index in range(bisect_left(self._keys, max(prefix, start)), len(self._keys)):
            key = self._keys[index]
            if not key.startswith(prefix):
                return
            yield key, self._objects[key]
