"""Writing beside `transformers.generate`: tokens a second, the same tokens, and the share of the memory's speed.

python -m bench.generate [--rounds 3] [--tokens 128] [--rows 1 16] [--quick]
python -m bench.generate --bundle RUN --text FILE [--draft RUN]

A GPT-2 of 124M parameters (12 layers, 12 heads, dim 768, 50,257 tokens), random weights, float32, CPU, greedy; prompts
of 64 random tokens, 128 new ones. Both read the same weights; the runs of a round follow each other, and each figure is
the best of the rounds. Ours in float32 is the faster of `plain` and `packed` in this run. Tokens must be equal;
where float32's rounding decides between two tokens, the row is compared up to there. The share of the memory's speed
is that of a step after the prompt.
int8 and 4-bit weights are measured against our own float32. The memory's speed is that of summing as many bytes as a
step reads; steps and sums take turns, and the median of the turns is counted, since neighbors on the machine take a
share of it that changes from moment to moment.

With a trained bundle: what int8 and 4-bit weights do to the perplexity of the last tenth of a text, and with a draft,
how much faster greedy text is written than without, token for token the same.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ceiba.bundle import open_bundle
from ceiba.cli.opening import bundle_folder
from ceiba.fields import TextLayout
from ceiba.generate import Generator, open_generator
from ceiba.generate.batch import Batch
from ceiba.generate.decoder import open_decoder
from ceiba.generate.options import GenerateOptions
from ceiba.generate.request import Request
from ceiba.generate.weights import WeightForm, untied
from ceiba.heads import OutputLayout
from ceiba.model import Model, ModelSpec, build_model
from ceiba.surgery.packed import pack

PROMPT_TOKENS = 64
WINDOWS = 200
"""Windows of a text that perplexity is measured on."""
PAIRS = 60
"""Steps and reads in turn."""
BARS = {1: 1.4, 16: 2.0}
READ_SHARE, INT8_GAIN, INT4_GAIN = 0.55, 2.0, 3.0
"""Bars for one row."""
TIE = 1e-3
"""Logits nearer than this are a tie, which rounding decides."""


def main() -> None:
    """Measure, and print each figure beside its bar."""
    parser = argparse.ArgumentParser(prog="bench.generate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--quick", action="store_true", help="a small net: whether it runs, not how fast")
    parser.add_argument("--bundle", help="a trained language model")
    parser.add_argument("--draft", help="a small one of the same tokens")
    parser.add_argument("--text", help="a text whose last tenth was held out")
    given = parser.parse_args()
    if given.bundle:
        print(json.dumps(trained(given.bundle, given.draft, Path(given.text).read_text(encoding="utf-8"))))
        return
    peer, ours = models(2 if given.quick else 12)
    forms: dict[WeightForm, Model] = {"plain": ours}
    free = untied(ours, "text")
    forms |= {form: pack(free, form) for form in ("packed", "int8", "int4")}  # type: ignore[misc, arg-type]
    num_bytes = 4 * sum(parameter.numel() for parameter in ours.parameters() if parameter.ndim > 1)
    report = {rows: compare(peer, forms, rows, given.tokens, given.rounds, num_bytes) for rows in given.rows}
    print(json.dumps(report))


def models(layers: int) -> tuple[Any, Model]:
    """transformers' model and Ceiba's, with the same random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(n_layer=layers, bos_token_id=0, eos_token_id=0)
    peer = GPT2LMHeadModel(config).eval()
    encoder = {"kind": "text", "type": "transformer", "layers": 0, "dropout": 0.0}
    encoder["positions"] = {"type": "learned", "places": config.n_positions}
    trunk = {"type": "transformer", "layers": layers, "heads": config.n_head, "causal": True, "dropout": 0.0}
    spec = {
        "dim": config.n_embd, "encoders": {"text": encoder}, "trunk": {**trunk, "activation": "gelu_tanh"},
        "heads": {"text": {"type": "next_token"}},
    }  # fmt: skip
    vocab = config.vocab_size + 1
    layouts = {"text": TextLayout(vocab, config.n_positions, False)}
    ours = build_model(ModelSpec.model_validate(spec), layouts, {"text": OutputLayout("text", vocab)}).eval()
    own, theirs = ours.state_dict(), peer.state_dict()
    names = {
        "norm_1": "ln_1", "norm_2": "ln_2", "attention.query_key_value": "attn.c_attn", "attention.out": "attn.c_proj",
        "feed_forward.0": "mlp.c_fc", "feed_forward.3": "mlp.c_proj",
    }  # fmt: skip
    for name, tensor in own.items():
        tensor.copy_(_peers(name, theirs, names))
    return peer, ours


