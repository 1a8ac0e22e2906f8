"""The weights of a bundle: one safetensors file or, from a size on, several with an index, as Hugging Face has them.

A safetensors file is the length of its header (eight bytes, the lowest first), the header (JSON: name → dtype, shape,
data_offsets), and the tensors' bytes.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ceiba.base.errors import BundleError
from ceiba.bundle.layout import WEIGHT_INDEX, WEIGHTS

MOST_BYTES = 4_000_000_000
"""Of one file; a tensor that is larger has a file of its own."""
SHARD = "weights-{:05d}-of-{:05d}.safetensors"
ALIGNED = 8


def weight_files(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the files that hold what one safetensors file holds."""
    if len(data) <= MOST_BYTES:
        yield WEIGHTS, data
        return
    begin = ALIGNED + int.from_bytes(data[:ALIGNED], "little")
    tensors = {name: one for name, one in json.loads(data[ALIGNED:begin]).items() if name != "__metadata__"}
    groups = list(_groups(tensors))
    files = {name: SHARD.format(place, len(groups)) for place, group in enumerate(groups, 1) for name in group}
    for group in groups:
        yield files[group[0]], _file({name: tensors[name] for name in group}, memoryview(data)[begin:])
    index = {"metadata": {"total_size": len(data) - begin}, "weight_map": files}
    yield WEIGHT_INDEX, json.dumps(index, indent=2).encode()


def _groups(tensors: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    """Names of tensors that follow one another and together are no larger than a file."""
    group: list[str] = []
    size = 0
    for name in sorted(tensors, key=lambda one: tensors[one]["data_offsets"]):
        start, stop = tensors[name]["data_offsets"]
        if group and size + stop - start > MOST_BYTES:
            yield group
            group, size = [], 0
        group.append(name)
        size += stop - start
    yield group


def _file(tensors: Mapping[str, Mapping[str, Any]], content: memoryview) -> bytes:
    """A safetensors file of tensors that lie next to one another in `content`."""
    first = min(one["data_offsets"][0] for one in tensors.values())
    last = max(one["data_offsets"][1] for one in tensors.values())
    moved = {name: {**one, "data_offsets": [at - first for at in one["data_offsets"]]} for name, one in tensors.items()}
    header = json.dumps(moved, separators=(",", ":")).encode()
    header += b" " * (-len(header) % ALIGNED)
    return b"".join([len(header).to_bytes(ALIGNED, "little"), header, content[first:last]])


def is_weights(name: str) -> bool:
    """Whether a file of a bundle is one of those that hold its weights."""
    return name in (WEIGHTS, WEIGHT_INDEX) or (name.startswith("weights-") and name.endswith(".safetensors"))


def files_of(path: Path) -> list[Path]:
    """The safetensors files that a path of weights stands for: itself, or those of an index.

    Raises: BundleError if the index is none, or names a file outside its folder.
    """
    if path.name != WEIGHT_INDEX:
        return [path]
    try:
        names = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
        wrong = [name for name in names if not is_weights(name) or "/" in name]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(f"{path} must be an index of weights", repr(error), "Use an undamaged copy") from error
    if wrong:
        raise BundleError(f"{path} must name files of weights beside it", wrong[0], "Use an undamaged copy")
    return [path.parent / name for name in names]
