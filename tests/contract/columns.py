"""For every kind of field: columns of that kind, and other Arrow forms of the same values."""

import base64
import datetime
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from PIL import Image

from ceiba.fields import FIELDS, FieldSpec

Values = list[Any]


@dataclass(frozen=True)
class Case:
    """One way to use a kind: its options, its values, and the forms in which equal values may arrive."""

    name: str
    kind: str
    values: st.SearchStrategy[Any]
    forms: Callable[[Values], list[pa.Array]]
    options: dict[str, Any] = field(default_factory=dict)
    target: bool = False

    def spec(self) -> FieldSpec:
        return FIELDS[self.kind](**self.options)


def text_forms(values: Values) -> list[pa.Array]:
    """Text as strings of every width, dictionary-encoded, sliced out of a longer array, empty for missing."""
    plain = pa.array(values, pa.string())
    return [
        plain,
        plain.cast(pa.large_string()),
        plain.cast(pa.string_view()),
        plain.dictionary_encode(),
        pa.concat_arrays([pa.array(["other"]), plain, pa.array(["z"])]).slice(1, len(plain)),
        pa.array(["" if value is None else value for value in values], pa.string()),
    ]


def spaced(values: Values) -> Values:
    return [None if value is None else f"  {value} " for value in values]


def float_forms(values: Values) -> list[pa.Array]:
    """Floats as float64 and float32, missing as null, NaN and "", and as text."""
    holes = [np.nan if value is None else value for value in values]
    words = [None if value is None else repr(value) for value in values]
    return [
        pa.array(values, pa.float64()),
        pa.array(np.array(holes, np.float64)),
        pa.array(np.array(holes, np.float32)),
        pa.array(values, pa.float64()).dictionary_encode(),
        pa.array(["nan" if value is None else value for value in words], pa.string()),
        *text_forms(words),
        pa.array(spaced(words), pa.string()),
    ]


def int_forms(values: Values) -> list[pa.Array]:
    """Whole numbers as integers of every width, floats, decimals and text of both."""
    floats = [None if value is None else float(value) for value in values]
    words = [None if value is None else str(value) for value in values]
    return [
        pa.array(values, pa.int64()),
        pa.array(values, pa.int32()),
        pa.array(values, pa.decimal128(20, 2)),
        pa.array(floats, pa.float64()),
        pa.array(np.array([np.nan if value is None else value for value in floats], np.float32)),
        pa.array(values, pa.int64()).dictionary_encode(),
        pa.array([None if value is None else str(value) for value in floats], pa.string()),
        *text_forms(words),
        pa.array(spaced(words), pa.string()),
    ]


def bool_forms(values: Values) -> list[pa.Array]:
    words = [None if value is None else str(value) for value in values]
    lower = [None if value is None else str(value).lower() for value in values]
    return [pa.array(values, pa.bool_()), *text_forms(words), *text_forms(lower)]


def truth_forms(values: Values) -> list[pa.Array]:
    return [*bool_forms(values), *int_forms([None if value is None else int(value) for value in values])]


def date_forms(values: Values) -> list[pa.Array]:
    """Times as instants of every unit, on other clocks, and as ISO text of every spelling."""
    plain = pa.array(values, pa.timestamp("us"))
    utc = [None if value is None else value.replace(tzinfo=datetime.UTC) for value in values]
    east = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    return [
        plain,
        plain.cast(pa.timestamp("s")),
        plain.cast(pa.timestamp("ns")),
        pa.array(utc, pa.timestamp("us", "UTC")),
        pa.array(utc, pa.timestamp("ms", "America/New_York")),
        plain.dictionary_encode(),
        *text_forms([None if value is None else value.isoformat(" ") for value in values]),
        pa.array([None if value is None else value.isoformat() for value in utc], pa.string()),
        pa.array([None if value is None else value.astimezone(east).isoformat() for value in utc], pa.string()),
        pa.array([None if value is None else value.strftime("%Y-%m-%dT%H:%M:%SZ") for value in values], pa.string()),
    ]


def day_forms(values: Values) -> list[pa.Array]:
    days = pa.array(values, pa.date32())
    return [
        days,
        days.cast(pa.date64()),
        days.cast(pa.timestamp("us")),
        *text_forms([None if value is None else value.strftime("%d/%m/%Y") for value in values]),
        pa.array([None if value is None else value.isoformat() for value in values], pa.string()),
    ]