def _peers(name: str, theirs: dict[str, Tensor], names: dict[str, str]) -> Tensor:
    """The tensor of transformers' GPT-2 that is ours of a name; our token ids are theirs + 1."""
    if name.endswith("embedding.table.weight"):
        words = theirs["transformer.wte.weight"]
        return torch.cat([torch.zeros(1, words.shape[1]), words])
    if name.endswith("positions.table"):
        return theirs["transformer.wpe.weight"]
    part, kind = name.split("transformer.")[1].rsplit(".", 1)
    if part == "norm":
        return theirs[f"transformer.ln_f.{kind}"]
    _, layer, inner = part.split(".", 2)
    found = theirs[f"transformer.h.{layer}.{names[inner]}.{kind}"]
    return found.T if found.ndim == 2 else found


def compare(
    peer: Any, forms: dict[WeightForm, Model], rows: int, tokens: int, rounds: int, num_bytes: int
) -> dict[str, Any]:
    """Seconds of each in turn, and whether the tokens are equal."""
    torch.manual_seed(1)
    prompts = torch.randint(0, 50257, (rows, PROMPT_TOKENS))
    runs: dict[str, Callable[[], list[list[int]]]] = {"transformers": lambda: theirs(peer, prompts, tokens)}
    for form, model in forms.items():
        runs[form] = lambda model=model: written(model, (prompts + 1).tolist(), tokens)  # type: ignore[misc]
    seconds, texts = dict.fromkeys(runs, torch.inf), {}
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            texts[name] = run()
            seconds[name] = min(seconds[name], time.perf_counter() - began)
    rate = {name: rows * tokens / one for name, one in seconds.items()}
    own: WeightForm = max(("plain", "packed"), key=lambda form: rate[form])  # type: ignore[assignment]
    equal = same_tokens(peer, prompts, texts["transformers"], texts[own])
    share, speed = share_of_read(forms[own], rows, num_bytes)
    figures = {
        "tokens_per_second": rate, "same_tokens": equal, "read_gb_per_second": speed / 1e9, "share_of_read": share,
        "own_form": own, "gain": rate[own] / rate["transformers"], "int8_gain": rate["int8"] / rate[own],
        "int4_gain": rate["int4"] / rate[own],
    }  # fmt: skip
    print(f"{rows} rows of {PROMPT_TOKENS} + {tokens} tokens:")
    for name, one in rate.items():
        print(f"  {name:14}{one:10.1f} tokens/s")
    print(f"  same tokens {equal}, {figures['gain']:.2f} times transformers (bar {BARS.get(rows, 1.0)}), "
          f"{share:.0%} of {speed / 1e9:.1f} GB/s, int8 {figures['int8_gain']:.2f}, int4 {figures['int4_gain']:.2f} "
          f"times {own}" + f" (bars {READ_SHARE:.0%}, {INT8_GAIN}, {INT4_GAIN})" * (rows == 1), flush=True)  # fmt: skip
    return figures


