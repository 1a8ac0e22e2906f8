"""What an operator may set, with its default."""

from ceiba.base.spec import Spec


class Limits(Spec):
    """What one client may ask of the server; each is enforced while the request is read."""

    header_bytes: int = 32 << 10
    """Request line and headers of one request."""
    headers: int = 100
    """Number of headers of one request."""
    body_bytes: int = 32 << 20
    """Body of one request, as sent and after inflating."""
    inflate_ratio: int = 100
    """Bytes that one byte of a compressed body may become."""
    depth: int = 32
    """Brackets within brackets in JSON."""
    rows: int = 10_000
    """Rows of one request."""
    header_s: float = 10.0
    """Seconds until the headers are whole, from the first byte or the opening of the connection."""
    body_s: float = 10.0
    """Seconds for a body, beside what its bytes may take at `body_rate`."""
    body_rate: int = 10_000
    """Bytes of body a second that a client must reach in the long run."""
    idle_s: float = 30.0
    """Seconds that a connection may be open between requests."""
    stall_s: float = 30.0
    """Seconds that a client may leave an answer unread."""
    request_s: float = 30.0
    """Seconds for one request in all; a row that still waits then is dropped."""
    connections: int = 4096
    """Open connections of one worker."""
    connections_per_address: int = 1024
    """Open connections of one address to one worker."""
    queue_rows: int = 20_000
    """Rows that may wait in one worker."""
    queue_bytes: int = 256 << 20
    """Bytes of bodies that may be in work in one worker."""
    tries_per_minute: int = 60
    """Requests with a wrong key that an address may make."""


class Batching(Spec):
    """How rows of different requests are joined."""

    rows: int = 64
    """Rows of one batch, at most."""
    wait_ms: float = 0.0
    """How long the first row of a batch waits for others while nothing else is computed."""
