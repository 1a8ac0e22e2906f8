"""A server's life: keys, a worker that dies, a drain under load, new versions under load."""

import datetime
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnxruntime
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from serving import Serve, Server, table_bundle

from ceiba.base.errors import InputError
from ceiba.bundle.sealed import make_key, seal
from ceiba.bundle.signing import make_signer
from ceiba.cli import main
from ceiba.cli.opening import open_served
from ceiba.serve import metric_files

ROW = {"area": 1.0, "city": "Rome"}


@contextmanager
def load(server: Server, clients: int = 4) -> Iterator[list[tuple[int, float]]]:
    """Clients that ask without end; (status, price) of each answer, status 0 for a connection that broke."""
    found: list[tuple[int, float]] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                status, answer = server.post("/v1/predict", ROW)
                found.append((status, answer.get("price", 0.0)))
            except (OSError, http.client.HTTPException):
                found.append((0, 0.0))
                time.sleep(0.01)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for one in threads:
        one.start()
    try:
        yield found
    finally:
        done.set()
        for one in threads:
            one.join()


def until(condition: object, within_s: float = 20.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + within_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_key_is_made_and_needed(serve: Serve, bundles: dict[str, Path]) -> None:
    server = serve(bundles["table"], "--limit", "tries_per_minute=5")
    key, server.key = server.key, ""
    assert key.startswith("ceiba_")
    status, headers, body = server.request("POST", "/v1/predict", json.dumps(ROW))
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert "Authorization: Bearer" in json.loads(body)["error"]
    assert server.post("/v1/predict", ROW, {"Authorization": f"Bearer {key}"})[0] == 200
    assert server.post("/v1/predict", ROW, {"X-API-Key": key})[0] == 200
    assert server.post(f"/v1/predict?key={key}", ROW)[0] == 401
    assert server.get("/live")[0] == 200
    assert server.get("/metrics")[0] == 401
    wrong = [server.post("/v1/predict", ROW, {"X-API-Key": key[:-1] + "!"})[0] for _ in range(8)]
    assert wrong == [401] * 5 + [429] * 3
    assert server.post("/v1/predict", ROW, {"X-API-Key": key})[0] == 200


def test_a_worker_that_dies_is_replaced(serve: Serve, bundles: dict[str, Path]) -> None:
    server = serve(bundles["table"], "--open", "--workers", "2")
    first = server.workers()
    assert len(first) == 2
    with load(server) as found:
        until(lambda: len(found) > 20)
        os.kill(first[0], signal.SIGKILL)
        until(lambda: len(set(server.workers()) - {first[0]}) == 2)
        count = len(found)
        until(lambda: len(found) > count + 50)
    failed = [one for one in found if one[0] != 200]
    assert len(failed) <= 8, "only requests in the worker that died may fail"
    assert all(status in (0, 200) for status, _ in found)
    assert server.stop() == 0


def test_a_drain_finishes_what_was_begun(serve: Serve, bundles: dict[str, Path]) -> None:
    server = serve(bundles["table"], "--open", "--drain-s", "0.7", "--probe-port", "0")
    with load(server) as found:
        until(lambda: len(found) > 20)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.get("/ready")[0] == 503)
        assert server.get("/live")[0] == 200
        _, headers, _ = server.request("POST", "/v1/predict", json.dumps(ROW))
        assert headers["connection"] == "close"
        assert server.process.wait(30) == 0
        before = [status for status, _ in found]
    assert 200 in before
    assert before[: before.index(0) if 0 in before else None].count(200) == len(
        before[: before.index(0) if 0 in before else None]
    )


def test_a_second_signal_ends_at_once(serve: Serve, bundles: dict[str, Path]) -> None:
    server = serve(bundles["table"], "--open", "--drain-s", "60")
    server.process.send_signal(signal.SIGTERM)
    until(lambda: server.get("/ready")[0] == 503)
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 5


