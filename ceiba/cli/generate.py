"""`ceiba generate`: a language model continues prompts."""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ceiba.base.errors import InputError
from ceiba.base.files import write_stream
from ceiba.bundle import open_bundle
from ceiba.cli import resolve
from ceiba.cli.opening import adapter_reader, bundle_folder
from ceiba.cli.words import Words, beside, finish, named_folders, words

OPTIONS: dict[str, tuple[type, str]] = {
    "max_tokens": (int, "tokens written at most (default 128)"),
    "temperature": (float, "0 takes the likeliest token each time (default), 1 draws as the model says"),
    "top_k": (int, "draw among so many likeliest tokens"),
    "top_p": (float, "draw among the likeliest tokens that together have this share"),
    "min_p": (float, "draw among tokens at least this share as likely as the likeliest"),
    "repetition_penalty": (float, "above 1: makes tokens that were there before less likely"),
    "beams": (int, "search for the most probable text with so many beginnings at a time"),
    "length_penalty": (float, "of a search: above 1 favors longer texts, below shorter ones"),
    "seed": (int, "of the draws; prompt number i of a file has seed + i"),
    "logprobs": (int, "tell log-probabilities, and so many likeliest tokens beside each (with --json or --out)"),
    "when_full": (str, "stop (default) or slide: what to do when the context is full"),
}
AHEAD = 4
"""Batches of prompts that are taken from a file at once, so that rows that are done are filled again."""


def writing(parser: Words) -> None:
    """What the verbs that write have in common."""
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle or the folder of a run")
    for name, (kind, meaning) in OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=kind.__name__.upper(), help=meaning)
    parser.add_argument("--stop", action="append", metavar="TEXT", help="end before this text (repeatable)")
    parser.add_argument("--ignore-end", action="store_true", help="write on after the token that ends a text")
    parser.add_argument(
        "--weights", default="auto", choices=("auto", "plain", "packed", "int8", "int4"),
        help="form of the weights; one that is measured to be slower is refused",
    )  # fmt: skip
    parser.add_argument("--json-schema", metavar="FILE", help="write a JSON value of this schema and nothing else")
    parser.add_argument("--draft", metavar="BUNDLE", help="a small model of the same tokens that proposes tokens")
    beside(parser)
    parser.add_argument("--use", metavar="NAME", help="the adapter that writes (without it: the model alone)")


def read_schema(path: Path) -> Any:
    """A JSON Schema.

    Raises: InputError for a file that is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} must be a JSON Schema", str(error)) from error


def opened(given: Namespace, rows: int) -> Any:
    """The Generator of the bundle that was named, with its draft and its adapters."""
    open_generator = resolve("ceiba.generate:open_generator")
    draft = None
    if given.draft is not None:
        draft = open_generator(open_bundle(bundle_folder(given.draft)), 1, given.weights)
    bundle = open_bundle(bundle_folder(given.bundle))
    return open_generator(bundle, rows, given.weights, draft, adapter_reader(bundle, named_folders(given.adapters)))


def chosen(given: Namespace) -> dict[str, Any]:
    """The options that were given."""
    found = {name: getattr(given, name) for name in OPTIONS if getattr(given, name) is not None}
    found |= {"stop": tuple(given.stop)} if given.stop else {}
    found |= {} if given.use is None else {"adapter": given.use}
    found |= {} if given.json_schema is None else {"json_schema": read_schema(Path(given.json_schema))}
    return found | ({"ignore_end": True} if given.ignore_end else {})


def main(arguments: list[str]) -> int:
    """Continue one prompt, piece by piece on the screen, or those of a file."""
    parser = words("generate", "Continue a prompt, or every prompt of a file, with a language model.")
    writing(parser)
    parser.add_argument("--prompt", metavar="TEXT", help="what to continue; - reads it from standard input")
    parser.add_argument("--prompts", metavar="FILE", help="prompts, one a line; .jsonl: objects with a prompt")
    parser.add_argument("--out", metavar="FILE.jsonl", help="write the texts there, an object a line")
    parser.add_argument("--rows", type=int, default=16, help="prompts of a file that are written at once (default 16)")
    given = parser.parse_args(arguments)
    if (given.prompt is None) == (given.prompts is None):
        raise InputError("ceiba generate must be given --prompt or --prompts", None, "See: ceiba generate --help")
    if given.rows < 1:
        raise InputError("--rows must be 1 or more", given.rows)
    options = resolve("ceiba.generate.options:read_options")(chosen(given))
    prompts = read_prompts(Path(given.prompts)) if given.prompts else iter([])
    generator = opened(given, 1 if given.prompts is None else given.rows)
    began = time.monotonic()
    if given.prompts is None:
        prompt = sys.stdin.read() if given.prompt == "-" else given.prompt
        texts = shown(generator, prompt, options) if options.beams == 1 else several(generator, [prompt], options, 1)
    else:
        texts = several(generator, prompts, options, given.rows * AHEAD)
    figures = {"weights": generator.weights, "notes": list(generator.notes)}
    kept = keep(texts, given.out, echo=given.prompts is not None or options.beams > 1, hold=given.json)
    seconds = time.monotonic() - began
    figures |= kept | {"seconds": seconds, "tokens_per_second": kept["tokens"] / max(seconds, 1e-9)}
    return finish(given.json, figures)


def read_prompts(path: Path) -> Iterator[str]:
    """The prompts of a file, as it is read.

    Raises: InputError for a file that is not there or a line that is no prompt.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                yield _prompt(line.rstrip("\r\n"), f"{path}:{number}", path.suffix.lower() == ".jsonl")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} must be a readable text file", str(error)) from error


