"""Answers and truths as a person reads them, of outputs whose scores are counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NOTHING = "(none)"
"""What stands for no answer where there may be none."""


def as_said(answers: Sequence[str], truths: Sequence[str | None]) -> NDArray[Any]:
    """(row, 2) of texts; None where no truth is known."""
    said = np.empty((len(answers), 2), dtype=object)
    said[:, 0], said[:, 1] = answers, truths
    return said