def set_forms(values: Values) -> list[pa.Array]:
    """Sets as lists of every width, and as text; an empty text is a missing set, so no set is empty here."""
    lists = pa.array(values, pa.list_(pa.string()))
    words = [None if value is None else "|".join(value) for value in values]
    return [lists, lists.cast(pa.large_list(pa.large_string())), *text_forms(words)]


def word_forms(values: Values) -> list[pa.Array]:
    """Words as lists of every width, and as text parted by blanks."""
    lists = pa.array(values, pa.list_(pa.string()))
    words = [None if value is None else " ".join(value) for value in values]
    return [
        lists,
        lists.cast(pa.large_list(pa.large_string())),
        *text_forms(words),
        pa.array(spaced(words), pa.string()),
    ]


def vector_forms(values: Values) -> list[pa.Array]:
    lists = pa.array(values, pa.list_(pa.float64()))
    words = [None if value is None else " ".join(map(repr, value)) for value in values]
    return [
        lists,
        pa.array(values, pa.list_(pa.float64(), 3)),
        lists.cast(pa.large_list(pa.float32())),
        *text_forms(words),
        pa.array([None if value is None else str(value) for value in values], pa.string()),
    ]


def pair_forms(values: Values) -> list[pa.Array]:
    """Two texts in a list, and in a list of two; a missing row is one of empty texts."""
    filled = [["", ""] if value is None else ["" if part is None else part for part in value] for value in values]
    lists = pa.array(values, pa.list_(pa.string()))
    return [lists, pa.array(filled, pa.list_(pa.string())), pa.array(filled, pa.list_(pa.string(), 2))]


def span_forms(values: Values) -> list[pa.Array]:
    """Answers as lists of objects, as such objects with more in them, and as JSON."""
    kind = pa.list_(pa.struct([("text", pa.string()), ("start", pa.int64())]))
    more = pa.list_(pa.struct([("start", pa.int32()), ("by", pa.string()), ("text", pa.string())]))
    words = [None if value is None else json.dumps(value) for value in values]
    return [pa.array(values, kind), pa.array(values, more), *text_forms(words)]


def chat_forms(values: Values) -> list[pa.Array]:
    """Messages as lists of objects, as such objects with more in them, and as JSON."""
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    more = pa.large_list(pa.struct([("content", pa.large_string()), ("name", pa.string()), ("role", pa.string())]))
    words = [None if value is None else json.dumps(value) for value in values]
    return [pa.array(values, kind), pa.array(values, more), *text_forms(words)]


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def image_forms(values: Values) -> list[pa.Array]:
    """Images as raw pixels, flat and nested, and as files: bytes, base64, and a structure with the bytes."""
    files = [png(np.array(value, np.uint8).reshape(4, 4)) for value in values]
    coded = [base64.b64encode(data).decode() for data in files]
    return [
        pa.array(values, pa.list_(pa.uint8(), 16)),
        pa.array(values, pa.list_(pa.int64())),
        pa.array([np.array(value).reshape(4, 4).tolist() for value in values], pa.list_(pa.list_(pa.int16()))),
        pa.array(files, pa.binary()),
        pa.array(files, pa.large_binary()),
        pa.array(files, pa.binary()).dictionary_encode(),
        pa.array(coded, pa.string()),
        pa.array([f"data:image/png;base64,{text}" for text in coded], pa.string()),
        pa.array(
            [{"bytes": data, "path": "x"} for data in files], pa.struct({"bytes": pa.binary(), "path": pa.string()})
        ),
    ]


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


floats = optional(st.floats(-1e30, 1e30).map(lambda value: value + 0.0))
ints = optional(st.integers(-(2**24), 2**24))
labels = optional(st.text("ab é日.-07", min_size=1, max_size=4).filter(lambda word: word.strip()))
texts = optional(st.text(max_size=30) | st.text("ab éÀ日本!.\u200d\u0301\u05d0 ", max_size=60))
times = optional(
    st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)).map(lambda at: at.replace(microsecond=0))
)
days = optional(st.dates(datetime.date(1600, 1, 1), datetime.date(3000, 1, 1)))
sets = optional(st.lists(st.sampled_from(["a", "b", "c d", "39", "é"]), min_size=1, max_size=4))
vectors = optional(st.lists(st.floats(-1e6, 1e6).map(lambda value: value + 0.0), min_size=3, max_size=3))
sentences = optional(st.lists(st.sampled_from(["a", "B-X", "日本", "c3", "39"]), min_size=1, max_size=4))
pairs = optional(st.lists(texts, min_size=2, max_size=2))
answers = optional(
    st.lists(
        st.fixed_dictionaries({"text": st.text("ab é日", min_size=1, max_size=5), "start": st.integers(0, 99)}),
        max_size=2,
    )
)
said = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user", "assistant", "assistant"]),
        "content": st.text("ab é日\n😀", max_size=9),
    }
)
chats = optional(st.lists(said, min_size=1, max_size=5))
images = st.lists(st.integers(0, 255), min_size=16, max_size=16)

