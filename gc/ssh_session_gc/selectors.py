"""Label and field selectors: parsed from a request, and held against objects.

Knows the grammar and the refusals of Kubernetes ("Labels and Selectors", "Field Selectors"). Does not know which
resources there are: the caller says which paths a field selector may name.
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
class LabelRequirement:
    """A condition on one label key.

    operator   written                   fulfilled by a value that
    ---------  ------------------------  ----------------------------------
    in         k=v, k==v, k in (v, w)    is one of ``values``
    notin      k!=v, k notin (v, w)      is none of ``values``, or is absent
    exists     k                         is there
    !exists    !k                        is absent
    gt, lt     k>5, k<5                  is a greater, or a lesser, number
    """

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels fulfil the condition."""
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
    """Selects objects by label: all conditions must hold. Without any it selects everything."""

    requirements: tuple[LabelRequirement, ...] = ()

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
        equal = [LabelRequirement(key, "in", frozenset([value])) for key, value in pairs]
        sets = [
            LabelRequirement(each["key"], words[each["operator"]], frozenset(each.get("values") or ()))
            for each in selector.get("matchExpressions") or ()
        ]
        return cls((*equal, *sets))


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Selects objects by field: all terms must hold. Without any it selects everything."""

    terms: tuple[tuple[str, bool, str], ...] = ()
    """A path, whether the field must or must not equal the value, and the value."""

    def matches(self, obj: Mapping[str, Any]) -> bool:
        """Whether the object is selected. An absent field counts as empty."""
        return all((_field(obj, path) == value) == equal for path, equal, value in self.terms)

    def only(self, path: str) -> str | None:
        """The value that the field at this path must equal; None where there is no such term."""
        return next((value for term, equal, value in self.terms if term == path and equal), None)

    @classmethod
    def parse(cls, text: str, supported: Callable[[str], bool]) -> "FieldSelector":
        """The selector of a ``fieldSelector`` parameter. Raises BadSelector, also for an unsupported path."""
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

    def requirements(self) -> Iterable[LabelRequirement]:
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

    def _requirement(self) -> LabelRequirement:
        if self._peek() == "!":
            self._take()
            return LabelRequirement(self._word("identifier"), "!exists")
        key = self._word("!, identifier, or 'end of string'")
        if self._peek() in ("", ","):
            return LabelRequirement(key, "exists")
        operator = self._take()
        if operator not in _OPERATORS:
            expected = "in, notin, =, ==, !=, gt, lt"
            raise BadSelector(f"unable to parse requirement: found '{operator}', expected: {expected}")
        if operator in ("in", "notin"):
            return LabelRequirement(key, operator, frozenset(self._set()))
        value = "" if self._peek() in ("", ",") else self._word("identifier")
        names = {"=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt"}
        if names.get(operator, operator) in ("gt", "lt") and not value.lstrip("-").isdigit():
            raise BadSelector(f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}"')
        return LabelRequirement(key, names.get(operator, operator), frozenset([value]))

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
