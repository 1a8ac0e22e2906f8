"""Greedy tokens of llama.cpp for a GGUF file: `llama_cpp.py FILE TOKENS`, prompts as JSON on standard input.

Runs where the package xllamacpp is installed (it brings llama.cpp as a library).
"""

import json
import sys

import xllamacpp

path, num_tokens = sys.argv[1], int(sys.argv[2])
given = xllamacpp.CommonParams()
given.model.path = path
given.n_ctx, given.n_parallel, given.cpuparams.n_threads, given.warmup = 256, 1, 1, False
given.verbosity = 0
server = xllamacpp.Server(given)
found = []
for prompt in json.load(sys.stdin):
    told = server.handle_completions(
        {
            "prompt": prompt, "n_predict": num_tokens, "temperature": 0, "cache_prompt": False, "ignore_eos": True,
            "n_probs": 1,
        }
    )  # fmt: skip
    told = json.loads(told) if isinstance(told, str) else told
    tokens = told["choices"][0]["logprobs"]["content"]
    found.append(
        {
            "read": told["usage"]["prompt_tokens"], "ids": [one["id"] for one in tokens],
            "logprobs": [one["logprob"] for one in tokens],
        }
    )  # fmt: skip
print("RESULT " + json.dumps(found))
