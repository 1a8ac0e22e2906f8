"""Fashion-MNIST as arrays, for a peer."""

import gzip

import numpy as np
from numpy.typing import NDArray


def read(images: str, labels: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Standardized pixels (row, height, width) and classes, from the two files in idx form."""
    with gzip.open(images) as file:
        pixels = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 28, 28).astype(np.float32)
    with gzip.open(labels) as file:
        classes = np.frombuffer(file.read()[8:], np.uint8).astype(np.int64)
    return (pixels - pixels.mean()) / pixels.std(), classes
