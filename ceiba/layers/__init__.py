"""Layers: the equations that models are made of, as plain modules.
Takes       tensors and plain numbers.       Gives   tensors.
May touch   torch, base.                     Never   fields, files, losses, recipes, training.
To add one  write layers/<name>.py with its Source, re-export it below, test it against its equation."""

from ceiba.layers.convolution import ConvBlock as ConvBlock
from ceiba.layers.dense import ACTIVATIONS as ACTIVATIONS
from ceiba.layers.dense import NORMS as NORMS
from ceiba.layers.dense import Activation as Activation
from ceiba.layers.dense import Dense as Dense
from ceiba.layers.dense import MemberLinear as MemberLinear
from ceiba.layers.dense import Mlp as Mlp
from ceiba.layers.dense import Norm as Norm
from ceiba.layers.embedding import CategoryEmbedding as CategoryEmbedding
from ceiba.layers.embedding import TokenEmbedding as TokenEmbedding
from ceiba.layers.numbers import PeriodicNumbers as PeriodicNumbers
from ceiba.layers.numbers import PiecewiseNumbers as PiecewiseNumbers
from ceiba.layers.numbers import PlainNumbers as PlainNumbers
from ceiba.layers.numbers import ScalarNumbers as ScalarNumbers
from ceiba.layers.tokens import Tokens as Tokens
from ceiba.layers.tokens import join_tokens as join_tokens
from ceiba.layers.tokens import one_token as one_token
from ceiba.layers.tokens import pool as pool
