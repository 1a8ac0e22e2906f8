"""An image: a photograph, a scan, a drawing."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from ceiba.base.cores import usable_cores
from ceiba.fields.columns import no_values
from ceiba.fields.field import Encoded, Field, FieldSpec, ImageLayout, Layout, Target
from ceiba.fields.pixels import (
    MAX_PIXELS,
    Filter,
    Pixels,
    check,
    file_bytes,
    guessed_shape,
    is_raw,
    open_image,
    raw_pixels,
    sized,
)
from ceiba.fields.sample import Sample

AUTO_SIDE = 64
SAMPLE_IMAGES = 512
THREADS_FROM = 8
MOST_THREADS = 16
SMALL_BYTES = 16_384
"""Files that are smaller on the mean are read sooner than they are handed to threads."""
DRAFT_FACTOR = 2

Size = tuple[int, int]
Shape = tuple[int, int, int]

__all__ = ["ImageField", "ImageSpec", "check"]


@dataclass(frozen=True)
class ImageField(Field):
    """Images → uint8 pixels of one size and one number of channels."""

    kind: ClassVar[str] = "image"

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resample: Filter
    shape: Shape | None
    max_pixels: int

    def encode(self, column: pa.Array) -> Encoded:
        if is_raw(column):
            raw = raw_pixels(column, self.shape or (self.height, self.width, self.channels))
            if raw.shape[1:] == (self.height, self.width, self.channels):
                return {"pixels": raw}
            rows = [self._sized(as_image(one)) for one in raw]
        else:
            rows = in_threads(self._decoded, file_bytes(column))
        return {"pixels": np.stack(rows) if rows else np.zeros((0, self.height, self.width, self.channels), np.uint8)}

    def _decoded(self, data: bytes) -> Pixels:
        side = DRAFT_FACTOR * max(self.height, self.width)
        return self._sized(open_image(data, (side, side), self.max_pixels))

    def _sized(self, image: Image.Image) -> Pixels:
        return sized(image, self.height, self.width, self.channels, self.resample)

    def layout(self, name: str) -> Layout:
        return ImageLayout(self.height, self.width, self.channels, self.mean, self.std)


class ImageSpec(FieldSpec):
    """A column of images."""

    field_class: ClassVar[type[Field]] = ImageField

    type: Literal["image"] = "image"
    """The kind of the column."""
    size: int | Size | Literal["auto"] = "auto"
    """Side of a square, or height and width, in pixels; `auto`: the median of training, the longer side at most 64."""
    mode: Literal["auto", "grey", "color"] = "auto"
    """Channels; `auto`: grey if no image of a sample has color."""
    resample: Filter = "bilinear"
    """How an image of another size is brought to this one."""
    shape: Shape | None = None
    """Height, width and channels of a column that holds pixels; null: a square by their number."""
    max_pixels: int = MAX_PIXELS
    """Images of more pixels are refused before they are decoded."""

    def fit(self, column: Iterable[pa.Array], target: Target | None = None, seed: int = 0) -> ImageField:
        sample, shape = Sample(SAMPLE_IMAGES, seed), self.shape
        for chunk in column:
            if is_raw(chunk) and shape is None and chunk.null_count < len(chunk):
                shape = guessed_shape(chunk)
            for start in range(0, len(chunk), SAMPLE_IMAGES):
                part = chunk[start : start + SAMPLE_IMAGES]
                sample.add_rows(len(part), self._taker(part, shape))
        seen = sample.values().tolist()
        if not seen:
            raise no_values("must hold an image")
        size = self._size([native for native, _ in seen])
        is_grey = self.mode == "grey" or (self.mode == "auto" and all(has_no_color(image) for _, image in seen))
        channels = 1 if is_grey else 3
        pixels = np.concatenate(
            [sized(image, image.height, image.width, channels, "box").reshape(-1, channels) for _, image in seen]
        )
        std = pixels.std(axis=0, dtype=np.float64)
        return ImageField(
            height=size[0],
            width=size[1],
            channels=channels,
            mean=tuple(pixels.mean(axis=0, dtype=np.float64).tolist()),
            std=tuple(np.where(std > 0, std, 1.0).tolist()),
            resample=self.resample,
            shape=shape,
            max_pixels=self.max_pixels,
        )

    def _taker(self, part: pa.Array, shape: Shape | None) -> Callable[[NDArray[np.int64]], NDArray[Any]]:
        """The chosen rows of a part as (native size, image no larger than needed)."""

        def take(places: NDArray[np.int64]) -> NDArray[Any]:
            rows = part.take(pa.array(places))
            if shape is not None and is_raw(part):
                images = [as_image(one) for one in raw_pixels(rows, shape)]
                found = [(image.size, self._small(image)) for image in images]
            else:
                found = in_threads(self._seen, file_bytes(rows))
            result = np.empty(len(found), dtype=object)
            result[:] = found
            return result

        return take

    def _seen(self, data: bytes) -> tuple[Size, Image.Image]:
        image = open_image(data, None, self.max_pixels)
        return image.size, self._small(image)

    def _small(self, image: Image.Image) -> Image.Image:
        if self.size != "auto":
            height, width = self._size([])
            return image.resize((width, height), Image.Resampling.BILINEAR)
        image.thumbnail((AUTO_SIDE, AUTO_SIDE), Image.Resampling.BOX)
        return image

    def _size(self, natives: list[Size]) -> Size:
        """Height and width; the native sizes are (width, height), as Pillow tells them."""
        if self.size == "auto":
            width, height = np.median(np.array(natives), axis=0)
            scale = min(1.0, AUTO_SIDE / max(width, height))
            return max(1, round(height * scale)), max(1, round(width * scale))
        return (self.size, self.size) if isinstance(self.size, int) else self.size


def as_image(pixels: Pixels) -> Image.Image:
    """Pixels (height, width, channel) → an image of mode L or RGB."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels[:, :, :3])


def has_no_color(image: Image.Image) -> bool:
    """Whether all channels are equal."""
    pixels = np.asarray(image)
    return pixels.ndim == 2 or bool((pixels[:, :, :1] == pixels).all())


def in_threads(step: Callable[[bytes], Any], files: list[bytes]) -> list[Any]:
    """One step on each file, in order; Pillow lets go of the interpreter while it decodes."""
    threads = min(usable_cores(), MOST_THREADS)
    if threads == 1 or len(files) < THREADS_FROM or sum(map(len, files)) < SMALL_BYTES * len(files):
        return [step(data) for data in files]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(step, files))
