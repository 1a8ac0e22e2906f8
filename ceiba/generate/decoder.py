"""A language model as what decoding needs of it: rows join with a prompt, each step reads tokens and gives the logits
of the next, rows leave."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ceiba.encoders.text_transformer import TextTransformer
from ceiba.generate.cache import Cache, PromptMemory
from ceiba.layers import Tokens
from ceiba.model import Model
from ceiba.surgery.adapters import Adapted, Pairs
from ceiba.trunks.transformer import TransformerTrunk

PROMPT_TOKENS = 4096
"""Tokens of prompts, padding included, that are read in one pass."""


class Decoder(ABC):
    """Rows of tokens that grow together, and the logits of what comes next."""

    context: int
    """Tokens that a row may hold."""
    max_rows: int
    """Rows at most."""

    def __init__(
        self, model: Model, output: str, context: int, max_rows: int, adapters: Mapping[str, Pairs] | None = None
    ):
        self.adapted = Adapted(model.eval(), adapters or {})
        assert isinstance(self.adapted.module, Model)
        self.model, self.output, self.part = self.adapted.module, output, f"{model.groups[0]}.ids"
        self.context, self.max_rows = context, max_rows
        self.device = next(model.parameters()).device
        self.adapters: list[str | None] = []
        """The adapter of each row."""

    @property
    @abstractmethod
    def lengths(self) -> list[int]:
        """Tokens that each row holds."""

    @abstractmethod
    def admit(
        self, prompts: Sequence[Sequence[int]], adapters: Sequence[str | None] | None = None
    ) -> Float[Tensor, "batch vocab"]:
        """Prompts become rows behind those that are there, each with an adapter or none; the logits of what follows
        each."""

    @abstractmethod
    def step(self, ids: Sequence[Sequence[int]]) -> Float[Tensor, "batch new vocab"]:
        """Every row reads as many new tokens; the logits of what follows each of them."""

    @abstractmethod
    def keep(self, order: Sequence[int]) -> None:
        """Row i becomes what row order[i] is; rows that are not named are gone."""

    @abstractmethod
    def forget(self, count: int) -> None:
        """Take back the last tokens of every row."""


class CachedDecoder(Decoder):
    """A causal Transformer whose keys and values are kept."""

    def __init__(
        self, model: Model, output: str, context: int, max_rows: int, adapters: Mapping[str, Pairs] | None = None
    ):
        super().__init__(model, output, context, max_rows, adapters)
        trunk = model.trunk
        assert isinstance(trunk, TransformerTrunk)
        self.options = trunk.transformer.options
        self.cache = Cache(self.options.layers, max_rows, context, self.options.window, self.device)

    @property
    def lengths(self) -> list[int]:
        return self.cache.lengths

    @torch.inference_mode()
    def admit(
        self, prompts: Sequence[Sequence[int]], adapters: Sequence[str | None] | None = None
    ) -> Float[Tensor, "batch vocab"]:
        found, start = [], len(self.adapters)
        self.adapters += adapters or [None] * len(prompts)
        for group in passes(prompts):
            start, first = start + len(group), start
            self.adapted.choose(self.adapters[first:start])
            lengths = [len(prompt) for prompt in group]
            memory = PromptMemory(self.options.layers, len(group), max(lengths), self.options.window, self.device)
            tokens = self.model.tokens({self.part: self._padded(group)}, memory)
            last = torch.tensor(lengths, device=self.device) - 1
            values = tokens.values[torch.arange(len(group), device=self.device), last][:, None]
            found.append(self._logits(values)[:, 0])
            self.cache.admit(memory, lengths)
        return found[0] if len(found) == 1 else torch.cat(found)

    @torch.inference_mode()
    def step(self, ids: Sequence[Sequence[int]]) -> Float[Tensor, "batch new vocab"]:
        given = torch.tensor(ids, device=self.device)
        self.adapted.choose(self.adapters)
        self.cache.begin(given.shape[1])
        tokens = self.model.tokens({self.part: given}, self.cache)
        self.cache.advance(given.shape[1])
        return self._logits(tokens.values)

    def keep(self, order: Sequence[int]) -> None:
        self.adapters = [self.adapters[row] for row in order]
        with torch.inference_mode():
            self.cache.keep(order)

    def forget(self, count: int) -> None:
        self.cache.forget(count)

    def _logits(self, values: Float[Tensor, "batch new dim"]) -> Float[Tensor, "batch new vocab"]:
        ones = torch.ones(values.shape[:2], dtype=torch.bool, device=self.device)
        return self.model.logits(self.output, Tokens(values, ones)).float()

    def _padded(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        width = max(map(len, prompts))
        return torch.tensor([[*prompt, *[0] * (width - len(prompt))] for prompt in prompts], device=self.device)


class RereadingDecoder(Decoder):
    """Any causal model, a recurrent one for instance: every step reads the whole rows again."""

    def __init__(
        self, model: Model, output: str, context: int, max_rows: int, adapters: Mapping[str, Pairs] | None = None
    ):
        super().__init__(model, output, context, max_rows, adapters)
        self.rows: list[list[int]] = []

    @property
    def lengths(self) -> list[int]:
        return [len(row) for row in self.rows]

    def admit(
        self, prompts: Sequence[Sequence[int]], adapters: Sequence[str | None] | None = None
    ) -> Float[Tensor, "batch vocab"]:
        self.rows += [list(prompt) for prompt in prompts]
        self.adapters += adapters or [None] * len(prompts)
        self.adapted.choose(self.adapters[-len(prompts) :])
        return self._read(self.rows[-len(prompts) :], 1)[:, 0]

    def step(self, ids: Sequence[Sequence[int]]) -> Float[Tensor, "batch new vocab"]:
        for row, new in zip(self.rows, ids, strict=True):
            row.extend(new)
        self.adapted.choose(self.adapters)
        return self._read(self.rows, len(ids[0]))

    def keep(self, order: Sequence[int]) -> None:
        self.adapters = [self.adapters[row] for row in order]
        self.rows = [list(self.rows[row]) for row in order]

    def forget(self, count: int) -> None:
        self.rows = [row[: len(row) - count] for row in self.rows]

    @torch.inference_mode()
    def _read(self, rows: Sequence[Sequence[int]], new: int) -> Float[Tensor, "batch new vocab"]:
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=self.device)
        logits = self.model.logits(self.output, self.model.tokens({self.part: ids})).float()
        return torch.stack([found[len(row) - new : len(row)] for found, row in zip(logits, rows, strict=True)])


def passes(prompts: Sequence[Sequence[int]]) -> list[list[Sequence[int]]]:
    """Prompts in order, as many at once as fit a pass; one at least."""
    found: list[list[Sequence[int]]] = []
    for prompt in prompts:
        group = found[-1] if found else []
        if group and (len(group) + 1) * max(len(prompt), *map(len, group)) <= PROMPT_TOKENS:
            group.append(prompt)
        else:
            found.append([prompt])
    return found


def open_decoder(
    model: Model, output: str, context: int, max_rows: int, adapters: Mapping[str, Pairs] | None = None
) -> Decoder:
    """The fastest way to decode with a model, and with the adapters beside it."""
    kind = CachedDecoder if _keeps_keys(model) else RereadingDecoder
    return kind(model, output, context, max_rows, adapters)


def _keeps_keys(model: Model) -> bool:
    """Whether tokens meet in the trunk alone, and there by causal attention."""
    encoder = model.encoders[model.slots[model.groups[0]]]
    is_plain = isinstance(encoder, TextTransformer) and encoder.transformer is None
    return is_plain and isinstance(model.trunk, TransformerTrunk) and model.trunk.is_causal
