"""Sockets that the owner listens on, before there is a worker."""

import socket

from ceiba.base.errors import InputError


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises: InputError for an address that cannot be taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        one = socket.socket(family[0], socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(family[4])
        one.listen(4096)
        one.setblocking(False)
    except OSError as error:
        raise InputError(f"{host}:{port} must be free to listen on", error.strerror, "Choose another --port") from error
    return one
