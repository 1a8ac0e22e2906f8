"""Servers for the tests of this folder."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Serve, Server, image_bundle, table_bundle, text_bundle


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Starts servers, and ends those that a test leaves."""
    running: list[Server] = []

    def start(*words: object, **more: Any) -> Server:
        running.append(Server(*words, **more))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
            one.process.send_signal(signal.SIGTERM)
            one.stop()
        for stream in (one.process.stderr, one.process.stdout):
            if stream is not None and not stream.closed:
                stream.close()


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One exported bundle a kind."""
    folder = tmp_path_factory.mktemp("bundles")
    return {
        "table": table_bundle(folder / "homes"),
        "text": text_bundle(folder / "reviews"),
        "image": image_bundle(folder / "photos"),
    }


@pytest.fixture(scope="module")
def home(serve: Serve, bundles: dict[str, Path]) -> Server:
    """One open server of all three, shared by the tests of a file."""
    return serve(f"homes={bundles['table']}", f"reviews={bundles['text']}", f"photos={bundles['image']}", "--open")
