"""What a server is asked to do, as its owner and its workers share it."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ceiba.base.spec import Spec
from ceiba.serve.settings import Batching, Limits


class Plan(Spec):
    """Settings of a whole server."""

    models: dict[str, Path]
    """Name → a bundle, a run, or a folder of versions (1, 2, ...)."""
    adapters: dict[str, Path] = Field(default_factory=dict)
    """Name → an adapter beside the first of them, which must be a language model."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    probe_port: int | None = None
    """A port of its own for health and metrics, without keys."""
    workers: int = Field(default=1, ge=1)
    """Processes that answer."""
    threads: int = Field(default=1, ge=0)
    """Threads that compute one batch; 0 = one for each core."""
    missing: Literal["error", "null"] = "error"
    """What a column that a row lacks is."""
    extra: Literal["error", "ignore"] = "ignore"
    """What a column that no model knows is."""
    keys: Path | None = None
    """File of keys; None: a key is made for this run."""
    is_open: bool = False
    """Whether anybody may ask, without a key."""
    drain_s: float = 0.0
    """Seconds between "not ready" and the end of accepting, for a load balancer to notice."""
    grace_s: float = 30.0
    """Seconds that requests in work may take when the server stops."""
    poll_s: float = 1.0
    """How often folders of versions are looked at."""
    canary_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Part of the requests that a new version answers before it is made stable; 0: it takes over at once."""
    batching: Batching = Batching()
    """How rows are joined."""
    limits: Limits = Limits()
    """What one client may ask."""
    ssl: dict[str, Any] = Field(default_factory=dict)
    """uvicorn's settings of TLS."""
    log_descriptor: int | None = None
    """Open file for the log of requests; None: none is kept, and faults go to standard error."""
