"""One training in as many processes as torchrun starts; a test runs this file and reads what it leaves.

python ranks.py FOLDER PARALLEL STOP_AT RESUME [JSON]: SIGTERM comes to the last process before step STOP_AT; the JSON
holds further keys of `train`.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ceiba.answers import ClassesAnswer
from ceiba.base.errors import Followed, Stopped
from ceiba.base.ranks import num_ranks, rank
from ceiba.batches import Batch, Batches
from ceiba.encoders import TEXT_ENCODERS
from ceiba.fields import Ragged, TextLayout
from ceiba.heads import HEADS, OutputLayout
from ceiba.model import ModelSpec, build_model
from ceiba.prepare import Arrays
from ceiba.train import TrainSpec, fit

ROWS, VOCAB = 205, 30
folder, parallel, stop_at, resume = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "resume"


class Stopping(Batches):
    """Notes the rows of each step, and asks one process to stop."""

    def epoch(self, epoch: int, start: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        for place, batch in enumerate(super().epoch(epoch, start, share), start):
            step = epoch * self.per_epoch + place
            if step == stop_at and rank() == num_ranks() - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            with (folder / f"rows-{rank()}.jsonl").open("a") as file:
                known = batch.rows.tolist() if batch.weight is None else []
                file.write(json.dumps({"step": step, "rows": known}) + "\n")
            yield batch


class Noted(Batches):
    """Notes the rows that a process validates."""

    def in_order(self, share: tuple[int, int] = (0, 1)) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        for own, batch in super().in_order(share):
            if share[1] > 1:
                with (folder / f"valid-{rank()}.jsonl").open("a") as file:
                    file.write(json.dumps(own.tolist()) + "\n")
            yield own, batch


random = np.random.default_rng(0)
lengths = random.integers(3, 9, ROWS)
ids = random.integers(1, VOCAB, int(lengths.sum())).astype(np.int32)
offsets = np.concatenate([[0], np.cumsum(lengths)])
targets = np.array([ids[a:b].sum() % 3 for a, b in pairwise(offsets)])
targets[::7] = -1  # the processes have different numbers of known targets
arrays = Arrays(Path(), ROWS, {"text.ids": Ragged(ids, offsets)}, {"y": targets}, None, np.arange(ROWS))
encoder = TEXT_ENCODERS["transformer"].model_validate({"layers": 2, "heads": 2, "dropout": 0})
spec = ModelSpec(dim=16, encoders={"text": encoder}, heads={"y": HEADS["classes"]()})
model = build_model(
    spec, {"text": TextLayout(vocab=VOCAB, max_tokens=8, weighted=False)}, {"y": OutputLayout("classes", 3, (1, 1, 1))}
)
told = {
    "epochs": 4, "batch_rows": 16, "log_every": 1, "parallel": parallel, "threads": 1, "compile": False,
    "precision": "fp32", "optimizer": {"lr": 0.003}, "accumulate": 2, **json.loads(sys.argv[5]),
}  # fmt: skip
options = TrainSpec.model_validate(told)
batches, code = Stopping(arrays, 16, 0), 0
folder.mkdir(exist_ok=True)
try:
    fit(model, batches, Noted(arrays, 68, 0), {"y": ClassesAnswer(("a", "b", "c"))}, options, folder, {}, resume)
except Followed:
    pass
except Stopped as error:
    code = error.exit_code
(folder / f"exit-{rank()}").write_text(str(code))
sys.stdout.flush()
os._exit(0)
