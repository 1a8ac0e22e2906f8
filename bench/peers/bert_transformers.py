"""A small BERT with the Trainer of transformers: texts of like length together, padded to the longest of a batch."""

import json
import sys
import time

import torch
from tokenizers import Tokenizer
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

rows_path, tokenizer_path, out, epochs, batch_rows, threads = *sys.argv[1:4], *map(int, sys.argv[4:7])
torch.set_num_threads(threads)


class Clock(TrainerCallback):
    """Keeps the moment of the first step and the time of each epoch."""

    def __init__(self) -> None:
        self.first, self.rates = 0.0, []

    def on_epoch_begin(self, *_: object, **__: object) -> None:
        self.began = time.time()

    def on_step_end(self, *_: object, **__: object) -> None:
        self.first = self.first or time.time()

    def on_epoch_end(self, *_: object, **__: object) -> None:
        self.rates.append(len(rows) / (time.time() - self.began))


with open(rows_path) as file:
    texts, labels = zip(*json.load(file), strict=True)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer.from_file(tokenizer_path), pad_token="[PAD]", unk_token="[UNK]"
)
ids = tokenizer(list(texts), truncation=True, max_length=64)["input_ids"]
rows = [{"input_ids": one, "labels": label} for one, label in zip(ids, labels, strict=True)]
config = BertConfig(
    vocab_size=len(tokenizer), hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024,
    max_position_embeddings=64, num_labels=4, pad_token_id=0,
)  # fmt: skip
clock = Clock()
arguments = TrainingArguments(
    out, num_train_epochs=epochs, per_device_train_batch_size=batch_rows, learning_rate=1e-3, max_grad_norm=1.0,
    optim="adamw_torch_fused", lr_scheduler_type="cosine", train_sampling_strategy="group_by_length",
    logging_strategy="steps", logging_steps=50, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True,
)  # fmt: skip
trainer = Trainer(
    BertForSequenceClassification(config), arguments, DataCollatorWithPadding(tokenizer), rows, callbacks=[clock]
)
trainer.train()
print(json.dumps({"first": clock.first, "rates": clock.rates[1:]}))
