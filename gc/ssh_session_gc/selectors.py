"""Label and field selectors: what a request asks for, parsed, and whether an object is that.

Knows the grammar and the refusals of Kubernetes ("Labels and Selectors", "Field Selectors"). Does not know which
resources there are: a field selector names a path, and the caller says which paths its resource offers.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(r"\s*(==|!=|=|!|,|\(|\)|<|>|[^\s=!,()<>]+)")
_OPERATORS = ("=", "==", "!=", "in", "notin", "gt", "lt", ">", "<")
_PUNCTUATION = ("=", "==", "!=", "!", ",", "(", ")", "<", ">", "")


class BadSelector(ValueError):
    """A selector that does not parse; the message is the one the API server gives."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one key."""

    key: str
    operator: str  # "in", "notin", "exists", "!exists", "gt" or "lt"
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels fulfil it. A key that is absent fulfils ``notin``, as in Kubernetes."""
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!exists":
                return value is None
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
        (bound,) = self.values
        if value is None or not value.lstrip("-").isdigit():
            return False
        return int(value) > int(bound) if self.operator == "gt" else int(value) < int(bound)


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions on labels, all of which must hold; with none it selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether an object with these labels is selected."""
        return all(requirement.matches(labels or {}) for requirement in self.requirements)

    @classmethod
    def parse(cls, text: str) -> "Selector":
        """The selector of a ``labelSelector`` parameter. Raises BadSelector."""
        return cls(tuple(_Parser(text).requirements()))

    @classmethod
    def of(cls, selector: Mapping[str, Any]) -> "Selector":
        """The selector of a ``spec.selector`` (matchLabels and matchExpressions)."""
        words = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!exists"}
        pairs = (selector.get("matchLabels") or {}).items()
        equal = [Requirement(key, "in", frozenset([value])) for key, value in pairs]
        sets = [
            Requirement(each["key"], words[each["operator"]], frozenset(each.get("values") or ()))
            for each in selector.get("matchExpressions") or ()
        ]
        return cls((*equal, *sets))


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Fields that must, or must not, have a value; with none it selects everything."""

    terms: tuple[tuple[str, bool, str], ...] = ()  # path, whether equal, value

    def matches(self, obj: Mapping[str, Any]) -> bool:
        """Whether this object is selected. A field that is absent counts as empty."""
        return all((_field(obj, path) == value) == equal for path, equal, value in self.terms)

    def only(self, path: str) -> str | None:
        """The value that this selector pins the path to, if it does."""
        return next((value for term, equal, value in self.terms if term == path and equal), None)

    @classmethod
    def parse(cls, text: str, supported: Callable[[str], bool]) -> "FieldSelector":
        """The selector of a ``fieldSelector`` parameter. Raises BadSelector, also for a path not supported."""
        terms = []
        for part in filter(None, text.split(",")):
            found = re.fullmatch(r"([^=!]+)(==|!=|=)(.*)", part)
            if found is None:
                raise BadSelector(f"invalid selector: '{text}'; can't understand '{part}'")
            if not supported(found[1]):
                raise BadSelector(f"field label not supported: {found[1]}")
            terms.append((found[1], found[2] != "!=", found[3]))
        return cls(tuple(terms))


def _field(obj: Mapping[str, Any], path: str) -> str:
    value: Any = obj
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)


class _Parser:
    """Reads ``key``, ``!key``, ``key=value``, ``key in (a, b)`` and so on, separated by commas."""

    def __init__(self, text: str) -> None:
        self._tokens = [found[1] for found in _TOKEN.finditer(text)]
        self._next = 0

    def requirements(self) -> Iterable[Requirement]:
        while self._peek():
            yield self._requirement()
            if self._peek() and (token := self._take()) != ",":
                raise BadSelector(f"unable to parse requirement: found '{token}', expected: ',' or 'end of string'")

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._next += 1
        return token

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._take()
            return Requirement(self._word("identifier"), "!exists")
        key = self._word("!, identifier, or 'end of string'")
        if self._peek() in ("", ","):
            return Requirement(key, "exists")
        operator = self._take()
        if operator not in _OPERATORS:
            expected = "in, notin, =, ==, !=, gt, lt"
            raise BadSelector(f"unable to parse requirement: found '{operator}', expected: {expected}")
        if operator in ("in", "notin"):
            return Requirement(key, operator, frozenset(self._set()))
        value = "" if self._peek() in ("", ",") else self._word("identifier")
        names = {"=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt"}
        if names.get(operator, operator) in ("gt", "lt") and not value.lstrip("-").isdigit():
            raise BadSelector(f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}"')
        return Requirement(key, names.get(operator, operator), frozenset([value]))

    def _word(self, expected: str) -> str:
        token = self._take()
        if token in _PUNCTUATION:
            raise BadSelector(f"unable to parse requirement: found '{token}', expected: {expected}")
        return token

    def _set(self) -> Iterable[str]:
        if (token := self._take()) != "(":
            raise BadSelector(f"unable to parse requirement: found '{token}', expected: '('")
        while True:
            yield self._word("identifier")
            if (token := self._take()) == ")":
                return
            if token != ",":  # noqa: S105  punctuation
                raise BadSelector(f"unable to parse requirement: found '{token}', expected: ',' or ')'")
