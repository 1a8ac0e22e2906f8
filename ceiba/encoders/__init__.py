"""Encoders: one group's tensors → tokens.
Takes       a layout from fields, and tensors.   Gives   Tokens (batch, token, dim) and their mask.
May touch   layers, fields, base.                Never   files, losses, devices, recipes.
To add one  write encoders/<name>.py, add one line to the catalog of its kind below."""

from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.encoders.image_cnn import ImageCnnSpec
from ceiba.encoders.image_resnet import ImageResnetSpec
from ceiba.encoders.image_vit import ImageVitSpec
from ceiba.encoders.numbers import NUMBERS, NumbersSpec, PeriodicSpec, PiecewiseSpec, ScalarSpec
from ceiba.encoders.pretrained import ImagePretrainedSpec, Pretrained, TextPretrainedSpec
from ceiba.encoders.table_linear import TableLinearSpec
from ceiba.encoders.table_mlp import TableMlpSpec
from ceiba.encoders.table_tabm import TabmSpec
from ceiba.encoders.table_tokens import TableTokensSpec
from ceiba.encoders.text_bag import TextBagSpec
from ceiba.encoders.text_cnn import TextCnnSpec
from ceiba.encoders.text_mean import TextMeanSpec
from ceiba.encoders.text_recurrent import GruSpec, LstmSpec, RnnSpec
from ceiba.encoders.text_transformer import TextTransformerSpec
from ceiba.encoders.words_recurrent import WordsGruSpec, WordsLstmSpec

TABLE_ENCODERS: dict[str, type[Spec]] = {
    "mlp": TableMlpSpec,
    "tokens": TableTokensSpec,
    "tabm": TabmSpec,
    "linear": TableLinearSpec,
}
TEXT_ENCODERS: dict[str, type[Spec]] = {
    "bag": TextBagSpec,
    "mean": TextMeanSpec,
    "cnn": TextCnnSpec,
    "rnn": RnnSpec,
    "lstm": LstmSpec,
    "gru": GruSpec,
    "transformer": TextTransformerSpec,
    "transformers": TextPretrainedSpec,
}
IMAGE_ENCODERS: dict[str, type[Spec]] = {
    "cnn": ImageCnnSpec,
    "resnet": ImageResnetSpec,
    "vit": ImageVitSpec,
    "transformers": ImagePretrainedSpec,
}
WORDS_ENCODERS: dict[str, type[Spec]] = {"lstm": WordsLstmSpec, "gru": WordsGruSpec}
ENCODERS: dict[str, dict[str, type[Spec]]] = {
    "table": TABLE_ENCODERS, "text": TEXT_ENCODERS, "words": WORDS_ENCODERS, "image": IMAGE_ENCODERS,
}  # fmt: skip
"""Kind of a group's layout → name → spec."""

__all__ = [
    "ENCODERS",
    "IMAGE_ENCODERS",
    "NUMBERS",
    "TABLE_ENCODERS",
    "TEXT_ENCODERS",
    "WORDS_ENCODERS",
    "Encoder",
    "GruSpec",
    "ImageCnnSpec",
    "ImagePretrainedSpec",
    "ImageResnetSpec",
    "ImageVitSpec",
    "LstmSpec",
    "NumbersSpec",
    "Parts",
    "PeriodicSpec",
    "PiecewiseSpec",
    "Pretrained",
    "RnnSpec",
    "ScalarSpec",
    "TableLinearSpec",
    "TableMlpSpec",
    "TableTokensSpec",
    "TabmSpec",
    "TextBagSpec",
    "TextCnnSpec",
    "TextMeanSpec",
    "TextPretrainedSpec",
    "TextTransformerSpec",
]