CASES = [
    Case("number", "number", floats, float_forms, target=True),
    Case("number whole", "number", ints, int_forms, target=True),
    Case("number quantile", "number", floats, float_forms, {"normalize": "quantile", "missing": "median"}),
    Case("number minmax", "number", ints, int_forms, {"normalize": "minmax", "clip": [-5, 5], "missing": "zero"}),
    Case("number raw", "number", floats, float_forms, {"normalize": "none", "indicator": True, "bins": None}),
    Case("number log", "number", floats, float_forms, {"log": True}, target=True),
    Case("category", "category", labels, text_forms, target=True),
    Case("category spaced", "category", labels, lambda values: text_forms(spaced(values)), target=True),
    Case("category whole", "category", ints, int_forms, target=True),
    Case("category fraction", "category", optional(st.sampled_from([0.5, 1e-05, 3.0, 1e20, -7.25])), float_forms),
    Case("category rare", "category", labels, text_forms, {"min_rows": 2, "max_labels": 3}),
    Case("category truth", "category", optional(st.booleans()), bool_forms, target=True),
    Case("binary", "binary", optional(st.sampled_from(["no", "yes"])), text_forms, target=True),
    Case("binary truth", "binary", optional(st.booleans()), truth_forms, target=True),
    Case("binary digit", "binary", optional(st.sampled_from([0, 1])), int_forms, target=True),
    Case("date", "date", times, date_forms),
    Case("date in New York", "date", times, lambda values: date_forms(values)[3:5], {"timezone": "America/New_York"}),
    Case("date of day", "date", days, day_forms, {"format": "%d/%m/%Y"}),
    Case("set", "set", sets, set_forms, {"separator": "|"}, target=True),
    Case("set cut", "set", sets, set_forms, {"separator": "|", "max_labels": 2, "missing_target": "empty"}, True),
    Case("vector", "vector", vectors, vector_forms),
    Case("text word", "text", texts, text_forms),
    Case("text character", "text", texts, text_forms, {"tokenizer": {"type": "character", "lowercase": True}}),
    Case("text bpe", "text", texts, text_forms, {"tokenizer": {"type": "bpe", "vocab": 300}, "max_tokens": 12}),
    Case("text byte", "text", texts, text_forms, {"tokenizer": "byte", "max_tokens": 9}),
    Case("text wordpiece", "text", texts, text_forms, {"tokenizer": {"type": "wordpiece", "vocab": 60}}),
    Case("text unigram", "text", texts, text_forms, {"tokenizer": {"type": "unigram", "vocab": 60}}),
    Case("text ngrams", "text", texts, text_forms, {"tokenizer": "ngrams"}),
    Case("text ngrams cut", "text", texts, text_forms, {"tokenizer": {"type": "ngrams", "han": 2}, "max_tokens": 5}),
    Case("text pair", "text", pairs, pair_forms, {"tokenizer": {"type": "word", "min_count": 1}}),
    Case("text pair with places", "text", pairs, pair_forms, {"tokenizer": "character", "places": True}),
    Case("chat", "chat", chats, chat_forms, {"tokenizer": {"type": "byte", "special": ["[END]"]}, "max_tokens": 40}),
    Case("span", "span", answers, span_forms, target=True),
    Case("words", "words", sentences, word_forms),
    Case("words cut", "words", sentences, word_forms, {"max_characters": 2, "min_count": 2, "max_words": 2}),
    Case("tags", "tags", sentences, word_forms),
    Case("image", "image", images, image_forms),
    Case("image sized", "image", images, image_forms, {"size": [3, 5], "mode": "color"}),
]  # fmt: skip
