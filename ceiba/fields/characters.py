"""Texts → one array of code points, and what kind of character each is."""

import functools
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.base.errors import DataError
from ceiba.fields.columns import as_text

MAX_CHARACTERS = 100_000
SEPARATOR = "\n"
BLANK, MARK, WORD, HAN = 0, 1, 2, 3
TABLE_SIZE = 0x40000
FIRST_HAN_PLANE, LAST_HAN = 0x20000, 0x3FFFE
CLASS_OF_CATEGORY = {"L": WORD, "N": WORD, "M": WORD, "P": MARK, "S": MARK}
HAN_RANGES = (
    (0x3005, 0x3008),
    (0x3040, 0x3100),
    (0x31F0, 0x3200),
    (0x3400, 0x4DC0),
    (0x4E00, 0xA000),
    (0xF900, 0xFB00),
)


def clean_text(column: pa.Array, max_characters: int = MAX_CHARACTERS, compose: bool = True) -> pa.Array:
    """Any column → strings in one Unicode form (NFC) unless told not to, cut at a stated length; missing is empty.

    Raises: DataError for bytes that are not UTF-8.
    """
    text = pc.fill_null(as_text(column), "").cast(pa.large_string())
    try:
        text.validate(full=True)
    except pa.ArrowInvalid as error:
        raise DataError("must hold text in UTF-8", "other bytes", "Set data.encoding, or mend the file") from error
    if (pc.max(pc.binary_length(text)).as_py() or 0) > max_characters:
        text = pc.utf8_slice_codeunits(text, 0, max_characters)
    plain = not compose or pc.all(pc.string_is_ascii(text)).as_py()
    return text if plain else pc.utf8_normalize(text, form="NFC")


@functools.cache
def character_classes() -> NDArray[np.uint8]:
    """The class of every code point below TABLE_SIZE; the last entry stands for all above.

    A HAN character (Han, Hiragana, Katakana) is a unit by itself, since these scripts put no spaces between words.
    """
    table = np.zeros(TABLE_SIZE, dtype=np.uint8)
    for code in range(FIRST_HAN_PLANE):
        table[code] = CLASS_OF_CATEGORY.get(unicodedata.category(chr(code))[0], BLANK)
    table[ord("_")] = WORD
    for first, end in (*HAN_RANGES, (FIRST_HAN_PLANE, LAST_HAN)):
        table[first:end] = HAN
    table.setflags(write=False)
    return table


def code_points(texts: pa.Array) -> tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.int64]]:
    """All texts one after another, a separator before, between and after them: code points, their classes, their rows.

    A separator belongs to the row before it; the first has the row -1.
    """
    ended = pc.binary_join_element_wise(texts, pa.scalar(SEPARATOR, texts.type), pa.scalar("", texts.type))
    offsets = np.frombuffer(ended.buffers()[1], np.int64)[ended.offset : ended.offset + len(ended) + 1]
    data = memoryview(ended.buffers()[2])[int(offsets[0]) : int(offsets[-1])]
    joined = np.frombuffer((SEPARATOR + str(data, "utf-8")).encode("utf-32-le"), np.uint32)
    starts = np.frombuffer(data, np.uint8) & 0xC0 != 0x80  # every byte of UTF-8 but the following ones
    counted = np.concatenate([np.zeros(1, np.int64), np.cumsum(starts)])
    lengths = np.diff(counted[offsets - offsets[0]])
    rows = np.concatenate([np.full(1, -1), np.repeat(np.arange(len(texts)), lengths)])
    return joined, character_classes()[np.minimum(joined, TABLE_SIZE - 1)], rows
