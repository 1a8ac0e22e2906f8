"""Bytes of an image file → pixels, by one set of rules.

The first frame, turned as its EXIF says; transparency on white; 16 bits to 8; grey or RGB. Refused are damaged files,
files of other formats, and images of more pixels than allowed, the last before anything is allocated for them.
"""

import base64
import binascii
import functools
import io
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ceiba.base.errors import DataError
from ceiba.fields.columns import plain, shown

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "ICO", "JPEG2000", "PPM", "TIFF")
"""Formats whose readers are pure decoders, others start programs or fetch files; tried in this order."""
MAX_PIXELS = 64_000_000
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}
Filter = Literal["bilinear", "box", "lanczos", "nearest"]
SHALLOW = ("1", "L")
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")
SEE_THROUGH = ("LA", "La", "PA", "RGBA", "RGBa")
PREFIX, MARK = "data:", "base64,"
REPAIR = "Replace the file, or set data.damaged to skip"

Pixels = NDArray[np.uint8]


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def open_image(data: bytes, draft: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """An image file's bytes → an image of mode L or RGB; a JPEG may be read at a fraction no smaller than `draft`.

    Raises: DataError for what cannot be read, with the reason.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            if image.width * image.height > max_pixels:
                raise _too_large(f"{image.width} × {image.height}", max_pixels)
            if draft is not None and image.mode in ("L", "RGB"):
                image.draft(None, draft)
            image.load()
            if image.info:  # or nothing can say that it is turned
                ImageOps.exif_transpose(image, in_place=True)
            return _plain_mode(image)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large("more", max_pixels) from error
    except Exception as error:  # the decoders of foreign bytes raise whatever they stumble on
        reason = "no bytes" if not data else f"{len(data)} bytes ({_reason(error)})"
        raise DataError("must be an image that can be read", reason, REPAIR) from error


def _too_large(size: str, max_pixels: int) -> DataError:
    return DataError(f"must be an image of at most {max_pixels:,} pixels", size, "Make it smaller, or raise max_pixels")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"none of {', '.join(_formats())}"
    return (str(error).splitlines() or [type(error).__name__])[0]


def _plain_mode(image: Image.Image) -> Image.Image:
    if image.mode in DEEP:
        return Image.fromarray((np.clip(np.asarray(image), 0, 65535).astype(np.uint32) // 257).astype(np.uint8))
    if image.mode == "F":
        raise DataError("must be an image of 8 or 16 bits", "32-bit fractions", "Convert it to PNG")
    if image.mode in SEE_THROUGH or "transparency" in image.info:
        is_grey = image.mode in ("L", "LA", "La", "1")
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, layer).convert("L" if is_grey else "RGB")
    return _in_mode(image, "L" if image.mode in SHALLOW else "RGB")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """The image in a mode; itself, where Pillow would make a copy."""
    return image if image.mode == mode else image.convert(mode)


def sized(image: Image.Image, height: int, width: int, channels: int, resample: Filter) -> Pixels:
    """An image → pixels (height, width, channel)."""
    image = _in_mode(image, "L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), FILTERS[resample])
    return np.asarray(image, dtype=np.uint8).reshape(height, width, channels)


def check(data: bytes | None, max_pixels: int = MAX_PIXELS) -> str | None:
    """Why an image file cannot be read; None if it can."""
    try:
        open_image(data or b"", None, max_pixels)
    except DataError as error:
        return str(error)
    return None


def is_raw(column: pa.Array) -> bool:
    """Whether a column holds pixels themselves, not files."""
    kind = column.type
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def raw_pixels(column: pa.Array, shape: tuple[int, int, int]) -> Pixels:
    """Lists of pixel values, nested or flat → (row, height, width, channel).

    Raises: DataError for a missing row, another number of values, or values that are not 0 to 255.
    """
    array, num_rows = plain(column), len(column)
    while is_raw(array):
        if array.null_count:
            raise DataError("must hold an image", "a missing value", "Add drop_missing to data.clean")
        array = array.flatten()
    if array.null_count or not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        raise DataError("must hold pixel values", f"the Arrow type {column.type} with missing values", "Mend the rows")
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    if len(values) != num_rows * shape[0] * shape[1] * shape[2]:
        size = " × ".join(map(str, shape))
        raise DataError(f"must hold {size} pixel values a row", f"{len(values)} in {num_rows} rows", "Set its shape")
    if values.dtype != np.uint8 and not (
        (values >= 0).all() and (values <= 255).all() and (values == np.floor(values)).all()
    ):
        raise DataError("must hold whole pixel values from 0 to 255", "others", "Multiply and round them")
    return values.astype(np.uint8, copy=False).reshape(num_rows, *shape)


def guessed_shape(column: pa.Array) -> tuple[int, int, int]:
    """The shape of raw pixels: as they are nested, or by their number a square, grey or of three colors.

    Raises: DataError if neither tells it.
    """
    present = column.drop_null()
    sides: list[int] = []
    value = present[0].as_py() if len(present) else []
    while isinstance(value, list):
        sides.append(len(value))
        value = value[0] if value else None
    if len(sides) in (2, 3) and all(sides):
        return sides[0], sides[1], sides[2] if len(sides) == 3 else 1
    for channels in (1, 3):
        side = round((sides[0] / channels) ** 0.5)
        if sides[0] and side * side * channels == sides[0]:
            return side, side, channels
    do = "Set its shape to [height, width, channels]"
    raise DataError("must have a known shape", f"{sides[0]} pixel values a row", do)


def file_bytes(column: pa.Array) -> list[bytes]:
    """The bytes of each image file: bytes, base64 text, or a structure with a field `bytes`.

    Raises: DataError for a missing one, and for text that is not base64.
    """
    array = plain(column)
    if pa.types.is_struct(array.type) and array.type.get_field_index("bytes") >= 0:
        array = array.field("bytes")
    if array.null_count:
        raise DataError("must hold an image", "a missing value", "Add drop_missing to data.clean")
    if pa.types.is_string(array.type):
        return [_from_base64(text) for text in array.to_pylist()]
    if not (
        pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type) or pa.types.is_binary_view(array.type)
    ):
        raise DataError("must hold image files", f"the Arrow type {array.type}", "Name another type for it")
    return list(array.to_pylist())


def _from_base64(text: str) -> bytes:
    body = text.partition(MARK)[2] if text.startswith(PREFIX) else text
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(
            "must be an image's bytes, or base64",
            shown(text),
            "If these are names, say where the files are: data.files, or --files",
        ) from error
