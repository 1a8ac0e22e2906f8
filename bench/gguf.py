"""A GGUF file in llama.cpp beside Ceiba: the same tokens of prompts, and the same greedy texts.

python -m bench.gguf BUNDLE --peer PYTHON [--tokens 24] [--prompts "First" "The king "]

PYTHON is the interpreter of an environment in which `pip install xllamacpp` was done. The file is written with weights
as float32, float16 and 8 bits; each prompt is continued greedily by both. Texts must be equal in float32 but for ties,
where float16's rounding of llama.cpp's keys and values decides; told are the tokens that agree from the beginning on,
and how far their log-probabilities are apart.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bench.work import ROOT
from ceiba.bundle import open_bundle
from ceiba.cli.opening import bundle_folder
from ceiba.export import export_gguf
from ceiba.generate import open_generator

PEER = ROOT / "bench/peers/llama_cpp.py"
PROMPTS = ("First Citizen:", "The king ", "What ", "O, that", "naïve 日本")


def main() -> None:
    """Print, for each number format, how far the texts agree."""
    parser = argparse.ArgumentParser(prog="bench.gguf", description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--peer", required=True, help="an interpreter with xllamacpp")
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--prompts", nargs="+", default=PROMPTS)
    given = parser.parse_args()
    bundle = open_bundle(bundle_folder(given.bundle))
    writer = open_generator(bundle, 1, "plain")
    own = [writer.generate(prompt, max_tokens=given.tokens, ignore_end=True, logprobs=0) for prompt in given.prompts]
    read = [len(writer.field.token_ids([prompt])[0]) for prompt in given.prompts]
    for weights in ("f32", "f16", "q8_0"):
        with tempfile.TemporaryDirectory() as folder:
            figures = export_gguf(bundle, Path(folder) / "out", weights)  # type: ignore[arg-type]
            others = theirs(given.peer, figures["file"], given.tokens, list(given.prompts))
        agree, furthest = [], 0.0
        for one, other in zip(own, others, strict=True):
            agree.append(common([id - writer.field.shift for id in one.ids], other["ids"]))
            pairs = zip(one.tokens[: agree[-1]], other["logprobs"], strict=False)
            furthest = max([furthest, *(abs(token.logprob - logprob) for token, logprob in pairs)])
        is_read = read == [other["read"] for other in others]
        print(
            f"{figures['architecture']:6} {weights:5} prompts alike {is_read}, tokens alike {agree} of {given.tokens}, "
            f"log-probabilities within {furthest:.1e}"
        )


def theirs(peer: str, file: str, tokens: int, prompts: list[str]) -> list[dict[str, Any]]:
    """What llama.cpp writes."""
    done = subprocess.run(
        [peer, str(PEER), file, str(tokens)], input=json.dumps(prompts), capture_output=True, text=True, check=True
    )
    found: list[dict[str, Any]] = json.loads(done.stdout.split("RESULT ")[-1])
    return found


def common(first: list[int], second: list[int]) -> int:
    """Tokens that are equal from the beginning on."""
    pairs = zip(first, second, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(first), len(second)))


if __name__ == "__main__":
    main()
