"""Fields: what was learnt about one column, and its encoding.
Takes       Arrow arrays, training rows for `fit`.    Gives   a Field (frozen, JSON); arrays from it.
May touch   base, numpy, Arrow, pillow, tokenizers, a tokenizer's folder, the process that renders chat templates.
Never       torch, other files, models.
To add one  write fields/<kind>.py with a Field and its FieldSpec, add one line to FIELDS in catalog.py."""

from ceiba.fields.binary import BinaryField, BinarySpec
from ceiba.fields.bins import Bins
from ceiba.fields.catalog import FIELDS, TABLE_KINDS, FieldOptions, load_field
from ceiba.fields.category import CategoryField, CategorySpec
from ceiba.fields.chat import ChatField, ChatSpec, Spoken, places, ragged, side_by_side
from ceiba.fields.columns import as_labels, as_numbers, as_text
from ceiba.fields.corruption import Corruption
from ceiba.fields.date import DateField, DateSpec
from ceiba.fields.field import (
    BESIDE,
    FEATURES,
    REFERENCE,
    TARGETS,
    TAUGHT,
    TEACHER,
    Encoded,
    Field,
    FieldSpec,
    ImageLayout,
    Layout,
    Ragged,
    TableLayout,
    Target,
    TextLayout,
    WordsLayout,
)
from ceiba.fields.image import ImageField, ImageSpec
from ceiba.fields.image import check as check_image
from ceiba.fields.ngrams import NgramField, NgramSpec
from ceiba.fields.number import NumberField, NumberSpec
from ceiba.fields.pieces import EVERY, Pieces, in_pieces
from ceiba.fields.record import TABLE, Fields
from ceiba.fields.set import SetField, SetSpec
from ceiba.fields.stream import Windows, joined, measured_rows, stream
from ceiba.fields.text import TextSpec
from ceiba.fields.tokens import TokenField, as_written
from ceiba.fields.vector import VectorField, VectorSpec
from ceiba.fields.words import WordsField

__all__ = [
    "BESIDE",
    "EVERY",
    "FEATURES",
    "FIELDS",
    "REFERENCE",
    "TABLE",
    "TABLE_KINDS",
    "TARGETS",
    "TAUGHT",
    "TEACHER",
    "BinaryField",
    "BinarySpec",
    "Bins",
    "CategoryField",
    "CategorySpec",
    "ChatField",
    "ChatSpec",
    "Corruption",
    "DateField",
    "DateSpec",
    "Encoded",
    "Field",
    "FieldOptions",
    "FieldSpec",
    "Fields",
    "ImageField",
    "ImageLayout",
    "ImageSpec",
    "Layout",
    "NgramField",
    "NgramSpec",
    "NumberField",
    "NumberSpec",
    "Pieces",
    "Ragged",
    "SetField",
    "SetSpec",
    "Spoken",
    "TableLayout",
    "Target",
    "TextLayout",
    "TextSpec",
    "TokenField",
    "VectorField",
    "VectorSpec",
    "Windows",
    "WordsField",
    "WordsLayout",
    "as_labels",
    "as_numbers",
    "as_text",
    "as_written",
    "check_image",
    "in_pieces",
    "joined",
    "load_field",
    "measured_rows",
    "places",
    "ragged",
    "side_by_side",
    "stream",
]
