"""Which of several processes of one training this is, as `torchrun` tells it in the environment."""

import os


def rank() -> int:
    """This process's place among those of one training; 0 alone."""
    return int(os.environ.get("RANK", "0"))


def num_ranks() -> int:
    """How many processes train together; 1 alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this process writes, prints and measures for all."""
    return rank() == 0
