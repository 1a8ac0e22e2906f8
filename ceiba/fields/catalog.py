"""The catalog of kinds."""

from collections.abc import Mapping
from typing import Any

from ceiba.base.errors import BundleError, nearest
from ceiba.base.spec import one_of
from ceiba.fields.binary import BinarySpec
from ceiba.fields.category import CategorySpec
from ceiba.fields.chat import ChatSpec
from ceiba.fields.date import DateSpec
from ceiba.fields.field import Field, FieldSpec
from ceiba.fields.image import ImageSpec
from ceiba.fields.number import NumberSpec
from ceiba.fields.set import SetSpec
from ceiba.fields.span import SpanSpec
from ceiba.fields.tags import TagsSpec
from ceiba.fields.text import TextSpec
from ceiba.fields.vector import VectorSpec
from ceiba.fields.words import WordsSpec

FIELDS: dict[str, type[FieldSpec]] = {
    "number": NumberSpec,
    "category": CategorySpec,
    "binary": BinarySpec,
    "date": DateSpec,
    "set": SetSpec,
    "vector": VectorSpec,
    "text": TextSpec,
    "chat": ChatSpec,
    "words": WordsSpec,
    "tags": TagsSpec,
    "span": SpanSpec,
    "image": ImageSpec,
}
FieldOptions = one_of(FIELDS)
TABLE_KINDS = ("number", "category", "binary", "date", "set", "vector")


def load_field(value: Mapping[str, Any], files: Mapping[str, bytes]) -> Field:
    """The field that its JSON and its files describe.

    Raises: BundleError for a kind that this version does not know, or for JSON that is no field of its kind.
    """
    kind = str(value.get("kind"))
    if kind not in FIELDS:
        raise BundleError("a field must have a known kind", f"'{kind}'", nearest(kind, FIELDS))
    try:
        return FIELDS[kind].field_class.from_json(value, files)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"a field must be a {kind} field as Ceiba writes it", str(error), "Use an undamaged copy"
        ) from error
