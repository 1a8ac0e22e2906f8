"""The page to try a model by hand, in a real browser; what the description says; the client in Python."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Serve, Server, png, words_bundle

import ceiba
from ceiba.base.errors import CeibaError, InputError

ROW = {"area": 1.5, "city": "Rome"}


class Browser:
    """Chromium, driven over its pipe."""

    def __init__(self, program: str, profile: Path):
        self._read, theirs_out = os.pipe()
        theirs_in, self._write = os.pipe()
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]

        def hand_over() -> None:
            os.dup2(theirs_in, 63)
            os.dup2(theirs_out, 64)
            os.dup2(63, 3)
            os.dup2(64, 4)

        self.process = subprocess.Popen(
            [program, *words, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=hand_over, close_fds=False,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._number, self._buffer = 0, b""
        pages = [one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        self._session = self.call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)["sessionId"]

    def call(self, method: str, **parameters: Any) -> Any:
        """One command's result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._buffer:
                data = os.read(self._read, 65536)
                assert data, "the browser ended"
                self._buffer += data
            line, _, self._buffer = self._buffer.partition(b"\0")
            found = json.loads(line)
            if found.get("id") == self._number:
                assert "error" not in found, found
                return found["result"]

    def run(self, script: str) -> Any:
        """The value of an expression on the page."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait for an expression to be true."""
        deadline = time.monotonic() + 20
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"{script} did not become true: {self.run('document.body.innerText')}"
            time.sleep(0.05)
        return value

    def go(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.until(f"location.href === {address!r} && document.readyState === 'complete'")

    def choose_file(self, selector: str, path: Path) -> None:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        with contextlib.suppress(AssertionError, OSError):
            del self._session
            self.call("Browser.close")
        self.process.wait(20)
        os.close(self._read)
        os.close(self._write)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser; skipped where there is none."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on the path")
    one = Browser(program, tmp_path_factory.mktemp("browser"))
    yield one
    one.close()


CHOOSE = "(name) => { const one = document.getElementById('model'); one.value = name; one.onchange(); }"
SAID = "!document.getElementById('answer').hidden && document.getElementById('answer').innerText"


def test_a_form_a_text_and_a_picture_are_answered(browser: Browser, home: Server, tmp_path: Path) -> None:
    browser.go(f"http://127.0.0.1:{home.port}/")
    browser.until("document.querySelectorAll('form label').length === 2")
    assert browser.run("document.getElementById('key-label').checkVisibility()") is False
    browser.run("document.querySelector('[name=area]').value = '2.5'")
    browser.run("document.querySelector('[name=city]').value = 'Rome'")
    browser.run("document.querySelector('form button').click()")
    said = browser.until(SAID)
    assert "price: 5.5" in said
    assert "dear: yes" in said
    browser.run(f"({CHOOSE})('reviews')")
    browser.run("document.querySelector('textarea').value = 'a b c a b'")
    browser.run("document.querySelector('form button').click()")
    assert "kind: long" in browser.until(SAID)
    browser.run(f"({CHOOSE})('photos')")
    (tmp_path / "grey.png").write_bytes(png(77))
    browser.choose_file("input[type=file]", tmp_path / "grey.png")
    browser.until("!document.querySelector('.drop img').hidden")
    browser.run("document.querySelector('form button').click()")
    assert "brightness: 77" in browser.until(SAID)
    dropped = base64.b64encode(png(33)).decode()
    browser.run(
        f"""(() => {{
        const bytes = Uint8Array.from(atob('{dropped}'), (one) => one.charCodeAt(0));
        const data = new DataTransfer(); data.items.add(new File([bytes], 'dark.png', {{type: 'image/png'}}));
        const drop = new DragEvent('drop', {{dataTransfer: data, bubbles: true}});
        document.querySelector('.drop').dispatchEvent(drop); }})()"""
    )
    browser.until("document.querySelector('.drop').innerText.includes('dark.png')")
    browser.run("document.querySelector('form button').click()")
    browser.until("document.getElementById('answer').innerText.includes('brightness: 33')")
    browser.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 5000


