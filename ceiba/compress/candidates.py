"""The ways to make a network smaller or faster, from the cheapest to the dearest."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ceiba.base.errors import CeibaError, Stopped
from ceiba.bundle import ONNX
from ceiba.compress.narrow import narrowed
from ceiba.compress.retrain import Workshop, sparse_masks
from ceiba.compress.smaller import BFLOAT16, dynamic_int8, half, static_int8, stored_int8
from ceiba.export import check_parity, onnx_bytes, probes
from ceiba.model import Model, TorchBackend
from ceiba.predict import OnnxBackend

NOTHING = "no training data at hand, no weights, or a network with edits"
SHARES = (0.75, 0.5, 0.375, 0.25)
"""Shares of channels, heads and layers that are kept."""
SPARSE = (0.5, 0.75)
"""Shares of single weights that are taken out, round by round."""


@dataclass(frozen=True)
class Candidate:
    """One way that was tried: a graph, or why there is none."""

    name: str
    how: str
    model: bytes | None = None
    failed: str = ""
    is_rounded: bool = False
    """Computes with integers: its answers may not be those of the original to the last digit."""
    file: str = ONNX
    """Of the bundle that holds it."""


@dataclass(frozen=True)
class Material:
    """What candidates are made from: the original's graph, and the means to train where they are at hand."""

    model: bytes
    workshop: Workshop | None
    epochs: float
    shares: tuple[float, ...]


Way = Callable[[Material], Iterator[Candidate]]


def tried(name: str, how: str, make: Callable[[], bytes], is_rounded: bool = False) -> Candidate:
    """A candidate, or what went wrong with it: one that fails does not end the search, a signal does."""
    try:
        return Candidate(name, how, make(), is_rounded=is_rounded)
    except Stopped:
        raise
    except CeibaError as error:
        return Candidate(name, how, failed=str(error))
    except Exception as error:  # the quantizer's own, which have no common base
        problem = str(error).strip().splitlines() or [type(error).__name__]
        return Candidate(name, how, failed=problem[0][:200])


def halves(material: Material) -> Iterator[Candidate]:
    """Weights in 16 bits."""
    yield tried("fp16", "weights stored as 16-bit floats", lambda: half(material.model))
    yield tried("bf16", "weights stored as bfloat16", lambda: half(material.model, BFLOAT16))


def integers(material: Material) -> Iterator[Candidate]:
    """Weights in 8 bits; activations in floats, and in 8 bits too."""
    yield from rounded(material.model, material, "")


def rounded(model: bytes, material: Material, before: str) -> Iterator[Candidate]:
    """The three kinds of 8-bit integers, of the original or of what was made of it before."""
    at = f"{before} + " if before else ""
    yield tried(f"{at}int8 weights", "8-bit weights per channel, computed with in floats", lambda: stored_int8(model),
                True)  # fmt: skip
    yield tried(f"{at}int8 dynamic", "8-bit weights per channel; activations measured as it runs",
                lambda: dynamic_int8(model), True)  # fmt: skip
    workshop = material.workshop
    if workshop is None:
        yield Candidate(f"{at}int8 static", "8-bit weights and activations", failed="no training rows to calibrate on")
        return
    types = OnnxBackend(model, 1).inputs
    yield tried(f"{at}int8 static", "8-bit weights per channel and activations, ranges measured on training rows",
                lambda: static_int8(model, workshop.calibration(), types), True)  # fmt: skip


def exact(model: Model, workshop: Workshop) -> bytes:
    """The graph of a network, through the gate of the export.

    Raises: CeibaError if it answers otherwise than the network.
    """
    found = onnx_bytes(model, workshop.layouts)
    check_parity(TorchBackend(model), OnnxBackend(found, 1), probes(workshop.layouts))
    return found


def retrained(workshop: Workshop, smaller: Model, epochs: float) -> bytes:
    """The graph of a cut network after its training."""
    return exact(workshop.taught(smaller, epochs), workshop)


def structured(material: Material) -> Iterator[Candidate]:
    """Whole channels, heads and layers taken out, trained under the original's eye, then in 8 bits as well."""
    workshop = material.workshop
    if workshop is None:
        yield Candidate("pruned", "channels, heads and layers", failed=NOTHING)
        return
    for share in material.shares:
        name, how = f"pruned to {share:.0%}", f"{share:.0%} of channels, heads and layers, taught by the original"
        smaller = narrowed(workshop.model, workshop.layouts, share)
        if smaller is None:
            yield Candidate(name, how, failed="this network has no channels to take out")
            return
        taught = tried(name, how, partial(retrained, workshop, smaller, material.epochs))
        yield taught
        if taught.model is not None:
            yield from rounded(taught.model, material, name)


def sparse(material: Material) -> Iterator[Candidate]:
    """Single weights taken out round by round, with training in between; the graph stays dense."""
    workshop = material.workshop
    if workshop is None:
        yield Candidate("sparse", "single weights set to zero", failed=NOTHING)
        return
    model = workshop.model
    for share in SPARSE:
        masks = sparse_masks(model, share)
        model = workshop.taught(model, material.epochs / len(SPARSE), masks)
        name, how = f"sparse {share:.0%}", f"{share:.0%} of the single weights zero, trained between rounds"
        yield tried(name, how, partial(exact, model, workshop))


WAYS: dict[str, Way] = {"half": halves, "int8": integers, "pruned": structured, "sparse": sparse}
"""Name → what it yields."""


def candidates(material: Material, ways: Sequence[str]) -> Iterator[Candidate]:
    """Every candidate of the ways that are asked for, one at a time."""
    for name in ways:
        yield from WAYS[name](material)


def row_of(candidate: Candidate) -> dict[str, Any]:
    """What a report says of a candidate before it is measured."""
    return {"name": candidate.name, "how": candidate.how}
