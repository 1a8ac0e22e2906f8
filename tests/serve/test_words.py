"""A tagger behind a server: lists of words in, tags and entities out, in every protocol."""

import json
from typing import Any

import pytest
from serving import Serve, Server, words_bundle

ANNA = {"type": "PER", "start": 0, "end": 2}
OSLO = {"type": "LOC", "start": 3, "end": 4}
TAGS = ["B-PER", "I-PER", "O", "B-LOC"]


@pytest.fixture(scope="module")
def tagger(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    return serve(f"names={words_bundle(tmp_path_factory.mktemp('words') / 'names')}", "--open")


@pytest.mark.parametrize("words", ["Anna Berg runs Oslo", ["Anna", "Berg", "runs", "Oslo"], " Anna\tBerg runs  Oslo "])
def test_words_come_as_a_list_or_as_a_text(tagger: Server, words: Any) -> None:
    assert tagger.post("/v1/predict", {"word": words}) == (200, {"tag": TAGS, "tag_entities": [ANNA, OSLO]})


def test_rows_of_both_forms_and_of_none_share_a_request(tagger: Server) -> None:
    rows = [{"word": "Anna"}, {"word": ["Anna", 7]}, {"word": []}, {"word": None}, {"word": ""}]
    status, answers = tagger.post("/v1/predict", rows)
    assert status == 200
    assert [one["tag"] for one in answers] == [["B-PER"], ["B-PER", "I-PER"], [], [], []]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["Anna", ""], "must hold words. Got one that is missing or empty"),
        (["Anna", None], "must hold words. Got one that is missing or empty"),
        (["Anna", ["Berg"]], "must be text. Got a list"),
        ({"a": "Anna"}, "must be a list of words. Got something else"),
        (7, "must be a list of words. Got '7'"),
    ],
)
def test_what_is_no_list_of_words_is_refused_with_its_row(tagger: Server, words: Any, told: str) -> None:
    status, answer = tagger.post("/v1/predict", [{"word": "Anna"}, {"word": words}])
    assert status == 422
    assert answer["error"].startswith(f"row 2, column 'word' {told}")


def test_other_protocols_and_tables(tagger: Server) -> None:
    _, _, found = tagger.request("POST", "/v1/predict", "word\nAnna Berg runs Oslo\n", {"Content-Type": "text/csv"})
    assert found.decode().splitlines()[1].startswith('B-PER;I-PER;O;B-LOC,"[{')
    asked = [{"name": "word", "datatype": "BYTES", "shape": [2, 1], "data": ["Anna Berg runs Oslo", "runs"]}]
    outputs = tagger.post("/v2/models/names/infer", {"inputs": asked})[1]["outputs"]
    tags, entities = (one["data"] for one in outputs)
    assert tags == [";".join(TAGS), "O"]
    assert [json.loads(one) for one in entities] == [[ANNA, OSLO], []]
    assert tagger.post("/v1/models/names:predict", {"instances": [{"word": "Oslo"}]})[1]["predictions"][0]["tag"] == [
        "B-LOC"
    ]


def test_rows_and_answers_are_described(tagger: Server) -> None:
    schemas = tagger.get("/openapi.json")[1]["components"]["schemas"]
    assert schemas["names.row"]["properties"]["word"]["type"] == ["array", "string", "null"]
    assert tagger.post("/v1/predict", schemas["names.row"]["example"])[0] == 200
    entity = schemas["names.answer"]["properties"]["tag_entities"]["items"]
    assert {name: one["type"] for name, one in entity["properties"].items()} == {
        "type": "string", "start": "integer", "end": "integer"
    }  # fmt: skip
