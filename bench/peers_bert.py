"""A small BERT-shaped encoder on ag_news beside the Trainer of transformers: texts a second, time to the first step.

python -m bench.peers_bert transformers=PEER/bin/python [--threads 2] [--rounds 3] [--rows 1600] [--quick]

PEER is an environment made from bench/peers/transformers.txt. Dim 256, 4 layers of 4 heads, inner width 1,024, dropout
0.1, learnt positions, words as tokens, texts cut to 64 of them; AdamW, 32 rows a step, clipped, a cosine schedule, a
line of log now and then, float32 (Ceiba as `auto` chooses), as many threads for each. Weights start at
random in both: fine-tuning costs the same. Both keep texts of like length together. BERT norms after each branch, has
token types and a pooling layer; Ceiba's encoder norms first and takes the mean. The peer reads texts and a word list
that are made for it beforehand; Ceiba starts from the raw file with an empty cache, learns its words, profiles and
splits. The rest is as in bench.peers_cnn.
"""

import json
import tempfile
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.peers_cnn import EPOCHS, arguments, ceiba, compare, peer
from bench.work import DATA
from ceiba.fields.tokenizers import WordSpec
from ceiba.fields.tokens import fit_tokens

BATCH_ROWS = 32
FIRST_LABEL = 1


def main() -> None:
    """Write the rows and compare."""
    given = arguments("bench.peers_bert", "transformers", 1_600)
    table = pq.read_table(DATA / "ag_news" / "train_subset.parquet").slice(0, 500 if given.quick else given.rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(table, folder / "rows.parquet")
        texts, labels = table["text"].to_pylist(), [int(label) - FIRST_LABEL for label in table["label"].to_pylist()]
        (folder / "rows.json").write_text(json.dumps(list(zip(texts, labels, strict=True))))
        field = fit_tokens(WordSpec(), [pa.array(texts)], 64, 0)
        (folder / "tokenizer.json").write_text(field.trained)
        encoder = {"type": "transformer", "layers": 4, "heads": 4}
        recipe = {
            "data": {"train": str(folder / "rows.parquet")},
            "inputs": {"text": {"type": "text", "max_tokens": 64, "encoder": encoder}},
            "outputs": {"label": "category"},
            "model": {"dim": 256},
            "train": {"batch_rows": BATCH_ROWS},
            "evaluate": {"baselines": False},
        }
        runs = {"ceiba": partial(ceiba, recipe, BATCH_ROWS, given.threads)}
        words = [str(folder / file) for file in ("rows.json", "tokenizer.json", "out")] + [str(EPOCHS), str(BATCH_ROWS)]
        for one, python in (word.split("=") for word in given.peers):
            runs[one] = partial(peer, one, python, "bert_transformers", words, given.threads)
        compare(runs, 1 if given.quick else given.rounds, "texts/s")


if __name__ == "__main__":
    main()