def test_a_new_version_takes_over_without_a_failed_request(serve: Serve, tmp_path: Path) -> None:
    table_bundle(tmp_path / "models" / "1")
    server = serve(f"homes={tmp_path / 'models'}", "--open", "--workers", "2")
    with load(server) as found:
        until(lambda: len(found) > 30)
        table_bundle(tmp_path / "models" / "2", shift=10.0)
        until(lambda: found[-1][1] == 14.0)
        broken = table_bundle(tmp_path / "models" / ".3", shift=20.0)
        (broken / "model.onnx").write_bytes(b"no model at all")
        broken.rename(tmp_path / "models" / "3")
        until(lambda: any("version 3 is not served" in line for line in _lines(server)))
        count = len(found)
        until(lambda: len(found) > count + 30)
    assert {status for status, _ in found} == {200}
    assert {price for _, price in found} == {4.0, 14.0}
    assert {price for _, price in found[-30:]} == {14.0}
    assert found[-1] == (200, 14.0)
    assert server.stop() == 0


def test_an_administrator_rolls_back_and_sends_a_share_to_a_canary(serve: Serve, tmp_path: Path) -> None:
    table_bundle(tmp_path / "models" / "1")
    table_bundle(tmp_path / "models" / "2", shift=10.0)
    server = serve(f"homes={tmp_path / 'models'}", "--workers", "2")

    def price(query: str = "") -> float:
        return float(server.post(f"/v1/predict/homes{query}", ROW)[1].get("price", 0.0))

    assert price() == 14.0
    assert price("?version=1") == 0.0
    with load(server) as found:
        status, value = server.post("/v1/admin/models/homes", {"stable": 1})
        assert (status, value["models"]["homes"]["stable"]) == (200, 1)
        assert {price() for _ in range(10)} == {4.0}
        body = {"stable": 1, "canary": 2, "share": 0.3, "labels": {"best": 2}}
        assert server.post("/v1/admin/models/homes", body)[0] == 200
        assert price("?label=best") == price("?label=canary") == 14.0
        assert price("?label=stable") == 4.0
        share = sum(price() == 14.0 for _ in range(200)) / 200
        assert 0.15 < share < 0.45
        assert server.post("/v1/admin/models/homes", {"stable": 2, "labels": {}})[0] == 200
        assert {price() for _ in range(10)} == {14.0}
    assert {status for status, _ in found} == {200}
    for name, bad in (
        ("homes", {"stable": 9}),
        ("homes", {"stabel": 1}),
        ("homes", {"share": 2}),
        ("nobody", {"stable": 1}),
    ):
        assert server.post(f"/v1/admin/models/{name}", bad)[0] == 422
    versions = server.get("/v1/admin/models")[1]["models"]["homes"]["versions"]
    assert versions == [{"version": 1, "state": "END"}, {"version": 2, "state": "AVAILABLE"}]
    states = server.get("/v1/models/homes")[1]["model_version_status"]
    assert [(one["version"], one["state"]) for one in states] == [("2", "AVAILABLE"), ("1", "END")]


