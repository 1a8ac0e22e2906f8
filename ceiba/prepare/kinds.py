"""The kind of each column, told from what it holds."""

import re
from collections.abc import Mapping, Sequence

import pyarrow as pa

from ceiba.base.errors import DataError, nearest
from ceiba.prepare.summary import Summary, is_number, summarize
from ceiba.prepare.targets import FEW_NUMBERS, RECUR
from ceiba.read import Frame

LEFT_OUT = "id"
"""The kind of a column that is passed by: an id, or nothing to learn from."""
CAMEL_ID = re.compile(r"[a-z](Id|ID)$|^[A-Z]?ID$")
PLAIN_ID = re.compile(r"(^|[_\s.\-])(p?id|uuid|guid|key|index|rowid|row)$|^$|^unnamed\b", re.IGNORECASE)
UNIQUE = 0.95
"""Share of distinct values among the known ones above which a column tells rows apart."""
ENOUGH_ROWS = 20
"""With fewer rows, being unique says little."""
MOST_CATEGORIES = 50
"""Text with at most so many values is a category however long it is, if values recur."""
TEXT_WORDS = 3.0
"""Mean words in a value from which text that hardly recurs is text."""
TEXT_CHARACTERS = 4.0
"""The same in characters, for scripts without blanks."""
IMAGE_SHARE = 0.95
SPELLED_SPANS = ("[]", '[{"text":')
"""How answers begin that are written as JSON."""


def infer_kinds(
    frame: Frame, targets: str | Sequence[str] = (), summaries: Mapping[str, Summary] | None = None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Column → kind, and notes on what was left out (kind `id`) and why.

    Raises: DataError for a target that is no column.
    """
    wanted = (targets,) if isinstance(targets, str) else tuple(targets)
    for name in wanted:
        if name not in frame.names:
            raise DataError(
                f"{frame.origin} must have the column '{name}'", "none of that name", nearest(name, frame.names)
            )
    kinds, notes = {}, []
    for name, summary in (summarize(frame) if summaries is None else summaries).items():
        if name in wanted:
            kinds[name] = target_kind(summary)
            continue
        kinds[name], why = input_kind(summary, frame.schema.field(name))
        if why:
            notes.append(f"column '{name}' is left out: {why}")
    return kinds, tuple(notes)


def target_kind(summary: Summary) -> str:
    """The kind of a column as something to predict."""
    kind = summary.type
    if summary.counts and all(str(value).startswith(SPELLED_SPANS) for value in summary.counts):
        return "span"
    if pa.types.is_nested(kind):
        if pa.types.is_list(kind) and pa.types.is_struct(kind.value_type):
            return "span"
        return "set" if _holds_text(kind) else "vector"
    if is_number(kind) or summary.spells_numbers:
        few = summary.distinct <= FEW_NUMBERS and summary.distinct * RECUR <= max(summary.known, 2 * RECUR)
        if not (few and (summary.is_whole if is_number(kind) else True)):
            return "number"
    elif pa.types.is_temporal(kind):
        return "date"
    return "binary" if summary.distinct <= 2 else "category"


def input_kind(summary: Summary, field: pa.Field) -> tuple[str, str]:
    """The kind of a column as something to learn from, and why it is left out if it is."""
    kind = summary.type
    if summary.known == 0:
        return LEFT_OUT, "it holds no value"
    if pa.types.is_binary(kind):
        return ("image", "") if summary.is_image else (LEFT_OUT, "its bytes are no images")
    if pa.types.is_nested(kind):
        return _list_kind(summary, field)
    if summary.distinct == 1 and not summary.missing:
        return LEFT_OUT, "it holds the same value in every row"
    if pa.types.is_boolean(kind):
        return "binary", ""
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "date", ""
    if is_number(kind):
        return _number_kind(summary)
    if pa.types.is_string(kind):
        return _text_kind(summary)
    return LEFT_OUT, f"no kind reads the Arrow type {kind}"


def _holds_text(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and pa.types.is_string(kind.value_type))


def _list_kind(summary: Summary, field: pa.Field) -> tuple[str, str]:
    kind = summary.type
    if not (pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)):
        return LEFT_OUT, f"no kind reads the Arrow type {kind}"
    if b"shape" in (field.metadata or {}):
        return "image", ""
    if _holds_text(kind):
        return "set", ""
    if is_number(kind.value_type):
        return ("vector", "") if summary.length else (LEFT_OUT, "its lists of numbers differ in length")
    return LEFT_OUT, f"no kind reads the Arrow type {kind}"


def _is_unique(summary: Summary) -> bool:
    return summary.known >= ENOUGH_ROWS and summary.distinct >= UNIQUE * summary.known


def _is_id_name(name: str) -> bool:
    return bool(PLAIN_ID.search(name) or CAMEL_ID.search(name))


def _number_kind(summary: Summary) -> tuple[str, str]:
    if summary.is_whole and _is_unique(summary):
        if summary.is_rising:
            return LEFT_OUT, "it counts the rows up"
        if _is_id_name(summary.name):
            return LEFT_OUT, "it is named like an id and differs in every row"
    if summary.distinct == 2 and summary.is_whole and (summary.low, summary.high) == (0.0, 1.0):
        return "binary", ""
    return "number", ""


def _text_kind(summary: Summary) -> tuple[str, str]:
    if summary.spells_numbers:
        return "number", ""
    if summary.spells_dates:
        return "date", ""
    if summary.image_names >= IMAGE_SHARE:
        return LEFT_OUT, "it names image files (say where they are: data.files)"
    if summary.distinct <= MOST_CATEGORIES and summary.known >= RECUR * summary.distinct:
        return ("binary" if summary.distinct == 2 else "category"), ""
    without_blanks = summary.without_blanks > 1 / 2
    if summary.words >= TEXT_WORDS or (without_blanks and summary.characters >= TEXT_CHARACTERS):
        return "text", ""
    if _is_unique(summary):
        return LEFT_OUT, "it differs in every row and is no text"
    return "category", ""
