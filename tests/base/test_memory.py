"""Memory that is measured and given back."""

import ctypes
import subprocess
import sys

import pytest

from ceiba.base.memory import anonymous_bytes, give_back


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux keeps what is freed")
def test_what_was_freed_between_what_is_held_goes_back_to_the_system() -> None:
    blocks = [bytearray(4096) for _ in range(40_000)]
    held = blocks[::1000]
    del blocks
    before = anonymous_bytes()
    give_back()
    assert anonymous_bytes() < before - 80e6
    assert len(held) == 40


APART = """
import contextlib, pyarrow, sys
from ceiba.base.memory import anonymous_bytes, lean, settle
if sys.argv[1] == "settled":
    settle()
del (first := [bytearray(16 << 20)])[:]  # from here on the C library keeps what is smaller
with lean() if sys.argv[1] == "lean" else contextlib.nullcontext():
    large, small = [], []
    for _ in range(50):
        large.append(bytearray(4 << 20))
        small.append(bytearray(4000))
    full = anonymous_bytes()
    del large
    print(full - anonymous_bytes())
if sys.argv[1] == "lean":
    assert pyarrow.default_memory_pool().backend_name == "jemalloc"
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_large_blocks_between_small_ones_go_back_at_once_while_memory_is_lean_or_settled() -> None:
    def freed(how: str) -> int:
        found = subprocess.run([sys.executable, "-c", APART, how], capture_output=True, text=True, check=True)
        return int(found.stdout)

    assert freed("lean") > 190 << 20
    assert freed("settled") > 190 << 20
    assert freed("usual") < 10 << 20