def test_keys_of_a_file(
    serve: Serve, bundles: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys.json"

    def keys(*words: str) -> str:
        assert main(["keys", *words, "--keys", str(path)]) == 0
        return capsys.readouterr().out.splitlines()[-1]

    predict, admin = keys("create", "--note", "ours"), keys("create", "--role", "admin", "--rows-per-minute", "7")
    old = keys("create", "--days", "0.0000001")
    assert path.stat().st_mode & 0o777 == 0o600
    assert not any(key.rpartition("_")[2] in path.read_text() for key in (predict, admin, old))
    server = serve(bundles["table"], "--keys", path, "--log", tmp_path / "log.jsonl")
    server.key = predict
    assert server.post("/v1/predict", ROW)[0] == 200
    assert server.get("/metrics")[0] == server.get("/v1/admin/models")[0] == 403
    server.key = old
    assert server.post("/v1/predict", ROW)[0] == 401
    server.key = admin
    assert server.get("/v1/admin/models")[0] == 200
    assert server.post("/v1/predict", [ROW] * 5)[0] == 200
    status, headers, _ = server.request("POST", "/v1/predict", json.dumps([ROW] * 3))
    assert status == 429
    assert 1 <= int(headers["retry-after"]) <= 60
    id = predict.split("_")[1]
    assert keys("revoke", id) == f"{id} is revoked"
    server.key = predict
    until(lambda: server.post("/v1/predict", ROW)[0] == 401)
    assert "revoked" in next(line for line in _listed(capsys, path) if id in line)
    assert server.stop() == 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    first = lines[0]
    assert (first["key"], first["model"], first["version"], first["rows"], first["status"]) == (
        id,
        bundles["table"].name,
        1,
        1,
        200,
    )
    assert not any(word in (tmp_path / "log.jsonl").read_text() for word in ("Rome", predict, admin, old))


def _listed(capsys: pytest.CaptureFixture[str], path: Path) -> list[str]:
    assert main(["keys", "list", "--keys", str(path)]) == 0
    return capsys.readouterr().out.splitlines()


def test_drift_is_told(serve: Serve, tmp_path: Path) -> None:
    edges = [float(edge) for edge in range(11)]
    columns = [
        {
            "name": "area",
            "kind": "number",
            "role": "input",
            "histogram": {"edges": edges, "counts": [10.0] * 10},
            "top": [],
        },
        {"name": "city", "kind": "category", "role": "input", "histogram": None, "top": [["Rome", 50], ["Oslo", 50]]},
    ]
    server = serve(table_bundle(tmp_path / "homes", report={"data": {"columns": columns}}), "--open")

    def scores() -> dict[str, float]:
        text = server.request("GET", "/metrics")[2].decode()
        found = re.findall(r'^ceiba_input_drift\{column="(\w+)".*\} (\S+)$', text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    alike = [{"area": place % 10 + 0.5, "city": ("Rome", "Oslo")[place % 2]} for place in range(1000)]
    assert server.post("/v1/predict", alike)[0] == 200
    until(lambda: len(scores()) == 2)
    assert all(score < 0.05 for score in scores().values())
    server.post("/v1/predict", [{"area": 9.5, "city": "Lima"}] * 5000)
    until(lambda: min(scores().values()) > 0.25)


def test_tls_and_certificates_of_clients(serve: Serve, bundles: dict[str, Path], tmp_path: Path) -> None:
    files = certificates(tmp_path)
    server = serve(
        bundles["table"], "--open", "--tls", files["server.pem"], files["server.key"], "--clients", files["ca.pem"]
    )
    trusting = ssl.create_default_context(cafile=str(files["ca.pem"]))

    def ask(context: ssl.SSLContext) -> int:
        connection = http.client.HTTPSConnection("localhost", server.port, context=context, timeout=10)
        try:
            connection.request("POST", "/v1/predict", json.dumps(ROW))
            reply = connection.getresponse()
            reply.read()
            return reply.status
        finally:
            connection.close()

    with pytest.raises((ssl.SSLError, OSError)):
        ask(trusting)
    trusting.load_cert_chain(files["client.pem"], files["client.key"])
    assert ask(trusting) == 200
    with pytest.raises((http.client.BadStatusLine, ConnectionResetError)):
        server.post("/v1/predict", ROW)


def certificates(folder: Path) -> dict[str, Path]:
    """An authority, and what it signed for a server and for a client."""
    now, files = datetime.datetime.now(datetime.UTC), {}
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    for name in ("ca", "server", "client"):
        key = authority if name == "ca" else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), now, now + DAY)
        made = made.add_extension(x509.BasicConstraints(name == "ca", None), critical=True)
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        made = made.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False
        )
        if name == "ca":
            made = made.add_extension(
                x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True
            )
        (folder / f"{name}.pem").write_bytes(made.sign(authority, SHA256()).public_bytes(Encoding.PEM))
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{name}.key").write_bytes(plain)
        files |= {f"{name}.pem": folder / f"{name}.pem", f"{name}.key": folder / f"{name}.key"}
    return files


DAY = datetime.timedelta(days=1)


def test_a_sealed_bundle_is_served_and_another_is_not(serve: Serve, bundles: dict[str, Path], tmp_path: Path) -> None:
    make_signer(tmp_path / "signer.pem", tmp_path / "trust.json", "us")
    make_key(tmp_path / "bundle.key")
    sealed = seal(bundles["table"], tmp_path / "sealed", tmp_path / "signer.pem", str(tmp_path / "bundle.key"))
    known = ["--open", "--trust", tmp_path / "trust.json", "--unlock", tmp_path / "bundle.key"]
    server = serve(sealed, *known)
    assert server.post("/v1/predict", ROW)[1]["price"] == 4.0
    refused = serve(bundles["table"], *known)
    assert refused.stop() == 2
    assert "must be signed. Got no signature." in refused.said[-1]
    refused = serve(sealed, "--open")
    assert refused.stop() == 2
    assert "encrypted and needs its key" in refused.said[-1]


