"""Layers: the equations that models are made of, as plain modules.
Takes       tensors and plain numbers.       Gives   tensors.
May touch   torch, base.                     Never   fields, files, losses, recipes, training.
To add one  write layers/<name>.py with its Source, re-export it below, test it against its equation."""

from ceiba.layers.attention import LayerMemory, Memory, SelfAttention, Sight, attend, visible
from ceiba.layers.bag import WeightedBag
from ceiba.layers.chain import LinearChain
from ceiba.layers.convolution import ConvBlock, ResidualBlock, TimeConvolutions
from ceiba.layers.decoder import Decoder
from ceiba.layers.dense import ACTIVATIONS, NORMS, Activation, Dense, MemberLinear, Mlp, Norm
from ceiba.layers.embedding import CategoryEmbedding, TokenEmbedding
from ceiba.layers.ensemble import EnsembleLinear
from ceiba.layers.foreign import FOREIGN, build_foreign, foreign_width
from ceiba.layers.gru_decoder import GruDecoder
from ceiba.layers.norm import BatchNorm1d, BatchNorm2d, token_norm
from ceiba.layers.numbers import PeriodicNumbers, PiecewiseNumbers, PlainNumbers, ScalarNumbers
from ceiba.layers.positions import POSITIONS, LearnedPositionsSpec, Positions, RotaryPositionsSpec
from ceiba.layers.recurrence import Cell, Recurrent
from ceiba.layers.regularization import Dropout, StochasticDepth
from ceiba.layers.tokens import Tokens, join_tokens, one_token, pool
from ceiba.layers.transformer import Transformer, TransformerBlock, TransformerOptions

__all__ = [
    "ACTIVATIONS",
    "FOREIGN",
    "NORMS",
    "POSITIONS",
    "Activation",
    "BatchNorm1d",
    "BatchNorm2d",
    "CategoryEmbedding",
    "Cell",
    "ConvBlock",
    "Decoder",
    "Dense",
    "Dropout",
    "EnsembleLinear",
    "GruDecoder",
    "LayerMemory",
    "LearnedPositionsSpec",
    "LinearChain",
    "MemberLinear",
    "Memory",
    "Mlp",
    "Norm",
    "PeriodicNumbers",
    "PiecewiseNumbers",
    "PlainNumbers",
    "Positions",
    "Recurrent",
    "ResidualBlock",
    "RotaryPositionsSpec",
    "ScalarNumbers",
    "SelfAttention",
    "Sight",
    "StochasticDepth",
    "TimeConvolutions",
    "TokenEmbedding",
    "Tokens",
    "Transformer",
    "TransformerBlock",
    "TransformerOptions",
    "WeightedBag",
    "attend",
    "build_foreign",
    "foreign_width",
    "join_tokens",
    "one_token",
    "pool",
    "token_norm",
    "visible",
]
