"""For administrators: which versions answer, roll-back, canaries, and a look for new versions now.

GET  /v1/admin/models          every model: its versions, its route
POST /v1/admin/models/NAME     {"stable": 3, "canary": 4, "share": 0.1, "labels": {"best": 3}}; what is left out is as
                               it was, but for the canary, which then ends
POST /v1/admin/reload          look for new versions, as SIGHUP does
"""

import re
from typing import Any

from ceiba.serve.app import Endpoint, Service
from ceiba.serve.exchange import Reply, Request, parse_json, reply_json
from ceiba.serve.records import NAME
from ceiba.serve.refusal import Refusal

MOST_VERSION = 10**18


async def models(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """What is served."""
    return await _owner(service, {"kind": "models"})


async def reload(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """Look for new versions."""
    return await _owner(service, {"kind": "reload"})


async def route(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """Choose which versions of a model answer; a version that is not loaded is loaded first."""
    assert match is not None
    value = parse_json(await request.body(service.load, service.limits), service.limits)
    return await _owner(service, {"kind": "route", "name": match["name"], "route": checked(value)})


def checked(value: Any) -> dict[str, Any]:
    """Raises: Refusal for what is no route."""
    known = {"stable", "canary", "share", "labels"}
    if not isinstance(value, dict) or not set(value) <= known:
        raise Refusal(422, f"The body must be an object of {', '.join(sorted(known))}. Got something else.")
    labels = value.get("labels", {})
    versions = [value.get("stable", 1), *([value["canary"]] if value.get("canary") is not None else [])]
    if not isinstance(labels, dict) or len(labels) > 100 or not all(0 < len(label) <= 200 for label in labels):
        raise Refusal(422, "labels must be an object of labels and versions. Got something else.")
    if not all(type(one) is int and 0 <= one <= MOST_VERSION for one in (*versions, *labels.values())):
        raise Refusal(422, "A version must be a whole number. Got something else.")
    share = value.get("share", 0.0)
    if type(share) not in (int, float) or not 0 <= share <= 1:
        raise Refusal(422, "share must be a number from 0 to 1. Got another.")
    return value


async def _owner(service: Service, ask: dict[str, Any]) -> Reply:
    assert service.reach_owner is not None
    found = await service.reach_owner(ask)
    if "error" in found:
        raise Refusal(422, found["error"])
    return reply_json(found)


ENDPOINTS = [
    Endpoint("GET", "/v1/admin/models", models, "admin", "admin"),
    Endpoint("POST", f"/v1/admin/models/{NAME}", route, "admin", "admin", is_pattern=True),
    Endpoint("POST", "/v1/admin/reload", reload, "admin", "admin"),
]
