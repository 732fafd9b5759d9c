"""The simulated API server answers what a real one answered: every case of the recorded requests, over HTTP."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.sandbox.api.authorization import ADMIN, Identity
from ssh_session_gc.sandbox.api.objects import LEASES, NAMESPACES, PODS, RESOURCEQUOTAS, Object
from ssh_session_gc.sandbox.api.storage import Store
from tests.sandbox.api.serving import Clock, serving

CASES = json.loads((Path(__file__).parents[2] / "data/recordings/api-responses.json").read_bytes())
NS = "rec-sessions"
TOKENS = {"admin": ADMIN, "nobody": Identity(f"system:serviceaccount:{NS}:nobody")}
"""The recorder used these two; what it sent as a token is not recorded, nor other headers."""


def _case(beginning: str) -> Any:
    return next(case for case in CASES if case["case"].startswith(beginning))


def _prepare(store: Store, case: Object) -> None:
    """Makes the cluster that the case was recorded on, as far as the answer tells of it."""
    store.create(NAMESPACES, None, {"metadata": {"name": NS}})
    store.advance_rv(26_600)
    body = case["response"].get("body") or {}
    name = case["request"]["path"].partition("?")[0].rpartition("/")[2]
    if case["case"].startswith(("get pod", "delete")) and body.get("reason") not in ("NotFound", "Forbidden"):
        recorded = _case("get pod")["response"]["body"]
        metadata = recorded["metadata"] | {"name": name, "uid": _uid(case) or recorded["metadata"]["uid"]}
        metadata |= {"labels": body["metadata"].get("labels", metadata["labels"])}
        store.put_raw("ADDED", PODS, recorded | {"metadata": metadata})
        store.advance_rv(26_650)
    elif case["case"].startswith("list, ") or "over quota" in case["case"]:
        items = [
            item for page in ("list, first", "list, second") for item in _case(page)["response"]["body"]["items"]
        ]
        for index in range(6):  # of which the last two are on no recorded page
            metadata = items[0]["metadata"] | {"name": f"containerssh-z{index}"}
            item = items[index] if index < len(items) else items[0] | {"metadata": metadata}
            store.put_raw("ADDED", PODS, item)
        store.advance_rv(26_660)
        store.put_raw("ADDED", RESOURCEQUOTAS, _case("resource quota")["response"]["body"])
    elif "lease" in case["case"] and case["case"] != "create lease":
        stale = "stale" in case["case"]
        store.put_raw("ADDED", LEASES, _case("renew lease" if stale else "create lease")["response"]["body"])
    elif "too old" in case["case"]:
        store.compact(393)


def _uid(case: Object) -> str | None:
    """The Pod's uid in the recording: the one in the refusal, or the one in the preconditions."""
    if found := re.search(r"UID in record \(([^)]+)\)", json.dumps(case["response"])):
        return found[1]
    uid = ((case["request"].get("body") or {}).get("preconditions") or {}).get("uid")
    return uid if isinstance(uid, str) else None


def _normal(value: Any, key: str = "") -> Any:
    """Replaces values that differ from one run to the next by their form."""
    if isinstance(value, dict):
        return {name: _normal(item, name) for name, item in value.items() if name != "managedFields"}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if not isinstance(value, str):
        return value
    if key == "continue":
        return "a token"
    for pattern, word in (
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?=Z)", "TIME"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(?=Z)", "MICROTIME"),
        (r"(containerssh|ssh-session-gc)-[bcdfghjklmnpqrstvwxz2456789]{5}\b", r"\1-NAME"),
    ):
        value = re.sub(pattern, word, value)
    return "RV" if key == "resourceVersion" else value


@pytest.mark.parametrize("case", [pytest.param(each, id=each["case"]) for each in CASES])
async def test_a_recorded_request_gets_the_recorded_answer(case: Any) -> None:
    store = Store(Clock())
    _prepare(store, case)
    request, recorded = case["request"], case["response"]
    async with serving(store, tokens=TOKENS, roles={}) as client:
        who = "nobody" if "permission" in case["case"] or "may I" in case["case"] else "admin"
        headers = {"Authorization": "Bearer " + ("x" if "no token: 401" in case["case"] else who)}
        if "metadata only" in case["case"]:
            headers["Accept"] = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
        path = request["path"]
        if case["case"] == "list, second page":  # a token is of the server that made it
            first = await client("GET", path.partition("&continue=")[0], headers=headers)
            path = path.partition("&continue=")[0] + "&continue=" + first.body["metadata"]["continue"]
        if "firstLine" in recorded or "lines" in recorded:
            lines = recorded.get("lines") or [recorded["firstLine"]]
            async with client.session.get(client.server.url + path, headers=headers) as response:
                assert response.status == recorded["status"]
                assert response.content_type == "application/json"
                assert [json.loads(line) for line in (await response.read()).splitlines()] == lines
            return
        answer = await client(request["method"], path, request["body"], headers=headers)
    assert answer.status == recorded["status"]
    assert answer.headers["Content-Type"] == recorded["headers"]["Content-Type"]
    assert answer.headers["Date"] == "Fri, 15 Jan 2027 08:00:00 GMT"
    if case["case"] == "version":
        assert answer.body.keys() == recorded["body"].keys()
        assert (answer.body["major"], answer.body["minor"]) == ("1", "36")
    else:
        assert _normal(answer.body) == _normal(recorded["body"])
