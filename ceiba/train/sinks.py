"""Where the figures of a run go: `log.jsonl`, and TensorBoard events."""

import json
import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ceiba.base.files import naming


class Sink(Protocol):
    """Takes named figures at a step."""

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Record the figures of one step."""

    def note(self, step: int, event: Mapping[str, object]) -> None:
        """Record something that happened, where the sink has a place for it."""

    def close(self) -> None:
        """Flush what is held."""


class JsonLines:
    """One JSON object a line in `log.jsonl`."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = (folder / "log.jsonl").open("a", encoding="utf-8")

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        self.note(step, figures)

    def note(self, step: int, event: Mapping[str, object]) -> None:
        with naming(Path(self.file.name)):
            self.file.write(json.dumps({"step": step, "time": round(time.time(), 3), **event}) + "\n")
            self.file.flush()

    def close(self) -> None:
        with naming(Path(self.file.name)):
            self.file.close()


class TensorBoard:
    """TensorBoard's event file: each record a message `Event` in protocol buffers, written without the package.

    Event: 1 wall time (double), 2 step (varint), 3 file version (text), 5 Summary; Summary: 1 Value, repeated; Value:
    1 tag (text), 2 figure (float).
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self.file = (folder / name).open("ab")
        self._record(_wall_time() + _bytes(3, b"brain.Event:2"))

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        values = (_bytes(1, tag.encode()) + b"\x15" + struct.pack("<f", value) for tag, value in figures.items())
        summary = b"".join(_bytes(1, value) for value in values)
        self._record(_wall_time() + b"\x10" + _varint(step) + _bytes(5, summary))

    def note(self, step: int, event: Mapping[str, object]) -> None:
        pass

    def _record(self, message: bytes) -> None:
        """Length and message, each followed by its checksum (TFRecord)."""
        length = struct.pack("<Q", len(message))
        with naming(Path(self.file.name)):
            self.file.write(length + _checksum(length) + message + _checksum(message))
            self.file.flush()

    def close(self) -> None:
        with naming(Path(self.file.name)):
            self.file.close()


def _wall_time() -> bytes:
    return b"\x09" + struct.pack("<d", time.time())


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _bytes(field: int, content: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(content)) + content


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


CRC = tuple(map(_crc_of, range(256)))
"""CRC-32C (Castagnoli) of each byte."""


def _checksum(content: bytes) -> bytes:
    """CRC-32C, turned and shifted as TFRecord has it."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def open_sinks(folder: Path) -> list[Sink]:
    """The sinks of a run folder."""
    return [JsonLines(folder), TensorBoard(folder / "events")]
