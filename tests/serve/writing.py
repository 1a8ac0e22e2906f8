"""`ceiba serve` around a writer of plain Python, for tests of the protocol: run with the arguments of the command."""

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ceiba.base.errors import InputError
from ceiba.bundle import open_bundle
from ceiba.cli import resolve
from ceiba.cli.serve import _say, _settings, _words
from ceiba.serve.owner import make_owner

CONTEXT = 200


@dataclass(frozen=True)
class Piece:
    text: str
    tokens: tuple[int, ...] = ()
    finish: str | None = None


class Stream:
    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Echo:
    """Writes the prompt back, a character at a time and with its seed behind it; slowly where the prompt says so."""

    context = CONTEXT
    written = 0

    def submit(self, prompt: str | list[int], options: Mapping[str, Any], deliver: Any) -> Stream:
        text = prompt if isinstance(prompt, str) else "".join(map(chr, prompt))
        if len(text) > CONTEXT:
            raise InputError(f"a prompt must fit the context of {CONTEXT} tokens", len(text), "Shorten it")
        stream = Stream()
        threading.Thread(target=self._write, args=(text, dict(options), deliver, stream), daemon=True).start()
        return stream

    def _write(self, text: str, options: dict[str, Any], deliver: Any, stream: Stream) -> None:
        most = options.get("max_tokens", 16)
        for place, sign in enumerate(text):
            if stream.is_cancelled:
                return
            if sign == "!":
                deliver(RuntimeError("the engine broke at /secret/path"))
                return
            if any(text[place:].startswith(stop) for stop in options["stop"]):
                deliver(Piece("", (), "stop"))
                return
            if place == most:
                deliver(Piece("", (), "length"))
                return
            time.sleep(0.05 if text.startswith("slow") else 0.0)
            Path("written.txt").write_text(str(place)) if text.startswith("slow") else None
            deliver(Piece(sign, (ord(sign),)))
        deliver(Piece(f"#{options['seed']}" if "seed" in text else "", (), "stop"))

    def count(self, prompt: str | list[int]) -> int:
        return len(prompt)

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        if messages[-1]["role"] != "user":
            raise InputError("the last message must be the user's", messages[-1]["role"], "Add one")
        return messages[-1]["content"]

    def embed(self, prompts: Sequence[str]) -> list[list[float]]:
        return [[float(len(prompt)), 0.5] for prompt in prompts]


def work(plan: Any, *given: Any) -> None:
    """The worker of a server whose models all write."""

    def open_model(folder: Path, threads: int, adapters: Any) -> Any:
        bundle, predictor, _ = resolve("ceiba.cli.opening:open_served")(folder, threads, adapters)
        return (bundle, None, Echo()) if "homes" not in folder.name else (bundle, predictor, None)

    resolve("ceiba.serve.worker:work")(plan, open_model, *given)


if __name__ == "__main__":
    assert open_bundle
    sys.exit(make_owner(_settings(_words().parse_args(sys.argv[2:])), partial(work), _say).run())
