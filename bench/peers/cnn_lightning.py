"""The convolutional network in Lightning: rows in memory, taken a batch at a time; no logger, no checkpoint, no bar."""

import json
import sys
import time

import lightning
import torch
from cnn_data import read
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

images, labels, epochs, batch_rows, threads = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
torch.set_num_threads(threads)


class Network(lightning.LightningModule):
    """Two convolutions, one dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.25), nn.Linear(7 * 7 * 64, 128), nn.ReLU(), nn.Linear(128, 10),
        )  # fmt: skip

    def training_step(self, batch: list[torch.Tensor], place: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), 1e-3, fused=True)


class Clock(lightning.Callback):
    """Keeps the moment of the first step and of each epoch's first and last."""

    def __init__(self) -> None:
        self.first, self.epochs = 0.0, []

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: Network) -> None:
        self.began = time.time()

    def on_train_batch_end(self, *_: object) -> None:
        self.first = self.first or time.time()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Network) -> None:
        self.epochs.append(time.time() - self.began)


pixels, classes = read(images, labels)
rows = TensorDataset(torch.from_numpy(pixels).unsqueeze(1), torch.from_numpy(classes))
loader = DataLoader(rows, sampler=BatchSampler(RandomSampler(rows), batch_rows, drop_last=False), batch_size=None)
clock = Clock()
trainer = lightning.Trainer(
    max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False, callbacks=[clock],
)  # fmt: skip
trainer.fit(Network(), loader)
print(json.dumps({"first": clock.first, "rates": [len(rows) / seconds for seconds in clock.epochs[1:]]}))