def test_a_device_is_for_exported_models() -> None:
    with pytest.raises(InputError, match=r"--device cuda is for exported models.*ceiba export"):
        open_served(Path(__file__).parents[1] / "bundle/format-1/rows", 1, {}, device="cuda")


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="it has the device")
def test_a_device_that_is_not_there(serve: Serve, bundles: dict[str, Path]) -> None:
    refused = serve(bundles["table"], "--open", "--device", "cuda")
    assert refused.stop() == 2
    assert "onnxruntime must have its CUDAExecutionProvider. Got only" in refused.said[-1]


def _lines(server: Server) -> list[str]:
    """What the server has said by now, without waiting for more."""
    assert server.process.stderr is not None
    os.set_blocking(server.process.stderr.fileno(), False)
    while line := server.process.stderr.readline():
        server.said.append(line)
    return server.said


def test_what_is_no_http_leaves_no_line_in_the_log(serve: Serve, bundles: dict[str, Path]) -> None:
    server = serve(bundles["table"], "--open")
    for _ in range(20):
        with socket.create_connection((server.host, server.port)) as connection:
            connection.sendall(b"\x00\x01 neither method nor path\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
    assert len(_lines(server)) == 1  # where it listens
    assert server.post("/v1/predict", ROW)[0] == 200


def test_a_bundle_that_took_anothers_place_is_served_when_the_server_is_told(serve: Serve, tmp_path: Path) -> None:
    table_bundle(tmp_path / "bundle")
    server = serve(f"homes={tmp_path / 'bundle'}", "--open")
    new = table_bundle(tmp_path / "new", shift=1.0)
    shutil.rmtree(tmp_path / "bundle")
    new.rename(tmp_path / "bundle")
    assert server.post("/v1/predict", ROW)[1]["price"] == 4.0
    server.process.send_signal(signal.SIGHUP)
    until(lambda: server.post("/v1/predict", ROW)[1]["price"] == 5.0)
    assert server.post("/v1/predict/homes?version=2", ROW)[0] == 200
    assert server.post("/v1/predict/homes?version=1", ROW)[0] == 404


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere must be a bundle, a run, or a folder of versions. Got no such folder."),
        (["a=BUNDLE", "a=BUNDLE"], "each model must have a name of its own. Got 'a' twice."),
        (["BUNDLE", "--limit", "rows"], "--limit must be NAME=VALUE."),
        (["BUNDLE", "--limit", "rowz=5"], "rowz"),
        (["BUNDLE", "--keys", "absent.json"], "absent.json must be a file of keys."),
        (["BUNDLE", "--clients", "ca.pem"], "--clients must go with --tls."),
        (["BUNDLE", "--tls", "a.pem", "b.pem"], "a.pem must be a file in PEM."),
        (["DAMAGED"], "fails its checksum"),
    ],
)
def test_what_cannot_be_served_is_told_and_ends_with_2(
    serve: Serve, bundles: dict[str, Path], tmp_path: Path, words: list[str], message: str
) -> None:
    damaged = table_bundle(tmp_path / "damaged")
    data = bytearray((damaged / "model.onnx").read_bytes())
    data[50] ^= 1
    (damaged / "model.onnx").write_bytes(data)
    places = {"BUNDLE": str(bundles["table"]), "DAMAGED": str(damaged)}
    given = list(words)
    for place, path in places.items():
        given = [word.replace(place, path) for word in given]
    server = serve(*given, "--open") if "--keys" not in given else serve(*given)
    assert server.stop() == 2, server.said
    assert any(message in line for line in server.said), server.said
    assert not any("Traceback" in line for line in server.said)


def test_counts_that_a_killed_server_left_are_removed_by_the_next(serve: Serve, bundles: dict[str, Path]) -> None:
    first = serve(bundles["table"], "--open")
    held = [os.readlink(one) for one in Path(f"/proc/{first.process.pid}/fd").iterdir()]
    (left,) = (Path(one) for one in held if one.startswith(f"{metric_files.MEMORY}/{metric_files.PREFIX}"))
    serve(bundles["table"], "--open")
    assert left.is_dir(), "in use"
    first.stop(signal.SIGKILL)
    assert left.is_dir()
    time.sleep(1)  # until the worker has seen that its owner is gone
    serve(bundles["table"], "--open")
    assert not left.exists()