def test_a_tagger_shows_what_it_found(browser: Browser, serve: Serve, tmp_path: Path) -> None:
    server = serve(words_bundle(tmp_path / "names"), "--open")
    browser.go(f"http://127.0.0.1:{server.port}/")
    browser.until("document.querySelectorAll('form textarea').length === 1")
    browser.run("document.querySelector('textarea').value = ' Anna Berg  runs\\nOslo '")
    browser.run("document.querySelector('form button').click()")
    said = browser.until(SAID)
    assert "tag: Anna Berg (PER), Oslo (LOC)" in said
    browser.run("document.querySelector('textarea').value = 'runs'")
    browser.run("document.querySelector('form button').click()")
    browser.until("document.getElementById('answer').innerText.includes('tag: (none)')")


def test_errors_and_keys_on_the_page(browser: Browser, serve: Serve, bundles: dict[str, Path]) -> None:
    server = serve(bundles["table"])
    browser.go(f"http://127.0.0.1:{server.port}/")
    browser.until("document.getElementById('notice').innerText === 'Enter a key to begin.'")
    browser.run(f"document.getElementById('key').value = '{server.key}'; document.getElementById('key').onchange()")
    browser.until("document.querySelectorAll('form label').length === 2")
    browser.run("document.querySelector('[name=area]').type = 'text'")
    browser.run("document.querySelector('[name=area]').value = '1e39'")
    browser.run("document.querySelector('form button').click()")
    assert "must be a finite number" in browser.until(SAID)


def test_the_description(home: Server) -> None:
    value = home.get("/openapi.json")[1]
    row = value["components"]["schemas"]["homes.row"]
    assert row["required"] == ["area", "city"]
    assert row["properties"]["city"]["x-ceiba-labels"] == ["Oslo", "Rome"]
    plain, in_object = value["components"]["schemas"]["photos.row"]["properties"]["photo"]["anyOf"]
    assert in_object["properties"]["b64"] == plain
    assert (in_object["required"], in_object["additionalProperties"]) == (["b64"], False)
    for name in ("homes", "reviews", "photos"):
        row = value["components"]["schemas"][f"{name}.row"]["example"]
        answer = home.post(f"/v1/predict/{name}", row)[1]
        assert set(value["components"]["schemas"][f"{name}.answer"]["required"]) == set(answer)
    status, headers, body = home.request("GET", "/docs")
    assert status == 200
    assert b"/v1/predict" in body
    assert "default-src 'none'" in headers["content-security-policy"]


def test_the_client(home: Server, serve: Serve, bundles: dict[str, Path]) -> None:
    with ceiba.Client(f"http://127.0.0.1:{home.port}") as client:
        assert client.is_ready()
        assert client.predict(ROW)["price"] == 4.5
        assert [one["price"] for one in client.predict([ROW, ROW], model="homes", version=1)] == [4.5, 4.5]
        assert client.predict({"photo": png(9)}, model="photos") == {"brightness": 9.0}
        with pytest.raises(InputError, match="must have the column 'city'"):
            client.predict({"area": 1})
        with pytest.raises(InputError, match="No model is served"):
            client.predict(ROW, model="nobody")
    with pytest.raises(CeibaError, match="must answer"):
        ceiba.Client("http://127.0.0.1:9").predict(ROW)
    with pytest.raises(InputError, match="url must be that of a server"):
        ceiba.Client("127.0.0.1:8000")
    server = serve(bundles["table"])
    address = f"http://127.0.0.1:{server.port}"
    with ceiba.Client(address) as client, pytest.raises(InputError, match="A valid key is needed"):
        client.predict(ROW)
    with ceiba.Client(address, key=server.key) as client:
        assert client.predict(ROW)["price"] == 4.5
