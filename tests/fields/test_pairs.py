"""Two texts in one row: one frame, cut alike, encoded alone as among others; and where each token stands."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from ceiba.base.errors import DataError
from ceiba.fields import Ragged, TextSpec
from ceiba.fields.field import Field
from ceiba.fields.pairs import joined, parted
from ceiba.fields.tokens import TokenField

QUESTION, PASSAGE = "who wins the game", "the team wins and the coach is glad about it"
ROWS = pa.array([[QUESTION, PASSAGE], ["", ""], None, ["the coach", None]], pa.list_(pa.string()))


def fitted(**options: object) -> TokenField:
    spec = {"type": "text", "tokenizer": {"type": "word", "min_count": 1}, **options}
    field = TextSpec.model_validate(spec).fit([ROWS])
    assert isinstance(field, TokenField)
    return field


def rows(field: Field, column: pa.Array, part: str = "ids") -> list[list[int]]:
    found = field.encode(column)[part]
    assert isinstance(found, Ragged)
    return [found.take(np.array([row])).values.tolist() for row in range(len(found))]


def test_a_pair_stands_in_one_frame() -> None:
    field = fitted()
    first, second = field.special["class"], field.special["separator"]
    words = field.token_ids([QUESTION, PASSAGE])
    pair, empty, missing, half = rows(field, ROWS)
    assert pair == [first, *words[0], second, *words[1], second]
    assert empty == missing == []
    assert half == [first, *field.token_ids(["the coach"])[0], second, second]
    assert field.max_tokens == len(words[0]) + len(words[1]) + 3  # the longest pair, with its frame
    assert field.layout("pair").separator == second  # type: ignore[union-attr]
    again = TokenField.from_json(field.to_json(), field.files())
    assert [rows(again, ROWS.slice(place, 1))[0] for place in range(4)] == [pair, empty, missing, half]


def test_the_longer_text_is_cut_first() -> None:
    field = fitted(max_tokens=10)
    words = field.token_ids([QUESTION, PASSAGE])
    separator = field.special["separator"]
    assert rows(field, ROWS)[0] == [field.special["class"], *words[0][:3], separator, *words[1][:4], separator]


def test_a_folder_gives_the_frame(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator([QUESTION, PASSAGE], trainers.WordLevelTrainer(special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    field = fitted(tokenizer={"type": "folder", "folder": str(tmp_path)})
    assert rows(field, ROWS)[0] == tokenizer.encode(QUESTION, PASSAGE).ids
    assert rows(field, pa.array([QUESTION]))[0] == tokenizer.encode(QUESTION).ids


def test_places_quote_the_second_text() -> None:
    field = fitted(places=True)
    passage = "  The TEAM wins — and the e\u0301lan"  # decomposed: places count as the text stands
    ids, places = (rows(field, pa.array([[QUESTION, passage]]), part)[0] for part in ("ids", "places"))
    assert len(ids) == len(places)
    quoted = [passage[start:stop] for start, stop in places if stop]
    assert quoted[:4] == ["The", "TEAM", "wins", "—"]
    assert quoted[-1] == "e\u0301lan"
    assert len(quoted) == len(ids) - len(QUESTION.split()) - 3
    alone = rows(field, pa.array(["the team"]), "places")[0]
    assert alone == [[0, 3], [4, 8]]


def test_a_row_with_another_number_of_texts_is_refused() -> None:
    with pytest.raises(DataError, match=r"pairs of texts.*1 texts in row 2"):
        parted(pa.array([["a", "b"], ["c"]]))
    assert joined(pa.array([["a", "b"], ["c", None], None], pa.list_(pa.string()))).to_pylist() == ["a b", "c", ""]
