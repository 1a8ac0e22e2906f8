"""What decoding remembers: the keys and values of every token that was read, so that none is read twice.

All rows of a batch end at the same column, each begins where its own length puts it: the new keys of all rows are then
one slice, whatever their lengths, and attention reads the columns from the earliest beginning to the end, no more.

    column   0   1   2   3   4   5   6   7 ...
    row 0            a   b   c   d   e          end = 7, length 5
    row 1                    x   y   z          length 3

When the end meets the last column, what is alive moves to the front: a ring that is turned now and then, so that the
columns in use are always one piece.
"""

import math
import mmap
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ceiba.layers import LayerMemory, attend, visible

SLACK = 4
"""One in so many columns is spare: the larger, the seldomer what is alive must move."""
LEAST_SLACK = 64


class PromptMemory:
    """The keys and values of whole prompts, read at once; rows are padded at their end."""

    def __init__(self, num_layers: int, batch: int, length: int, window: int | None, device: torch.device):
        self.positions = torch.arange(length, device=device).expand(batch, -1)
        everything = torch.ones(1, length, dtype=torch.bool, device=device)
        # A window that holds the whole prompt hides nothing, and the causal kernel needs no mask.
        mask = visible(everything, True, window) if window is not None and window < length else None
        self.parts = [PromptLayer(mask) for _ in range(num_layers)]
        self.layers: Sequence[LayerMemory] = self.parts


class PromptLayer:
    """One attention's part of it."""

    key: Tensor
    value: Tensor

    def __init__(self, mask: Tensor | None):
        self.mask = mask

    def attend(
        self,
        query: Float[Tensor, "batch head new dim"],
        key: Float[Tensor, "batch key_head new dim"],
        value: Float[Tensor, "batch key_head new dim"],
    ) -> Float[Tensor, "batch head new dim"]:
        """Keep the prompt's keys and values; each query sees those up to its own place."""
        self.key, self.value = key, value
        return attend(query, key, value, self.mask, is_causal=self.mask is None)


