"""What a server says no with."""


class Refusal(Exception):
    """A request that is not answered: an HTTP status, and one line without internals."""

    def __init__(self, status: int, message: str, retry_after_s: int | None = None, allowed: tuple[str, ...] = ()):
        """`allowed` are the methods that an address knows."""
        super().__init__(message)
        self.status, self.message, self.retry_after_s, self.allowed = status, message, retry_after_s, allowed


class Gone(Exception):
    """The client left before its request was read or answered."""
