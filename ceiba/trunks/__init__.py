"""Trunks: the tokens of all groups → the tokens that every head reads.
Takes       Tokens by group.             Gives   Tokens.
May touch   layers, base.                Never   fields, files, losses, devices, recipes.
To add one  write trunks/<name>.py, add one line to TRUNKS below."""

from ceiba.base.spec import Spec
from ceiba.trunks.mlp import MlpTrunkSpec as MlpTrunkSpec
from ceiba.trunks.none import NoneSpec as NoneSpec
from ceiba.trunks.transformer import TransformerTrunkSpec as TransformerTrunkSpec
from ceiba.trunks.trunk import Trunk as Trunk

TRUNKS: dict[str, type[Spec]] = {"none": NoneSpec, "mlp": MlpTrunkSpec, "transformer": TransformerTrunkSpec}
"""Name → spec."""
