"""Two processes train; in one of them a gradient is no number at step 3. What each ends with is left in the folder."""

import contextlib
import hashlib
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
import trainings

from ceiba.base.errors import Followed
from ceiba.base.ranks import rank
from ceiba.train import loop, step

folder = Path(sys.argv[1])
runs: list[step.Run] = []


class Spoiled(step.Run):
    """One gradient is spoiled before the processes share them."""

    def backward(self, batch: object) -> torch.Tensor:
        """As Run."""
        if not runs:
            runs.append(self)
            last = self.parameters[-1]
            last.register_hook(lambda gradient: gradient * torch.nan if self.at.step == 3 and rank() == 1 else gradient)
        return super().backward(batch)  # type: ignore[arg-type]


loop.Run = Spoiled  # type: ignore[misc]
with contextlib.suppress(Followed):
    trainings.training(folder, ema=0)
digest = hashlib.sha256(b"".join(value.detach().numpy().tobytes() for value in runs[0].parameters)).hexdigest()
(folder / f"{rank()}.json").write_text(json.dumps({"skipped": runs[0].at.skipped, "weights": digest}))
os._exit(0)
