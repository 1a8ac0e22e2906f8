"""Randomness with an address (law 2): a random number is a function of where it is used, never of earlier draws.

An address is (seed, purpose, epoch, row or step, ...). No generator state is ever saved, so order and augmentation
survive a kill, another number of workers and another number of ranks, bit for bit.
"""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.base.positions import positions

ROUNDS = 10
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)
SHIFT = np.uint64(32)


def key(*address: int | str) -> int:
    """A 64-bit key for an address; equal on every machine and in every process, unlike Python's salted `hash`."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in address)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(*address: int | str) -> np.random.Generator:
    """A numpy generator for one address."""
    return np.random.Generator(np.random.Philox(key=key(*address)))


def permutation(length: int, *address: int | str) -> NDArray[Any]:
    """The order of `length` rows at an address."""
    order = positions(length)
    generator(*address).shuffle(order)
    return order


def philox(counter: NDArray[np.uint64], key_value: int) -> NDArray[np.uint64]:
    """Philox4x32-10: four 32-bit counter words (last axis) → four random 32-bit words.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3.
    """
    c0, c1, c2, c3 = (counter[..., word].astype(np.uint64) for word in range(4))
    k0, k1 = key_value & 0xFFFFFFFF, key_value >> 32
    for _ in range(ROUNDS):
        left, right = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (right >> SHIFT) ^ c1 ^ np.uint64(k0), right & LOW,
            (left >> SHIFT) ^ c3 ^ np.uint64(k1), left & LOW,
        )  # fmt: skip
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1)


def uniform(rows: NDArray[np.int64], draws: int, *address: int | str) -> NDArray[np.float32]:
    """`draws` uniform numbers in [0, 1) for each row address: (row, draw). A row's numbers depend on no other row."""
    blocks = -(-draws // 4)
    counter = np.zeros((len(rows), blocks, 4), dtype=np.uint64)
    addresses = np.asarray(rows).astype(np.uint64)[:, None]
    counter[..., 0] = np.arange(blocks, dtype=np.uint64)
    counter[..., 2] = addresses & LOW
    counter[..., 3] = addresses >> SHIFT
    words = philox(counter, key(*address)).reshape(len(rows), blocks * 4)[:, :draws]
    return ((words >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)).astype(np.float32)