def trained(bundle: str, draft: str | None, text: str) -> dict[str, Any]:
    """Perplexities by form of weights; the gain of a draft."""
    generator = open_generator(open_bundle(bundle_folder(bundle)), 1, "plain")
    held = text[-len(text) // 10 :]
    plain = generator.model
    free = untied(plain, generator.output)
    forms = {"plain": plain} | {form: pack(free, form) for form in ("packed", "int8", "int4")}  # type: ignore[arg-type]
    figures: dict[str, Any] = {name: perplexity(generator, model, held) for name, model in forms.items()}
    if draft is not None:
        figures |= speculated(bundle, draft, held)
    return figures


def perplexity(generator: Generator, model: Any, text: str) -> float:
    """e to the mean surprise, in windows of the context, the first token of each not counted."""
    (ids,) = generator.field.token_ids([text])
    width = generator.context
    windows = torch.tensor([ids[start : start + width] for start in range(0, len(ids) - width, width)][:WINDOWS])
    with torch.inference_mode():
        logits = model({f"{generator.output}.ids": windows})[generator.output]
        losses = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), windows[:, 1:].flatten())
    return float(losses.exp())


def speculated(bundle: str, draft: str, text: str) -> dict[str, Any]:
    """Greedy text with a draft against without, prompts from a text, in turn, the best of several rounds."""
    alone = open_generator(open_bundle(bundle_folder(bundle)), 1, "packed")
    small = open_generator(open_bundle(bundle_folder(draft)), 1, "packed")
    helped = Generator(alone.model, alone.output, alone.field, 1, "plain", small)
    length = alone.context // 4
    prompts = [text[start : start + length] for start in range(0, 8000, 1000)]
    seconds, texts = {"alone": torch.inf, "helped": torch.inf}, {}
    options = {"max_tokens": alone.context - length, "ignore_end": True}
    for _ in range(3):
        for name, one in (("alone", alone), ("helped", helped)):
            began = time.perf_counter()
            texts[name] = [one.generate(prompt, **options).ids for prompt in prompts]
            seconds[name] = min(seconds[name], time.perf_counter() - began)
    same = texts["alone"] == texts["helped"]
    return {"draft_gain": seconds["alone"] / seconds["helped"], "draft_same_tokens": same}


def theirs(peer: Any, prompts: Tensor, tokens: int) -> list[list[int]]:
    """What transformers writes."""
    with torch.inference_mode():
        found = peer.generate(
            prompts, attention_mask=torch.ones_like(prompts), do_sample=False, max_new_tokens=tokens,
            min_new_tokens=tokens, pad_token_id=0,
        )  # fmt: skip
    return found[:, prompts.shape[1] :].tolist()  # type: ignore[no-any-return]


def written(model: Model, prompts: list[list[int]], tokens: int) -> list[list[int]]:
    """What Ceiba writes."""
    batch = Batch(open_decoder(model, "text", 1024, len(prompts)))
    options = GenerateOptions(max_tokens=tokens)
    requests = [Request(prompt, options, lambda ids: "", None, lambda piece: None) for prompt in prompts]
    for request in requests:
        batch.add(request)
    while batch.step():
        pass
    return [[token.id - 1 for token in request.tokens] for request in requests]


def same_tokens(peer: Any, prompts: Tensor, first: list[list[int]], second: list[list[int]]) -> bool:
    """Whether rows are equal, or part where the two tokens are a tie."""
    for row, (one, other) in enumerate(zip(first, second, strict=True)):
        if one == other:
            continue
        place = next(place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
        ids = torch.cat([prompts[row], torch.tensor(one[:place], dtype=torch.int64)])[None]
        with torch.inference_mode():
            logits = peer(ids).logits[0, -1]
        if abs(float(logits[one[place]] - logits[other[place]])) > TIE:
            return False
    return True


def share_of_read(model: Model, rows: int, num_bytes: int) -> tuple[float, float]:
    """A sum over as many bytes as the weights have, by the time of the step beside it, and the sum's bytes a second:
    medians of turns."""
    block = torch.ones(num_bytes // 4)
    decoder = open_decoder(model, "text", PAIRS + 2, rows)
    decoder.admit([[1]] * rows)
    shares, reads_s = [], []
    for _ in range(PAIRS):
        began = time.perf_counter()
        decoder.step([[1]] * rows)
        between = time.perf_counter()
        block.sum()
        reads_s.append(time.perf_counter() - between)
        shares.append(reads_s[-1] / (between - began))
    return statistics.median(shares), num_bytes / statistics.median(reads_s)


if __name__ == "__main__":
    main()
