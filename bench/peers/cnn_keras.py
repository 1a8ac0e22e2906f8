"""The convolutional network in Keras, on the backend that KERAS_BACKEND names; channels where that backend has them."""

import json
import sys
import time

import keras
from cnn_data import read

images, labels, epochs, batch_rows, threads = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
is_torch = keras.backend.backend() == "torch"
if is_torch:
    import torch

    torch.set_num_threads(threads)
    keras.config.set_image_data_format("channels_first")
else:
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)


class Clock(keras.callbacks.Callback):
    """Keeps the moment of the first step and the time of each epoch."""

    first, rates = 0.0, ()

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.began = time.time()

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.first = self.first or time.time()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.rates = (*self.rates, len(pixels) / (time.time() - self.began))


pixels, classes = read(images, labels)
pixels = pixels[:, None] if is_torch else pixels[..., None]
layers = keras.layers
network = keras.Sequential(
    [
        keras.Input(pixels.shape[1:]),
        layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dropout(0.25), layers.Dense(128, activation="relu"), layers.Dense(10),
    ]
)  # fmt: skip
network.compile(keras.optimizers.AdamW(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
clock = Clock()
network.fit(pixels, classes, batch_size=batch_rows, epochs=epochs, verbose=0, callbacks=[clock])
print(json.dumps({"first": clock.first, "rates": list(clock.rates[1:])}))
