"""Questions about a text behind a server: two columns in, a piece of the second out, or none."""

import pytest
from serving import Serve, Server, quoting_bundle

ASKED = {"question": "who wins", "passage": "A team wins  TODAY"}
NOTHING = {"question": "who wins", "passage": "a team"}
FOUND = {"answer": "TODAY", "answer_start": 13, "answer_end": 18, "answer_score": 10.0}


@pytest.fixture(scope="module")
def asked(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    return serve(f"team={quoting_bundle(tmp_path_factory.mktemp('quoting') / 'team')}", "--open")


def test_the_answer_stands_in_the_passage_or_there_is_none(asked: Server) -> None:
    status, (found, nothing) = asked.post("/v1/predict", [ASKED, NOTHING])
    assert (status, found) == (200, FOUND)
    assert nothing == {"answer": None, "answer_start": None, "answer_end": None, "answer_score": -2.0}


def test_both_columns_are_asked_for_and_an_answer_may_lack(asked: Server) -> None:
    schemas = asked.get("/openapi.json")[1]["components"]["schemas"]
    assert schemas["team.row"]["required"] == ["passage", "question"]
    types = {name: one["type"] for name, one in schemas["team.answer"]["properties"].items()}
    may_lack = {"answer": ["string", "null"], "answer_start": ["integer", "null"], "answer_end": ["integer", "null"]}
    assert types == may_lack | {"answer_score": "number"}
    status, answer = asked.post("/v1/predict", {"question": "who wins"})
    assert (status, answer["error"][:48]) == (422, "The rows must have the column 'passage'. Got non")


def test_other_protocols_and_tables(asked: Server) -> None:
    columns = {name: [ASKED[name], NOTHING[name]] for name in ASKED}
    inputs = [{"name": name, "datatype": "BYTES", "shape": [2, 1], "data": data} for name, data in columns.items()]
    outputs = asked.post("/v2/models/team/infer", {"inputs": inputs})[1]["outputs"]
    assert {one["name"]: one["data"] for one in outputs} == {
        "answer": ["TODAY", ""], "answer_start": ["13", ""], "answer_end": ["18", ""], "answer_score": [10.0, -2.0]
    }  # fmt: skip
    status, answer = asked.post("/v1/models/team:predict", {"instances": ["A team wins  TODAY"]})
    assert status == 400
    assert "expecting list of objects" in answer["error"]
    table = "question,passage\nwho wins,A team wins  TODAY\nwho wins,a team\n"
    _, _, found = asked.request("POST", "/v1/predict", table, {"Content-Type": "text/csv"})
    assert found.decode().splitlines()[1:] == ["TODAY,13,18,10.0", ",,,-2.0"]
