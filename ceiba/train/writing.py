"""What a language model writes while it learns: it goes on with the beginnings of held-out texts."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ceiba.base.keys import key
from ceiba.base.progress import say
from ceiba.base.ranks import leads
from ceiba.batches import Batches
from ceiba.fields import Fields, TokenField, Windows
from ceiba.model import Model
from ceiba.train.sinks import Sink
from ceiba.train.spec import TrainSpec

SAMPLES = "samples.jsonl"
PROMPTS, TOKENS = 3, 100
TEMPERATURE = 0.8
SHOWN_CHARACTERS = 200


class Writing:
    """A sink: after each validation some texts are written into `samples.jsonl`, the same ones for the same weights."""

    def __init__(self, model: Model, name: str, field: TokenField, prompts: Tensor, folder: Path, seed: int):
        self.model, self.name, self.field, self.prompts, self.seed = model, name, field, prompts, seed
        folder.mkdir(parents=True, exist_ok=True)
        self.file = (folder / SAMPLES).open("a", encoding="utf-8")

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Write if the figures are those of a validation."""
        if "valid_loss" not in figures:
            return
        was = self.model.training
        texts = [self.field.decode(row) for row in self.go_on(step).tolist()]
        self.model.train(was)
        for prompt, text in zip(map(self.field.decode, self.prompts.tolist()), texts, strict=True):
            self.note(step, {"prompt": prompt, "text": text})
        say(f"step {step} writes: {texts[0][:SHOWN_CHARACTERS]!r}")

    @torch.inference_mode()
    def go_on(self, step: int) -> Tensor:
        """Tokens drawn one after another from softmax(logits / temperature), each from as many before it as fit."""
        self.model.eval()
        device = next(self.model.parameters()).device
        ids, width = self.prompts.to(device), self.field.max_tokens
        random = torch.Generator(device).manual_seed(key(self.seed, "writing", step) >> 1)
        for _ in range(TOKENS):
            seen = ids[:, -width:]
            padded = torch.nn.functional.pad(seen, (0, width - seen.shape[1]))  # one shape, for a compiled model
            logits = self.model({f"{self.name}.ids": padded})[self.name][:, seen.shape[1] - 1].float()
            drawn = torch.multinomial((logits / TEMPERATURE).softmax(-1), 1, generator=random)
            ids = torch.cat([ids, drawn.to(ids.dtype)], 1)
        return ids[:, self.prompts.shape[1] :]

    def note(self, step: int, event: Mapping[str, object]) -> None:
        """One line of the file, or nothing for an event that is no text."""
        if "text" in event:
            self.file.write(json.dumps({"step": step, **event}, ensure_ascii=False) + "\n")
            self.file.flush()

    def close(self) -> None:
        self.file.close()


def writers(model: Model, fields: Fields, valid: Batches, spec: TrainSpec, folder: Path) -> list[Sink]:
    """The sink of a language model that this process holds whole; of any other model, none."""
    windows = {name: one for name, one in valid.arrays.targets.items() if isinstance(one, Windows)}
    if not windows or not leads() or spec.parallel == "fsdp":
        return []
    name, rows = next(iter(windows.items()))
    field = fields.inputs[name]
    if not isinstance(field, TokenField) or not model.head(name).shifts:
        return []
    found = rows[np.unique(np.linspace(0, len(rows) - 1, PROMPTS).astype(np.int64))]
    prompts = torch.from_numpy(found[:, : max(1, field.max_tokens // 2)])
    prompts = prompts[(prompts > 0).all(1)]
    return [Writing(model, name, field, prompts, folder, spec.seed)] if len(prompts) else []
