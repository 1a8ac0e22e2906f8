"""Ceiba's own protocol, through a real server: rows in every form, what is refused, and in which words."""

import base64
import gzip
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from serving import Serve, Server, png

from ceiba.cli.opening import open_model

ROW = {"area": 1.5, "city": "Rome"}


def test_one_row_and_several(home: Server) -> None:
    status, answer = home.post("/v1/predict", ROW)
    assert status == 200
    assert answer["price"] == pytest.approx(4.5)
    assert answer["dear"] == "yes"
    rows = [ROW, {"city": "Oslo", "area": 2}, {"area": None, "city": "nowhere"}]
    status, answers = home.post("/v1/predict/homes", rows)
    assert status == 200
    assert [one["price"] for one in answers] == pytest.approx([4.5, 4.0, 1.0 + 1.5])
    assert home.post("/v1/predict", []) == (200, [])
    assert answers[0] == answer


def test_answers_are_those_of_predict(home: Server, bundles: dict[str, Path]) -> None:
    predictor = open_model(bundles["table"])
    rows: list[dict[str, Any]] = [
        {"area": area, "city": city}
        for area in (1, 2.25, "3", " 4.5 ", True, None, -1e30)
        for city in ("Rome", "Oslo ", 7, False, None, "?")
    ]
    status, answers = home.post("/v1/predict", rows)
    assert status == 200
    for row, answer in zip(rows, answers, strict=True):
        assert answer == pytest.approx(predictor.predict(row)), row
        assert home.post("/v1/predict", row)[1] == pytest.approx(answer), row


def test_texts_and_images(home: Server) -> None:
    assert home.post("/v1/predict/reviews", {"text": "a b c a"})[1]["kind"] == "long"
    assert home.post("/v1/predict/reviews", [{"text": ""}, {"text": "a"}])[1][0]["kind"] == "short"
    image = png(90)
    text = base64.b64encode(image).decode()
    for value in (text, {"b64": text}, f"data:image/png;base64,{text}"):
        assert home.post("/v1/predict/photos", {"photo": value}) == (200, {"brightness": 90.0})
    assert home.post("/v1/predict/photos", image, {"Content-Type": "image/png"}) == (200, {"brightness": 90.0})
    assert home.post("/v1/predict/homes", image, {"Content-Type": "image/png"})[0] == 415


def test_a_table_as_csv(home: Server) -> None:
    body = 'city,area\nRome,1.5\n"Oslo",\n'
    status, headers, found = home.request("POST", "/v1/predict", body, {"Content-Type": "text/csv"})
    assert (status, headers["content-type"]) == (200, "text/csv; charset=utf-8")
    lines = found.decode().splitlines()
    assert lines[0] == "price,dear,dear_probability,dear_no,dear_yes"
    assert [line.split(",")[0] for line in lines[1:]] == ["4.5", "3.5"]
    _, _, found = home.request("POST", "/v1/predict", json.dumps([ROW]), {"Accept": "text/csv"})
    assert found.decode().splitlines()[1].startswith("4.5,yes")
    for bad in ("", "area,area\n1,2\n", "area,city\n1\n", "area,city\nx,Rome\n", b"\xff\xfe,city\n1,2\n"):
        assert home.post("/v1/predict", bad, {"Content-Type": "text/csv"})[0] in (400, 422), bad


