"""Requests for no resource: health, versions, discovery, and the reviews of what one may do and who one is.

Knows their paths. What the documents say, ``discovery`` knows, and what one may do, ``authorization``.
"""

from collections.abc import Mapping

from aiohttp import web

from ssh_session_gc.sandbox.api import authorization
from ssh_session_gc.sandbox.api import request as parse
from ssh_session_gc.sandbox.api.authorization import ANONYMOUS, Identity, Roles
from ssh_session_gc.sandbox.api.refusals import Refusal, no_route
from ssh_session_gc.sandbox.api.responses import json_response

_HEALTH = ("/healthz", "/livez", "/readyz")
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


async def answer(
    request: web.Request, who: Identity, roles: Roles | None, documents: Mapping[str, bytes]
) -> web.Response:
    """Answers such a request; ``documents`` are discovery's, by path. Raises Refusal: 400, 403, 404, 422."""
    if who is ANONYMOUS and request.path not in (*_HEALTH, "/version"):
        path = f'User "{who.user}" cannot {request.method.lower()} path "{request.path}"'
        raise Refusal(403, "Forbidden", f"forbidden: {path}")
    if request.method == "POST" and request.path == _REVIEWS:
        return json_response(authorization.review(roles, who, await parse.review(request)), 201)
    if request.method == "POST" and request.path == _WHO_AM_I:
        return json_response(authorization.self_review(who), 201)
    if request.method == "GET" and request.path in _HEALTH:
        return web.Response(text="ok")
    if request.method == "GET" and (document := documents.get(request.path.rstrip("/"))) is not None:
        return web.Response(body=document, content_type="application/json")
    raise no_route()
