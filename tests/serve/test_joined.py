"""A model of a text that is made of several columns: rows have those columns, or the text itself."""

from typing import Any

import pytest
from serving import Serve, Server, text_bundle

JOIN = {"type": "join", "columns": {"text": ["title", "body"]}}


@pytest.fixture(scope="module")
def news(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    return serve(f"news={text_bundle(tmp_path_factory.mktemp('joined') / 'news', JOIN)}", "--open")


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"title": "a b", "body": "c a"}, "long"),
        ({"title": "a b", "body": None}, "short"),
        ({"text": "a b c a"}, "long"),
        ({"text": "a", "title": "a b", "body": "c a"}, "long"),
    ],
)
def test_rows_have_the_columns_or_the_text(news: Server, row: dict[str, Any], kind: str) -> None:
    status, answer = news.post("/v1/predict", row)
    assert (status, answer["kind"]) == (200, kind)


def test_the_description_asks_for_the_columns(news: Server) -> None:
    row = news.get("/openapi.json")[1]["components"]["schemas"]["news.row"]
    assert row["required"] == list(row["properties"]) == list(row["example"]) == ["body", "title"]
    assert {one["x-ceiba-kind"] for one in row["properties"].values()} == {"text"}
    assert news.post("/v1/predict", row["example"])[0] == 200
    assert [one["name"] for one in news.get("/v2/models/news")[1]["inputs"]] == ["body", "title"]
    signature = news.get("/v1/models/news/metadata")[1]["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert list(signature["inputs"]) == ["body", "title"]


def test_a_text_by_itself_is_a_row(news: Server) -> None:
    kinds = [
        one["kind"] for one in news.post("/v1/models/news:predict", {"instances": ["a b c a", "a"]})[1]["predictions"]
    ]
    assert kinds == ["long", "short"]
    columns = {"title": ["a b", "a"], "body": ["c a", "a"]}
    for inputs in (["a b c a", "a"], columns, {"text": ["a b c a", "a"]}):
        assert news.post("/v1/models/news:predict", {"inputs": inputs})[1]["outputs"]["kind"] == ["long", "short"]


def test_a_column_that_is_lacking_is_named(news: Server) -> None:
    status, answer = news.post("/v1/predict", {"title": "a"})
    assert status == 422
    assert answer["error"].startswith("The rows must have the column 'body'. Got none of that name. The columns are")
    status, answer = news.post("/v1/models/news:predict", {"inputs": {"title": ["a"]}})
    assert (status, answer["error"]) == (400, "Missing named input: body in 'inputs' object.")
