"""Images of every kind, good and bad."""

import io
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from ceiba.base.errors import DataError
from ceiba.fields import Field, ImageSpec, check_image
from ceiba.fields.pixels import MAX_PIXELS

RED, GREEN = (255, 0, 0), (0, 255, 0)


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pixels(field: Field, *files: bytes) -> np.ndarray:
    return field.encode(pa.array(files, pa.binary()))["pixels"]


def field(size: tuple[int, int] = (2, 2), mode: str = "color") -> Field:
    return ImageSpec(size=size, mode=mode).fit([pa.array([saved(Image.new("RGB", (2, 2), RED))], pa.binary())])


def header_only(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_every_mode_becomes_rgb_by_rule() -> None:
    red = Image.new("RGB", (2, 2), RED)
    half = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    deep = Image.fromarray(np.full((2, 2), 40_000, np.uint16))
    palette = red.convert("P")
    expected = {
        saved(red): RED,
        saved(red.convert("CMYK"), "TIFF"): RED,
        saved(palette): RED,
        saved(palette, transparency=palette.getpixel((0, 0))): (255, 255, 255),
        saved(half): (255, 255, 255),
        saved(Image.new("LA", (2, 2), (0, 255))): (0, 0, 0),
        saved(deep): (155, 155, 155),
        saved(deep.convert("I"), "TIFF"): (155, 155, 155),
        saved(Image.new("1", (2, 2), 1)): (255, 255, 255),
        saved(Image.new("L", (2, 2), 9), "BMP"): (9, 9, 9),
        saved(Image.new("L", (1, 1), 9)): (9, 9, 9),
        saved(red, "GIF", save_all=True, append_images=[Image.new("RGB", (2, 2), GREEN)]): RED,
        saved(red, "WEBP", lossless=True): RED,
    }
    for data, color in expected.items():
        assert pixels(field(), data).reshape(-1, 3).tolist() == [list(color)] * 4
        assert check_image(data) is None


def test_a_grey_field_keeps_one_channel() -> None:
    grey = pixels(field(mode="grey"), saved(Image.new("RGB", (3, 3), (90, 90, 90))))
    assert grey.tolist() == np.full((1, 2, 2, 1), 90).tolist()


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_exif_turns_the_image(format: str) -> None:
    image = Image.new("RGB", (2, 1), RED)
    image.putpixel((1, 0), GREEN)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn to the right
    turned = pixels(
        field((2, 1)), saved(image, format, exif=exif.tobytes(), **({"lossless": True} if format == "WEBP" else {}))
    )
    assert turned[0, :, 0].tolist() == [list(RED), list(GREEN)]


def test_size_and_channels_are_found_in_training() -> None:
    files = [saved(Image.new("RGB", (200, 100), (level, level, level))) for level in (10, 20, 30)]
    found = ImageSpec().fit([pa.array(files[:1], pa.binary()), pa.array(files[1:], pa.binary())])
    assert (found.height, found.width, found.channels) == (32, 64, 1)
    assert found.mean == (20.0,)
    with_color = ImageSpec().fit([pa.array([*files, saved(Image.new("RGB", (3, 5), RED))], pa.binary())])
    assert (with_color.height, with_color.width, with_color.channels) == (32, 64, 3)
    tiny = ImageSpec().fit([pa.array([saved(Image.new("L", (1, 1), 7))], pa.binary())])
    assert (tiny.height, tiny.width, tiny.std) == (1, 1, (1.0,))
    assert ImageSpec(size=8).fit([pa.array(files, pa.binary())]).layout("x").width == 8


def broken() -> dict[str, bytes]:
    good = saved(Image.effect_noise((64, 64), 50).convert("RGB"), "JPEG")
    return {
        "truncated": good[: len(good) // 2],
        "truncated png": saved(Image.effect_noise((64, 64), 50))[:600],
        "empty": b"",
        "text": b"this is no image",
        "header only": header_only(4, 4),
        "a format left out": saved(Image.new("RGB", (4, 4)), "TGA"),
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }


@pytest.mark.parametrize("name", list(broken()))
def test_damaged_files_are_refused_with_one_line(name: str) -> None:
    data = broken()[name]
    with pytest.raises(DataError, match="must be an image that can be read") as told:
        pixels(field(), data)
    assert "\n" not in str(told.value)
    assert check_image(data) == str(told.value)
    with pytest.raises(DataError):
        ImageSpec().fit([pa.array([data], pa.binary())])


@pytest.mark.parametrize("side", [9_000, 12_000, 50_000])
def test_bombs_are_refused_before_they_are_decoded(side: int) -> None:
    started = time.monotonic()
    with pytest.raises(DataError, match=f"at most {MAX_PIXELS:,} pixels"):
        pixels(field(), header_only(side, side))
    assert time.monotonic() - started < 1


def test_every_flipped_byte_of_a_file_is_read_or_refused() -> None:
    good = saved(Image.effect_noise((9, 9), 50))
    one = field()
    for place in range(len(good)):
        damaged = good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :]
        if (reason := check_image(damaged)) is None:
            assert pixels(one, damaged).shape == (1, 2, 2, 3)
        else:
            assert "\n" not in reason


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (pa.array([None], pa.binary()), "missing value"),
        (pa.array(["not base64!"]), "base64"),
        (pa.array([1.5]), "Arrow type double"),
        (pa.array([[1, 2, 3]]), "pixel values a row"),
        (pa.array([[300] * 12]), "0 to 255"),
        (pa.array([[0.5] * 12]), "0 to 255"),
        (pa.array([[None] * 12], pa.list_(pa.uint8())), "missing values"),
        (pa.array([None], pa.list_(pa.uint8(), 12)), "missing value"),
        (pa.array([["a"] * 12]), "pixel values"),
    ],
)
def test_a_column_of_something_else_is_refused(column: pa.Array, told: str) -> None:
    with pytest.raises(DataError, match=told):
        field().encode(column)


def test_raw_pixels_of_the_right_size_are_taken_as_they_are() -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 784)
    found = ImageSpec().fit([column])
    assert (found.shape, found.channels) == ((28, 28, 1), 1)
    np.testing.assert_array_equal(found.encode(column)["pixels"][..., 0], values)
    np.testing.assert_array_equal(found.encode(column[2:4])["pixels"][..., 0], values[2:4])
    np.testing.assert_allclose(found.mean, values.mean(), rtol=1e-6)
    with pytest.raises(DataError, match="shape"):
        ImageSpec().fit([pa.array([[1, 2]], pa.list_(pa.uint8(), 2))])
    assert ImageSpec(shape=[1, 2, 1]).fit([pa.array([[1, 2]], pa.list_(pa.uint8(), 2))]).layout("x").width == 2


def test_cifar_photographs_decode_quickly(data: Callable[[str], Path]) -> None:
    column = pyarrow.parquet.read_table(data("cifar10_jpg/test.parquet"), columns=["image"])["image"].chunk(0)[:1000]
    found = ImageSpec().fit([column])
    assert (found.height, found.width, found.channels) == (32, 32, 3)
    whole = found.encode(column)["pixels"]
    assert whole.shape == (1000, 32, 32, 3)
    np.testing.assert_allclose(found.mean, whole.mean(axis=(0, 1, 2)), rtol=0.05)
