"""Whether the server lives, is ready, and what it counts: on the main port, and alone on the port for probes."""

import re

from ceiba.serve.app import Endpoint, Service
from ceiba.serve.exchange import Reply, Request, reply_json


async def live(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """The process answers; true while it drains."""
    return reply_json({"live": True})


async def ready(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """503 until models are loaded, and from the moment that the server begins to drain."""
    is_ready = service.models.is_ready and not service.is_draining
    return reply_json({"live": True, "ready": is_ready}, 200 if is_ready else 503)


async def metrics(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """Prometheus text, over all workers."""
    return Reply(service.metrics.text(), content_type=service.metrics.content_type)


def endpoints(metrics_role: str | None) -> list[Endpoint]:
    """`metrics_role` is what a key must be allowed to read the metrics; None is open."""
    return [
        Endpoint("GET", "/live", live, None, "health"),
        Endpoint("GET", "/ready", ready, None, "health"),
        Endpoint("GET", "/health", ready, None, "health"),
        Endpoint("GET", "/metrics", metrics, metrics_role, "health"),
    ]
