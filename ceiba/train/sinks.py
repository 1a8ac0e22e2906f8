"""Where the figures of a run go: `log.jsonl`, and TensorBoard events."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ceiba.base.optional import require


class Sink(Protocol):
    """Takes named figures at a step."""

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Record the figures of one step."""

    def close(self) -> None:
        """Flush what is held."""


class JsonLines:
    """One JSON object a line in `log.jsonl`."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = (folder / "log.jsonl").open("a", encoding="utf-8")

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        self.file.write(json.dumps({"step": step, "time": round(time.time(), 3), **figures}) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class TensorBoard:
    """TensorBoard's own event files, written by its writer alone (torch's wrapper is slow to import)."""

    def __init__(self, folder: Path):
        writer = require("tensorboard.summary.writer.event_file_writer", "train", "write TensorBoard events")
        self.event = require("tensorboard.compat.proto.event_pb2", "train", "write TensorBoard events").Event
        self.summary = require("tensorboard.compat.proto.summary_pb2", "train", "write TensorBoard events").Summary
        self.writer = writer.EventFileWriter(str(folder))

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        values = [self.summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self.writer.add_event(self.event(wall_time=time.time(), step=step, summary=self.summary(value=values)))

    def close(self) -> None:
        self.writer.close()


def open_sinks(folder: Path) -> list[Sink]:
    """The sinks of a run folder."""
    return [JsonLines(folder), TensorBoard(folder / "events")]