def _prompt(line: str, place: str, is_json: bool) -> str:
    if not is_json:
        return line
    try:
        found = json.loads(line)["prompt"]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{place} must be a JSON object with a prompt", line[:60]) from error
    if not isinstance(found, str):
        raise InputError(f"{place} prompt must be text", repr(found)[:60])
    return found


def shown(generator: Any, prompt: str, options: Any) -> Iterator[dict[str, Any]]:
    """One text, shown while it is written."""
    pieces = []
    for piece in generator.stream(prompt, **options.model_dump()):
        print(piece.text, end="", flush=True)
        pieces.append(piece)
    print()
    tokens = tuple(token for piece in pieces for token in piece.tokens)
    text = "".join(piece.text for piece in pieces)
    yield told(prompt, text, tokens, pieces[-1].finish, generator.count(prompt), options)


def several(generator: Any, prompts: Iterable[str], options: Any, count: int) -> Iterator[dict[str, Any]]:
    """The texts of many prompts, in their order."""
    number, rest = 0, iter(prompts)
    while some := list(islice(rest, count)):
        seeds = [options.seed + number + place for place in range(len(some))]
        found = generator.generate_each(some, [options.model_copy(update={"seed": seed}) for seed in seeds])
        for prompt, one in zip(some, found, strict=True):
            yield told(prompt, one.text, one.tokens, one.finish, one.prompt_tokens, options)
        number += len(some)


def told(prompt: str, text: str, tokens: Any, finish: str, prompt_tokens: int, options: Any) -> dict[str, Any]:
    """A text as JSON has it."""
    found = {"prompt": prompt, "text": text, "finish": finish, "prompt_tokens": prompt_tokens, "tokens": len(tokens)}
    if options.logprobs is not None:
        found["logprobs"] = [
            {"id": token.id, "logprob": token.logprob, "alternatives": [list(one) for one in token.alternatives]}
            for token in tokens
        ]
    return found


def keep(texts: Iterator[dict[str, Any]], out: str | None, echo: bool, hold: bool) -> dict[str, Any]:
    """Write the texts, or show them; how many there were."""
    held, count, tokens = [], 0, 0

    def each() -> Iterator[dict[str, Any]]:
        nonlocal count, tokens
        for one in texts:
            count, tokens = count + 1, tokens + one["tokens"]
            yield one

    if out is not None:
        with write_stream(Path(out)) as path, path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in each())
        print(f"{count:,} texts written: {out}")
        return {"out": out, "count": count, "tokens": tokens}
    for one in each():
        if echo:
            print(one["prompt"] + one["text"], flush=True)
        if hold:
            held.append(one)
    return {"texts": held, "count": count, "tokens": tokens}
