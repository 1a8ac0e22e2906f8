"""Memory that is measured and given back."""

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
