"""Requests taken apart: the resource, the verb, the selectors, the form of the answer, the body.

Knows paths, parameters and media types as in Kubernetes' "API Concepts", and how errors in them are worded. Looks at
no stored object: ``handlers`` does.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from ssh_session_gc.sandbox.api import protobuf
from ssh_session_gc.sandbox.api.list import number
from ssh_session_gc.sandbox.api.objects import EVENTS, NAMESPACES, PODS, RESOURCES, Object, Resource
from ssh_session_gc.sandbox.api.refusals import Refusal
from ssh_session_gc.selectors import BadSelector, FieldSelector, Selector

_METHODS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_TRUE = ("1", "true")
_FORMS = ("", "Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_EVERY_FIELD = ("metadata.name", "metadata.namespace")
_FIELDS = {  # other fields that selectors may name; a dot at the end includes all below
    PODS: ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status."),
    EVENTS: ("involvedObject.", "reason", "type", "reportingComponent", "source"),
    NAMESPACES: ("status.phase",),
}


@dataclass(frozen=True, slots=True)
class Target:
    """The resource, namespace, object and subresource that a path names. The subresource may not exist: the server
    checks that after the permission."""

    res: Resource
    namespace: str | None
    name: str
    sub: str

    @property
    def resource(self) -> str:
        """The resource as RBAC spells it: ``pods``, ``pods/status``."""
        return f"{self.res.plural}/{self.sub}" if self.sub else self.res.plural


@dataclass(frozen=True, slots=True)
class Deletion:
    """The DeleteOptions that matter here; ``grace`` is in seconds."""

    grace: int | None
    uid: str | None
    resource_version: str | None
    dry_run: bool


def target(path: str) -> Target | None:
    """The target of a path, None where it is of no known resource."""
    root, _, rest = path.lstrip("/").partition("/")
    parts = [part for part in rest.split("/") if part]
    count = {"api": 1, "apis": 2}.get(root, 0)
    if not count or len(parts) <= count:
        return None
    group, version, parts = parts[0] if count == 2 else "", parts[count - 1], parts[count:]
    namespace = None
    if parts[0] == "namespaces" and len(parts) > 2 and parts[2] != "status":
        namespace, parts = parts[1], parts[2:]
    plural, name, sub = [*parts, "", ""][:3]
    for res in RESOURCES:
        if (res.group, res.version, res.plural) == (group, version, plural) and len(parts) <= 3:
            return Target(res, namespace, name, sub)
    return None


def verb(request: web.Request, of: Target | None) -> str:
    """The verb, as RBAC spells it."""
    method = _METHODS.get(request.method, request.method.lower())
    if of is None or of.name:
        return method
    if method == "get":
        return "watch" if request.query.get("watch") in _TRUE else "list"
    return "deletecollection" if method == "delete" else method


def bookmarks(request: web.Request) -> bool:
    """Whether a watch wants bookmarks."""
    return request.query.get("allowWatchBookmarks") in _TRUE


def selectors(request: web.Request, res: Resource) -> tuple[Selector, FieldSelector]:
    """The selectors of a list or watch. Raises Refusal 400."""
    labels, fields = request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
    paths = (*_EVERY_FIELD, *_FIELDS.get(res, ()))

    def supported(path: str) -> bool:
        return any(path == each or (each.endswith(".") and path.startswith(each)) for each in paths)

    try:
        return Selector.parse(labels), FieldSelector.parse(fields, supported)
    except BadSelector as error:
        raise Refusal(400, "BadRequest", str(error)) from None


def selected_name(request: web.Request) -> str:
    """The one name that a list or watch selects, "" for none: RBAC takes it for the object's name."""
    terms = request.query.get("fieldSelector", "").replace("==", "=").split(",")
    return next((term.partition("=")[2] for term in terms if term.startswith("metadata.name=")), "")


def form(request: web.Request) -> str | None:
    """The form that ``Accept`` wants objects in: "Table", "PartialObjectMetadata" (or its List), None for their own.

    Raises Refusal 406.
    """
    for accepted in request.headers.get("Accept", "*/*").split(","):
        media, *parameters = (part.strip() for part in accepted.split(";"))
        wanted = dict(part.partition("=")[::2] for part in parameters).get("as", "")
        if media in ("application/json", "application/*", "*/*") and wanted in _FORMS:
            return wanted or None
    raise Refusal(406, "NotAcceptable", "only the following media types are accepted: application/json")


def included(request: web.Request) -> str:
    """The part of its object that a row of a Table carries: "Metadata", "Object" or "None"."""
    return request.query.get("includeObject", "Metadata")


async def body(request: web.Request) -> Any:
    """The JSON of a request. Raises Refusal 400 and 415."""
    if request.content_type == protobuf.MEDIA_TYPE:
        raise Refusal(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
    try:
        decoded = msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, "BadRequest", f"couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(decoded, dict) and request.method != "PATCH":
        raise Refusal(400, "BadRequest", "couldn't get version/kind; the body is no object")
    return decoded


async def review(request: web.Request) -> Object:
    """The SelfSubjectAccessReview of a request. Raises Refusal 400."""
    if request.content_type != protobuf.MEDIA_TYPE:
        asked: Object = await body(request)
        return asked
    try:
        return protobuf.access_review(await request.read())
    except ValueError as error:
        raise Refusal(400, "BadRequest", f"couldn't get version/kind; {error}") from None


async def new_object(request: web.Request, res: Resource) -> Object:
    """The object in the body. Raises Refusal 400 where it is of another kind, and 415."""
    obj: Object = await body(request)
    kind, version = obj.get("kind", res.kind), obj.get("apiVersion", res.api_version)
    if (kind, version) != (res.kind, res.api_version):
        message = f"the API version in the data ({version}, {kind}) does not match what is expected here"
        raise Refusal(400, "BadRequest", f"{message} ({res.api_version}, {res.kind})")
    if not isinstance(obj.get("metadata", {}), dict):
        raise Refusal(400, "BadRequest", f"{res.kind} in version {version} cannot be handled: metadata is no object")
    return obj


async def deletion(request: web.Request) -> Deletion:
    """The options of a DELETE. Raises Refusal 400, 415 and 422."""
    # Parameters in the query count only where the body is empty.
    options: Object = await body(request) if request.can_read_body else {}
    if not options:
        return Deletion(number(request.query, "gracePeriodSeconds"), None, None, dry_run(request))
    expected, modes = options.get("preconditions") or {}, options.get("dryRun") or []
    grace = options.get("gracePeriodSeconds")
    if not isinstance(grace, int | None):
        raise Refusal(400, "BadRequest", f"gracePeriodSeconds: Invalid value: {grace!r}")
    return Deletion(grace, expected.get("uid"), expected.get("resourceVersion"), _dry_run(*modes))


def dry_run(request: web.Request) -> bool:
    """Whether the request is to change nothing. Raises Refusal 422."""
    return _dry_run(*request.query.getall("dryRun", []))


def _dry_run(*modes: str) -> bool:
    if any(mode != "All" for mode in modes):
        raise Refusal(422, "Invalid", f'dryRun: Unsupported value: "{modes[0]}": supported values: "All"')
    return bool(modes)
