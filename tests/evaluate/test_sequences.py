"""What a text that is written is held against: the input as it stands, and its first sentence."""

from typing import Any

import numpy as np
import pytest

from ceiba.evaluate.sequences import first_sentence, sequence_baselines
from ceiba.fields import Fields, TextSpec
from ceiba.metrics import figures
from ceiba.read import open_frame


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One here. Two there.", "One here."),
        ("Is it 3.5 percent? Yes!", "Is it 3.5 percent?"),
        ("  no mark at all ", "no mark at all"),
        ("锌价上涨。铜价下跌。", "锌价上涨。"),
        ("", ""),
    ],
)
def test_a_sentence_ends_at_its_mark(text: str, first: str) -> None:
    assert first_sentence(text) == first


def baselines(rows: dict[str, list[str]]) -> tuple[Any, Any]:
    pytest.importorskip("sacrebleu")
    frame = open_frame(rows)
    spec = TextSpec.model_validate({"tokenizer": {"type": "word", "min_count": 1}})
    fields = Fields({"article": spec.fit(frame.column("article"))}, {})
    return sequence_baselines(("summary",), fields, frame), frame


def test_texts_of_several_sentences_have_their_first_one_beside_them() -> None:
    found, frame = baselines({
        "article": ["A new net. It is trained on much data. It wins.", "Old data are kept. They help."] * 4,
        "summary": ["A new net.", "Data are kept."] * 4,
    })  # fmt: skip
    scores = found.scores(frame)
    rouge = {kind: figures("sequence", np.ones(8), one["summary"])["rouge_l"]["value"] for kind, one in scores.items()}
    # "Old data are kept ." beside "Data are kept .", cased: three words in order of five and of four.
    assert rouge["quick"] == pytest.approx((1 + 2 * 3 / (5 + 4)) / 2)
    assert rouge["quick"] > rouge["constant"]
    assert found.about()["summary"]["quick"] == {"model": "the first sentence of 'article'"}


def test_single_sentences_have_none() -> None:
    found, frame = baselines({"article": ["A dog runs.", "Two men talk."] * 4, "summary": ["Ein Hund.", "Zwei."] * 4})
    assert set(found.scores(frame)) == set(found.about()["summary"]) == {"constant"}
