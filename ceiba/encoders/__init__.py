"""Encoders: one group's tensors → tokens.
Takes       a layout from fields, and tensors.   Gives   Tokens (batch, token, dim) and their mask.
May touch   layers, fields, base.                Never   files, losses, devices, recipes.
To add one  write encoders/<name>.py, add one line to the catalog of its kind below."""

from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder as Encoder
from ceiba.encoders.encoder import Parts as Parts
from ceiba.encoders.image_cnn import ImageCnnSpec as ImageCnnSpec
from ceiba.encoders.numbers import NUMBERS as NUMBERS
from ceiba.encoders.table_linear import TableLinearSpec as TableLinearSpec
from ceiba.encoders.table_mlp import TableMlpSpec as TableMlpSpec
from ceiba.encoders.text_mean import TextMeanSpec as TextMeanSpec

TABLE_ENCODERS: dict[str, type[Spec]] = {"mlp": TableMlpSpec, "linear": TableLinearSpec}
TEXT_ENCODERS: dict[str, type[Spec]] = {"mean": TextMeanSpec}
IMAGE_ENCODERS: dict[str, type[Spec]] = {"cnn": ImageCnnSpec}
ENCODERS: dict[str, dict[str, type[Spec]]] = {"table": TABLE_ENCODERS, "text": TEXT_ENCODERS, "image": IMAGE_ENCODERS}
"""Kind of a group's layout → name → spec."""
