"""Words encoders `lstm`, `gru`: each word's vector and its characters, read both ways."""

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.fields import WordsLayout
from ceiba.layers import Dropout, Recurrent, TimeConvolutions, TokenEmbedding, Tokens


class WordsRecurrentSpec(Spec):
    """Each word's vector beside what a convolution finds in its characters, through a recurrent net both ways; gives a
    token a word. Sources: Ma & Hovy 2016, arXiv:1603.01354, sections 2.1 and 2.2; Chiu & Nichols 2016."""

    type: Literal["lstm", "gru"]
    word_dim: int = Field(100, ge=1)
    """Width of a word's vector."""
    character_dim: int = Field(30, ge=1)
    """Width of a character's vector."""
    channels: int = Field(50, ge=1)
    """Filters over the characters."""
    kernel: int = Field(3, ge=1)
    """Their width, in characters."""
    width: int = Field(200, ge=1)
    """Width of the state, in each direction."""
    layers: int = Field(1, ge=1)
    """Recurrent layers."""
    word_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of words whose vector is that of the unknown word while training, so that spelling must tell them."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of features dropped, of each word's two vectors and after each layer, while training."""

    def build(self, layout: WordsLayout, dim: int) -> "WordsRecurrent":
        return WordsRecurrent(self, layout, dim)


class WordsLstmSpec(WordsRecurrentSpec):
    """A long short-term memory over words and their characters."""

    type: Literal["lstm"] = "lstm"


class WordsGruSpec(WordsRecurrentSpec):
    """A gated recurrent unit over words and their characters."""

    type: Literal["gru"] = "gru"


class WordsRecurrent(Encoder):
    """Word vectors and character convolutions, a recurrent net both ways, and a linear map to the model's width."""

    def __init__(self, spec: WordsRecurrentSpec, layout: WordsLayout, dim: int):
        super().__init__()
        self.word_dropout = spec.word_dropout
        self.words = TokenEmbedding(layout.vocab, spec.word_dim)
        self.characters = TokenEmbedding(layout.characters, spec.character_dim)
        self.convolutions = TimeConvolutions(spec.character_dim, spec.channels, (spec.kernel,))
        inputs = spec.word_dim + self.convolutions.width
        self.dropout = Dropout(spec.dropout)
        self.recurrent = Recurrent(spec.type, inputs, spec.width, spec.layers, True, spec.dropout)
        self.linear = nn.Linear(self.recurrent.width, dim)

    def forward(self, parts: Parts) -> Tokens:
        ids = parts["ids"]
        mask = ids != 0
        known = ids
        if self.training and self.word_dropout:
            dropped = torch.rand(ids.shape, device=ids.device) < self.word_dropout
            known = torch.where(dropped & mask, torch.ones_like(ids), ids)
        letters = parts["characters"].flatten(0, 1)  # (batch · word, character)
        spelled = self.convolutions(self.characters(letters), letters != 0).unflatten(0, ids.shape)
        values = self.dropout(torch.cat([self.words(known), spelled], -1))
        hidden = self.recurrent(values, mask)
        return Tokens(self.linear(self.dropout(hidden)), mask)
