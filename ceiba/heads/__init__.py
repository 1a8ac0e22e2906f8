"""Heads: tokens → logits of one target, and their loss.
Takes       Tokens, and targets as fields encode them.   Gives   logits, losses, the name of the answer.
May touch   layers, answers, base.                       Never   encoders, files, optimizers, recipes.
To add one  write heads/<name>.py, add one line to HEADS below."""

from ceiba.base.spec import Spec
from ceiba.heads.binary import BinarySpec as BinarySpec
from ceiba.heads.classes import ClassesSpec as ClassesSpec
from ceiba.heads.contrastive import info_nce as info_nce
from ceiba.heads.denoise import Denoise as Denoise
from ceiba.heads.denoise import DenoiseSpec as DenoiseSpec
from ceiba.heads.head import Head as Head
from ceiba.heads.head import OutputLayout as OutputLayout
from ceiba.heads.labels import LabelsSpec as LabelsSpec
from ceiba.heads.masked import Masked as Masked
from ceiba.heads.masked import MaskedSpec as MaskedSpec
from ceiba.heads.next_token import NextToken as NextToken
from ceiba.heads.next_token import NextTokenSpec as NextTokenSpec
from ceiba.heads.next_token import TokenHead as TokenHead
from ceiba.heads.preference import Preference as Preference
from ceiba.heads.preference import PreferenceSpec as PreferenceSpec
from ceiba.heads.regression import RegressionSpec as RegressionSpec
from ceiba.heads.sequence import DECODER_OPTIONS as DECODER_OPTIONS
from ceiba.heads.sequence import DecoderSpec as DecoderSpec
from ceiba.heads.sequence import Sequence as Sequence
from ceiba.heads.sequence import SequenceGruSpec as SequenceGruSpec
from ceiba.heads.sequence import SequenceSpec as SequenceSpec
from ceiba.heads.span import Span as Span
from ceiba.heads.span import SpanSpec as SpanSpec
from ceiba.heads.tags import TagsSpec as TagsSpec

HEADS: dict[str, type[Spec]] = {
    "regression": RegressionSpec,
    "binary": BinarySpec,
    "classes": ClassesSpec,
    "labels": LabelsSpec,
    "next_token": NextTokenSpec,
    "masked": MaskedSpec,
    "denoise": DenoiseSpec,
    "preference": PreferenceSpec,
    "tags": TagsSpec,
    "span": SpanSpec,
    "sequence": SequenceSpec,
    "sequence_gru": SequenceGruSpec,
}
"""Name → spec."""
