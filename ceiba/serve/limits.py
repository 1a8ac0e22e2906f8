"""Rates that all workers hold together, in memory that they share.

A rate is one number: the time at which its bucket will be empty again. A lock of the system guards it, which the system
takes from a worker that dies. Source: the generic cell rate algorithm, ITU-T I.371, annex A.
"""

import fcntl
import mmap
import os
import struct
import time
import zlib

SLOTS = 8192
SLOT = struct.Struct("d")


class SharedRates:
    """Buckets that are found by name; names that share a slot share a bucket, which is rare and errs to caution."""

    def __init__(self) -> None:
        """Made by the owner before its workers are forked."""
        self.descriptor = os.memfd_create("ceiba-rates")
        os.ftruncate(self.descriptor, SLOTS * SLOT.size)
        self.memory = mmap.mmap(self.descriptor, SLOTS * SLOT.size)

    def take(self, name: str, cost: float, per_minute: float) -> float:
        """Take `cost` from a bucket of `per_minute`; 0, or the seconds to wait and then nothing is taken."""
        now, place = time.monotonic(), (zlib.crc32(name.encode()) % SLOTS) * SLOT.size
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX, SLOT.size, place)
        try:
            (empty_at,) = SLOT.unpack_from(self.memory, place)
            empty_at = max(empty_at, now) + cost * 60 / per_minute
            wait_s = empty_at - now - 60
            if wait_s > 0 and cost <= per_minute:
                return float(wait_s)
            if wait_s > 0:  # more than the whole bucket at once: never
                return 3600.0
            SLOT.pack_into(self.memory, place, empty_at)
            return 0.0
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN, SLOT.size, place)