REFUSED: dict[str, tuple[Any, int, str]] = {
    "missing": ({"area": 1}, 422, "must have the column 'city'"),
    "missing in row 2": ([ROW, {"area": 1}], 422, "row 2 must have the column 'city'"),
    "no number": ({"area": "west", "city": "Rome"}, 422, "row 1, column 'area' must be a number. Got 'west'"),
    "list": ({"area": [1], "city": "Rome"}, 422, "column 'area' must be a number. Got a list"),
    "object": ({"area": 1, "city": {"a": 1}}, 422, "column 'city' must be text. Got something else"),
    "infinite": ('{"area": 1e400, "city": "Rome"}', 400, "JSON"),
    "huge": ('{"area": 1' + "0" * 400 + ', "city": "Rome"}', 400, "JSON"),
    "too large": ({"area": 1e39, "city": "Rome"}, 422, "below 3.4e38"),
    "no object": ([1], 422, "row 1 must be an object of columns. Got a number"),
    "no object in row 2": ([ROW, 1], 422, "row 2 must be an object of columns. Got a number"),
    "no number in row 3": ([ROW, ROW, ROW | {"area": "west"}], 422, "row 3, column 'area' must be a number"),
    "text": ('"row"', 422, "must be a row"),
    "empty": ("", 400, "must be JSON"),
    "cut": ('{"area": 1', 400, "must be JSON"),
    "NaN": ('{"area": NaN, "city": "Rome"}', 400, "must be JSON"),
    "not UTF-8": (b'{"area": 1, "city": "\xff"}', 400, "must be JSON"),
    "twice": ('{"area": 1, "city": "Rome", "area": 2}', 400, "each column once"),
    "twice in row 2": ('[{"area": 1, "city": "Rome"}, {"area": 1, "city": "Rome", "city": "Oslo"}]', 400, "once"),
    "deep": ("[" * 10_000 + "]" * 10_000, 400, "nest deeper"),
    "many": ("[" + ",".join(["{}"] * 10_001) + "]", 422, "may have 10000 rows"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_told_in_one_line(home: Server, name: str) -> None:
    body, status, message = REFUSED[name]
    found, answer = home.post("/v1/predict", body)
    assert found == status, answer
    assert message in answer["error"]
    assert "\n" not in answer["error"]
    assert len(answer["error"]) < 400
    assert answer["request_id"]


def test_a_colon_in_a_value_is_no_second_name(home: Server) -> None:
    assert home.post("/v1/predict", '{"area": 1, "city": "a\\": \\"b: c"}')[0] == 200


def test_other_addresses(home: Server) -> None:
    for method, path, status in (
        ("GET", "/v1/predict", 405),
        ("POST", "/v1/predict/nobody", 404),
        ("POST", "/v1/predict/..%2F..%2Fetc", 404),
        ("POST", "/v1/predict/homes?version=9", 404),
        ("POST", "/v1/predict/homes?version=x", 400),
        ("POST", "/v1/predict/homes?label=best", 404),
        ("POST", "/v1/predict?" + "&".join(f"a{place}=1" for place in range(21)), 400),
        ("GET", "/etc/passwd", 404),
        ("BREW", "/v1/predict", 400),
        ("DELETE", "/v1/predict", 405),
    ):
        found, headers, _ = home.request(method, path, b"[]")
        assert found == status, path
        assert (found == 405) == ("allow" in headers)
    assert home.post("/v1/predict/homes?version=1", ROW)[0] == 200
    assert home.post("/v1/predict/homes?label=stable", ROW)[0] == 200


def test_ids_and_unknown_columns(serve: Serve, bundles: dict[str, Path]) -> None:
    server = serve(bundles["table"], "--open", "--extra", "error", "--missing", "null")
    assert server.post("/v1/predict", {"area": 1})[1]["price"] == 1.0
    status, answer = server.post("/v1/predict", ROW | {"cty": 1})
    assert (status, answer["error"]) == (422, "row 1 must have known columns only. Got 'cty'. Did you mean 'city'?")


def test_packed_bodies(home: Server) -> None:
    body = json.dumps([ROW] * 50).encode()
    headers = {"Content-Encoding": "gzip"}
    assert len(home.post("/v1/predict", gzip.compress(body), headers)[1]) == 50
    bomb = gzip.compress(b"[" + b" " * (200 << 20) + b"]")
    for bad, status in (
        (bomb, 413),
        (gzip.compress(gzip.compress(body)), 400),
        (gzip.compress(body)[:40], 400),
        (body, 400),
    ):
        assert home.post("/v1/predict", bad, headers)[0] == status
    assert home.post("/v1/predict", body, {"Content-Encoding": "br"})[0] == 415


def test_health_metrics_and_ids_of_requests(home: Server) -> None:
    assert home.get("/live") == (200, {"live": True})
    assert home.get("/ready") == (200, {"live": True, "ready": True})
    _, headers, _ = home.request("POST", "/v1/predict", json.dumps(ROW), {"X-Request-Id": "mine-7"})
    assert headers["x-request-id"] == "mine-7"
    _, headers, _ = home.request("POST", "/v1/predict", json.dumps(ROW), {"X-Request-Id": "bad id\tof me"})
    assert headers["x-request-id"] != "bad id\tof me"
    text = home.request("GET", "/metrics")[2].decode()
    assert 'ceiba_requests_total{model="homes",protocol="records",status="200",version="1"}' in text
    asked = re.search(r'^ceiba_requests_total\{model="homes",protocol="records",status="200".*\} (\S+)$', text, re.M)
    home.post("/v1/predict", ROW)
    again = home.request("GET", "/metrics")[2].decode()
    assert asked
    assert asked[0].replace(asked[1], str(float(asked[1]) + 1)) in again
    assert 'ceiba_batch_rows_count{model="homes",version="1"}' in text
    assert "ceiba_workers 1.0" in text


def test_each_caller_gets_its_own_answer(home: Server) -> None:
    """Many at once, of three models, good and bad: each answer is the one that its request alone has."""

    def ask(place: int) -> bool:
        if place % 7 == 0:
            return home.post("/v1/predict", {"area": "bad", "city": "Rome"})[0] == 422
        if place % 7 == 1:
            words = "a " * (place % 9)
            return (home.post("/v1/predict/reviews", {"text": words})[1]["kind"] == "long") == (place % 9 > 3)
        if place % 7 == 2:
            return bool(
                home.post("/v1/predict/photos", {"photo": base64.b64encode(png(place % 256)).decode()})[1]["brightness"]
                == place % 256
            )
        rows = [{"area": place + step, "city": "Rome"} for step in range(place % 4)]
        return [one["price"] for one in home.post("/v1/predict", rows)[1]] == [
            place + step + 3.0 for step in range(place % 4)
        ]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(400)))
