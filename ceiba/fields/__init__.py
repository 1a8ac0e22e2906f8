"""Fields: what was learnt about one column, and its encoding.
Takes       Arrow arrays, training rows for `fit`.    Gives   a Field (frozen, JSON); arrays from it.
May touch   base, numpy, Arrow, pillow, tokenizers.   Never   torch, files, whole tables, models.
To add one  write fields/<kind>.py with a Field and its FieldSpec, add one line to FIELDS in catalog.py."""

from ceiba.fields.binary import BinaryField, BinarySpec
from ceiba.fields.catalog import FIELDS, TABLE_KINDS, FieldOptions, load_field
from ceiba.fields.category import CategoryField, CategorySpec
from ceiba.fields.field import (
    Encoded,
    Field,
    FieldSpec,
    ImageLayout,
    Layout,
    Ragged,
    TableLayout,
    Target,
    TextLayout,
)
from ceiba.fields.number import NumberField, NumberSpec
from ceiba.fields.record import TABLE, Fields

__all__ = [
    "FIELDS",
    "TABLE",
    "TABLE_KINDS",
    "BinaryField",
    "BinarySpec",
    "CategoryField",
    "CategorySpec",
    "Encoded",
    "Field",
    "FieldOptions",
    "FieldSpec",
    "Fields",
    "ImageLayout",
    "Layout",
    "NumberField",
    "NumberSpec",
    "Ragged",
    "TableLayout",
    "Target",
    "TextLayout",
    "load_field",
]
