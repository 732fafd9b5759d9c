"""Lists: consistent pages, and the versions that a client may ask for.

Knows ``limit``, ``continue``, ``resourceVersion`` and ``resourceVersionMatch`` as in Kubernetes' "API Concepts", and
how their refusals are worded. The form of the answer, ``handlers`` knows.
"""

import base64
import binascii
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

import msgspec

from ssh_session_gc.sandbox.api.objects import Object, Resource
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.sandbox.api.storage import Store
from ssh_session_gc.selectors import FieldSelector, Selector

_FORM = "meta.k8s.io/v1"
_NEWEST = -1  # the version in the token of a list that goes on inconsistently
_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
    "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


class _Token(msgspec.Struct):
    v: str
    rv: int
    start: str


class ListPage(NamedTuple):
    """The objects of an answer, and the metadata of the list."""

    items: list[Object]
    metadata: Object


def page(
    store: Store,
    res: Resource,
    namespace: str | None,
    labels: Selector,
    fields: FieldSelector,
    query: Mapping[str, str],
) -> ListPage:
    """The page that the query asks for. Raises Refusal: 400, 410 (token or version too old), 422, 504 (too new)."""
    # A negative limit is none.
    limit = 0 if query.get("limit", "").startswith("-") else number(query, "limit") or 0
    rv, start = _where(store, query, paged=limit > 0)
    metadata: Object = {"resourceVersion": str(store.rv if rv is None else rv)}
    found = store.scan(res, namespace, labels, fields, start=start, rv=rv)
    if not limit:
        return ListPage([obj for _, obj in found], metadata)
    rows = list(islice(found, limit + 1))
    if len(rows) > limit:
        metadata["continue"] = _encoded(int(metadata["resourceVersion"]), rows[limit - 1][0] + "\0")
        if not labels.requirements and not fields.terms:
            metadata["remainingItemCount"] = 1 + sum(1 for _ in found)
    return ListPage([obj for _, obj in rows[:limit]], metadata)


def number(query: Mapping[str, str], key: str) -> int | None:
    """A parameter that is a number, None where it is absent or empty. Raises Refusal 400."""
    text = query.get(key) or ""
    if text and not (text.isascii() and text.isdigit()):
        message = f'{key}: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise Refusal(400, "BadRequest", message)
    return int(text) if text else None


def _where(store: Store, query: Mapping[str, str], *, paged: bool) -> tuple[int | None, str]:
    """The version to answer from (None: the newest) and the key to go on from."""
    version, match = number(query, "resourceVersion"), query.get("resourceVersionMatch") or ""
    if token := query.get("continue"):
        if version:
            raise Refusal(400, "BadRequest", "specifying resource version is not allowed when using continue")
        decoded = _decoded(token)
        if decoded.rv == _NEWEST:
            return None, decoded.start
        if decoded.rv < store.compacted:
            refused = Refusal(410, "Expired", _EXPIRED)
            refused.metadata["continue"] = _encoded(_NEWEST, decoded.start)
            raise refused
        return decoded.rv, decoded.start
    if match and version is None:
        raise _forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match == "Exact" and version == 0:
        raise _forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if not version:
        return None, ""
    if version > store.rv:
        causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
        message = f"Too large resource version: {version}, current: {store.rv}"
        raise Refusal(504, "Timeout", message, {"causes": causes}, retry_after=1)
    if match != "Exact" and not (paged and not match):
        return None, ""  # not older than: the newest will do
    if version < store.compacted:
        raise Refusal(410, "Expired", "The resourceVersion for the provided list is too old.")
    return version, ""


def _forbidden(why: str) -> Refusal:
    field, message = "resourceVersionMatch", f"Forbidden: {why}"
    causes = [{"reason": "FieldValueForbidden", "message": message, "field": field}]
    details = {"group": "meta.k8s.io", "kind": "ListOptions", "causes": causes}
    return Refusal(422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: {field}: {message}', details)


def _encoded(rv: int, start: str) -> str:
    token = msgspec.json.encode(_Token(_FORM, rv, start))
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def _decoded(text: str) -> _Token:
    wrong = "invalid continue token: continue key is not valid: "
    try:
        raw = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(400, "BadRequest", wrong + "illegal base64 data at input byte 0") from None
    try:
        token = msgspec.json.decode(raw, type=_Token)
    except (msgspec.DecodeError, UnicodeDecodeError):
        first = raw[:1].decode("latin-1")
        why = f"invalid character '{first}' looking for beginning of value"
        raise Refusal(400, "BadRequest", wrong + why) from None
    if token.v != _FORM or not token.start:
        raise Refusal(400, "BadRequest", wrong + f"server does not recognize this encoded version {token.v!r}")
    return token