class Cache:
    """The memory of a batch that rows join and leave; columns in use stand in one piece, ending at `end`."""

    def __init__(self, num_layers: int, max_rows: int, context: int, window: int | None, device: torch.device):
        self.window, self.device = window, device
        longest = context if window is None else min(context, window)
        self.columns = longest + max(longest // SLACK, LEAST_SLACK)
        self.max_rows, self.end = max_rows, 0
        self.lengths: list[int] = []
        self.first = 0
        """The earliest column that a row of this step needs."""
        self.scores: Tensor | None = None
        """What is added to the scores of this step, (batch, 1, new, column from `first` on): 0 or -∞; None for 0."""
        self.parts = [CacheLayer(self) for _ in range(num_layers)]
        self.layers: Sequence[LayerMemory] = self.parts
        self.positions = torch.zeros(0, 0, dtype=torch.int64, device=device)

    def kept(self, length: int) -> int:
        """Columns that a row of some length still needs."""
        return length if self.window is None else min(length, self.window)

    def begin(self, new: int) -> None:
        """Make ready for `new` tokens more in each row."""
        alive = max(map(self.kept, self.lengths), default=0)
        if self.end + new > self.columns:
            self._move(alive)
        lengths, end = self.lengths, self.end
        self.first = end - alive
        self.positions = torch.tensor(lengths, device=self.device)[:, None] + torch.arange(new, device=self.device)
        is_even = all(self.kept(length) == alive for length in lengths)
        # One token after rows that begin together sees every column; a window hides the oldest.
        is_whole = self.window is None or alive + 1 <= self.window
        self.scores = None if new == 1 and is_even and is_whole else self._hidden(new)

    def _hidden(self, new: int) -> Float[Tensor, "batch 1 new column"]:
        column = torch.arange(self.first, self.end + new, device=self.device)
        starts = torch.tensor([self.end - self.kept(length) for length in self.lengths], device=self.device)
        place = self.end + torch.arange(new, device=self.device)[:, None]
        shown = (column >= starts[:, None, None]) & (column <= place)
        if self.window is not None:
            shown &= place - column < self.window
        return torch.zeros(shown.shape, device=self.device).masked_fill_(~shown, -torch.inf)[:, None]

    def advance(self, new: int) -> None:
        """The new tokens of this step have been read."""
        self.end += new
        self.lengths = [length + new for length in self.lengths]

    def forget(self, count: int) -> None:
        """Take back the last tokens of every row."""
        self.end -= count
        self.lengths = [length - count for length in self.lengths]

    def admit(self, prompts: PromptMemory, lengths: Sequence[int]) -> None:
        """Prompts that were read become rows behind those that are there."""
        kept = [self.kept(length) for length in lengths]
        alive = max(map(self.kept, self.lengths), default=0)
        if not self.lengths or self.end < max(kept):
            self._move(max(alive, *kept))
        start = len(self.lengths)
        for layer, prompt in zip(self.parts, prompts.parts, strict=True):
            layer.admit(prompt, start, self.end, lengths, kept)
        self.lengths += lengths

    def keep(self, order: Sequence[int]) -> None:
        """Row i becomes what row order[i] is; rows that are not named are gone."""
        first = self.end - max((self.kept(self.lengths[row]) for row in order), default=0)
        moved = [(place, row) for place, row in enumerate(order) if place != row]
        if moved:
            places, rows = (torch.tensor(part, device=self.device) for part in zip(*moved, strict=True))
            for layer in self.parts:
                layer.copy_rows(places, rows, first, self.end)
        self.lengths = [self.lengths[row] for row in order]

    def _move(self, end: int) -> None:
        """Let the rows end at another column."""
        alive = max(map(self.kept, self.lengths), default=0)
        if alive and end != self.end:
            for layer in self.parts:
                layer.move(self.end - alive, end - alive, alive, len(self.lengths))
        self.end = end


class CacheLayer:
    """One attention's keys and values, (row, key_head, column, dim); unread columns hold zeros, never NaN."""

    def __init__(self, cache: Cache):
        self.cache = cache
        self.keys = self.values = torch.zeros(0)

    def attend(
        self,
        query: Float[Tensor, "batch head new dim"],
        key: Float[Tensor, "batch key_head new dim"],
        value: Float[Tensor, "batch key_head new dim"],
    ) -> Float[Tensor, "batch head new dim"]:
        """Keep the new keys and values; each query sees those of its row up to its own place."""
        cache = self.cache
        rows, heads, new, dim = query.shape
        end = cache.end + new
        self.keys[:rows, :, cache.end : end] = key
        self.values[:rows, :, cache.end : end] = value
        keys, values = self.keys[:rows, :, cache.first : end], self.values[:rows, :, cache.first : end]
        if new == 1:  # The heads that share keys are so many queries at the same place: no key is repeated.
            query = query.view(rows, key.shape[1], -1, dim)
        elif heads != key.shape[1]:
            sharing = heads // key.shape[1]
            keys, values = keys.repeat_interleave(sharing, 1), values.repeat_interleave(sharing, 1)
        mixed = torch.nn.functional.scaled_dot_product_attention(query, keys, values, cache.scores)
        return mixed.view(rows, heads, new, dim) if new == 1 else mixed

    def admit(self, prompt: PromptLayer, start: int, end: int, lengths: Sequence[int], kept: Sequence[int]) -> None:
        """Write the last keys and values of prompts so that they end at a column."""
        if self.keys.numel() == 0:
            _, heads, _, dim = prompt.key.shape
            shape = (self.cache.max_rows, heads, self.cache.columns, dim)
            self.keys, self.values = blank(prompt.key, shape), blank(prompt.value, shape)
        for row, (length, count) in enumerate(zip(lengths, kept, strict=True)):
            self.keys[start + row, :, end - count : end] = prompt.key[row, :, length - count : length]
            self.values[start + row, :, end - count : end] = prompt.value[row, :, length - count : length]

    def copy_rows(self, places: Int[Tensor, "row"], rows: Int[Tensor, "row"], first: int, end: int) -> None:
        """Several rows become others, at once."""
        for held in (self.keys, self.values):
            held[places, :, first:end] = held[rows, :, first:end]

    def move(self, start: int, to: int, count: int, rows: int) -> None:
        """Move columns of the first rows; the places may overlap."""
        for held in (self.keys, self.values):
            held[:rows, :, to : to + count] = held[:rows, :, start : start + count].clone()


def blank(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Zeros of the kind of another tensor.

    On the processor they are the system's own, which take time and memory page by page when they are first written:
    torch's would be written at once, and a cache is mostly room that few texts need. Pages must be small for that: the
    first keys of a row are far from those of the next, and each would bring a page of 2 MB.
    """
    if like.device.type != "cpu" or like.dtype != torch.float32:
        return like.new_zeros(shape)
    if not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return torch.from_numpy(np.zeros(shape, dtype=np.float32))
    room = mmap.mmap(-1, math.prod(shape) * like.element_size(), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    room.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(room, dtype=like.dtype).view(shape)
