"""Values and rows as 64-bit hashes, whole columns at a time: equal values hash alike in every file, on every machine.

A whole number hashes alike as integer and as float. 8 bytes a row is what callers keep of a table of any width.
"""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MISSING = np.uint64(0x5851F42D4C957F2D)
BLOCK_BYTES = 1 << 20
"""Bytes hashed at a time: eight-byte intermediates of one block stay in the processor's cache."""
WORD_BYTES = 8
LONG_BYTES = 1 << 16
"""A value longer than this is hashed by itself."""
EXACT_BELOW = 2.0**53
"""Floats below it hold whole numbers exactly."""


def mix(values: Hashes) -> Hashes:
    """A bijection of 64-bit words whose every output bit depends on every input bit.

    Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", figure 14.
    """
    values = values + GOLDEN
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def hash_values(column: pa.Array) -> Hashes:
    """One hash a row; all missing values hash alike."""
    if pa.types.is_null(column.type):
        return np.full(len(column), MISSING)
    if pa.types.is_string(column.type) and len(column) > 0:
        column = column.dictionary_encode()
    hashes = _hash(column)
    if column.null_count:
        hashes[np.asarray(column.is_null())] = MISSING
    return hashes


def hash_rows(batch: pa.RecordBatch) -> Hashes:
    """One hash a row over all columns, in their order."""
    hashes = np.zeros(batch.num_rows, dtype=np.uint64)
    for column in batch.columns:
        hashes = mix(hashes ^ hash_values(column))
    return hashes


def _hash(column: pa.Array) -> Hashes:
    types, kind = pa.types, column.type
    if types.is_dictionary(kind):
        known = hash_values(_plain(column.dictionary))
        places = np.asarray(column.indices.fill_null(0))
        return known[places] if len(known) else np.full(len(column), MISSING)
    if types.is_floating(kind):
        return _hash_floats(np.asarray(column.cast(pa.float64()).fill_null(0.0)))
    if types.is_integer(kind) or types.is_boolean(kind):
        whole = column.cast(pa.uint64() if types.is_uint64(kind) else pa.int64()).fill_null(0)
        return mix(np.asarray(whole).astype(np.uint64))
    if types.is_temporal(kind):
        bits = column.cast(pa.int64()) if kind.bit_width == 64 else column.cast(pa.int32())
        return mix(np.asarray(bits.fill_null(0)).astype(np.uint64))
    if types.is_string(kind) or types.is_binary(kind):
        return _hash_bytes(column)
    if types.is_list(kind) or types.is_fixed_size_list(kind):
        return _hash_lists(column)
    if types.is_struct(kind):
        hashes = np.zeros(len(column), dtype=np.uint64)
        for part in column.flatten():
            hashes = mix(hashes ^ hash_values(part))
        return hashes
    return _hash_bytes(column.cast(pa.string()))


def _plain(values: pa.Array) -> pa.Array:
    """The values as binary, so that a dictionary of text is not encoded once more."""
    return values.cast(pa.binary()) if pa.types.is_string(values.type) else values


def _hash_floats(values: NDArray[np.float64]) -> Hashes:
    whole = np.abs(values) < EXACT_BELOW
    whole &= np.trunc(values) == values
    bits = np.where(np.isnan(values), MISSING, np.ascontiguousarray(values).view(np.uint64))
    return np.where(whole, mix(np.where(whole, values, 0.0).astype(np.int64).astype(np.uint64)), mix(bits))


def _hash_bytes(column: pa.Array) -> Hashes:
    _, offsets_buffer, data_buffer = column.buffers()
    if len(column) == 0:
        return np.empty(0, dtype=np.uint64)
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[column.offset : column.offset + len(column) + 1].astype(
        np.int64
    )
    data = np.frombuffer(data_buffer or b"", dtype=np.uint8)
    lengths = np.diff(offsets)
    hashes = np.empty(len(column), dtype=np.uint64)
    long = lengths > LONG_BYTES
    for row in np.flatnonzero(long):
        found = hashlib.blake2b(data[offsets[row] : offsets[row + 1]].tobytes(), digest_size=8).digest()
        hashes[row] = int.from_bytes(found, "little")
    # rows are cut into runs of about one block of bytes; a run may hold one long row, which is skipped
    cuts = np.unique(np.searchsorted(offsets, np.arange(offsets[0], offsets[-1], BLOCK_BYTES)))
    cuts = np.unique(np.concatenate([[0], cuts, [len(column)]]))
    for first, last in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        rows = np.flatnonzero(~long[first:last]) + first
        if len(rows):
            hashes[rows] = _hash_run(data, offsets[rows], lengths[rows])
    return hashes


def _hash_run(data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Hashes:
    """Bytes are taken eight at a time, zeros behind the last; the length, mixed in at the end, tells those apart."""
    words = -(-lengths // WORD_BYTES)
    ends = np.cumsum(words)
    begins = ends - words
    padded = np.zeros(int(ends[-1]) * WORD_BYTES, dtype=np.uint8)
    inner = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    padded[inner + np.repeat(begins * WORD_BYTES, lengths)] = data[inner + np.repeat(starts, lengths)]
    places = np.arange(ends[-1]) - np.repeat(begins, words)
    mixed = mix(padded.view("<u8").astype(np.uint64) ^ mix(places.astype(np.uint64)))
    return mix(_sums(mixed, begins, ends) ^ (lengths.astype(np.uint64) << np.uint64(40)))


def _hash_fixed(column: pa.Array) -> Hashes:
    """Lists of one length of bytes: pixels."""
    width = column.type.list_size
    flat = np.asarray(column.values)[column.offset * width : (column.offset + len(column)) * width]
    words = -(-width // WORD_BYTES)
    places = mix(np.arange(words, dtype=np.uint64))
    hashes = np.empty(len(column), dtype=np.uint64)
    block = max(1, BLOCK_BYTES // max(width, 1))
    for start in range(0, len(column), block):
        rows = flat[start * width : (start + block) * width].reshape(-1, width)
        padded = np.zeros((len(rows), words * WORD_BYTES), dtype=np.uint8)
        padded[:, :width] = rows
        hashes[start : start + block] = mix(padded.view("<u8").astype(np.uint64) ^ places).sum(axis=1, dtype=np.uint64)
    return mix(hashes)


def _hash_lists(column: pa.Array) -> Hashes:
    if pa.types.is_fixed_size_list(column.type) and pa.types.is_uint8(column.type.value_type):
        return _hash_fixed(column)
    values = hash_values(column.flatten())
    lengths = np.asarray(pc.list_value_length(column).fill_null(0)).astype(np.int64)
    ends = np.cumsum(lengths)
    begins = ends - lengths
    places = (np.arange(len(values)) - np.repeat(begins, lengths)).astype(np.uint64)
    return mix(_sums(mix(values + mix(places)), begins, ends) ^ lengths.astype(np.uint64))


def _sums(words: Hashes, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> Hashes:
    """The sum of each run of words, modulo 2^64; of an empty run, zero."""
    running = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(words, dtype=np.uint64)])
    return np.asarray(running[ends] - running[begins])
